"""Where objects are expected: a list of cues, each asked for all objects at once, and one shift from what they say."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import hypot
from typing import Protocol

import torch

from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.history import TrackHistory
from napari_mosam.core.motion.kalman import Kalman
from napari_mosam.core.results.frame import Cue, mean_shift
from napari_mosam.core.windows.pyramid import Pyramid

MAX_DISAGREEMENT, MIN_DISAGREEMENT_PX = 0.25, 2.0
"""Distance between cues beyond which neither is believed: in object diameters, and, whatever the diameter, px; not
measured."""

MIN_CONFIDENCE = 1e-6
"""A cue with less says nothing: 0 but for rounding."""

DAMPING = 0.9
"""Share of the last velocity that a lost object keeps per frame: cells turn. Not measured."""

FORECASTS = (("kalman", "velocity"), ("learned",))
"""Cues that decide alone, the first before the second."""

Shift = tuple[float, float]


class Moving(Protocol):
    """What the cues ask of an object, as it was on the last frame."""

    @property
    def last_region(self) -> Region | None:
        """Its mask; None where it was lost."""
        ...

    @property
    def center_yx(self) -> Shift:
        """Where it was, or where it was last looked for, px."""
        ...

    @property
    def diameter(self) -> float:
        """Px."""
        ...

    @property
    def missing(self) -> int:
        """Frames in a row without it."""
        ...

    @property
    def ambiguous(self) -> bool:
        """Whether only its own motion tells it from another."""
        ...

    @property
    def last_shift(self) -> Shift:
        """Its last displacement, px."""
        ...

    @property
    def kalman(self) -> Kalman:
        """Its own motion."""
        ...

    @property
    def history(self) -> TrackHistory:
        """Its latest frames."""
        ...


class MotionCue(Protocol):
    """One source of motion."""

    def observe(
        self, objects: Sequence[Moving], motion: FrameMotion, told: Sequence[Sequence[Cue]]
    ) -> Sequence[Cue | None]:
        """What it says of each object; None where it has nothing to say.

        Parameters
        ----------
        objects : sequence of Moving
            As they were on the last frame.
        motion : FrameMotion
            From there to the frame that is coming.
        told : sequence of sequence of Cue
            What the cues before this one said of each object.
        """
        ...


@dataclass(frozen=True, slots=True)
class SparsePrediction(Cue):
    """Where a trained encoder expects an object; confidence 0 where it is unsure.

    Attributes
    ----------
    box : tuple of float
        (y0, x0, y1, x1), the centres of the outermost pixels, px.
    points : tuple of (y, x)
        The key points of its mask, px.
    """

    box: tuple[float, float, float, float] = field(kw_only=True)
    points: tuple[Shift, ...] = field(kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class MotionPrediction:
    """Expected motion of one object since the previous frame.

    Attributes
    ----------
    shift_yx : tuple of float
        px.
    cues : tuple of Cue
        Everything that was asked; those that made the shift are marked as used.
    confidence : float
        How alike the object's surroundings are after the shift, in [0, 1]; 0 for an object that is not present.
    region : Region or None
        Where the object is expected; None where nothing tells.
    """

    shift_yx: Shift = (0.0, 0.0)
    cues: tuple[Cue, ...] = ()
    confidence: float = 0.0
    region: Region | None = None

    @property
    def sparse(self) -> SparsePrediction | None:
        """What the trained encoder says beyond the shift, where that made the shift."""
        return next((cue for cue in self.cues if cue.used and isinstance(cue, SparsePrediction)), None)


@dataclass(frozen=True, slots=True)
class VelocityCue:
    """The last displacement again, for comparison."""

    def observe(
        self, objects: Sequence[Moving], motion: FrameMotion, told: Sequence[Sequence[Cue]]
    ) -> Sequence[Cue | None]:
        """See :class:`MotionCue`."""
        return [Cue("velocity", o.last_shift, 1.0) for o in objects]


@dataclass(frozen=True, slots=True)
class KalmanCue:
    """An object's own motion, while it cannot be told from another or is lost."""

    def observe(
        self, objects: Sequence[Moving], motion: FrameMotion, told: Sequence[Sequence[Cue]]
    ) -> Sequence[Cue | None]:
        """See :class:`MotionCue`."""
        return [_own_motion(o, motion.drift_yx) for o in objects]


def _own_motion(o: Moving, drift_yx: Shift) -> Cue | None:
    ahead = o.kalman.predict(drift_yx)
    if not ahead.directed or not (o.ambiguous or o.missing):
        return None
    if not o.missing:
        (y, x), (cy, cx) = ahead.center_yx, o.center_yx
        return Cue("kalman", (y - cy, x - cx), 1.0)
    vy, vx = (v * DAMPING**o.missing for v in ahead.velocity_yx)
    return Cue("kalman", (vy + drift_yx[0], vx + drift_yx[1]), 1.0)


