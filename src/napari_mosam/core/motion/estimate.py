"""What moved between two frames, asked once per frame and answered per object."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config import MotionConfig
from napari_mosam.core.motion.drift import BandPassed, estimate_drift
from napari_mosam.core.motion.flow import FlowField, dense_flow
from napari_mosam.core.regions import Region

STILL = (0.0, 0.0)


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

    def of(self, region: Region | None) -> tuple[float, float]:
        """Motion (dy, dx) of an object last seen at `region`, px; without a region the drift alone.

        No velocity is ever extrapolated: cells change direction too often for it to help.
        """
        if region is None or self.flow is None:
            return self.drift_yx
        return self.flow.median(region.mask, region.origin_yx)


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
        return FrameMotion(drift, flow)
