"""Where an object is expected, from everything that says something about its motion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

from napari_mosam.core.results.frame import Cue

MAX_DISAGREEMENT = 0.25
"""Distance between cues, in object diameters, beyond which neither is believed."""

MIN_DISAGREEMENT_PX = 2.0

MIN_CONFIDENCE = 1e-6
"""A cue with less says nothing."""

FORECASTS = (("kalman", "velocity"), ("learned",))
"""Cues that decide alone, the first before the second."""

Shift = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SparsePrediction:
    """Where a trained encoder expects an object.

    Attributes
    ----------
    cue : Cue
        Motion of the centre of its box; confidence 0 where the encoder is unsure.
    box : tuple of float
        (y0, x0, y1, x1), the centres of the outermost pixels, px.
    points : tuple of (y, x)
        The key points of its mask, px.
    """

    cue: Cue
    box: tuple[float, float, float, float]
    points: tuple[Shift, ...]


@dataclass(frozen=True, slots=True)
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
    sparse : SparsePrediction or None
        What the trained encoder says beyond the shift, where that made the shift.
    """

    shift_yx: Shift = (0.0, 0.0)
    cues: tuple[Cue, ...] = ()
    confidence: float = 0.0
    sparse: "SparsePrediction | None" = None


UNMOVED = MotionPrediction()


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
    weight = sum(cue.confidence for cue in used)
    dy, dx = (sum(cue.confidence * cue.shift_yx[axis] for cue in used) / weight for axis in (0, 1))
    return (dy, dx), tuple(replace(cue, used=cue in used) for cue in cues)


def _agree(cues: Sequence[Cue], diameter: float) -> bool:
    most = max(MIN_DISAGREEMENT_PX, MAX_DISAGREEMENT * diameter)
    pairs = [(a.shift_yx, b.shift_yx) for i, a in enumerate(cues) for b in cues[:i]]
    return all(hypot(a[0] - b[0], a[1] - b[1]) <= most for a, b in pairs)
