"""Measuring a cell with a line drawn on the image."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.widgets.layers.source import MovieSource

NAME = "MoSAM diameter"


class DiameterTool:
    """A shapes layer that lives for one line (or ellipse, or box) and reports its size.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is added.
    on_measured : callable
        Takes the diameter in px of the image.
    """

    def __init__(self, viewer: Any, on_measured: Callable[[float], None]) -> None:
        self._viewer = viewer
        self._on_measured = on_measured
        self._layer: Any = None
        self._before: Any = None

    def start(self, source: "MovieSource") -> None:
        """Add the layer and wait for a line."""
        self.stop()
        self._before = self._viewer.layers.selection.active
        self._source = source
        self._layer = self._viewer.add_shapes(
            ndim=source.image.ndim,
            name=NAME,
            edge_color="cyan",
            face_color="transparent",
            edge_width=max(1.0, 0.003 * max(source.shape[1:])),
            **source.placement(),
        )
        self._layer.events.data.connect(self._on_data)
        self._layer.mode = "add_line"

    def stop(self) -> None:
        """Remove the layer and give the tool in hand back."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        if self._before in self._viewer.layers:
            self._viewer.layers.selection.active = self._before

    def _on_data(self, event: Any) -> None:
        if event.action != "added" or self._layer is None:
            return
        diameter = drawn_diameter(
            self._source.to_tyx(self._layer, self._layer.data[-1])[:, 1:], self._layer.shape_type[-1]
        )
        if diameter >= 1:
            self._on_measured(round(diameter, 1))
            QTimer.singleShot(0, self.stop)  # the mouse callback that got here still uses the layer


def drawn_diameter(vertices_yx: "NDArray[np.floating[Any]]", kind: str) -> float:
    """Length of a line, or the mean side of the bounds of any other shape, px."""
    if kind == "line":
        return float(np.linalg.norm(vertices_yx[1] - vertices_yx[0]))
    return float(np.ptp(vertices_yx, axis=0).mean())
