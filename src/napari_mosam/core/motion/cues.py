"""What moved between two frames, asked once per frame and answered per object."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.drift import BandPassed, correlation, estimate_drift
from napari_mosam.core.motion.flow import FrameFlow
from napari_mosam.core.results.frame import Cue
from napari_mosam.core.windows.canvas import Canvas

if TYPE_CHECKING:
    import torch

STILL = (0.0, 0.0)
"""No motion (dy, dx), px."""

MIN_GAIN = 0.05
"""How much better the surroundings of an object must correlate after its motion than after the drift alone; not
measured."""

MARGIN = 0.25
"""Surroundings of an object that are compared, in object diameters around its box; not measured."""

MIN_COMPARED_PX = 4
"""Shortest side of what both frames show of them that is still compared; not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameMotion:
    """Motion from one frame to the next.

    Attributes
    ----------
    drift_yx : tuple of float
        Verified shift of the whole frame, px.
    flow : FrameFlow or None
        Dense motion, drift included.
    before, after : Canvas or None
        The two frames; None on the first.
    compared : dict
        What :meth:`ncc` found already, by object and whole px: several cues ask for the same.
    """

    drift_yx: tuple[float, float] = STILL
    flow: FrameFlow | None = None
    before: Canvas | None = None
    after: Canvas | None = None
    compared: dict[tuple[Region, int, int], float] = field(default_factory=dict, repr=False)

    @property
    def drift(self) -> Cue:
        """The shift of the whole frame, as a cue that every object has."""
        return Cue("drift", self.drift_yx, 1.0)

    def dense(self, region: Region | None) -> Cue | None:
        """Median flow inside an object last seen at `region`; confidence 0 unless verified."""
        if self.flow is None or region is None:
            return None
        shift = self.flow.median(region.mask, region.origin_yx)
        return Cue("flow", shift, self.verified(shift, region))

    def verified(self, shift: tuple[float, float], region: Region) -> float:
        """How alike an object's surroundings are after a shift, in [0, 1]; 0 unless clearly better than by drift."""
        moved, still = self.ncc(region, shift), self.ncc(region, self.drift_yx)
        return max(0.0, moved) if moved > still + MIN_GAIN else 0.0

    def ncc(self, region: Region, shift: tuple[float, float]) -> float:
        """See :func:`ncc`; -1 on the first frame."""
        if self.before is None or self.after is None:
            return -1.0
        asked = (region, round(shift[0]), round(shift[1]))
        if asked not in self.compared:
            self.compared[asked] = ncc(self.before, self.after, region, shift)
        return self.compared[asked]


def ncc(before: Canvas, after: Canvas, region: Region, shift: tuple[float, float]) -> float:
    """Normalised correlation of an object's surroundings with where a shift takes them.

    Parameters
    ----------
    before, after : Canvas
        Two frames.
    region : Region
        The object in `before`.
    shift : tuple of float
        (dy, dx) in px, rounded to whole pixels.

    Returns
    -------
    float
        In [-1, 1]; -1 when too little of both frames is left to compare.
    """
    margin = round(MARGIN * region.diameter)
    spans, moved = [], []
    starts, ends = region.box[:2], region.box[2:]
    for start, end, side, s in zip(starts, ends, before.shape, map(round, shift), strict=True):
        low, high = max(0, -s, start - margin), min(side, side - s, end + 1 + margin)
        if high - low < MIN_COMPARED_PX:
            return -1.0
        spans.append(slice(low, high))
        moved.append(slice(low + s, high + s))
    return correlation(before[spans[0], spans[1]], after[moved[0], moved[1]], (0, 0))


class MotionEstimator:
    """Compares each frame with the one before it.

    Parameters
    ----------
    config : MotionConfig
        What to estimate.
    device : torch.device or None
        Where the method 'torch' computes.
    """

    def __init__(self, config: MotionConfig, device: "torch.device | None" = None) -> None:
        self._config = config
        self._device = device
        self._frame: Canvas | None = None
        self._band: BandPassed | None = None

    def step(self, frame: NDArray[np.float32] | Canvas) -> FrameMotion:
        """Motion from the frame given before to this one, (Y, X) in [0, 1]; still on the first call."""
        canvas = Canvas.of(frame)
        band = BandPassed.of(canvas) if self._config.drift else None
        motion = self._compare(canvas, band)
        self._frame, self._band = canvas, band
        return motion

    def _compare(self, frame: Canvas, band: BandPassed | None) -> FrameMotion:
        if self._frame is None:
            return FrameMotion()
        drift = STILL if self._band is None or band is None else estimate_drift(self._band, band)
        flow = None
        if self._config.flow:
            flow = FrameFlow(self._frame, frame, drift, self._config.flow_method, self._device)
        return FrameMotion(drift, flow, self._frame, frame)
