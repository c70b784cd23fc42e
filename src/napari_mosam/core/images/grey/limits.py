"""Which pixel values become 0 and 1, so that no outlier can move them.

The limits are the 0.5 and 99.8 percentiles of a movie's pixels. These take no part: values that are not finite, zeros
that a registration or a dead camera row left at the border, saturated spikes, values far beyond all others, and frames
unlike all others. Where the light fades over the movie, every frame gets limits of its own, all in proportion.

Pure functions of sampled pixels; :mod:`frame_samples` reads them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.grey.statistics import RARE, SAID, Finding, Floats, FrameSample, Interval, Pool

Origin = Literal["automatic", "exact", "given"]

ODD_FACTOR, ODD_SHIFT, ODD_DEVIATIONS, ODD_SHARE = 3.3, 1.0, 7.5, 0.25
"""A frame is unlike all others when its range differs by that factor, or its median by that many ranges, and by so many
median absolute deviations of all frames, and when no more than a quarter of the frames are. Clean movies: up to 1.5
and 0.14; a cell whose chromatin spreads: 5.4, with a large deviation."""

FADES, FADES_SCATTER, FADES_FRAMES, FADES_SIGNAL = 2.0, 0.25, 5, 0.01
"""Light fades when the range of the frames changes by a factor along a line that most of them follow closely, and the
part of the pixels above half of it does not change by as much. Clean movies: up to 1.7; a dividing cell whose chromatin
spreads: 11, but 5 for the part above half. Less signal than that would be one or two cells, which change by themselves.
"""


@dataclass(frozen=True, slots=True)
class Brightness:
    """Limits of some frames; those between are interpolated.

    Attributes
    ----------
    frames : tuple of int
        In ascending order.
    lows, highs : tuple of float
        Pixel values that become 0 and 1 on them.
    """

    frames: tuple[int, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    def at(self, t: int) -> Interval:
        """Limits of frame `t`."""
        low, high = (float(np.interp(t, self.frames, values)) for values in (self.lows, self.highs))
        return low, high

    @property
    def change(self) -> float:
        """Range of the last frame over that of the first."""
        return (self.highs[-1] - self.lows[-1]) / (self.highs[0] - self.lows[0])


@dataclass(frozen=True, slots=True)
class GreyLimits:
    """Pixel values that become 0 and 1, and how they were found.

    Attributes
    ----------
    low, high : float
        For all frames, or for the brightest one where the light fades.
    origin : {'automatic', 'exact', 'given'}
        From sampled pixels, from all pixels, or from the user.
    left_out : tuple of int
        Frames that are unlike all others and took no part; of those that were looked at.
    no_data, saturated, beyond : float
        Parts of the pixels that took no part.
    brightness : Brightness or None
        Where the light fades.
    """

    low: float
    high: float
    origin: Origin = "automatic"
    left_out: tuple[int, ...] = ()
    no_data: float = 0.0
    saturated: float = 0.0
    beyond: float = 0.0
    brightness: Brightness | None = None

    def at(self, t: int) -> Interval:
        """Limits of frame `t`."""
        return (self.low, self.high) if self.brightness is None else self.brightness.at(t)

    @property
    def flat(self) -> bool:
        """Whether there is nothing to see between them."""
        return not self.low < self.high

    def note(self) -> str:
        """One line on what took no part and what was corrected; empty where there is nothing to say."""
        said = []
        if self.flat:
            said.append(
                f"all pixels have the value {self.low:.6g}, or none, so there is no contrast and masks mean nothing; "
                "is this the right file, channel and plane?"
            )
        if self.left_out:
            frames = ", ".join(map(str, self.left_out[:8])) + (", ..." if len(self.left_out) > 8 else "")
            said.append(f"frame{'s' * (len(self.left_out) > 1)} {frames} took no part (unlike all others)")
        parts = {"zeros without data": self.no_data, "saturated": self.saturated, "far beyond the others": self.beyond}
        said += [f"{100 * part:.2g} % of the pixels took no part ({why})" for why, part in parts.items() if part > SAID]
        if self.brightness is not None:
            change = self.brightness.change
            said.append(
                f"the light {'fades' if change < 1 else 'grows'} to {100 * change:.0f} %, every frame is brought to "
                "one brightness"
            )
        return f"grey limits: {'; '.join(said)}" if said else ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        brightness = self.brightness
        return {
            "low": self.low,
            "high": self.high,
            "origin": self.origin,
            "left_out": list(self.left_out),
            "no_data": self.no_data,
            "saturated": self.saturated,
            "beyond": self.beyond,
            "brightness": None
            if brightness is None
            else {"frames": list(brightness.frames), "lows": list(brightness.lows), "highs": list(brightness.highs)},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "GreyLimits":
        """What `to_dict` gave."""
        fields = dict(stored)
        brightness = fields.pop("brightness")
        if brightness is not None:
            brightness = Brightness(*(tuple(brightness[name]) for name in ("frames", "lows", "highs")))
        return cls(**{**fields, "left_out": tuple(fields["left_out"])}, brightness=brightness)


# --- all frames ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Ordinary:
    """What the frames of a movie are like, most of them.

    Attributes
    ----------
    middle, middle_margin : float
        Median of a frame, and how far it may be from it.
    span, span_margin : float
        Logarithm of the range of a frame, and how far it may be from it.
    """

    middle: float
    middle_margin: float
    span: float
    span_margin: float

    @classmethod
    def of(cls, samples: Sequence[FrameSample]) -> "Ordinary | None":
        """Of frames that are not even; None where there is none."""
        lows, middles, highs = np.array([s.spread for s in samples if s.varies]).reshape(-1, 3).T
        if not len(lows):
            return None
        spans = np.log(highs - lows)
        middle, span = float(np.median(middles)), float(np.median(spans))
        shift = max(ODD_SHIFT * float(np.exp(span)), ODD_DEVIATIONS * _deviation(middles))
        return cls(middle, shift, span, max(float(np.log(ODD_FACTOR)), ODD_DEVIATIONS * _deviation(spans)))

    def includes(self, sample: FrameSample) -> bool:
        """Whether a frame is like the others."""
        if not sample.varies:
            return False
        low, middle, high = sample.spread
        near = abs(middle - self.middle) <= self.middle_margin
        return near and abs(float(np.log(high - low)) - self.span) <= self.span_margin


def _deviation(values: NDArray[np.float64]) -> float:
    """Median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values))))


