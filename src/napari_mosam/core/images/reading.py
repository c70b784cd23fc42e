"""Parts of frames as they are stored: each chunk is decoded once while there is room to keep it."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, bytes_of
from napari_mosam.core.images.axes import FramePlan, MovieError
from napari_mosam.core.images.formats.image_files import SMALLER
from napari_mosam.core.images.formats.source import Source

MIN_TILE_PX = 64
"""Shortest side of what is read at once: strips of one row would cost a call each. Not measured."""

FREE_SHARE = 0.25
"""Of the memory that is free when a movie is opened: what may keep decoded pixels where nothing is said. Not
measured."""

MOST_BYTES = 2**28
"""Of decoded pixels that are kept where nothing is said: as much as the sample for grey limits reads; a pass reads no
frame twice. More, where two chunks along time take more."""

PROGRAM_BYTES = 900_000_000
"""Python, torch, the model 'nano', 30 objects and what the C library keeps of freed memory: .4 GB before the first
frame. With it, 2 GB and .04 GB of decoded pixels, frames of 4096 px took 1.76 GB at most (benchmarks.reading)."""

RUN_BYTES = 48
"""Of a pixel of the frame, beside reading it: who holds it, labels, confidence, motion, and two frames more in sight.
"""

IN_MEMORY_TILE_PX = 256
"""Side of what is taken at once of an array in memory, where only the call costs anything. Not measured."""

Edges = NDArray[np.integer]

Place = tuple[int, int, int]

Span = tuple[int, int]
"""First and one past the last, along an axis."""

Key = tuple[int, int, int, int]
"""Place of a block along T, Y and X, and the number of its level."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The blocks of frames x rows x columns in which an array is decoded.

    Attributes
    ----------
    shape : tuple of int
        (T, Y, X) of the movie.
    edges : tuple of ndarray of int
        Where the blocks, which are whole chunks, begin along each of these axes, and where the last one ends.
    in_memory : bool
        Whether it is an array in memory, of which to read a part twice costs little.
    """

    shape: tuple[int, int, int]
    edges: tuple[Edges, Edges, Edges]
    in_memory: bool = False

    @classmethod
    def of(cls, source: Source, plan: FramePlan) -> "Grid":
        """Of a source; what is not in chunks is decoded frame by frame, and an array in memory costs nothing."""
        shape = (plan.n_frames, *plan.frame_shape)
        whole = (IN_MEMORY_TILE_PX, IN_MEMORY_TILE_PX) if source.in_memory else plan.frame_shape
        regular = dict(zip("TYX", (1, *whole), strict=True))
        regular |= dict(zip(plan.axes, source.chunks or (), strict=False))
        sides = dict(zip(plan.axes, source.sides or (), strict=False))
        least = (1, MIN_TILE_PX, MIN_TILE_PX)
        t, y, x = (
            _edges(sides.get(axis) or regular[axis], extent, most)
            for axis, extent, most in zip("TYX", shape, least, strict=True)
        )
        return cls(shape, (t, y, x), source.in_memory)

    @property
    def block(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a block; the most of them, where they differ."""
        t, y, x = (int(np.diff(edges).max()) for edges in self.edges)
        return t, y, x

    def blocks(self, t: int, rows: slice, columns: slice) -> list[Place]:
        """Blocks that hold a part of a frame, row by row."""
        (frame, *_), down, across = (
            range(int(edges.searchsorted(first, "right")) - 1, int(edges.searchsorted(stop)))
            for edges, first, stop in zip(
                self.edges, (t, rows.start, columns.start), (t + 1, rows.stop, columns.stop), strict=True
            )
        )
        return [(frame, y, x) for y, x in product(down, across)]

    def spans(self, block: Sequence[int]) -> tuple[Span, Span, Span]:
        """Frames, rows and columns of a block; what follows the three numbers of its place does not count."""
        t, y, x = ((int(e[i]), int(e[i + 1])) for e, i in zip(self.edges, block[:3], strict=True))
        return t, y, x


