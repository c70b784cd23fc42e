"""Imaris files (.ims), which are HDF5 files with a certain layout, through the package h5py."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.planes import Index, PlaneStack, kept_open, package_of
from napari_mosam.core.images.formats.source import Source

_FULL = "DataSet/ResolutionLevel 0"


def open_ims(path: Path) -> Source:
    """The full resolution of a file, of which only the chunks that are asked for are read.

    Raises
    ------
    MovieError
        For a file of another layout.
    """
    file = package_of("h5py", "formats", path.name).File(path, "r")
    return kept_open(file, lambda opened: _source(opened, path.name))


def _source(file: Any, name: str) -> Source:
    if _FULL not in file or "DataSetInfo/Image" not in file:
        raise MovieError(f"{name} is no Imaris file: it holds {', '.join(file) or 'nothing'}")
    image = file["DataSetInfo/Image"].attrs
    n_frames, n_channels = len(file[_FULL]), len(file[f"{_FULL}/TimePoint 0"])
    volume = tuple(int(_text(image, axis)) for axis in "ZYX")
    first = _volume(file, 0, 0)

    def read(place: tuple[int, ...], inside: Index) -> NDArray[Any]:
        stored = _volume(file, *place)
        return np.asarray(stored[tuple(_within(i, n) for i, n in zip(inside, volume, strict=True))])

    pixels = PlaneStack((n_frames, n_channels), volume, first.dtype, read)
    return Source(
        name,
        "Imaris",
        pixels,
        "TCZYX",
        (1, 1, *(first.chunks or volume)),
        is_file=True,
        calibration=_calibration(file, n_frames),
        channels=_channel_names(file, n_channels),
        note=_note(file, n_frames),
    )


def _volume(file: Any, t: int, channel: int) -> Any:
    """The stored pixels (Z, Y, X) of a channel, which may be larger than the image."""
    stored = file[f"{_FULL}/TimePoint {t}/Channel {channel}/Data"]
    if stored.file.filename != file.filename or stored.external or stored.is_virtual:
        raise MovieError("pixels that an Imaris file has in other files are not read")
    return stored


def _within(index: int | slice, n: int) -> int | slice:
    return slice(*index.indices(n)) if isinstance(index, slice) else index


def _text(attributes: Any, name: str, default: str = "") -> str:
    """An attribute, which Imaris writes letter by letter."""
    found = attributes.get(name)
    return default if found is None else b"".join(np.asarray(found, "S1").ravel()).decode("utf-8", "replace")


def _channel_names(file: Any, n_channels: int) -> tuple[str, ...]:
    groups = [file.get(f"DataSetInfo/Channel {i}") for i in range(n_channels)]
    return tuple("" if group is None else _text(group.attrs, "Name") for group in groups)


def _calibration(file: Any, n_frames: int) -> Calibration:
    """From where the image begins and ends, and from the times of the first and the last frame."""
    image = file["DataSetInfo/Image"].attrs
    y, x = _side(image, 1, "Y"), _side(image, 0, "X")
    return Calibration.of(y, x, _text(image, "Unit", "um"), _interval(file, n_frames), "s")


def _side(image: Any, number: int, axis: str) -> float | None:
    try:
        return (float(_text(image, f"ExtMax{number}")) - float(_text(image, f"ExtMin{number}"))) / int(
            _text(image, axis)
        )
    except ValueError:
        return None


def _times(file: Any) -> Any:
    return file["DataSetInfo/TimeInfo"].attrs if "DataSetInfo/TimeInfo" in file else {}


def _note(file: Any, n_frames: int) -> str:
    """What is promised and not there."""
    promised = _text(_times(file), "DatasetTimePoints")
    lost = promised.isdecimal() and int(promised) > n_frames
    return f"its head promises {promised} time points, {n_frames} are there" if lost else ""


def _interval(file: Any, n_frames: int) -> float | None:
    times = _times(file)
    try:
        first, last = (datetime.fromisoformat(_text(times, f"TimePoint{i}")) for i in (1, n_frames))
    except ValueError:
        return None
    return (last - first).total_seconds() / max(n_frames - 1, 1)
