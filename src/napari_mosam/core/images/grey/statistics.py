"""Statistics of sampled pixels: what is empty, what is signal, and which values lie far beyond the others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Booleans = NDArray[np.bool_]
Interval = tuple[float, float]

PERCENTILES = (0.5, 99.8)
"""Limits of a movie in which everything takes part; what the models were trained and measured between."""

BLOCKS, BLOCK_PX = 8, 8
"""The background of a pixel is the median of its block: an eighth of the frame's sides, and at least so many pixels.
The limits as a whole were measured (docs/benchmarks.md), this number was not."""

SIGNAL_NOISE, SIGNAL_TEXTURE = 4.0, 4.0
"""How far a pixel of a cell is from its background: standard deviations of the noise, and of the background itself;
not measured by themselves."""

LEVEL = 0.1
"""Largest part of the largest difference of neighbours that can be half a grey level; not measured by itself."""

REACH = 10.0
"""A value is an outlier when it lies farther beyond the middle 90 % than that many upper quartiles of the signal.

The 99.8 percentile of the clean movies at hand lies up to 4.3 beyond (branched cells in tissue), of stills up to 8.3.
"""

OUTLIERS = 0.02
"""Part of the pixels that outliers may be; what takes more of a frame are cells. Not measured by itself."""

ROUNDS = 2
"""Outliers are part of what they are measured by, the less of it the more often that is done; more were not
compared."""

SPIKE = 1e-3
"""Part of the pixels that saturation takes at least; not measured by itself."""

FEW, CLEAR = 0.05, 2.0
"""Part of the bright pixels that may lie above the upper limit where they are few, and how many times the least that
counts as bright most of them are; else they are the peaks of something larger and noisy.

