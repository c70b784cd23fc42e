"""The layers of a result: labels, confidence and flow."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.tags import layer_name, movie_id, put_tag, tagged
from napari_mosam.widgets.picture.heat import layer_look

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.widgets.layers.result_view import FrameView, LabelsView
    from napari_mosam.widgets.layers.source import MovieSource

MAX_VECTORS = 50_000
"""Arrows kept of all frames together, those of the oldest go first; not measured."""

VECTORS_PER_FRAME = 4_000
"""Arrows drawn on a frame: more hide the image; not measured."""

MIN_SHIFT = 0.2
"""Px; shorter arrows would be dots. Not measured."""


BETWEEN_REMOVALS_MS = 100
"""After each of layers that go together, so that napari answers in between."""

Later = Callable[[Callable[[], object]], object]
"""Does something in a later turn of the event loop."""


def at_once(call: Callable[[], object]) -> None:
    """Do something in no later turn."""
    call()


def insert_layer(viewer: Any, layer: "Layer", *, on_top: bool = False, later: Later = at_once) -> "Layer":
    """Add a layer without taking the selection, and the tool in hand, away from the user.

    It goes onto the topmost image, below labels, boxes and clicks, or to the very top. It is seen `later`: napari takes
    as long to add a layer as to draw it for the first time.
    """
    from napari.layers import Image

    layer.visible = False
    selection, active = viewer.layers.selection, viewer.layers.selection.active
    images = [index for index, other in enumerate(viewer.layers) if isinstance(other, Image)]
    at = len(viewer.layers) if on_top or not images else images[-1] + 1
    if active is None:
        viewer.layers.insert(at, layer)
    else:
        with selection.events.blocker_all():  # napari would show the controls of the layer, and then those before
            viewer.layers.insert(at, layer)
            selection.active = active
    later(partial(setattr, layer, "visible", True))
    return layer


def take_away(viewer: Any, *layers: "Layer") -> None:
    """Hide layers at once, and remove them a little later, one after the other.

    napari collects garbage at each removal, which takes it .25 s, and .4 s once torch is loaded.
    """
    from qtpy.QtCore import QTimer

    waiting = list(layers)

    def remove() -> None:
        layer = waiting.pop(0)
        with suppress(RuntimeError):  # the viewer was closed meanwhile
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        if waiting:
            QTimer.singleShot(BETWEEN_REMOVALS_MS, remove)

    for layer in layers:
        layer.visible = False
        put_tag(layer, "gone")  # nobody looks for it any more
    if waiting:
        QTimer.singleShot(0, remove)


def find_output(viewer: Any, role: str, source: "MovieSource") -> Any:
    """The layer in which results of a movie go, or None."""
    return next(tagged(viewer, role, movie_id(source.image), source.plane), None)


class LabelsOutput:
    """The Labels layer of a result.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is, or is made.
    source : MovieSource
        The movie.
    view : LabelsView
        What the layer shows.
    later : callable
        See :func:`insert_layer`.
    """

    def __init__(self, viewer: Any, source: "MovieSource", view: "LabelsView", later: Later = at_once) -> None:
        self._viewer, self._source, self._view, self._later = viewer, source, view, later
        self._dtype = view.dtype
        self.layer = find_output(viewer, "labels", source) or self._new_layer()
        self.layer.editable = True  # also where the movie had been removed meanwhile
        if self.layer.data is not view:
            self.layer.data = view

    def refresh(self) -> None:
        """Draw the frame that is shown anew."""
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def renewed(self, *, draw: bool) -> None:
        """The result is another: ids may need more room; `draw` where the frame that is shown looks another way."""
        if self._view.dtype != self._dtype:
            self._dtype, self.layer.data = self._view.dtype, self._view
        elif draw:
            self.refresh()

    def take_over(self) -> bool:
        """Where somebody gave the layer another array: paint what differs; whether it can be labels of the movie."""
        given = self.layer.data
        if given is self._view:
            return True
        places = [self._source.index(t) or ... for t in range(self._source.shape[0])]
        if tuple(given.shape) != self._view.shape or _has_negative(given, places):
            return False
        for at in places:
            frame = np.asarray(given[at])
            if not np.array_equal(frame, self._view[at]):
                self._view[at] = frame
        self.layer.data = self._view
        return True

    def _new_layer(self) -> "Labels":
        from napari.layers import Labels

        source = self._source
        layer = Labels(
            self._view,
            name=layer_name(self._viewer, "MoSAM labels", "labels", source.image),
            opacity=0.6,
            **source.placement(source.corner()),
        )
        put_tag(layer, "labels", movie_id(source.image), source.plane)
        return insert_layer(self._viewer, layer, later=self._later)


def _has_negative(labels: Any, places: "list[Any]") -> bool:
    return labels.dtype.kind != "u" and any(np.min(np.asarray(labels[at])) < 0 for at in places)


class ConfidenceOutput:
    """The layer of the confidence of each pixel, see :mod:`napari_mosam.widgets.picture.heat`.

    It lies on top of the labels, whose rims stay in sight: so no cell is seen in a mixed colour. Else as
    :class:`LabelsOutput`.
    """

    def __init__(self, viewer: Any, source: "MovieSource", view: "FrameView", later: Later = at_once) -> None:
        self._viewer, self._source, self._view, self._later = viewer, source, view, later
        self.layer = find_output(viewer, "confidence", source) or self._new_layer()
        if self.layer.data is not view:
            self.layer.data = view

    def refresh(self) -> None:
        """As :meth:`LabelsOutput.refresh`."""
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _new_layer(self) -> "Layer":
        from napari.layers import Image

        layer = Image(
            self._view,
            name=layer_name(self._viewer, "MoSAM confidence", "confidence", self._source.image),
            **layer_look(),
            **self._source.placement(self._source.corner()),
        )
        put_tag(layer, "confidence", movie_id(self._source.image), self._source.plane)
        return insert_layer(self._viewer, layer, on_top=True, later=self._later)


class FlowOutput:
    """Vectors of the frame shown, from a store bounded in the number of vectors."""

    def __init__(self, viewer: Any, source: "MovieSource") -> None:
        self._viewer, self._source = viewer, source
        self._frames: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._shown: int | None = None
        self.layer = find_output(viewer, "flow", source) or self._new_layer()

    def write(self, result: "FrameResult") -> None:
        """Keep the flow of a frame, and show it if the frame is shown."""
        if result.flow is None:
            return
        self._frames[result.t] = flow_vectors(result.flow, self._source.corner(result.t))
        while sum(map(len, self._frames.values())) > MAX_VECTORS and len(self._frames) > 1:
            self._frames.popitem(last=False)
        if self._source.frame_at(self._viewer.dims.point) == result.t:
            self._shown = None
            self.show()

    def show(self) -> None:
        """Show the vectors of the frame the viewer stands on."""
        t = self._source.frame_at(self._viewer.dims.point)
        if t in self._frames and t != self._shown and self.layer in self._viewer.layers:
            self.layer.data = self._frames[t]
            self._shown = t

    def _new_layer(self) -> "Layer":
        from napari.layers import Vectors

        layer = Vectors(
            np.zeros((0, 2, self._source.image.ndim), np.float32),
            ndim=self._source.image.ndim,
            name=layer_name(self._viewer, "MoSAM flow", "flow", self._source.image),
            vector_style="arrow",
            edge_color="#ffd54f",
            edge_width=max(1.0, 0.004 * max(self._source.shape[1:])),
            length=1,
            **self._source.placement(),
        )
        put_tag(layer, "flow", movie_id(self._source.image), self._source.plane)
        return insert_layer(self._viewer, layer, on_top=True)


def flow_vectors(flow: "NDArray[np.float32]", corner: tuple[int, ...]) -> "NDArray[np.float32]":
    """Sample a flow field (2, Y, X) on a grid as napari vectors (N, 2, D), leaving out what hardly moves."""
    height, width = flow.shape[1:]
    step = max(16, int(np.ceil(np.sqrt(height * width / VECTORS_PER_FRAME))))
    y, x = (axis.ravel() for axis in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    shift = flow[:, y, x].T
    moved = np.hypot(*shift.T) > MIN_SHIFT
    vectors = np.zeros((int(moved.sum()), 2, len(corner)), np.float32)
    vectors[:, 0] = corner
    vectors[:, 0, -2:] = np.stack([y, x], 1)[moved]
    vectors[:, 1, -2:] = shift[moved]
    return vectors
