"""Image files as lazy arrays: one TIFF with many frames, or one file per frame."""

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, require_room
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.calibration import UNKNOWN, Calibration

SMALLER = "cut out the part that matters, or bin it"
"""What to do about a picture that does not fit into memory."""

_MOST_BYTES = 4
"""Of one value of a pixel while a PNG or JPEG image is decoded."""

IMAGE_AXES = "YXS"
"""Axes of what `read_image` returns; grey images have the first two only."""


class TiffStack:
    """The first image series of a TIFF file, read through tifffile's zarr store; safe to read from threads."""

    def __init__(self, path: Path) -> None:
        import tifffile
        import zarr

        with _refusing_broken_pages():
            tiff = tifffile.TiffFile(path)
            if _is_one_series_per_page(tiff):
                tiff.close()
                tiff = tifffile.TiffFile(path, is_shaped=False)
            self._close = weakref.finalize(self, tiff.close)
            series = tiff.series[0]
            _check_complete(series)
        self.axes: str = series.axes
        self.kind = _kind(series, len(tiff.series))
        self.calibration = _calibration(tiff)
        self._array: Any = zarr.open(series.aszarr(level=0), mode="r")
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along every axis."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""
        return self._array.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is decoded at once."""
        return tuple(self._array.chunks)

    def __getitem__(self, index: Any, /) -> Any:
        """Read the part named by integers and slices."""
        with self._lock:
            return self._array[index]


def _is_one_series_per_page(tiff: Any) -> bool:
    """Whether the frames were appended one by one, each with a description of its own."""
    first = tiff.series[0]
    return (
        len(tiff.series) > 1
        and first.kind == "shaped"
        and all(len(s) == 1 and (s.shape, s.dtype) == (first.shape, first.dtype) for s in tiff.series)
    )


def _kind(series: Any, n_series: int) -> str:
    words = ["TIFF", *({series.kind} & {"ome", "imagej", "lsm", "stk"})]
    return ", ".join(words + ([f"the first of its {n_series} images"] if n_series > 1 else []))


def _check_complete(series: Any) -> None:
    last = series.keyframe if series.dataoffset is not None else series[-1]
    if last is None:
        return
    end = max(start + n for start, n in zip(last.dataoffsets, last.databytecounts, strict=True))
    if series.dataoffset is not None:
        end = max(end, series.dataoffset + series.nbytes)
    if end > last.parent.filehandle.size:
        raise ValueError(f"the file ends early, {last.parent.filehandle.size} of at least {end} bytes are there")


@contextmanager
def _refusing_broken_pages() -> Iterator[None]:
    """Tifffile only logs that pages or the description are cut off, and goes on with a shorter or nameless movie."""
    broken: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if "invalid page offset" in said:
                broken.append("the list of its pages breaks off")
            elif "invalid value offset" in said and "TiffTag 270" in said:
                broken.append("its description is cut off")

    listener = Listener()
    logger = logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
    if broken:
        raise ValueError(broken[0])


class FileStack:
    """Image files of one shape as an array with a leading time axis; a file is read when its frame is."""

    chunks = None

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], NDArray[Any]]) -> None:
        self._paths, self._read = tuple(paths), read
        first = read(paths[0])
        self.shape: tuple[int, ...] = (len(paths), *first.shape)
        self.dtype: np.dtype[Any] = first.dtype

    def __getitem__(self, index: Any, /) -> Any:
        """Read one file and cut the rest of the index out of it."""
        t, *inside = index
        frame = self._read(self._paths[t])
        if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
            raise MovieError(
                f"{self._paths[t].name} has shape {frame.shape} and type {frame.dtype}, but {self._paths[0].name} has "
                f"{self.shape[1:]} and {self.dtype}; all frames of a movie must be alike"
            )
        return frame[tuple(inside)]


def _calibration(tiff: Any) -> Calibration:
    """What OME or ImageJ metadata say."""
    if tiff.is_ome:
        return Calibration.of_ome(tiff.ome_metadata or "")
    if not tiff.is_imagej:
        return UNKNOWN
    said, tags = tiff.imagej_metadata or {}, tiff.pages[0].tags
    y, x = (_step(tags, name) for name in ("YResolution", "XResolution"))
    return Calibration.of(y, x, str(said.get("unit", "")), said.get("finterval"), str(said.get("tunit", "s")))


def _step(tags: Any, name: str) -> float | None:
    """Length of a pixel: the inverse of the resolution, which is a fraction."""
    above, below = tags[name].value if name in tags else (0, 0)
    return below / above if above else None


def read_tiff(path: Path) -> NDArray[Any]:
    """Read the first image series of one TIFF file, whole."""
    import tifffile

    # The OME metadata of one file may name the whole movie, which would then be read for every frame.
    with _refusing_broken_pages(), tifffile.TiffFile(path, is_ome=False) as tiff:
        require_room(tiff.series[0].nbytes, f"the picture in {path.name}", SMALLER)
        frame: NDArray[Any] = tiff.asarray(series=0)
    return frame


def tiff_axes(path: Path) -> str:
    """One letter per axis of what `read_tiff` returns."""
    import tifffile

    with tifffile.TiffFile(path, is_ome=False) as tiff:
        return str(tiff.series[0].axes)


def read_image(path: Path, *, indices: bool = False) -> NDArray[Any]:
    """Read a PNG or JPEG image: (Y, X) or (Y, X, S).

    Parameters
    ----------
    path : Path
    indices : bool
        Of an image with a palette, give the number of each pixel's colour instead of the colour.

    Raises
    ------
    Refused
        If it does not fit into memory, or unpacks to more pixels than Pillow lets through.
    """
    import imageio.v3 as iio
    from PIL import Image

    # imageio would take some names for addresses, so it is given the open file; and Pillow would hand PostScript under
    # any name to an interpreter, so it may look for two formats only.
    with path.open("rb") as file:
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as header:
                n_bytes = header.width * header.height * len(header.getbands()) * _MOST_BYTES * _n_pictures(header)
                mode = "P" if indices and header.mode == "P" else None
        except Image.DecompressionBombError as error:
            raise Refused(f"{path.name} is too large a picture ({error}); save it as TIFF or zarr") from error
        require_room(n_bytes, f"the picture in {path.name}", SMALLER)
        file.seek(0)
        return np.asarray(iio.imread(file, plugin="pillow", mode=mode))


def _n_pictures(header: Any) -> int:
    return int(getattr(header, "n_frames", 1))
