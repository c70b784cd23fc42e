"""Leica's LIF files (and LOF, XLIF, XLEF), through the package liffile."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.planes import UNTRIED, Index, PlaneStack, kept_open, package_of
from napari_mosam.core.images.formats.source import SeriesInfo, Source, choose_series

_POSITION = "M"
_CHANNELS = "./Data/Image/ImageDescription/Channels/ChannelDescription"


def open_lif(path: Path, series: int | None) -> Source:
    """A file; its images, and the positions of each, are its series."""
    file = package_of("liffile", "formats", path.name).LifFile(path)
    return kept_open(file, lambda opened: _source(opened, path.name, series))


def _source(file: Any, name: str, series: int | None) -> Source:
    """One image of a LifFile, or of what has its attributes."""
    images = [image for image in file.images if {"Y", "X"} <= set(image.sizes)]
    if not images:
        raise MovieError(f"{name} holds no image with the axes Y and X")
    places = [(image, m) for image in images for m in range(image.sizes.get(_POSITION, 1))]
    listed = tuple(_info(number, image, m) for number, (image, m) in enumerate(places))
    chosen = choose_series(listed, series, name)
    image, position = places[chosen]
    outer, frame = _outer(image), tuple(image.frames.frame_dims)
    fixed = {_POSITION: position} if _POSITION in image.sizes else {}

    def read(place: tuple[int, ...], inside: Index) -> NDArray[Any]:
        return np.asarray(image.frame(**dict(zip(outer, place, strict=True)), **fixed)[inside])

    pixels = PlaneStack(_lengths(image, outer), _lengths(image, frame), image.dtype, read)
    return Source(
        name,
        f"Leica LIF, {UNTRIED}",
        pixels,
        listed[chosen].axes,
        pixels.chunks,
        is_file=True,
        calibration=_calibration(image),
        channels=tuple(one.get("LUTName", "") for one in image.xml_element.findall(_CHANNELS)),
        series=listed,
        chosen=chosen,
    )


def _info(number: int, image: Any, position: int) -> SeriesInfo:
    dims = (*_outer(image), *image.frames.frame_dims)
    name = f"{image.name} position {position}" if _POSITION in image.sizes else image.name
    return SeriesInfo(number, name, _lengths(image, dims), _letters(dims))


def _outer(image: Any) -> tuple[str, ...]:
    """The axes outside a frame, positions excepted."""
    return tuple(dim for dim in image.dims if dim not in (*image.frames.frame_dims, _POSITION))


def _lengths(image: Any, dims: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(image.sizes[dim] for dim in dims)


def _letters(dims: tuple[str, ...]) -> str:
    """One letter per axis; a second axis of channels, C1, has none of its own."""
    return "".join(dim if len(dim) == 1 else "?" for dim in dims)


def _calibration(image: Any) -> Calibration:
    """From the positions along the axes, in m and s."""
    steps = {dim: (at[-1] - at[0]) / (len(at) - 1) for dim, at in image.coords.items() if len(at) > 1}
    return Calibration.of(steps.get("Y"), steps.get("X"), "m", steps.get("T"), "s")
