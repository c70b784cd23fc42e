"""A frame of which only the tiles are read that something looks at."""

import mmap
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.windows.tiles import Part, Tiles

Frame = NDArray[np.float32]

HALVED_TILE_PX = 128
"""Side of the tiles in which halved copies are made: small against a window that needs one, large against the cost of
a call. Not measured."""

STRIP_PX = 64
"""Rows that are shrunk at once, so that they stay in the processor's cache: 16 to 256 take about the same."""

EXACT_STEP = 2
"""Blocks of more px a side are summed row by row, six times as fast; smaller ones as ever, to the last bit."""

Overview = Callable[[int], tuple[Frame, int] | None]
"""Px of the frame per px that are wanted at most, to an image of the whole frame and how much smaller it is; None
where there is none."""


class Canvas:
    """One frame, float32 in [0, 1]; whoever reads a part of it gets the same pixels as from the whole frame.

    Memory is taken, and anything is read, for the tiles that were asked for alone. Safe to use from threads.

    Parameters
    ----------
    shape_yx : tuple of int
        Shape of the frame, px.
    tile_yx : tuple of int
        Height and width of what is read at once, px.
    read : callable
        Rows and columns to float32 pixels.
    overview : callable, optional
        What shows the whole frame for less than reading all of it; see :data:`Overview`.
    stored : callable, optional
        How many times smaller, a power of two, to a canvas of the frame as it is stored so; None where it is not.

    Attributes
    ----------
    pixels : ndarray of float32, shape (Y, X)
        The frame where it was read, 0 elsewhere.
    tiles : Tiles
        Those of it that were read.
    asked : callable or None
        Told of everything that is asked of the frame, as a function that asks another frame for the same.
    """

    def __init__(
        self,
        shape_yx: tuple[int, int],
        tile_yx: tuple[int, int],
        read: Callable[[slice, slice], Frame],
        overview: Overview = lambda step: None,
        stored: "Callable[[int], Canvas | None]" = lambda step: None,
    ) -> None:
        self.pixels = _unread(shape_yx)
        self.asked: Callable[[Callable[[Canvas], object]], None] | None = None
        self.tiles, self._read, self._overview, self._stored = Tiles(shape_yx, tile_yx), read, overview, stored
        self._lock = threading.RLock()
        self._halved: Canvas | None = None
        self._shrunk: dict[int, tuple[Frame, int]] = {}

    @classmethod
    def of(cls, frame: "Frame | Canvas") -> "Canvas":
        """A frame that is an array, all of it there; a Canvas is returned as it is."""
        if isinstance(frame, Canvas):
            return frame
        shape = (frame.shape[0], frame.shape[1])
        whole = cls((0, 0), shape, lambda rows, columns: frame[rows, columns])
        whole.pixels, whole.tiles = frame, Tiles(shape, shape)
        whole.tiles.mark((slice(0, shape[0]), slice(0, shape[1])))
        return whole

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (Y, X) of the frame, px."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def __getitem__(self, part: tuple[slice, slice]) -> Frame:
        """Pixels of a part, whatever its slices leave open; a view, not to be written to."""
        rows, columns = (slice(*s.indices(side)[:2]) for s, side in zip(part, self.shape, strict=True))
        self.need([(rows, columns)])
        return self.pixels[rows, columns]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The whole frame, for numpy."""
        return np.array(self[:, :], dtype, copy=copy)

    def need(self, parts: Sequence[Part]) -> None:
        """Read what is not there yet of some parts; whatever the source raises leaves that part unread."""
        with self._lock:
            for rows, columns in self.tiles.missing(parts):
                self.pixels[rows, columns] = self._read(rows, columns)
                self.tiles.mark((rows, columns))
        self._tell(lambda other: other.need(parts))

    def shrunk(self, step: int) -> tuple[Frame, int]:
        """The whole frame, each px the mean of n x n of its own, and n: about `step`, and never more."""
        with self._lock:
            if step not in self._shrunk:
                image, factor = self._overview(step) or (self[:, :], 1)
                self._shrunk[step] = shrink(image, step // factor), step // factor * factor
        self._tell(lambda other: other.shrunk(step))
        return self._shrunk[step]

    def level(self, depth: int) -> tuple["Canvas", int]:
        """The frame halved `depth` times, each px the mean of four, and how much smaller it is; less if it is tiny."""
        if depth <= 0 or min(self.shape) <= 1:
            return self, 1
        with self._lock:
            if self._halved is None:
                self._halved = self._half()
        smaller, scale = self._halved.level(depth - 1)
        return smaller, 2 * scale

    def _half(self) -> "Canvas":
        frame, stored = weakref.proxy(self), self._stored  # in a circle both would stay
        half = stored(2)
        if half is None:
            shape = (-(-self.shape[0] // 2), -(-self.shape[1] // 2))
            half = Canvas(shape, (HALVED_TILE_PX, HALVED_TILE_PX), partial(_halve, frame))
        half.asked, half._stored = partial(_tell_half, frame), lambda step: stored(2 * step)
        return half

    def _tell(self, ask: "Callable[[Canvas], object]") -> None:
        if self.asked is not None:
            self.asked(ask)


def _tell_half(frame: Canvas, ask: "Callable[[Canvas], object]") -> None:
    """What was asked of the halved copy is to be asked of that of another frame."""
    frame._tell(lambda other: ask(other.level(1)[0]))


def _halve(frame: Canvas, rows: slice, columns: slice) -> Frame:
    """A part of the halved copy; an odd last row or column is repeated first."""
    part = frame[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
    odd = [(0, side % 2) for side in part.shape]
    even = np.pad(part, odd, mode="edge") if (1 in odd[0]) or (1 in odd[1]) else part
    summed = even[::2, ::2] + even[::2, 1::2]  # in the order in which torch adds them, for the same last bit
    summed += even[1::2, ::2]
    summed += even[1::2, 1::2]
    summed *= np.float32(0.25)
    return summed


def _unread(shape_yx: tuple[int, int]) -> Frame:
    """A frame of zeros that takes memory where it is written to; numpy's own would take pages of 2 MB."""
    n_pixels = shape_yx[0] * shape_yx[1]
    return np.frombuffer(mmap.mmap(-1, max(1, 4 * n_pixels)), np.float32, n_pixels).reshape(shape_yx)


def shrink(frame: Frame, step: int) -> Frame:
    """Average blocks of `step` x `step` px; rows and columns that do not fill a block are left out."""
    if step == 1:
        return frame
    height, width = (side // step for side in frame.shape)
    whole = frame[: height * step, : width * step]
    if step <= EXACT_STEP:
        return np.asarray(whole.reshape(height, step, width, step).mean((1, 3)), np.float32)
    rows = whole.reshape(height, step, width * step).sum(1).reshape(height, width, step)
    summed = rows[..., 0].copy()
    for k in range(1, step):
        summed += rows[..., k]
    return np.asarray(summed * np.float32(1 / step**2), np.float32)


def shrink_in_strips(read: Callable[[slice, slice], Frame], shape_yx: tuple[int, int], step: int) -> Frame:
    """As :func:`shrink` of a frame (Y, X) that is never whole in memory: read by strips of its rows."""
    high = step * max(1, STRIP_PX // step)
    height, width = (side // step * step for side in shape_yx)
    strips = (slice(y, min(y + high, height)) for y in range(0, height, high))
    return np.concatenate([shrink(read(rows, slice(0, width)), step) for rows in strips])
