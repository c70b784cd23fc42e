"""What every format gives: one array that is read by index and never as a whole, and what is known about it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.calibration import UNKNOWN, Calibration

DAMAGED = "is the file complete? copy or export it again"
"""What to do about a file of which something cannot be read."""


class PixelArray(Protocol):
    """What is asked of an array: its shape, its dtype, and basic indexing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along every axis."""

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""

    def __getitem__(self, index: Any, /) -> Any:
        """Read the part named by integers and slices."""


_LONGEST_AXIS = 2**24
"""Frames or pixels: half a year at one frame a second; what is damaged says more, and each is counted in places."""


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One of the images in a file.

    Attributes
    ----------
    number : int
        By which it is chosen, from 0.
    name : str
        As the file says; may be empty.
    shape : tuple of int
    axes : str
        One letter per axis.
    """

    number: int
    name: str
    shape: tuple[int, ...]
    axes: str

    def words(self) -> str:
        """For a person: number, name, shape and axes."""
        return f"{self.number} {self.name + ' ' if self.name else ''}{self.shape} {self.axes}"


def choose_series(listed: Sequence[SeriesInfo], number: int | None, name: str) -> int:
    """The number of the image to read: the largest, unless one is asked for.

    Raises
    ------
    MovieError
        For one that is not there.
    """
    if number is None:
        return max(range(len(listed)), key=lambda i: math.prod(listed[i].shape))
    if not 0 <= number < len(listed):
        raise MovieError(
            f"series={number} (--series) is not in {name}, which has {len(listed)}: "
            + "; ".join(one.words() for one in listed)
        )
    return number


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An array that holds a movie, and what is known about it.

    Attributes
    ----------
    name : str
        For messages.
    kind : str
        Kind of file or array, in words.
    pixels : PixelArray
        Read by basic indexing only.
    axes : str or None
        One letter per axis where metadata says so.
    chunks : tuple of int or None
        What one read costs at least, where the array is lazy.
    is_file : bool
        Whether a failing read means a damaged file.
    path : Path or None
        What was given as its place.
    calibration : Calibration
        Size of a pixel and length of a frame, where metadata says so.
    channels : tuple of str
        Names of the channels, where metadata says so.
    series : tuple of SeriesInfo
        All images of the file, where it may hold several.
    chosen : int
        The number of that which is read.
    absent : ndarray of bool or None
        What is promised and not there, along the first axes, as many as it has.
    note : str
        What else is to be said of what is there, or why something is not.
    inverted : bool
        Whether black is the largest value, and so a movie is read the other way round.
    levels : tuple of Source
        The same pixels at lower resolutions, the finest first.
    sides : tuple of tuple of int or None
        Lengths of all chunks along every axis, where they may differ.
    """

    name: str
    kind: str
    pixels: PixelArray
    axes: str | None = None
    chunks: tuple[int, ...] | None = None
    is_file: bool = False
    path: Path | None = None
    calibration: Calibration = UNKNOWN
    channels: tuple[str, ...] = ()
    series: tuple[SeriesInfo, ...] = ()
    chosen: int = 0
    absent: NDArray[np.bool_] | None = None
    note: str = ""
    inverted: bool = False
    levels: "tuple[Source, ...]" = ()
    sides: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if max(self.shape, default=0) > _LONGEST_AXIS:
            raise MovieError(
                f"{self.name} says that it has the shape {self.shape}; no axis of a movie is longer than "
                f"{_LONGEST_AXIS:,} (is the file damaged? copy or export it again)"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return tuple(self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel, in the byte order of this computer."""
        return _native_dtype(self.name, self.pixels.dtype)

    @property
    def in_memory(self) -> bool:
        """Whether its pixels are there already, so that reading them again costs nothing."""
        return isinstance(self.pixels, np.ndarray) and not self.is_file

    @property
    def chunk_bytes(self) -> int:
        """Memory that one chunk takes when it is decoded, bytes; 0 where the array is not in chunks."""
        return math.prod(self.chunks) * self.dtype.itemsize if self.chunks else 0

    def choice(self) -> str:
        """One line on the image that is read of several; empty where there is one."""
        if len(self.series) < 2:
            return ""
        read = self.series[self.chosen].words()
        return f"{self.name} holds {len(self.series)} series, read is {read}; --series chooses, 'mosam info' lists them"

    def read(self, index: tuple[int | slice, ...], what: str) -> NDArray[Any]:
        """Read one part; `what` names it in messages.

        Raises
        ------
        MovieError
            When a file cannot be read there, or does not hold that part.
        """
        if self.absent is not None and self.absent[index[: self.absent.ndim]].any():
            raise MovieError(f"{what} of {self.name} is not there")
        if not self.is_file and self.chunks is None:
            return self._read(index)
        advice = DAMAGED if self.is_file else "the array raised it"
        with as_movie_error(f"{what} of {self.name} cannot be read", advice):
            return self._read(index)

    def _read(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        stored = np.asarray(computed(self.pixels[index]), self.dtype)
        return _turned_round(stored) if self.inverted else stored


def _turned_round(pixels: NDArray[Any]) -> NDArray[Any]:
    """The largest value that the type holds becomes the smallest; real numbers change their sign."""
    turned: NDArray[Any] = -pixels if pixels.dtype.kind == "f" else ~pixels
    return turned


def computed(part: Any) -> Any:
    """What a lazy array gives; that of dask in this thread: its own threads would take the time of the network's."""
    return part.compute(scheduler="synchronous") if type(part).__module__.startswith("dask.") else part


def _native_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    try:
        native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    except TypeError as error:
        raise MovieError(f"{name} holds pixels of type {dtype}; allowed: bool, integer or real numbers") from error
    return native


def chunks_of(array: Any) -> tuple[int, ...] | None:
    """What one read of a lazy array costs at least; None for others."""
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    return tuple(chunks) if isinstance(chunks, Sequence) and all(isinstance(n, int) for n in chunks) else None


def sides_of(array: Any) -> tuple[tuple[int, ...], ...] | None:
    """Lengths of the chunks of an array of dask along every axis; None for others."""
    sides = getattr(array, "chunks", None)
    return tuple(sides) if isinstance(sides, tuple) and all(isinstance(side, tuple) for side in sides) else None


@contextmanager
def as_movie_error(problem: str, advice: str = DAMAGED) -> Iterator[None]:
    """Whatever goes wrong inside becomes a MovieError that begins with `problem` and ends with `advice`."""
    try:
        yield
    except MovieError:
        raise
    except Refused as error:
        raise MovieError(str(error)) from error
    except Exception as error:  # every decoder has its own kinds of error
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise MovieError(f"{problem}: {said} ({advice})") from error