def _edges(sides: int | Sequence[int], extent: int, least: int) -> Edges:
    """Where blocks of whole chunks begin that are no shorter than `least`, but for the last, and where that one ends.

    Parameters
    ----------
    sides : int or sequence of int
        Length of every chunk, or of each.
    extent, least : int
    """
    if isinstance(sides, int):
        return np.append(np.arange(0, extent, -(-least // sides) * sides), extent)
    edges = [0]
    for end in np.cumsum(sides).tolist():
        if end - edges[-1] >= least and end < extent:
            edges.append(end)
    return np.array([*edges, extent])


class BlockCache:
    """Decoded blocks, of which the longest unused go first when there is no room left.

    Those of the same frames as a new one stay: a part that can be kept is worth more than one after the other of
    which none is met again. Safe to use from threads.

    Parameters
    ----------
    room : int
        Bytes at most.
    bounded : bool
        Whether somebody said so, rather than what is free.
    """

    def __init__(self, room: int, *, bounded: bool = False) -> None:
        self.room, self.bounded, self._used = room, bounded, 0
        self._blocks: OrderedDict[Key, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> NDArray[Any] | None:
        """A block that is kept; not to be written to."""
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
            return self._blocks.get(key)

    def keep(self, key: Key, block: NDArray[Any]) -> None:
        """Keep a block if there can be room for it."""
        with self._lock:
            for old in [k for k in self._blocks if k[0] != key[0]]:
                if self._used + block.nbytes <= self.room:
                    break
                self._used -= self._blocks.pop(old).nbytes
            if key not in self._blocks and self._used + block.nbytes <= self.room:
                block.flags.writeable = False
                self._blocks[key] = block
                self._used += block.nbytes


class FrameReader:
    """Reads parts of the frames of a source, as they are stored. Safe to use from threads.

    Parameters
    ----------
    source : Source
    plan : FramePlan
    cache : BlockCache
        Shared by the levels of a movie.
    level : int
        Number of this one.
    """

    def __init__(self, source: Source, plan: FramePlan, cache: BlockCache, level: int = 0) -> None:
        self.source, self._plan, self._cache, self._level = source, plan, cache, level
        self.grid = Grid.of(source, plan)
        self._lock = threading.Lock()

    def frame(self, t: int) -> NDArray[Any]:
        """All of a frame, see :meth:`read`."""
        _, height, width = self.grid.shape
        return self.read(t, slice(0, height), slice(0, width))

    def read(self, t: int, rows: slice, columns: slice) -> NDArray[Any]:
        """A part (y, x) of frame `t`, native dtype; may be a view of what is kept, and is not to be written to.

        Raises
        ------
        MovieError
            Where the file is damaged.
        """
        if self._reads_apart(rows, columns):
            (part,) = self._decoded((t, t + 1), (rows.start, rows.stop), (columns.start, columns.stop))
            return np.asarray(part)
        with self._lock:
            return self._assembled(t, rows, columns)

    def _reads_apart(self, rows: slice, columns: slice) -> bool:
        """Whether a part is read by itself: of an array in memory, and of another that is no file and not in chunks.

        All of a frame of that one is kept, since what such an array computes for it is not known.
        """
        if self.source.is_file or self.source.chunks is not None:
            return False
        whole = (rows.stop - rows.start, columns.stop - columns.start) == self.grid.shape[1:]
        return self.source.in_memory or not whole

    def _assembled(self, t: int, rows: slice, columns: slice) -> NDArray[Any]:
        keys = [(*block, self._level) for block in self.grid.blocks(t, rows, columns)]
        found = {key: block for key in keys if (block := self._cache.get(key)) is not None}
        if not found and _is_flat(self.grid.spans(keys[0])):
            return self._read_together(t, rows, columns, keys)
        part = np.empty((rows.stop - rows.start, columns.stop - columns.start), self.source.dtype)
        for key in keys:
            block = found.pop(key, None)
            _paste(part, (rows.start, columns.start), self._block_frame(key, t, block), self.grid.spans(key)[1:])
        return part

    def _read_together(self, t: int, rows: slice, columns: slice, keys: list[Key]) -> NDArray[Any]:
        """Blocks of one frame of which none is there, in one read."""
        first, last = self.grid.spans(keys[0]), self.grid.spans(keys[-1])
        (y0, y1), (x0, x1) = ((a[0], b[1]) for a, b in zip(first[1:], last[1:], strict=True))
        frame: NDArray[Any] = self._decoded((t, t + 1), (y0, y1), (x0, x1))[0]
        for key in filter(self._room_for, keys):
            (a, b), (c, d) = self.grid.spans(key)[1:]
            own = frame[a - y0 : b - y0, c - x0 : d - x0]
            self._cache.keep(key, (own if len(keys) == 1 else own.copy())[None])
        return frame[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]

    def _block_frame(self, key: Key, t: int, block: NDArray[Any] | None) -> NDArray[Any]:
        """Frame `t` of a block, which is decoded whole if it may be kept."""
        frames, rows, columns = self.grid.spans(key)
        if block is None and self._room_for(key):
            block = self._decoded(frames, rows, columns)
            self._cache.keep(key, block)
        if block is None:
            block, frames = self._decoded((t, t + 1), rows, columns), (t, t + 1)
        return np.asarray(block[t - frames[0]])

    def _room_for(self, key: Key) -> bool:
        n_bytes = prod(b - a for a, b in self.grid.spans(key)) * self.source.dtype.itemsize
        return n_bytes <= self._cache.room

    def _decoded(self, frames: Span, rows: Span, columns: Span) -> NDArray[Any]:
        """Some frames (t, y, x) of a part, projected."""
        plan, (first, stop) = self._plan, frames
        ends = {"Y": slice(*rows), "X": slice(*columns)}
        index = [ends.get(axis, one) for axis, one in zip(plan.axes, plan.index(first), strict=True)]
        if stop - first == 1:
            return plan.flatten(self.source.read(tuple(index), f"frame {first}"))[None]
        index[plan.axes.index("T")] = slice(first, stop)
        block = self.source.read(tuple(index), f"frames {first} to {stop - 1}")
        time_axis = [axis for axis in plan.axes if axis == "T" or axis in plan.kept].index("T")
        return np.stack([plan.flatten(np.take(block, t, axis=time_axis)) for t in range(stop - first)])


def _is_flat(spans: tuple[Span, Span, Span]) -> bool:
    """Whether a block is of one frame."""
    (first, stop), *_ = spans
    return stop - first == 1


def _paste(part: NDArray[Any], start: Span, block: NDArray[Any], spans: tuple[Span, Span]) -> None:
    """Put what a block (y, x) and a part of a frame share into the part."""
    there, own = [], []
    for side, origin, (low, high) in zip(part.shape, start, spans, strict=True):
        first, last = max(low, origin), min(high, origin + side)
        there.append(slice(first - origin, last - origin))
        own.append(slice(first - low, last - low))
    part[there[0], there[1]] = block[own[0], own[1]]


def room_for_blocks(source: Source, plan: FramePlan, ram: str | int | None) -> int:
    """Bytes of decoded blocks that may be kept: a share of what is free, or what a run leaves of the given memory.

    Raises
    ------
    MovieError
        If a run on one object needs more than is given.
    """
    if ram is None:
        import psutil

        two_chunks = 2 * prod((Grid.of(source, plan).block[0], *plan.frame_shape)) * source.dtype.itemsize
        return min(int(psutil.virtual_memory().available * FREE_SHARE), max(MOST_BYTES, two_chunks))
    pixels = prod(plan.frame_shape)
    needed = PROGRAM_BYTES + pixels * RUN_BYTES + plan.bytes_of_frame(source.dtype.itemsize) + source.chunk_bytes
    try:
        given = bytes_of(ram)
    except Refused as error:
        raise MovieError(str(error)) from error
    if given < needed:
        raise MovieError(
            f"{given / 1e9:.2g} GB of memory are given, and a run on {source.name}, {plan.shape} {source.dtype}, takes "
            f"{needed / 1e9:.2g} GB; give more (ram=, --ram), or {SMALLER}"
        )
    return given - needed
