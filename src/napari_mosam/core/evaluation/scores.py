"""What is reported about tracks that were compared with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

LOST_IOU, LOSS_FRAMES = 0.1, 3
"""A track is lost where its IoU stays below the one for as many scored frames as the other, or until the end: a
convention of ours."""

LAST_FRAMES = 5
"""Scored frames at the end of a track over whose mean IoU it is called lost or not: a convention of ours."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How one track fares against the truth object of the same id.

    A frame is scored where the truth object is there and the user did not prompt it; a track that is missing there
    scores 0. Means are NaN where no frame is scored.

    Attributes
    ----------
    object_id : int
    n_frames : int
        Scored frames.
    j : float
        Mean intersection over union.
    f : float
        Mean boundary measure, see :func:`napari_mosam.core.evaluation.evaluate.boundary_f`.
    jf : float
        Mean of `j` and `f`.
    frames_to_loss : int
        Number of scored frames before the IoU falls below 0.1 and stays there for 3 scored frames, or until the
        last; `n_frames` if it never does.
    switches : int
        Identity switches: frames on which the truth id that the track lies on differs from that of the last frame
        on which it lay on one. See :func:`napari_mosam.core.evaluation.evaluate.evaluate`.
    lost : bool
        Whether the mean IoU of the last five scored frames is below 0.1.
    matched : float
        Share of the scored frames on which the track lies on its own truth object.
    """

    object_id: int
    n_frames: int
    j: float
    f: float
    jf: float
    frames_to_loss: int
    switches: int
    lost: bool
    matched: float


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Tracks compared with the truth.

    Attributes
    ----------
    scores : tuple of Scores
        One per track, by id.
    ious : dict of int to ndarray of float64, shape (T,)
        IoU per track and frame; NaN where the truth object is missing or the frame was not read.
    truth_ids : frozenset of int
        Every id in the truth on the frames that were read.
    track_ids : frozenset of int
        Every id in the labels there.
    """

    scores: tuple[Scores, ...]
    ious: Mapping[int, NDArray[np.float64]]
    truth_ids: frozenset[int]
    track_ids: frozenset[int]

    @property
    def j(self) -> float:
        """Mean over the tracks of their mean IoU; NaN if none has a scored frame."""
        return mean([s.j for s in self.scores])

    @property
    def f(self) -> float:
        """Mean over the tracks of their boundary measure."""
        return mean([s.f for s in self.scores])

    @property
    def jf(self) -> float:
        """Mean over the tracks of J&F."""
        return mean([s.jf for s in self.scores])

    @property
    def frames_to_loss(self) -> float:
        """Mean over the tracks that have scored frames."""
        return mean([float(s.frames_to_loss) if s.n_frames else nan for s in self.scores])

    @property
    def matched(self) -> float:
        """Mean over the tracks of the share of frames on their own object."""
        return mean([s.matched for s in self.scores])

    @property
    def switches(self) -> int:
        """Identity switches of all tracks."""
        return sum(s.switches for s in self.scores)

    @property
    def lost(self) -> int:
        """Number of tracks that are lost at the end."""
        return sum(s.lost for s in self.scores)

    @property
    def unscored_truth(self) -> tuple[int, ...]:
        """Ids in the truth that have no score."""
        return tuple(sorted(self.truth_ids - {s.object_id for s in self.scores}))

    @property
    def unscored_tracks(self) -> tuple[int, ...]:
        """Ids in the labels that have no score."""
        return tuple(sorted(self.track_ids - {s.object_id for s in self.scores}))

    def of(self, object_id: int) -> Scores:
        """The scores of one track.

        Raises
        ------
        KeyError
            If it was not evaluated.
        """
        found = next((s for s in self.scores if s.object_id == object_id), None)
        if found is None:
            raise KeyError(f"object {object_id} was not evaluated; there are {[s.object_id for s in self.scores]}")
        return found


@dataclass(frozen=True, slots=True)
class FrameScore:
    """One track on one frame.

    Attributes
    ----------
    iou, f : float
        With its own truth object; NaN where that is missing.
    match : int
        Truth id that the track lies on; 0 if none.
    scored : bool
        Whether the frame counts; a prompted frame does not.
    """

    iou: float
    f: float
    match: int
    scored: bool


def scores_of(object_id: int, sights: Sequence[FrameScore]) -> Scores:
    """Sum up a track from its frames, in the order in which it was followed."""
    scored = [s for s in sights if s.scored and not np.isnan(s.iou)]
    ious = [s.iou for s in scored]
    j, f = mean(ious), mean([s.f for s in scored])
    return Scores(
        object_id=object_id,
        n_frames=len(scored),
        j=j,
        f=f,
        jf=(j + f) / 2,
        frames_to_loss=frames_to_loss(ious),
        switches=count_switches(sights),
        lost=mean(ious[-LAST_FRAMES:]) < LOST_IOU,
        matched=mean([float(s.match == object_id) for s in scored]),
    )


def frames_to_loss(ious: Sequence[float]) -> int:
    """Index of the first of three IoUs below 0.1 in a row, or of all those at the end; else their number."""
    run = 0
    for index, iou in enumerate(ious):
        run = run + 1 if iou < LOST_IOU else 0
        if run == LOSS_FRAMES:
            return index + 1 - run
    return len(ious) - run


def count_switches(sights: Sequence[FrameScore]) -> int:
    """Changes of the matched truth id between the first and the last frame of the track's own truth object.

    What happens after that object divided or left is no switch; neither is a change that the user's prompt made.
    """
    there = [k for k, s in enumerate(sights) if not np.isnan(s.iou)]
    if not there:
        return 0
    n, before = 0, 0
    for sight in sights[there[0] : there[-1] + 1]:
        if sight.match:
            n += sight.scored and before not in (0, sight.match)
            before = sight.match
    return n


def mean(values: Sequence[float]) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else nan
