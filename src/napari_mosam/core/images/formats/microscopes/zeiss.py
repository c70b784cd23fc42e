"""Zeiss' CZI files, through the package czifile (Python 3.12 and later)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.planes import Index, PlaneStack, kept_open, package_of
from napari_mosam.core.images.formats.source import SeriesInfo, Source, choose_series

_PLANE_AXES = "YXS"


def open_czi(path: Path, series: int | None) -> Source:
    """A file; its scenes are its series."""
    file = package_of("czifile", "formats", path.name, " on Python 3.12 or later").CziFile(path)
    return kept_open(file, lambda opened: _source(opened, path.name, series))


def _source(file: Any, name: str, series: int | None) -> Source:
    """One scene of a CziFile, or of what has its attributes."""
    scenes = list(file.scenes.values())
    listed = tuple(SeriesInfo(i, one.name, tuple(one.shape), "".join(one.dims)) for i, one in enumerate(scenes))
    chosen = choose_series(listed, series, name)
    scene = scenes[chosen]
    outer = [dim for dim in scene.dims if dim not in _PLANE_AXES]
    first = dict(zip(scene.dims, scene.start, strict=True))

    def read(place: tuple[int, ...], inside: Index) -> NDArray[Any]:
        at = {dim: first[dim] + i for dim, i in zip(outer, place, strict=True)}
        return np.asarray(scene(**at).asarray(maxworkers=1)[inside])

    shape = tuple(scene.shape)
    pixels = PlaneStack(shape[: len(outer)], shape[len(outer) :], scene.dtype, read)
    return Source(
        name,
        "Zeiss CZI",
        pixels,
        listed[chosen].axes,
        pixels.chunks,
        is_file=True,
        calibration=_calibration(scene),
        channels=tuple(scene.channels),
        series=listed,
        chosen=chosen,
    )


def _calibration(scene: Any) -> Calibration:
    x, y = scene.mpp or (None, None)
    return Calibration.of(y, x, "µm", scene.coord_scales.get("T"), "s")
