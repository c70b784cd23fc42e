"""Lets a cell be judged: it comes into the middle of the picture, near enough, and its mask does not cover it."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_mosam.widgets.layers.source import MovieSource

SHARE = 0.35
"""Diameter of the cell, of the shorter side of the canvas: large enough to see its edge, with what is around it; not
measured."""

OUTLINE_PX = 1
"""Width of outlines, px of the movie: as thin as napari draws them."""


class Closeup:
    """Moves the camera of a viewer; a zoom that a person has chosen stays.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._zoom: float | None = None  # that was set here last

    def forget(self) -> None:
        """Zoom by itself again, whatever a person has chosen."""
        self._zoom = None

    def show(self, source: "MovieSource", frame: int, yx: tuple[float, float], diameter: float) -> None:
        """Centre a place of a frame, px, and let an object of this diameter be large enough."""
        viewer, camera = self._viewer, self._viewer.scene.camera
        if viewer.dims.ndisplay == 3:
            return
        middle, edge = (self._world(source, frame, (yx[0], yx[1] + away)) for away in (0, max(diameter, 1)))
        chosen = self._zoom is not None and not np.isclose(camera.zoom, self._zoom, rtol=1e-3)
        camera.center = tuple(middle)
        if not chosen:
            camera.zoom = SHARE * min(viewer.canvas.size) / max(float(np.linalg.norm(edge - middle)), 1e-9)
            self._zoom = float(camera.zoom)

    def _world(self, source: "MovieSource", frame: int, yx: tuple[float, float]) -> Any:
        """Where a pixel lies on the axes that are shown."""
        image, dims = source.image, self._viewer.dims
        world = image.data_to_world((*source.corner(frame)[:-2], *yx))
        shown = [axis - (dims.ndim - image.ndim) for axis in dims.displayed]
        return np.array([world[axis] for axis in shown])


class Outlines:
    """Shows masks as outlines for a while; a layer whose outlines a person chose otherwise meanwhile stays so."""

    def __init__(self) -> None:
        self._layer: Any = None
        self._before = 0

    def show(self, layer: Any) -> None:
        """Show those of a layer of labels; None: of none."""
        if layer is self._layer:
            return
        if self._layer is not None and self._layer.contour == OUTLINE_PX:
            self._layer.contour = self._before
        self._layer = None
        if layer is not None and not layer.contour:
            self._layer, self._before = layer, layer.contour
            layer.contour = OUTLINE_PX
