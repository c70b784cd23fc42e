"""Reading some pixels of a movie, spread over time and space, at a bounded cost."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.axes import FramePlan
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.reading import FrameReader

BUDGET = 2**28
"""Bytes read at most, as they are after decoding: bounds the wait before a run, and the memory; not measured."""

MAX_FRAMES, MIN_FRAMES = 64, 8
"""Frames that grey limits are found from, at most and, whatever they weigh, at least; not measured."""

MAX_PIXELS, MAX_FRAME_PIXELS = 2**22, 2**17
"""Pixels kept of all frames together, and of one: a percentile of .5 still rests on hundreds of them; not measured."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Frames that are read together, because they lie in the same chunks.

    Attributes
    ----------
    span : range
        All frames that are read.
    frames : tuple of int
        Those of them that are wanted.
    """

    span: range
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """What is read.

    Attributes
    ----------
    slabs : tuple of Slab
    bands : tuple of slice
        Rows of every frame.
    step : int
        Distance of the pixels that are kept, along both axes.
    """

    slabs: tuple[Slab, ...]
    bands: tuple[slice, ...]
    step: int

    @classmethod
    def of(cls, source: Source, plan: FramePlan) -> "SamplePlan":
        """Whole frames spread over the movie; fewer frames, and then rows, where that costs too much.

        Frames and rows follow from the shape and type of the movie alone, unless chunks of many frames are too large.
        """
        chunks = dict(zip(plan.axes, source.chunks or [1] * len(plan.axes), strict=True))
        sizes = dict(zip(plan.axes, plan.shape, strict=True))
        kept = [sizes[a] if a in plan.kept else chunks[a] for a in plan.axes if a != "T"]
        page, depth = math.prod(kept) * source.dtype.itemsize, chunks.get("T", 1)
        height, width = plan.frame_shape
        band = chunks["Y"] if source.chunks else height if source.is_file else 1
        n_bands = -(-height // band)
        n_frames = min(plan.n_frames, MAX_FRAMES, max(MIN_FRAMES, BUDGET // page))
        slabs = _slabs(spread(plan.n_frames, n_frames), depth, plan.n_frames)
        affordable = max(1, min(max(MIN_FRAMES, BUDGET // (page * depth)), BUDGET * n_bands // (page * depth)))
        if len(slabs) > affordable and sum(len(slab.span) for slab in slabs) * page > BUDGET:
            slabs = [_refilled(slabs[i], -(-n_frames // affordable)) for i in spread(len(slabs), affordable)]
        cost = sum(len(slab.span) for slab in slabs) * page
        picked = spread(n_bands, max(1, BUDGET * n_bands // cost))
        bands = _joined([slice(i * band, min((i + 1) * band, height)) for i in picked])
        rows, n_kept = sum(b.stop - b.start for b in bands), sum(len(s.frames) for s in slabs)
        step = math.ceil(math.sqrt(rows * width / min(MAX_FRAME_PIXELS, MAX_PIXELS / n_kept)))
        return cls(tuple(slabs), bands, max(1, step))


def spread(n: int, wanted: int) -> list[int]:
    """Up to `wanted` of the numbers below `n`, the first and the last among them."""
    return [int(i) for i in np.unique(np.linspace(0, n - 1, min(n, wanted)).round())]


def _slabs(frames: Sequence[int], depth: int, n_frames: int) -> list[Slab]:
    groups: dict[int, list[int]] = {}
    for t in frames:
        groups.setdefault(t // depth, []).append(t)
    return [Slab(range(g * depth, min((g + 1) * depth, n_frames)), tuple(ts)) for g, ts in groups.items()]


def _refilled(slab: Slab, wanted: int) -> Slab:
    return Slab(slab.span, tuple(slab.span[i] for i in spread(len(slab.span), wanted)))


def _joined(bands: Sequence[slice]) -> tuple[slice, ...]:
    """The same rows in as few slices as possible."""
    joined: list[slice] = []
    for band in bands:
        if joined and joined[-1].stop == band.start:
            joined[-1] = slice(joined[-1].start, band.stop)
        else:
            joined.append(band)
    return tuple(joined)


def read_frames(reader: FrameReader, samples: SamplePlan) -> Iterator[tuple[int, NDArray[Any]]]:
    """Frames of a sample that can be read, in the order of time: index, and rows (Y', X) of the stored type.

    Raises
    ------
    MovieError
        When none can.
    """
    columns = slice(0, reader.grid.shape[2])
    failed: list[Exception] = []
    frames = [t for slab in samples.slabs for t in slab.frames]
    for t in frames:
        try:
            bands = [reader.read(t, band, columns) for band in samples.bands]
        except MemoryError:
            raise
        except Exception as error:  # an array that is lazy raises whatever its maker did
            failed.append(error)
            continue
        yield t, bands[0] if len(bands) == 1 else np.concatenate(bands)
    if len(failed) == len(frames):
        raise failed[0]