def pooled(samples: Sequence[FrameSample]) -> Pool:
    """All pixels of some frames."""
    pools = [s.pool for s in samples]
    return Pool(np.concatenate([p.pixels for p in pools]), np.concatenate([p.offsets for p in pools]))


# --- light that fades ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Offset and range of the light on some frames.

    Attributes
    ----------
    frames : ndarray of int, shape (N,)
    lows, spans : ndarray of float64, shape (N,)
    """

    frames: NDArray[np.intp]
    lows: NDArray[np.float64]
    spans: NDArray[np.float64]

    def evened(self, sample: FrameSample) -> FrameSample:
        """A frame in units of its own range."""
        low, span = (np.interp(sample.t, self.frames, values) for values in (self.lows, self.spans))
        return replace(sample, pool=Pool((sample.pool.pixels - low) / span, sample.pool.offsets / span))

    def limits(self, even: Interval) -> Brightness:
        """Limits of every frame, from those of the evened movie."""
        low, high = (tuple(float(v) for v in self.lows + value * self.spans) for value in even)
        return Brightness(tuple(int(t) for t in self.frames), low, high)


def fading(samples: Sequence[FrameSample], interval: Interval) -> Light | None:
    """The light of a movie where it fades or grows evenly, and with it everything that can be seen; None elsewhere."""
    if len(samples) < FADES_FRAMES:
        return None
    inside = [s.pool.inside(interval) for s in samples]
    if not all(pool.pixels.size for pool in inside) or np.mean([pool.signal for pool in inside]) < FADES_SIGNAL:
        return None
    lows, highs = np.array([pool.limits() for pool in inside]).T
    if not (highs > lows).all():
        return None
    frames = np.array([s.t for s in samples])
    change, scatter = trend(frames, np.log(highs - lows))
    halves = [
        float((pool.pixels > (low + high) / 2).mean()) for pool, low, high in zip(inside, lows, highs, strict=True)
    ]
    recast, _ = trend(frames, np.log(np.add(halves, RARE)))
    least = np.log(FADES)
    if abs(change) < least or abs(recast) >= least or scatter > FADES_SCATTER * abs(change):
        return None
    return Light(frames, smoothed(lows), smoothed(highs) - smoothed(lows))


def trend(frames: NDArray[np.intp], values: NDArray[np.float64]) -> tuple[float, float]:
    """Change from the first frame to the last along the median of all slopes, and median distance from that line."""
    i, j = np.triu_indices(len(frames), 1)
    slope = float(np.median((values[j] - values[i]) / (frames[j] - frames[i])))
    return slope * float(frames[-1] - frames[0]), _deviation(values - slope * frames)


def smoothed(values: NDArray[np.float64], half: int = 2) -> NDArray[np.float64]:
    """Running median of up to five values; of fewer at the ends, evenly on both sides."""
    n = len(values)
    reach = [min(half, i, n - 1 - i) for i in range(n)]
    return np.array([np.median(values[i - r : i + r + 1]) for i, r in enumerate(reach)])


# --- the whole movie -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What takes part in the limits of a movie.

    Attributes
    ----------
    usual : Ordinary or None
        What a frame has to be like; None where most frames are even, or too many are unlike the others.
    light : Light or None
        Where the light fades.
    finding : Finding or None
        Of the pixels that take part, evened where the light fades; None where there are none.
    frames : tuple of int
        Those that take part.
    """

    usual: Ordinary | None
    light: Light | None
    finding: Finding | None
    frames: tuple[int, ...]

    @classmethod
    def of(cls, samples: Sequence[FrameSample]) -> "Survey":
        """Look at samples of frames, in the order of time."""
        seen = [s for s in samples if s.pool.pixels.size]
        kept = [s for s in seen if s.varies] or seen
        usual = Ordinary.of(kept)
        alike = [s for s in kept if usual is not None and usual.includes(s)]
        if len(kept) - len(alike) <= ODD_SHARE * len(kept):
            kept = alike
        else:
            usual = None
        if not kept:
            return cls(None, None, None, ())
        finding = Finding.of(pooled(kept))
        light = fading(kept, finding.interval)
        if light is not None:
            finding = Finding.of(pooled([light.evened(s) for s in kept]))
        return cls(usual, light, finding, tuple(s.t for s in kept))

    def takes(self, sample: FrameSample) -> bool:
        """Whether a frame that was not among the samples takes part."""
        return sample.varies if self.usual is None else self.usual.includes(sample)

    def pixels(self, sample: FrameSample) -> Floats:
        """The pixels of a frame that take part, evened where the light fades."""
        assert self.finding is not None
        even = sample if self.light is None else self.light.evened(sample)
        return even.pool.inside(self.finding.interval).pixels

    def limits(self, origin: Origin, values: Interval, left_out: Iterable[int], no_data: float) -> GreyLimits:
        """Limits from percentiles of the pixels that take part."""
        assert self.finding is not None
        no_data = no_data if values[0] > 0 else 0.0  # where the darkest pixels are 0 as well, nobody can tell
        rest = sorted(left_out), no_data, self.finding.saturated, self.finding.beyond
        if self.light is None:
            return GreyLimits(*values, origin, tuple(rest[0]), *rest[1:])
        brightness = self.light.limits(values)
        widest = int(np.argmax(np.subtract(brightness.highs, brightness.lows)))
        low, high = brightness.lows[widest], brightness.highs[widest]
        return GreyLimits(low, high, origin, tuple(rest[0]), *rest[1:], brightness)


