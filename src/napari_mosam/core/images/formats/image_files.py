"""Movies of one file per frame, and PNG and JPEG images."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, require_room
from napari_mosam.core.images.axes import MovieError

SMALLER = "cut out the part that matters, or bin it"
"""What to do about a picture that does not fit into memory."""

IMAGE_AXES = "YXS"
"""Axes of what `read_image` returns; grey images have the first two only."""

_MOST_BYTES = 4
"""Of one value of a pixel while a PNG or JPEG image is decoded."""


class FileStack:
    """Image files of one shape as an array with a leading time axis; a file is read when its frame is.

    Parameters
    ----------
    paths : sequence of Path or None
        One for each frame; None where there is no file.
    read : callable
        A file to its pixels.

    Attributes
    ----------
    example : Path
        The first file that can be read; all others have to be like it.
    """

    chunks = None

    def __init__(self, paths: Sequence[Path | None], read: Callable[[Path], NDArray[Any]]) -> None:
        self._paths, self._read = tuple(paths), read
        self.example, first = _first_readable([path for path in paths if path is not None], read)
        self.shape: tuple[int, ...] = (len(paths), *first.shape)
        self.dtype: np.dtype[Any] = first.dtype

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Which frames have no file, shape (T,)."""
        return np.array([path is None for path in self._paths])

    def __getitem__(self, index: Any, /) -> Any:
        """Read one file and cut the rest of the index out of it."""
        t, *inside = index
        path = self._paths[t]
        if path is None:
            raise MovieError(f"there is no file of frame {t}")
        frame = self._read(path)
        if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
            raise MovieError(
                f"{path.name} has shape {frame.shape} and type {frame.dtype}, but {self.example.name} has "
                f"{self.shape[1:]} and {self.dtype}; all frames of a movie must be alike"
            )
        return frame[tuple(inside)]


def _first_readable(paths: Sequence[Path], read: Callable[[Path], NDArray[Any]]) -> tuple[Path, NDArray[Any]]:
    """The first file that can be read, and its pixels; the error of the first where none can."""
    failed: Exception | None = None
    for path in paths:
        try:
            return path, read(path)
        except Refused:
            raise
        except Exception as error:  # every decoder has its own kinds of error
            failed = failed or error
    raise failed or MovieError("there is no file")


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
