"""The same frames at lower resolutions: which of them stand for the full one, and where they are read."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.axes import FramePlan, MovieError
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.gaps import unwritten_frames
from napari_mosam.core.images.reading import BlockCache, FrameReader

ROUNDING = 1.0
"""Grey values by which a mean differs at most that was stored as a whole number, rounded or cut off."""

REAL_ROUNDING = 1e-3
"""The same of real numbers, as a share of the range of the frame: means in single precision, or in half."""

COMPARED_ROWS = 512
"""Of a frame that are compared at once, so that little memory is taken. Not measured."""


def coarser(source: Source, plan: FramePlan, cache: BlockCache) -> dict[int, FrameReader]:
    """Readers of the levels that show a whole number of times fewer pixels along Y and X and are the same otherwise.

    Returns
    -------
    dict of int to FrameReader
        By how many times fewer, the smallest level first.
    """
    found = {}
    for number, level in enumerate(source.levels, 1):
        factor = _factor(plan, level.shape)
        if factor > 1:
            found[factor] = FrameReader(level, replace(plan, shape=level.shape), cache, number)
    return dict(sorted(found.items(), reverse=True))


def _factor(plan: FramePlan, shape: tuple[int, ...]) -> int:
    """How many times fewer pixels a level has along Y and X; 0 where it is no level of these frames."""
    if len(shape) != len(plan.shape):
        return 0
    pairs = dict(zip(plan.axes, zip(plan.shape, shape, strict=True), strict=True))
    factors = {round(pairs[axis][0] / max(1, pairs[axis][1])) for axis in "YX"}
    same = all(full == small for axis, (full, small) in pairs.items() if axis not in "YX")
    factor = max(factors)
    fits = all(abs(pairs[axis][1] * factor - pairs[axis][0]) < factor for axis in "YX")
    return factor if same and len(factors) == 1 and fits else 0


class Levels:
    """A movie at its full resolution and at those of fewer pixels that its file has.

    Parameters
    ----------
    source : Source
    plan : FramePlan
    cache : BlockCache
        Shared by all levels.

    Attributes
    ----------
    full : FrameReader
    coarser : dict of int to FrameReader
        By how many times fewer pixels a level has along Y and X, the smallest level first.
    """

    def __init__(self, source: Source, plan: FramePlan, cache: BlockCache) -> None:
        self.full, self.coarser = FrameReader(source, plan, cache), coarser(source, plan, cache)
        self._plan, self._halved = plan, dict[int, FrameReader]()
        self._looked_at, self._lock = not self.coarser, threading.Lock()

    def coarsest(self, step: int) -> int | None:
        """How many times fewer pixels the smallest level has that has no fewer than by `step` times."""
        return next((factor for factor in self.coarser if factor <= step), None)

    def reader(self, step: int) -> FrameReader:
        """Of the full resolution for 1, or of one of the levels that stand for it."""
        return self.full if step == 1 else self.halved[step]

    @property
    def halved(self) -> dict[int, FrameReader]:
        """The levels that stand for frames halved once or more: means, and all there; some of a frame is read once."""
        with self._lock:
            if not self._looked_at:
                factors = [factor for factor in self.coarser if factor & (factor - 1) == 0]
                self._halved = {factor: self.coarser[factor] for factor in factors if self._stands(factor)}
                self._looked_at = True
            return self._halved

    def _stands(self, factor: int) -> bool:
        n, level = self._plan.n_frames, self.coarser[factor]
        fingerprinted = sorted({0, n // 2, n - 1}, reverse=True)  # the last one is likely to be still at hand
        return are_means(self.full, level, factor, fingerprinted) and not self._lost(level)

    def _lost(self, level: FrameReader) -> bool:
        """Whether nothing on the disk holds a frame of a level of which there is something in the full resolution."""
        lost = set(unwritten_frames(level.source, self._plan))
        return bool(lost) and not lost <= set(unwritten_frames(self.full.source, self._plan))


def are_means(full: FrameReader, coarse: FrameReader, factor: int, frames: Sequence[int]) -> bool:
    """Whether each pixel of a level is the mean of those of the full resolution that it covers.

    Told from the first of some frames that shows more than one value. Only such a level stands for frames that are
    halved again and again; others were smoothed, or hold every second pixel, as the writers of many programs make them.

    Parameters
    ----------
    full, coarse : FrameReader
    factor : int
        How many times fewer pixels the level has along Y and X.
    frames : sequence of int
        To be tried one after the other, as some may not be readable.
    """
    _, height, width = full.grid.shape
    if coarse.grid.shape[1:] != (-(-height // factor), -(-width // factor)):
        return False
    for t in frames:
        try:
            whole, level = full.frame(t), coarse.frame(t)
        except MovieError:
            continue
        low, high = float(whole.min()), float(whole.max())
        if low < high:
            most = ROUNDING if whole.dtype.kind in "iu" else REAL_ROUNDING * (high - low)
            return all(np.abs(mean - part).max() <= most for mean, part in _compared(whole, level, factor))
    return False


def _compared(
    whole: NDArray[np.number], level: NDArray[np.number], factor: int
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.number]]]:
    """Means of blocks of the full resolution and what the level has there, some rows at once; whole blocks alone."""
    height, width = (side // factor for side in whole.shape)
    for first in range(0, height, max(1, COMPARED_ROWS // factor)):
        rows = min(max(1, COMPARED_ROWS // factor), height - first)
        part = whole[first * factor : (first + rows) * factor, : width * factor]
        blocks = part.reshape(rows, factor, width, factor)
        yield blocks.mean((1, 3), dtype=np.float64), level[first : first + rows, :width]