@dataclass(frozen=True, slots=True)
class FlowCue:
    """The dense cue: median flow inside the mask."""

    def observe(
        self, objects: Sequence[Moving], motion: FrameMotion, told: Sequence[Sequence[Cue]]
    ) -> Sequence[Cue | None]:
        """See :class:`MotionCue`."""
        return [motion.dense(o.last_region) for o in objects]


@dataclass(frozen=True, slots=True)
class KeypointCue:
    """The sparse cue: median motion of key points in the mask, all objects in one batch.

    Attributes
    ----------
    device : torch.device
        Where they are followed.
    """

    device: torch.device

    def observe(
        self, objects: Sequence[Moving], motion: FrameMotion, told: Sequence[Sequence[Cue]]
    ) -> Sequence[Cue | None]:
        """See :class:`MotionCue`."""
        return sparse_cues(motion, [o.last_region for o in objects], self.device)


def sparse_cues(motion: FrameMotion, regions: Sequence[Region | None], device: torch.device) -> list[Cue | None]:
    """Median motion of each object's key points, all objects in one batch; None without a region or a frame before.

    Like the dense cue, its confidence is 0 unless the object's surroundings correlate better after it.
    """
    if motion.before is None or motion.after is None:
        return [None] * len(regions)
    from napari_mosam.core.motion.keypoints import track_keypoints

    rows = [row for row, region in enumerate(regions) if region is not None]
    seen = [region for region in regions if region is not None]
    before, after = (Pyramid.of(frame, device) for frame in (motion.before, motion.after))
    found = track_keypoints(before, after, seen, [motion.drift_yx] * len(seen))
    cues: list[Cue | None] = [None] * len(regions)
    for row, region, sparse in zip(rows, seen, found, strict=True):
        trust = sparse.confidence if motion.verified(sparse.shift_yx, region) else 0.0
        cues[row] = Cue("keypoints", sparse.shift_yx, trust)
    return cues


def classical_cues(config: MotionConfig, device: torch.device) -> list[MotionCue]:
    """The cues that the settings ask for, but for the trained one; the drift is always known."""
    wanted: list[tuple[bool, MotionCue]] = [
        (config.velocity, VelocityCue()),
        (config.kalman, KalmanCue()),
        (config.flow, FlowCue()),
        (config.keypoints, KeypointCue(device)),
    ]
    return [cue for asked, cue in wanted if asked]


def predict_motion(
    objects: Sequence[Moving], motion: FrameMotion, sources: Sequence[MotionCue]
) -> list[MotionPrediction]:
    """Where to expect objects, from the motion of the image and, while they cannot be told, from their own.

    Parameters
    ----------
    objects : sequence of Moving
        As they were on the last frame.
    motion : FrameMotion
        From there to the frame that is coming.
    sources : sequence of MotionCue
        Asked in this order.
    """
    told: list[list[Cue]] = [[motion.drift] for _ in objects]
    for source in sources:
        found = source.observe(objects, motion, told)
        told = [[*cues, *([] if cue is None else [cue])] for cues, cue in zip(told, found, strict=True)]
    return [_predicted(o, motion, cues) for o, cues in zip(objects, told, strict=True)]


def _predicted(o: Moving, motion: FrameMotion, told: Sequence[Cue]) -> MotionPrediction:
    shift, cues = fuse(told, o.diameter)
    region = o.last_region
    if region is None:
        return MotionPrediction(shift, cues)
    return MotionPrediction(shift, cues, max(0.0, motion.ncc(region, shift)), region.shifted(shift))


def fuse(cues: Sequence[Cue], diameter: float) -> tuple[Shift, tuple[Cue, ...]]:
    """One shift from several cues.

    A forecast by filter or repeated velocity decides alone where there is one, and else that of the trained encoder
    where it is sure. Else the verified observations are averaged by their confidence; where they contradict each
    other, or none is verified, only the drift is left.

    Parameters
    ----------
    cues : sequence of Cue
        The first is the drift.
    diameter : float
        Of the object, px.

    Returns
    -------
    shift_yx : tuple of float
        px.
    cues : tuple of Cue
        The same cues, those used marked.
    """
    drift, *others = cues
    sure = [cue for cue in others if cue.confidence > MIN_CONFIDENCE]
    forced = [cue for name in FORECASTS for cue in sure if cue.name in name]
    observed = [cue for cue in sure if cue not in forced]
    agreed = observed if _agree(observed, diameter) else []
    used = forced[:1] or agreed or [drift]
    return mean_shift(used), tuple(replace(cue, used=cue in used) for cue in cues)


def _agree(cues: Sequence[Cue], diameter: float) -> bool:
    most = max(MIN_DISAGREEMENT_PX, MAX_DISAGREEMENT * diameter)
    pairs = [(a.shift_yx, b.shift_yx) for i, a in enumerate(cues) for b in cues[:i]]
    return all(hypot(a[0] - b[0], a[1] - b[1]) <= most for a, b in pairs)
