"""Layers of the page: each made when it is first needed, and given other data from then on."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.outputs import find_output, insert_layer, take_away
from napari_mosam.widgets.layers.result_view import FrameView
from napari_mosam.widgets.layers.tags import movie_id, put_tag, tag_of
from napari_mosam.widgets.picture.colors import value_colors
from napari_mosam.widgets.picture.heat import layer_look
from napari_mosam.widgets.preview.layer import outline_width
from napari_mosam.widgets.why.told import on_frame

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_mosam.core.inspection.findings import MemoryComparison, MemoryInspection
    from napari_mosam.core.masks.region import Region
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.why.told import Lines, Told

LINE_COLORS = ("#ffffff", "#ff9f1c", "#56b4e9", "#ff66c4")
"""Of the window, of where the object was expected, of its box and of its points."""

ARROW_COLOR = "#ffffff"

LINE_SHARE, ARROW_SHARE = 0.0035, 0.006
"""Width of lines and of arrows in sides of the frame. Looked at."""

MEMORY_COLORS = {"sam2": "#ff9f1c", "mosam": "#56b4e9"}
"""Of the outlines with SAM 2's memory and with MoSAM's; told apart by colour-blind eyes."""

CONFIDENCE, PLACE, FLOW = "memory confidence", "place", "frame flow"
"""What the layers are for."""

BOTH: Mapping[str, str] = {"sam2": "memory of SAM 2", "mosam": "memory of MoSAM"}


class WhyLayers:
    """The layers of one dock's page; those of the movie that it shows last.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._memory: dict[int, MemoryInspection] = {}
        self._lowest = 0.0
        self._compared: MemoryComparison | None = None

    def show_confidence(self, source: "MovieSource", told: "Told") -> None:
        """How sure each remembered mask is, each on its own frame."""
        self._memory = {read.t: read for read in told.inspection.memory}
        self._lowest = told.lowest
        layer = self._layer(CONFIDENCE, source, self._new_confidence)
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def show_place(self, source: "MovieSource", frame: int, lines: "Lines") -> None:
        """The window, and where motion expected the object."""
        layer = self._layer(PLACE, source, self._new_vectors, name="MoSAM where it looked")
        _set_vectors(layer, source, frame, lines.vectors)
        layer.edge_color = np.array(LINE_COLORS)[lines.kinds]

    def show_flow(self, source: "MovieSource", frame: int, vectors: "NDArray[np.float64]", times: float) -> None:
        """Arrows (N, 2, 2), drawn longer than the motion is."""
        layer = self._layer(FLOW, source, self._new_vectors, name="MoSAM flow of the frame", style="arrow")
        layer.length = times
        _set_vectors(layer, source, frame, vectors)
        layer.edge_color = ARROW_COLOR

    def show_comparison(self, source: "MovieSource", found: "MemoryComparison") -> None:
        """Both masks of an object: one outlined outside, the other inside, so that equal ones are both seen."""
        self._compared = found
        for which in BOTH:
            layer = self._layer(BOTH[which], source, self._new_outlines, which=which)
            layer.refresh(thumbnail=False, highlight=False, extent=False)

    def put_out(self, *roles: str) -> None:
        """Show no such layers; they stay, since taking one away takes napari .2 to .4 s."""
        for layer in self._of(*roles):
            layer.visible = False

    def remove_all(self) -> None:
        """Have none of them."""
        take_away(self._viewer, *self._of(CONFIDENCE, PLACE, FLOW, *BOTH.values()))

    # ---- inside

    def _of(self, *roles: str) -> "list[Layer]":
        tags = [(layer, tag_of(layer)) for layer in self._viewer.layers]
        return [layer for layer, tag in tags if tag is not None and tag.role in roles]

    def _layer(self, role: str, source: "MovieSource", make: Callable[..., "Layer"], **options: Any) -> Any:
        found = find_output(self._viewer, role, source)
        if found is not None:
            found.visible = True
            return found
        take_away(self._viewer, *self._of(role))  # that of another movie
        layer = make(source, **options)
        put_tag(layer, role, movie_id(source.image), source.plane)
        return insert_layer(self._viewer, layer, on_top=True)

    def _new_confidence(self, source: "MovieSource") -> "Layer":
        from napari.layers import Image

        def read(t: int) -> "NDArray[np.uint8]":
            found, shape = self._memory.get(t), source.shape[1:]
            return np.zeros(shape, np.uint8) if found is None else on_frame(found, shape, self._lowest)

        view = FrameView(source.layer_shape, source.time_axis, lambda: np.uint8, read)
        place = source.placement(source.corner())
        look = {**layer_look(), "opacity": 0.75}  # the cell is seen through it
        return Image(view, name="MoSAM memory confidence", **look, **place)

    def _new_vectors(self, source: "MovieSource", name: str, style: str = "line") -> "Layer":
        from napari.layers import Vectors

        width = (LINE_SHARE if style == "line" else ARROW_SHARE) * max(source.shape[1:])
        empty, ndim = np.zeros((0, 2, source.image.ndim), np.float32), source.image.ndim
        look: dict[str, Any] = {"vector_style": style, "length": 1, "edge_width": max(0.6, width)}
        return Vectors(empty, ndim=ndim, name=name, **look, **source.placement())

    def _new_outlines(self, source: "MovieSource", which: str) -> "Layer":
        from napari.layers import Labels

        def read(t: int) -> "NDArray[np.uint8]":
            return outline_on(self._compared, which, t, source.shape[1:])

        return Labels(
            FrameView(source.layer_shape, source.time_axis, lambda: np.uint8, read),
            name="MoSAM's memory" if which == "mosam" else "SAM 2's memory",
            opacity=1.0,
            colormap=value_colors(MEMORY_COLORS[which]),
            **source.placement(source.corner()),
        )


def _set_vectors(layer: Any, source: "MovieSource", frame: int, vectors_yx: "NDArray[np.float64]") -> None:
    corner = source.corner(frame)
    data = np.zeros((len(vectors_yx), 2, len(corner)), np.float32)
    data[:, 0] = corner
    data[:, :, -2:] = vectors_yx
    layer.data = data


def outline_on(found: "MemoryComparison | None", which: str, t: int, shape_yx: tuple[int, int]) -> "NDArray[np.uint8]":
    """1 on the outline of one of both masks on a frame (Y, X): of SAM 2's outside, of MoSAM's inside."""
    from scipy.ndimage import binary_dilation, binary_erosion

    frame = np.zeros(shape_yx, np.uint8)
    region: Region | None = None
    if found is not None and t in found.frames:
        region = getattr(found, which)[found.frames.index(t)]
    if region is None:
        return frame
    width = max(1, outline_width(shape_yx) - 1)  # cells of a dozen px are to be seen between both
    mask = np.pad(region.mask, width)
    inner = mask & ~binary_erosion(mask, iterations=width)
    drawn = binary_dilation(mask, iterations=width) & ~mask if which == "sam2" else inner
    start = np.array(region.origin_yx) - width
    yx = np.argwhere(drawn) + start
    inside = ((yx >= 0) & (yx < shape_yx)).all(1)
    frame[tuple(yx[inside].T)] = 1
    return frame