def find_limits(samples: Sequence[FrameSample]) -> GreyLimits:
    """Limits of a movie from samples of its frames, in the order of time; 0 and 0 where there is no pixel."""
    survey = Survey.of(samples)
    if survey.finding is None:
        return GreyLimits(0.0, 0.0)
    left_out = {s.t for s in samples} - set(survey.frames)
    no_data = float(np.mean([s.no_data for s in samples if s.t in survey.frames]))
    return survey.limits("automatic", survey.finding.limits, left_out, no_data)


BINS = 2**16
"""Of the histogram of all pixels: as many as 16 bits have grey values."""


def exact_limits(samples: Sequence[FrameSample], read: Callable[[], Iterable[FrameSample]]) -> GreyLimits:
    """Limits from all pixels of all frames, which are read twice and one by one.

    Parameters
    ----------
    samples : sequence of FrameSample
        Say what is unlike all others.
    read : callable
        Gives all frames with all pixels, in the order of time.

    Returns
    -------
    GreyLimits
        Exact for whole numbers that span up to 65536; elsewhere to a 65536th of their range.
    """
    survey = Survey.of(samples)
    if survey.finding is None:
        return replace(find_limits(samples), origin="exact")
    seen, taken, no_data, lows, highs = set(), [], [], [], []
    whole = survey.light is None
    for sample in read():
        seen.add(sample.t)
        pixels = survey.pixels(sample) if survey.takes(sample) else sample.pool.pixels[:0]
        if pixels.size:
            taken.append(sample.t)
            no_data.append(sample.no_data)
            lows.append(float(pixels.min()))
            highs.append(float(pixels.max()))
            whole = whole and bool((pixels == np.rint(pixels)).all())
    if not taken:
        return replace(find_limits(samples), origin="exact")
    low, high = min(lows), max(highs)
    whole = whole and high - low < BINS
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(low, high, BINS + 1)
    counts = np.zeros(len(edges) - 1, np.int64)
    for sample in read():
        if sample.t in taken:
            counts += np.histogram(survey.pixels(sample), edges)[0]
    values = (edges[:-1] + edges[1:]) / 2
    ranks = np.rint(np.divide(survey.finding.percents, 100) * (counts.sum() - 1))
    at_low, at_high = (float(values[np.searchsorted(np.cumsum(counts), rank, "right")]) for rank in ranks)
    limits = (at_low, at_high) if at_low < at_high else (low, high)
    return survey.limits("exact", limits, seen - set(taken), float(np.mean(no_data)))
