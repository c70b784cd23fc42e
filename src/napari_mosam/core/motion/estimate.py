"""What moved between two frames, asked once per frame and answered per object."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config import MotionConfig
from napari_mosam.core.motion.drift import BandPassed, correlation, estimate_drift
from napari_mosam.core.motion.flow import FlowField, dense_flow
from napari_mosam.core.regions import Region

STILL = (0.0, 0.0)
MIN_GAIN = 0.05
"""How much better the surroundings of an object must correlate after its flow than after the drift alone."""

MARGIN = 0.25
"""Surroundings of an object that are compared, in object diameters around its box."""

MIN_COMPARED_PX = 4


@dataclass(frozen=True, slots=True, eq=False)
class FrameMotion:
    """Motion from one frame to the next.

    Attributes
    ----------
    drift_yx : tuple of float
        Verified shift of the whole frame, px.
    flow : FlowField or None
        Dense motion, drift included.
    """

    drift_yx: tuple[float, float] = STILL
    flow: FlowField | None = None
    before: NDArray[np.float32] | None = None
    after: NDArray[np.float32] | None = None

    def of(self, region: Region | None) -> tuple[float, float]:
        """Motion (dy, dx) of an object last seen at `region`, px.

        The flow counts only where it is verified; else, and without a region, the answer is the drift. No velocity
        is ever extrapolated: cells change direction too often for it to help.
        """
        if region is None or self.flow is None:
            return self.drift_yx
        shift = self.flow.median(region.mask, region.origin_yx)
        return shift if self._verified(shift, region) else self.drift_yx

    def _verified(self, shift: tuple[float, float], region: Region) -> bool:
        if self.before is None or self.after is None:
            return False
        moved, still = (likeness(self.before, self.after, region, s) for s in (shift, self.drift_yx))
        return moved > still + MIN_GAIN


def likeness(
    before: NDArray[np.float32], after: NDArray[np.float32], region: Region, shift: tuple[float, float]
) -> float:
    """Normalised correlation of an object's surroundings with where a shift takes them.

    Parameters
    ----------
    before, after : ndarray of float32, shape (Y, X)
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
    return correlation(before[tuple(spans)], after[tuple(moved)], (0, 0))


class MotionEstimator:
    """Compares each frame with the one before it.

    Parameters
    ----------
    config : MotionConfig
        What to estimate.
    """

    def __init__(self, config: MotionConfig) -> None:
        self._config = config
        self._frame: NDArray[np.float32] | None = None
        self._band: BandPassed | None = None

    def step(self, frame: NDArray[np.float32]) -> FrameMotion:
        """Motion from the frame given before to this one, (Y, X) in [0, 1]; still on the first call."""
        band = BandPassed.of(frame) if self._config.drift else None
        motion = self._compare(frame, band)
        self._frame, self._band = frame, band
        return motion

    def _compare(self, frame: NDArray[np.float32], band: BandPassed | None) -> FrameMotion:
        if self._frame is None:
            return FrameMotion()
        drift = STILL if self._band is None or band is None else estimate_drift(self._band, band)
        flow = dense_flow(self._frame, frame, drift, self._config.flow_method) if self._config.flow else None
        return FrameMotion(drift, flow, self._frame, frame)
