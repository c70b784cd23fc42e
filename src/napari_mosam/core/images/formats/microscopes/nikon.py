"""Nikon's ND2 files, through the package nd2."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.planes import UNTRIED, Index, PlaneStack, kept_open, package_of
from napari_mosam.core.images.formats.source import SeriesInfo, Source, choose_series

_FRAME_AXES, _POSITION = "CYXS", "P"


def open_nd2(path: Path, series: int | None) -> Source:
    """A file; its positions are its series."""
    file = package_of("nd2", "formats", path.name).ND2File(path)
    return kept_open(file, lambda opened: _source(opened, path.name, series))


def _source(file: Any, name: str, series: int | None) -> Source:
    """One position of an ND2File, or of what has its attributes; a frame of all its channels is read at once."""
    loops = {axis: n for axis, n in file.sizes.items() if axis not in _FRAME_AXES}
    frame = {axis: n for axis, n in file.sizes.items() if axis in _FRAME_AXES}
    outer = {axis: n for axis, n in loops.items() if axis != _POSITION}
    axes, shape = "".join([*outer, *frame]), (*outer.values(), *frame.values())
    names = _position_names(file, loops.get(_POSITION, 1))
    listed = tuple(SeriesInfo(i, position, shape, axes) for i, position in enumerate(names))
    chosen = choose_series(listed, series, name)

    def read(place: tuple[int, ...], inside: Index) -> NDArray[Any]:
        at = {**dict(zip(outer, place, strict=True)), _POSITION: chosen}
        number = int(np.ravel_multi_index([at[axis] for axis in loops], tuple(loops.values()))) if loops else 0
        return np.asarray(file.read_frame(number).reshape(tuple(frame.values()))[inside])

    pixels = PlaneStack(tuple(outer.values()), tuple(frame.values()), file.dtype, read)
    return Source(
        name,
        f"Nikon ND2, {UNTRIED}",
        pixels,
        axes,
        pixels.chunks,
        is_file=True,
        calibration=_calibration(file),
        channels=tuple(str(one.channel.name) for one in file.metadata.channels or ()),
        series=listed,
        chosen=chosen,
    )


def _position_names(file: Any, n_positions: int) -> list[str]:
    loops = [loop for loop in file.experiment if loop.type == "XYPosLoop"]
    names = [str(point.name or "") for loop in loops[:1] for point in loop.parameters.points]
    return names if len(names) == n_positions else [""] * n_positions


def _calibration(file: Any) -> Calibration:
    """Of the channels, where the microscope was calibrated."""
    known = all(all(one.volume.axesCalibrated[:2]) for one in file.metadata.channels or [])
    size = file.voxel_size()
    return Calibration.of(size.y if known else None, size.x, "µm", _interval_ms(file), "ms")


def _interval_ms(file: Any) -> float | None:
    """As it was measured, else as it was planned; None where a movie has several."""
    loops = {loop.type: loop.parameters for loop in file.experiment}
    several: list[Any] = list(getattr(loops.get("NETimeLoop"), "periods", ()))
    periods = [loops["TimeLoop"]] if "TimeLoop" in loops else several
    found = {period.periodDiff.avg if period.periodDiff else period.periodMs for period in periods}
    return next(iter(found)) if len(found) == 1 else None
