"""What is known of each object of a result, over all of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.results.frame import ObjectState

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One object.

    Attributes
    ----------
    object_id : int
    first, last : int or None
        Frames on which it was seen first and last; None where it never was.
    n_seen, n_followed : int
        On how many frames it was seen, and looked for.
    mean_iou, worst_iou : float
        Predicted IoU of its masks on frames on which it was seen; NaN where it never was.
    worst_frame : int or None
        Where a look is needed most: the first frame on which it was not found between others, else that of `worst_iou`.
    """

    object_id: int
    first: int | None
    last: int | None
    n_seen: int
    n_followed: int
    mean_iou: float
    worst_iou: float
    worst_frame: int | None


def summaries(
    object_ids: Sequence[int], state: "NDArray[np.str_]", area: "NDArray[Any]", predicted_iou: "NDArray[np.float32]"
) -> list[ObjectSummary]:
    """Summaries of all objects of a result, in its order; the arrays are those of `Result`, of shape (T, N)."""
    seen = (state == str(ObjectState.PRESENT)) & (np.nan_to_num(area) > 0)
    columns = zip(object_ids, (state != "").T, seen.T, predicted_iou.T, strict=True)
    return [_summary(object_id, followed, there, iou) for object_id, followed, there, iou in columns]


def _summary(
    object_id: int, followed: "NDArray[np.bool_]", seen: "NDArray[np.bool_]", iou: "NDArray[np.float32]"
) -> ObjectSummary:
    frames = np.flatnonzero(seen)
    if not len(frames):
        return ObjectSummary(object_id, None, None, 0, int(followed.sum()), np.nan, np.nan, None)
    first, last = int(frames[0]), int(frames[-1])
    gaps = np.flatnonzero(followed[first:last] & ~seen[first:last]) + first
    worst = int(frames[np.argmin(iou[frames])])
    looked_for = int(followed.sum())
    mean, lowest = float(iou[frames].mean()), float(iou[worst])
    at = int(gaps[0]) if len(gaps) else worst
    return ObjectSummary(object_id, first, last, len(frames), looked_for, mean, lowest, at)
