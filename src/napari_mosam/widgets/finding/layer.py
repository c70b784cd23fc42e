"""The layer of proposals: dashed lines in two colours, which no result and no mark has, and clicks on them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.outputs import insert_layer, take_away
from napari_mosam.widgets.layers.result_view import FrameView
from napari_mosam.widgets.layers.tags import movie_id, put_tag, tag_of
from napari_mosam.widgets.marking.press import Press
from napari_mosam.widgets.picture.colors import value_colors

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_mosam.widgets.layers.source import MovieSource

HIDDEN, KEPT, DROPPED = 0, 1, 2
"""What a proposal may be; as values of the layer."""

COLORS = ("#ffd400", "#ff4040")
"""Of those that are kept and of those that are dropped."""

DASH_PX = 4
"""Length of a dash in widths of the line. Looked at."""


class ProposalsLayer:
    """One layer, there as long as there are proposals.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    clicked : callable
        Told of a click: (y, x), px of the frame of the proposals.
    """

    def __init__(self, viewer: Any, clicked: Callable[[int, int], object]) -> None:
        self._viewer, self._clicked = viewer, clicked
        self._frame, self._lines = 0, np.zeros((1, 1), np.uint16)
        self._kinds = np.zeros(1, np.uint8)
        self._source: MovieSource | None = None
        self._before: Any = None
        self.layer: Labels | None = None

    def show(self, source: "MovieSource", frame: int, lines: "NDArray[Any]", kinds: "NDArray[np.uint8]") -> None:
        """Draw proposals, and let clicks be about them.

        Parameters
        ----------
        source : MovieSource
        frame : int
        lines : ndarray of int, shape (Y, X)
            See :func:`dashed`.
        kinds : ndarray of uint8, shape (N + 1,)
            What each proposal is.
        """
        self._source, self._frame, self._lines, self._kinds = source, frame, lines, kinds
        self._before = self._viewer.layers.selection.active
        self.layer = self._new_layer(source)
        self._viewer.layers.selection.active = self.layer

    def renew(self, kinds: "NDArray[np.uint8]") -> None:
        """Draw them as what they are now."""
        self._kinds = kinds
        if self.layer is not None:
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def remove(self) -> None:
        """Have no such layer, and the tool in hand that was there before."""
        layer, self.layer = self.layer, None
        if layer is None:
            return
        if self._viewer.layers.selection.active is layer and self._before in self._viewer.layers:
            self._viewer.layers.selection.active = self._before
        take_away(self._viewer, layer)

    def _read(self, t: int) -> "NDArray[Any]":
        assert self._source is not None
        return self._kinds[self._lines] if t == self._frame else np.zeros(self._source.shape[1:], np.uint8)

    def _new_layer(self, source: "MovieSource") -> "Labels":
        from napari.layers import Labels

        layer = Labels(
            FrameView(source.layer_shape, source.time_axis, lambda: np.uint8, self._read),
            name="MoSAM proposals",
            opacity=1.0,
            colormap=value_colors(*COLORS),
            **source.placement(source.corner()),
        )
        layer.mode = "pan_zoom"
        layer.help = "click on a proposal to drop it, or to bring it back"
        layer.mouse_drag_callbacks.append(self._pressed)
        put_tag(layer, "proposals", movie_id(source.image), source.plane)
        return insert_layer(self._viewer, layer, on_top=True)

    def _pressed(self, layer: Any, event: Any) -> Iterator[None]:
        press = Press.of(event)
        yield
        while event.type == "mouse_move":
            press = press.moved_to(event.pos)
            yield
        if press.still and tag_of(layer) is not None and self._viewer.dims.ndisplay == 2:
            self._clicked_at(event.position)

    def _clicked_at(self, world: Any) -> None:
        assert self._source is not None
        if self._source.frame_at(self._viewer.dims.point) != self._frame:
            return
        y, x = (round(float(at)) for at in self._source.image.world_to_data(world)[-2:])
        if 0 <= y < self._lines.shape[0] and 0 <= x < self._lines.shape[1]:
            self._clicked(y, x)


def dashed(labels: "NDArray[Any]", width: int) -> "NDArray[Any]":
    """The numbers of proposals on dashes along the inside of their outlines, 0 elsewhere.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
    width : int
        Of the lines, px.
    """
    inner = labels.copy()
    for _ in range(width):
        edge = np.zeros(labels.shape, bool)
        down, across = inner[1:] != inner[:-1], inner[:, 1:] != inner[:, :-1]
        for part, differ in ((edge[1:], down), (edge[:-1], down), (edge[:, 1:], across), (edge[:, :-1], across)):
            part |= differ
        inner[edge] = 0
    y, x = np.nonzero((labels > 0) & (inner == 0))
    ids = labels[y, x].astype(np.intp)
    counts = np.maximum(np.bincount(ids), 1)
    middle_y, middle_x = (np.bincount(ids, at) / counts for at in (y, x))
    n_dashes = np.maximum(3, counts / width / (2 * DASH_PX * width)).round()
    turn = np.arctan2(y - middle_y[ids], x - middle_x[ids]) / (2 * np.pi) + 0.5
    drawn = (turn * n_dashes[ids] * 2).astype(int) % 2 == 0
    lines = np.zeros_like(labels)
    lines[y[drawn], x[drawn]] = labels[y[drawn], x[drawn]]
    return lines
