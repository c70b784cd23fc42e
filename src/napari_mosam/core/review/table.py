"""What there is to review in a result: how sure each mask is, and what a person said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_mosam.core.results.columns import STATES, read_table
from napari_mosam.core.results.doubts import SURE_IOU
from napari_mosam.core.results.expected_iou import expected_iou
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.store.layout import open_group, reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.store.result import Result

_LOST, _ENDED = STATES.index(ObjectState.LOST), STATES.index(ObjectState.ENDED)


@dataclass(frozen=True, slots=True, eq=False)
class ReviewTable:
    """Every object on every frame: T frames, N objects.

    Attributes
    ----------
    object_ids : tuple of int
        One per column.
    expected_iou : ndarray of float32, shape (T, N)
        IoU that the mask is expected to have, in [0, 1], see :func:`expected_iou`.
    disagreement : ndarray of float32, shape (T, N)
        1 - IoU of the masks of both directions; NaN where only one took part.
    followed, found, ended : ndarray of bool, shape (T, N)
        Whether an object was looked for, has a pixel, and had left for good.
    prompted : ndarray of bool, shape (T, N)
        Whether a person marked it there.
    fixed : ndarray of bool, shape (T, N)
        Whether a person accepted, painted or locked it there.
    """

    object_ids: tuple[int, ...]
    expected_iou: "NDArray[np.float32]"
    disagreement: "NDArray[np.float32]"
    followed: "NDArray[np.bool_]"
    found: "NDArray[np.bool_]"
    ended: "NDArray[np.bool_]"
    prompted: "NDArray[np.bool_]"
    fixed: "NDArray[np.bool_]"

    @classmethod
    def read(cls, result: "Result") -> Self:
        """That of a result.

        Raises
        ------
        FileNotFoundError, ResultError
            If it is gone, or damaged.
        """
        with reading(result.path):
            group, shape = open_group(result.path, "r"), result.predicted_iou.shape
            stored = read_table(group["table"], (shape[0], shape[1]), ("state", "area", "locked", "accepted"))
            marked = _marked(group, result.object_ids, (shape[0], shape[1]))
        state = np.nan_to_num(stored["state"]).astype(int)
        return cls(
            object_ids=result.object_ids,
            expected_iou=expected_iou(result),
            disagreement=result.disagreement,
            followed=state > 0,
            found=(state > 0) & (state != _LOST) & (state != _ENDED) & (np.nan_to_num(stored["area"]) > 0),
            ended=state == _ENDED,
            prompted=marked,
            fixed=(np.nan_to_num(stored["locked"]) > 0) | (np.nan_to_num(stored["accepted"]) > 0),
        )

    @property
    def judged(self) -> "NDArray[np.bool_]":
        """Where a person has had a say: marked, accepted, painted or locked; shape (T, N)."""
        return self.prompted | self.fixed

    @property
    def missing(self) -> "NDArray[np.bool_]":
        """Where an object was looked for and not found, and nobody said that it left; shape (T, N)."""
        return self.followed & ~self.found & ~self.ended

    def unsure(self, sure: float = SURE_IOU) -> "NDArray[np.bool_]":
        """Where a person should look: not found, or an expected IoU below `sure`, and no say yet; shape (T, N)."""
        low = self.found & ~(self.expected_iou >= sure)
        return (self.missing | low) & ~self.judged


def _marked(group: Any, object_ids: Sequence[int], shape: tuple[int, int]) -> "NDArray[np.bool_]":
    """Where the prompts of a result are; results of version 0.1 keep none."""
    found, rows = np.zeros(shape, bool), {object_id: row for row, object_id in enumerate(object_ids)}
    for record in group["prompts"].attrs["records"] if "prompts" in group else ():
        if record["object"] in rows and 0 <= record["frame"] < shape[0]:
            found[record["frame"], rows[record["object"]]] = True
    return found
