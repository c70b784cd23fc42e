"""Compare tracked labels with the truth: J, F, frames to loss, identity switches, lost objects, CTC measures.

Labels and truth are whatever :func:`napari_mosam.core.images.label_images.label_files.open_labels` takes: stacks of
shape (T, Y, X) with one id per object, 0 = background, as arrays or on disk. They are read one frame at a time, each
frame once.
"""

from collections.abc import Collection, Iterable, Mapping
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.evaluation.boundary import boundary_f, region_f
from napari_mosam.core.evaluation.ctc import CtcMeasures, ctc_measures
from napari_mosam.core.evaluation.overlaps import LabelFrame, LabelPair, Overlaps
from napari_mosam.core.evaluation.scores import Evaluation, FrameScore, Scores, scores_of

__all__ = [
    "CtcMeasures",
    "Evaluation",
    "Scores",
    "boundary_f",
    "ctc_measures",
    "evaluate",
    "match_ids",
    "track_ious",
]

Prompted = int | Mapping[int, int | Collection[int]] | None


def track_ious(
    labels: Any, truth: Any, object_ids: Iterable[int], *, frames: Iterable[int] | None = None
) -> dict[int, NDArray[np.float64]]:
    """Compute the IoU of tracks with the truth objects of the same ids, frame by frame.

    Parameters
    ----------
    labels, truth : array_like of int, shape (T, Y, X)
        Object ids, 0 = background.
    object_ids : iterable of int
    frames : range or iterable of int, optional
        Frames to read; all by default.

    Returns
    -------
    dict of int to ndarray of float64, shape (T,)
        In [0, 1]; 0 where only the track is missing, NaN where the truth object is missing or the frame was not read.

    Raises
    ------
    ValueError
        For stacks that are unlike, hold other than ids, or lack one of `frames`.
    """
    pair = LabelPair(labels, truth, frames)
    ious = {int(i): np.full(pair.n_frames, nan) for i in object_ids}
    for t, tracks, true in pair:
        own = Overlaps.of(tracks, true).own
        for object_id in ious.keys() & set(true.ids.tolist()):
            ious[object_id][t] = own.get(object_id, 0.0)
    return ious


def evaluate(
    labels: Any,
    truth: Any,
    *,
    prompts_frame: Prompted = None,
    frames: Iterable[int] | None = None,
    ids: Iterable[int] | None = None,
    skip_prompted: bool = True,
    tolerance_px: float | None = None,
) -> Evaluation:
    """Compare tracks with the truth objects of the same ids.

    An object is scored on the frames where its id is in the truth: a division ends an id, so what a track does
    afterwards does not count. A track lies on the truth object with which its IoU is highest (of equals, its own),
    if that IoU is above 0.1 or the object covers at least half of the track; on other frames it lies on nothing. An
    identity switch is a frame on which the truth id differs from that of the last frame on which the track lay on
    one. Switches count from the first to the last frame of the track's own truth object, gaps included, and not on
    prompted frames, where the user put the track.

    Parameters
    ----------
    labels, truth : array_like of int, shape (T, Y, X)
        Object ids, 0 = background.
    prompts_frame : int or mapping of int to int (or to several ints), optional
        Frame on which all objects, or each object id, were prompted.
    frames : range or iterable of int, optional
        Frames to read, in the order in which the tracks were followed (``range(9, -1, -1)`` backwards); all by
        default.
    ids : iterable of int, optional
        Objects to score; by default those of `prompts_frame` that are in the truth, or else all ids that are in both
        stacks on the frames that are read.
    skip_prompted : bool
        Whether an object is not scored on the frames where it was prompted.
    tolerance_px : float, optional
        Of F, see :func:`boundary_f`.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        For stacks that are unlike, hold other than ids, or lack one of `frames`.
    """
    history = ScoreAccumulator(prompts_frame, ids, tolerance_px, skip_prompted)
    pair = LabelPair(labels, truth, frames)
    for t, tracks, true in pair:
        history.add(t, tracks, true)
    return history.evaluation(pair.n_frames)


def match_ids(labels: Any, truth: Any, frame: int) -> dict[int, int]:
    """Pair the ids of two stacks on one frame, the highest IoU first, above 0.1 and one to one.

    Parameters
    ----------
    labels, truth : array_like of int, shape (T, Y, X)
    frame : int

    Returns
    -------
    dict of int to int
        Id in `labels` -> id in `truth`; what has no partner is left out.

    Raises
    ------
    ValueError
        For stacks that are unlike, hold other than ids, or lack the frame.
    """
    pair = LabelPair(labels, truth, [frame])
    return Overlaps.of(pair.track_frame(frame), pair.truth_frame(frame)).assignment()


class ScoreAccumulator:
    """Gathers what is seen frame by frame; a track is known only once it, and its truth object, were seen."""

    def __init__(
        self, prompted: Prompted, ids: Iterable[int] | None, tolerance_px: float | None, skip_prompted: bool
    ) -> None:
        self._prompted = prompted
        self._ids = None if ids is None else {int(i) for i in ids}
        self._tolerance_px = tolerance_px
        self._skip_prompted = skip_prompted
        self._frames: list[tuple[int, dict[int, float], dict[int, float], dict[int, int]]] = []
        self._track_ids: set[int] = set()
        self._truth_ids: set[int] = set()

    def add(self, t: int, tracks: LabelFrame, true: LabelFrame) -> None:
        """Take in one frame."""
        overlaps = Overlaps.of(tracks, true)
        there = set(true.ids.tolist())
        self._track_ids |= set(tracks.ids.tolist())
        self._truth_ids |= there
        wanted = there if self._ids is None else there & self._ids
        met = {i: iou for i, iou in overlaps.own.items() if i in wanted}
        fs = {i: self._boundary(i, tracks, true) for i in wanted & set(tracks.ids.tolist())}
        self._frames.append((t, dict.fromkeys(wanted, 0.0) | met, fs, overlaps.matches()))

    def _boundary(self, object_id: int, tracks: LabelFrame, true: LabelFrame) -> float:
        regions = tracks.region(object_id), true.region(object_id)
        return region_f(*regions, true.ranks.shape, self._tolerance_px)

    def evaluation(self, n_frames: int) -> Evaluation:
        """Sum up."""
        sights = {i: [self._sight(i, *frame) for frame in self._frames] for i in self._chosen()}
        ious = {i: np.full(n_frames, nan) for i in sights}
        for i, seen in sights.items():
            ious[i][[t for t, *_ in self._frames]] = [s.iou for s in seen]
        scores = tuple(scores_of(i, seen) for i, seen in sights.items())
        return Evaluation(scores, ious, frozenset(self._truth_ids), frozenset(self._track_ids))

    def _chosen(self) -> list[int]:
        if self._ids is not None:
            return sorted(self._ids)
        prompted = self._prompted.keys() if isinstance(self._prompted, Mapping) else self._track_ids
        return sorted(self._truth_ids & set(prompted))

    def _sight(
        self, object_id: int, t: int, ious: dict[int, float], fs: dict[int, float], matches: dict[int, int]
    ) -> FrameScore:
        iou = ious.get(object_id, nan)
        scored = not (self._skip_prompted and t in self._prompted_frames(object_id))
        return FrameScore(iou, fs.get(object_id, 0.0), matches.get(object_id, 0), scored)

    def _prompted_frames(self, object_id: int) -> Collection[int]:
        given = self._prompted.get(object_id, ()) if isinstance(self._prompted, Mapping) else self._prompted
        if given is None:
            return ()
        return (given,) if isinstance(given, int | np.integer) else given