A nucleus on 0.13 % of the field: J 0.52 between the usual percentiles, 0.94 so. In noisy movies it cost up to 0.025.
"""

RARE, SAID = 1e-4, 5e-4
"""Part of the pixels that is too small to be cells, and that is worth a word; not measured by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Pixels that are finite and hold data.

    Attributes
    ----------
    pixels : ndarray of float, shape (N,)
    offsets : ndarray of float, shape (N,)
        Their difference from the background around them; 0 where it is less than that of a cell.
    """

    pixels: Floats
    offsets: Floats

    def inside(self, interval: Interval) -> "Pool":
        """Only the values of an interval."""
        kept = (self.pixels >= interval[0]) & (self.pixels <= interval[1])
        return self if kept.all() else Pool(self.pixels[kept], self.offsets[kept])

    @property
    def signal(self) -> float:
        """Part of the pixels that differ from their background."""
        return float((self.offsets != 0).mean())

    def percents(self) -> Interval:
        """Which percentiles to take: where cells are few on a wide field, hardly any of their pixels lie above."""
        above = self.offsets[self.offsets > 0]
        bright, beyond = 100 * above.size / self.offsets.size, 100 - PERCENTILES[1]
        if 100 * RARE < bright < 2 * beyond and np.median(above) > CLEAR * above.min():
            beyond = max(FEW * bright, bright - beyond)
        return PERCENTILES[0], 100 - beyond

    def limits(self) -> Interval:
        """These percentiles; the extremes where they are equal."""
        low, high = np.percentile(self.pixels, self.percents(), method="nearest")
        if low == high:
            low, high = self.pixels.min(), self.pixels.max()
        return float(low), float(high)

    def reach(self) -> Interval:
        """The interval beyond which values are outliers, by the contrast of what can be seen."""
        signal = np.abs(self.offsets[self.offsets != 0])
        if not signal.size:
            return -np.inf, np.inf
        low, high = np.percentile(self.pixels, (5, 95))
        reach = REACH * float(np.percentile(signal, 75))
        return float(low - reach), float(high + reach)

    def below_saturation(self) -> Interval:
        """The interval below the largest value, where that is a spike apart from all others, which show more."""
        top = self.pixels.max()
        spike = self.pixels == top
        share = float(spike.mean())
        if not SPIKE < share < 0.5:
            return -np.inf, np.inf
        low, high = np.percentile(self.pixels[~spike], PERCENTILES)
        apart = top > high + (high - low) / 2
        if not apart or float((self.offsets[~spike] != 0).sum()) < spike.sum():
            return -np.inf, np.inf
        return -np.inf, float(np.nextafter(top, -np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """Limits of pooled pixels, and how they were taken.

    Attributes
    ----------
    limits : tuple of float
    percents : tuple of float
        Which percentiles they are.
    interval : tuple of float
        Of what values.
    saturated, beyond : float
        Parts of the pixels outside of it.
    """

    limits: Interval
    percents: Interval
    interval: Interval
    saturated: float
    beyond: float

    @classmethod
    def of(cls, pool: Pool) -> "Finding":
        """Look for spikes first, then for outliers, then take percentiles."""
        spared = pool.below_saturation()
        below = rest = pool.inside(spared)
        reach = (-np.inf, np.inf)
        for _ in range(ROUNDS):
            nearer = rest.reach()
            reach = max(reach[0], nearer[0]), min(reach[1], nearer[1])
            rest = rest.inside(reach)
        if below.pixels.size - rest.pixels.size > OUTLIERS * below.pixels.size:
            rest, reach = below, (-np.inf, np.inf)
        n, n_below = pool.pixels.size, below.pixels.size
        interval = reach[0], min(reach[1], spared[1])
        return cls(rest.limits(), rest.percents(), interval, 1 - n_below / n, (n_below - rest.pixels.size) / n)


@dataclass(frozen=True, slots=True, eq=False)
class FrameSample:
    """Pixels of one frame.

    Attributes
    ----------
    t : int
    pool : Pool
    no_data : float
        Part of the frame that holds none.
    spread : tuple of float
        Its own limits, with the median between; zeros where there are no pixels.
    """

    t: int
    pool: Pool
    no_data: float
    spread: tuple[float, float, float]

    @classmethod
    def of(cls, t: int, frame: NDArray[Any], step: int = 1) -> "FrameSample":
        """Take every `step`-th pixel of a frame (Y, X) along both axes."""
        kind = np.float32 if frame.dtype.itemsize <= 2 else np.float64
        grid: Floats = frame[::step, ::step].astype(kind)
        beside: Floats = frame[::step, 1::step].astype(kind)
        empty = without_data(grid)
        grid[empty | ~np.isfinite(grid)] = np.nan
        with np.errstate(invalid="ignore", over="ignore"):
            noise = _noise(np.abs(beside - grid[:, : beside.shape[1]]))
            offsets = grid - background(grid)
        valid = np.isfinite(grid)
        pixels, offsets = grid[valid], offsets[valid]
        if not pixels.size:
            return cls(t, Pool(pixels, offsets), float(empty.mean()), (0.0, 0.0, 0.0))
        texture = float(np.percentile(np.abs(offsets), 25)) / 0.319  # a quarter of the pixels at least is no cell
        offsets[np.abs(offsets) <= max(SIGNAL_NOISE * noise, SIGNAL_TEXTURE * texture)] = 0
        pool = Pool(pixels, offsets)
        low, high = Finding.of(pool).limits
        return cls(t, pool, float(empty.mean()), (low, float(np.median(pixels)), high))

    @property
    def varies(self) -> bool:
        """Whether there are different pixels at all."""
        return bool(self.spread[2] > self.spread[0])


def _noise(steps: Floats) -> float:
    """Standard deviation of white noise, from the differences of neighbours; at least half a grey level.

    The smallest difference is taken to be a grey level, unless it is large: a drawing has no noise.
    """
    steps = steps[np.isfinite(steps)]
    if not steps.any():
        return 0.0
    level = float(np.min(steps, initial=np.inf, where=steps > 0))
    return max(float(np.median(steps)) / 0.954, min(level / 2, LEVEL * float(steps.max())))


def without_data(frame: NDArray[Any]) -> Booleans:
    """Zeros that reach the border of a frame in a straight line, where they are the smaller part of it."""
    zero = np.asarray(frame == 0)
    if not 0 < zero.mean() < 0.5:
        return np.zeros(frame.shape, bool)
    down, right = (np.logical_and.accumulate(zero, axis=axis) for axis in (0, 1))
    up = np.logical_and.accumulate(zero[::-1], axis=0)[::-1]
    left = np.logical_and.accumulate(zero[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(down | up | left | right)


def background(grid: Floats) -> Floats:
    """The median of the block around every pixel; NaN where it holds none."""
    out = np.empty_like(grid)
    height, width = (max(BLOCK_PX, -(-n // BLOCKS)) for n in grid.shape)
    for y in range(0, grid.shape[0], height):
        for x in range(0, grid.shape[1], width):
            block = np.s_[y : y + height, x : x + width]
            out[block] = _median(grid[block])
    return out


def _median(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0
