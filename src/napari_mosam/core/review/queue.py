"""What to look at first: stretches of frames on which an object is unsure, by what is expected to be wrong on them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.results.doubts import SURE_IOU
from napari_mosam.core.review.table import ReviewTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_mosam.core.store.result import Result

BAD_IOU = 0.5
"""Expected IoU below which a mask is more likely wrong than right: evaluations count it as another object."""

NOT_FOUND, DISAGREE, UNSURE, LEFT = "not found", "both directions disagree", "unsure", "left the picture?"
"""Reasons, in words."""


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """Frames in a row on which an object is unsure, or is said to have left: one look at one of them tells of all.

    Attributes
    ----------
    object_id, start, stop : int
        The frames are start to stop - 1.
    frame : int
        The one to look at: that with half of the expected loss on either side, for a correction is followed both ways;
        the first one where the object has left.
    expected_iou : float
        Of the mask there, in [0, 1]; 0 where there is none.
    loss : float
        Expected loss: the sum of 1 - expected IoU over the frames; those after the object left add nothing.
    reason : str
        In words: 'not found', 'unsure', 'both directions disagree' or 'left the picture?'.
    """

    object_id: int
    start: int
    stop: int
    frame: int
    expected_iou: float
    loss: float
    reason: str

    @property
    def frames(self) -> range:
        """All of them."""
        return range(self.start, self.stop)

    def __str__(self) -> str:
        last = self.stop - 1
        frames = f"frame {self.start}" if last == self.start else f"frames {self.start} to {last}"
        return f"object {self.object_id}, {frames}: {self.reason}"


def review_queue(result: "Result", sure: float = SURE_IOU) -> tuple[ReviewItem, ...]:
    """What to look at in a result, that with the largest expected loss first.

    A frame on which a person marked, accepted, painted or locked the object is not among it.

    Parameters
    ----------
    result : Result
    sure : float
        Expected IoU below which a mask is unsure, in [0, 1].

    Raises
    ------
    FileNotFoundError, ResultError
        If the result is gone, or damaged.
    """
    return queue_of(ReviewTable.read(result), sure)


def queue_of(table: ReviewTable, sure: float = SURE_IOU) -> tuple[ReviewItem, ...]:
    """As :func:`review_queue`, of a table that was read."""
    unsure = table.unsure(sure)
    listed = unsure | (table.ended & ~table.judged)
    items = [_item(table, unsure, *stretch) for stretch in _stretches(listed)]
    return tuple(sorted(items, key=lambda item: (-item.loss, item.start, item.object_id)))


def _stretches(listed: "NDArray[np.bool_]") -> "Iterator[tuple[int, int, int]]":
    """Column, first row and the one after the last of each run of True down a column."""
    framed = np.pad(listed, ((1, 1), (0, 0))).astype(np.int8)
    edges = np.diff(framed, axis=0).T
    columns, starts = np.nonzero(edges == 1)
    _, stops = np.nonzero(edges == -1)
    yield from zip(columns.tolist(), starts.tolist(), stops.tolist(), strict=True)


def _item(table: ReviewTable, unsure: "NDArray[np.bool_]", column: int, start: int, stop: int) -> ReviewItem:
    doubtful = unsure[start:stop, column]
    expected = np.nan_to_num(table.expected_iou[start:stop, column])
    shown = np.where(table.found[start:stop, column], expected, 0)
    at = _worth_showing(shown, doubtful)
    reason = _reason(table, column, start, stop, start + at)
    loss = float((1 - expected)[doubtful].sum(dtype=float))
    return ReviewItem(table.object_ids[column], start, stop, start + at, float(shown[at]), loss, reason)


def _worth_showing(shown: "NDArray[np.float32]", doubtful: "NDArray[np.bool_]") -> int:
    """The frame in the middle of what is expected to be wrong, see `benchmarks/corrections.py`; else the first one."""
    loss = np.cumsum(np.where(doubtful, 1 - shown, 0))
    return int(np.searchsorted(loss, loss[-1] / 2)) if doubtful.any() else 0


def _reason(table: ReviewTable, column: int, start: int, stop: int, frame: int) -> str:
    if table.ended[frame, column]:
        return LEFT
    if table.missing[frame, column]:
        return f"{NOT_FOUND}, then {LEFT}" if table.ended[stop - 1, column] else NOT_FOUND
    return DISAGREE if table.disagreement[frame, column] > BAD_IOU else UNSURE
