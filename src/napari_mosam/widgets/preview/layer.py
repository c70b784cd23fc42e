"""The layer in which previews are outlined, so that no result is touched."""

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.outputs import at_once, insert_layer
from napari_mosam.widgets.layers.result_view import FrameView
from napari_mosam.widgets.layers.tags import put_tag, tagged
from napari_mosam.widgets.picture.colors import label_colors
from napari_mosam.widgets.sessions.registry import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.layers import Labels
    from numpy.typing import DTypeLike, NDArray

    from napari_mosam.widgets.layers.outputs import Later
    from napari_mosam.widgets.layers.source import MovieSource

PX_PER_WIDTH = 400
"""Px of a frame for one px of an outline: a canvas shows larger frames smaller than they are. Looked at."""


def outline_width(shape_yx: tuple[int, int]) -> int:
    """Width of the outlines on a frame, px."""
    return 1 + max(shape_yx) // PX_PER_WIDTH


class PreviewLayer:
    """One layer for all frames of the movie that is shown, made when first needed.

    It holds lines and no areas: napari's own contours of labels take .2 s of the viewer's time on 2048 x 2048 px.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    read : callable
        Gives what is drawn on a frame, ids of shape (Y, X), or None.
    later : callable
        See :func:`insert_layer`.
    """

    def __init__(self, viewer: Any, read: "Callable[[int], NDArray[Any] | None]", later: "Later" = at_once) -> None:
        self._viewer, self._read, self._later = viewer, read, later
        self._shown: tuple[Any, Labels] | None = None
        self._colors: Mapping[int, int] | None = None

    @property
    def is_there(self) -> bool:
        """Whether the layer was made and is in the viewer."""
        return self._shown is not None and self._shown[1] in self._viewer.layers

    def show(self, source: "MovieSource", dtype: "DTypeLike", colors: "Mapping[int, int]") -> None:
        """Draw the frame that is shown anew, in which ids have a type, and their marks such colours."""
        key = key_of(source), np.dtype(dtype)
        if self._shown is None or self._shown[0] != key or self._shown[1] not in self._viewer.layers:
            self.remove()
            self._shown = key, self._new_layer(source, np.dtype(dtype))
            self._colors = None
        if colors != self._colors:
            self._colors = dict(colors)
            self._shown[1].colormap = label_colors(colors)
        else:
            self._shown[1].refresh(thumbnail=False, highlight=False, extent=False)

    def blank(self) -> None:
        """Draw what there is now, which is nothing; the layer stays, since taking it away takes .3 s."""
        if self._shown is not None and self.is_there:
            self._shown[1].refresh(thumbnail=False, highlight=False, extent=False)

    def remove(self) -> None:
        """Have no such layer."""
        self._shown = None
        for layer in list(tagged(self._viewer, "preview")):
            self._viewer.layers.remove(layer)

    def _new_layer(self, source: "MovieSource", dtype: "np.dtype[Any]") -> "Labels":
        from napari.layers import Labels

        def read(t: int) -> "NDArray[Any]":
            drawn = self._read(t)
            return np.zeros(source.shape[1:], dtype) if drawn is None else drawn

        layer = Labels(
            FrameView(source.layer_shape, source.time_axis, lambda: dtype, read),
            name="MoSAM preview",
            opacity=1.0,
            **source.placement(source.corner()),
        )
        put_tag(layer, "preview")
        insert_layer(self._viewer, layer, on_top=True, later=self._later)
        return layer
