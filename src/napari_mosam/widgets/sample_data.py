"""Sample data of the plugin: a simulated movie with its truth, and a real time-lapse where it is installed."""

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

_SCRATCH_ASSAY = "samples/scratch-assay-labeled-10T-2Ch.tiff"
_PIXEL_SIZE = 0.619
"""Micrometres; of the movie itself."""

_CHANNELS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("nuclei", "image", {"colormap": "cyan", "blending": "translucent_no_depth", "visible": False}),
    ("oblique", "image", {"colormap": "gray", "blending": "translucent_no_depth"}),
    ("nuclei, single frames", "labels", {"visible": False, "opacity": 0.5}),
    ("cells, single frames", "labels", {"visible": False, "opacity": 0.5}),
)
_AXES = ("t", "y", "x")

LayerData = tuple[Any, dict[str, Any], str]


def simulated_cells() -> list[LayerData]:
    """Simulate nuclei that move, touch, vanish and return, with marks to try and a hidden labels layer of the truth.

    Returns
    -------
    list of layer data
        'truth', labels (30, 256, 256); an image of uint16 of the same shape; and a click on each of three cells.
    """
    from napari_mosam.core.simulation import sample_movie
    from napari_mosam.widgets.layers.saved_clicks import POINT_PX

    movie = sample_movie()
    image = {"name": "simulated cells", "axis_labels": _AXES, "colormap": "gray"}
    truth = {"name": "truth", "axis_labels": _AXES, "visible": False, "opacity": 0.5}
    ids = [1, 2, 3]
    middles = [(0, *np.argwhere(movie.labels[0] == i).mean(0).round()) for i in ids]
    clicks = {"name": "clicks to try", "axis_labels": _AXES, "features": {"object_id": ids, "sign": ["+"] * len(ids)}}
    _begin_with("simulated cells")
    return [
        (movie.labels, truth, "labels"),
        (movie.images, image, "image"),
        (np.array(middles), {**clicks, "size": 4, "canvas_size_limits": POINT_PX}, "points"),
    ]


def _begin_with(name: str) -> None:
    """As soon as its layers are in the viewer: show the first frame, with that image selected."""
    if "napari" not in sys.modules:
        return
    from qtpy.QtCore import QTimer

    QTimer.singleShot(0, partial(_show_start, name))


def _show_start(name: str) -> None:
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None and name in viewer.layers:
        viewer.layers.selection.active = viewer.layers[name]
        viewer.dims.set_current_step(0, 0)


def scratch_assay_path() -> Path:
    """Path of the real time-lapse of the package ndev-sampledata; needs neither napari nor that package's imports.

    Returns
    -------
    Path
        A TIFF of uint16 in the axes (C, T, Y, X), (4, 10, 210, 576), 0.619 um per pixel: fluorescent nuclei, oblique
        illumination, labels of nuclei, labels of cells. Its label values are not the same cell on different frames.

    Raises
    ------
    FileNotFoundError
        If the package is not installed.
    """
    spec = find_spec("ndev_sampledata")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / _SCRATCH_ASSAY
        if path.is_file():
            return path
    raise FileNotFoundError(
        "the scratch assay comes with the package ndev-sampledata, which was not found here: "
        "pip install ndev-sampledata"
    )


def scratch_assay() -> list[LayerData]:
    """Load real cells that close a scratch: 10 frames of 210 x 576 in two channels, and labels made frame by frame.

    Returns
    -------
    list of layer data
        Images 'nuclei' (fluorescence) and 'oblique'; two hidden labels layers. All (10, 210, 576), in micrometres.

    Raises
    ------
    FileNotFoundError
        If the package ndev-sampledata is not installed.
    """
    import tifffile

    channels = tifffile.imread(scratch_assay_path())
    _begin_with("oblique")
    place = {
        "scale": (1.0, _PIXEL_SIZE, _PIXEL_SIZE),
        "units": ("pixel", "micrometer", "micrometer"),
        "axis_labels": _AXES,
    }
    return [
        (channel, {"name": name, **place, **look}, kind)
        for channel, (name, kind, look) in zip(channels, _CHANNELS, strict=True)
    ]
