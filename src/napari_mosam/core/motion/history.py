"""What the motion encoder knows of one object: its latest masks, and what the image says of the coming frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isnan, log

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.results.frame import Cue

N_FRAMES = 8
"""Frames that are looked back; the shipped encoder was trained with so many, others were not compared."""

N_POINTS = 5
"""Key points of a mask: its centroid, and the centroids of its four quarters around it. MoSAM prompts with about
five."""

SIGHT_WIDTH = 5 + 2 * N_POINTS
"""Numbers that describe one frame, see `HistoryFrame.row`."""

CANDIDATES = ("still", "velocity", "flow", "keypoints")
"""Motions that are offered for the coming frame."""

CUE_WIDTH = 5
"""Numbers that describe one of them, see `describe`."""

USUAL_DIAMETER_PX = 32.0
"""Diameter whose logarithm the sparse encoder reads as 0; it was trained so, and any other would do."""

Shift = tuple[float, float]
Floats = NDArray[np.float32]


def key_points(region: Region) -> Floats:
    """Centroid of a mask and of its upper left, upper right, lower left and lower right quarter, frame (y, x), (5, 2).

    The quarters meet in the centroid; an empty one has its centroid there.
    """
    y, x = (axis.astype(np.float32) for axis in np.nonzero(region.mask))
    cy, cx = float(y.mean()), float(x.mean())
    corner = 2 * (y > cy) + (x > cx)
    counts = np.bincount(corner, minlength=4)
    sums = [np.bincount(corner, axis, minlength=4) for axis in (y, x)]
    quarters = np.stack(
        [np.where(counts > 0, s / np.maximum(counts, 1), c) for s, c in zip(sums, (cy, cx), strict=True)], 1
    )
    return np.asarray(np.vstack([[cy, cx], quarters]) + region.origin_yx, np.float32)


@dataclass(frozen=True, eq=False)
class HistoryFrame:
    """An object on one frame.

    Attributes
    ----------
    region : Region
    predicted_iou : float
        NaN if unknown.
    moved_yx : tuple of float
        How far the whole frame had moved since the object's first frame, px.
    """

    region: Region
    predicted_iou: float
    moved_yx: Shift

    @cached_property
    def points(self) -> Floats:
        """See :func:`key_points`."""
        return key_points(self.region)

    def row(self, center_yx: Shift, moved_yx: Shift, diameter: float) -> Floats:
        """The numbers of the frame, (SIGHT_WIDTH,), relative to a centre, as if the frame had not moved.

        Centre, log height and width, predicted IoU, and the key points relative to the frame's own centre.
        """
        (y, x), (y0, x0, y1, x1) = self.region.center_yx, self.region.box
        still = [moved_yx[axis] - self.moved_yx[axis] for axis in (0, 1)]
        place = [(y + still[0] - center_yx[0]) / diameter, (x + still[1] - center_yx[1]) / diameter]
        size = [log((y1 - y0 + 1) / diameter), log((x1 - x0 + 1) / diameter)]
        sure = 1.0 if isnan(self.predicted_iou) else self.predicted_iou
        points = (self.points - np.array([y, x], np.float32)) / diameter
        return np.array([*place, *size, sure, *points.ravel()], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TrackHistory:
    """The latest frames of one object, and how the stage moved meanwhile; each change gives a new history.

    Attributes
    ----------
    frames : tuple of HistoryFrame or None
        The newest last; None where the object was not seen.
    moved_yx : tuple of float
        How far the whole frame has moved since the object's first frame, px.
    """

    frames: tuple[HistoryFrame | None, ...] = (None,)
    moved_yx: Shift = (0.0, 0.0)

    def advanced(self, drift_yx: Shift) -> "TrackHistory":
        """One frame later, on which the object is not seen yet."""
        moved = self.moved_yx[0] + drift_yx[0], self.moved_yx[1] + drift_yx[1]
        return TrackHistory((*self.frames, None)[-N_FRAMES:], moved)

    def seen(self, region: Region, predicted_iou: float) -> "TrackHistory":
        """With the object on the current frame."""
        return replace(self, frames=(*self.frames[:-1], HistoryFrame(region, predicted_iou, self.moved_yx)))

    @property
    def sight(self) -> HistoryFrame | None:
        """The object on the current frame; None where it was not seen."""
        return self.frames[-1]

    @property
    def last(self) -> Region | None:
        """The mask on the current frame; None where there is none."""
        return self.sight.region if self.sight is not None else None

    def velocity(self) -> Shift | None:
        """The last displacement of the centre without the stage's, px; None unless the last two frames show it."""
        if len(self.frames) < 2:
            return None
        before, now = self.frames[-2], self.frames[-1]
        if before is None or now is None:
            return None
        (y, x), (py, px) = now.region.center_yx, before.region.center_yx
        return (y - py - now.moved_yx[0] + before.moved_yx[0], x - px - now.moved_yx[1] + before.moved_yx[1])

    def rows(self, center_yx: Shift, diameter: float) -> Floats:
        """One row per frame, the newest last, (N_FRAMES, SIGHT_WIDTH); NaN where the object was not seen."""
        rows = np.full((N_FRAMES, SIGHT_WIDTH), np.nan, np.float32)
        for k, sight in enumerate(reversed(self.frames), start=1):
            if sight is not None:
                rows[-k] = sight.row(center_yx, self.moved_yx, diameter)
        return rows


def describe(course: TrackHistory, motion: FrameMotion, cues: Sequence[Cue | None]) -> tuple[Floats, Floats] | None:
    """What the sparse encoder reads of one object before a frame; None where the object was not seen on the last one.

    Parameters
    ----------
    course : TrackHistory
        Up to the frame before.
    motion : FrameMotion
        From there to the frame that is coming.
    cues : sequence of Cue or None
        What flow and key points say of it.

    Returns
    -------
    frames : ndarray of float32, shape (N_FRAMES, SIGHT_WIDTH)
        See :meth:`TrackHistory.rows`; in units of the object's diameter.
    candidates : ndarray of float32, shape (len(CANDIDATES), CUE_WIDTH)
        Motion (dy, dx) beyond that of the whole frame in diameters, confidence, likeness of the object's surroundings
        after it, log diameter; NaN where there is none.
    """
    region = course.last
    if region is None:
        return None
    diameter, (dy, dx) = region.diameter, motion.drift_yx
    shifts: dict[str, tuple[Shift, float]] = {"still": (motion.drift_yx, 1.0)}
    velocity = course.velocity()
    if velocity is not None:
        shifts["velocity"] = ((velocity[0] + dy, velocity[1] + dx), 1.0)
    shifts |= {cue.name: (cue.shift_yx, cue.confidence) for cue in cues if cue is not None}
    rows = np.full((len(CANDIDATES), CUE_WIDTH), np.nan, np.float32)
    scale = log(diameter / USUAL_DIAMETER_PX)
    for name, (shift, confidence) in shifts.items():
        own = ((shift[0] - dy) / diameter, (shift[1] - dx) / diameter)
        rows[CANDIDATES.index(name)] = (*own, confidence, motion.ncc(region, shift), scale)
    return course.rows(region.center_yx, diameter), rows
