"""What is known of each object of a result, over all of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_mosam.core.results.columns import STATES, labels_of, read_table
from napari_mosam.core.results.expected_iou import ExpectedIou
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
    mean_iou : float
        Of the expected IoU on the frames on which it was seen, see :class:`ExpectedIou`; NaN where it never was.
    worst_iou : float
        The least expected IoU of all frames on which it was looked for, 0 where it has no mask, but for those on which
        it had left, or a person said that it is not there; NaN without any.
    worst_frame : int or None
        Where a look is needed most: the first frame of `worst_iou`.
    name : str
        Given by a person; '' without.
    parent : int or None
        Its mother.
    n_locked : int
        On how many of the frames on which it was looked for it is locked.
    """

    object_id: int
    first: int | None
    last: int | None
    n_seen: int
    n_followed: int
    mean_iou: float
    worst_iou: float
    worst_frame: int | None
    name: str = ""
    parent: int | None = None
    n_locked: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """All objects of a result, and how they are on each frame.

    Attributes
    ----------
    objects : tuple of ObjectSummary
        Of those that were looked for on any frame.
    rows : dict of int to int
        Column of the arrays by object.
    state : ndarray of int, shape (T, N)
        Codes, see `columns.STATES`.
    area, y, x : ndarray of float32, shape (T, N)
        Pixels, and their centre; NaN where there is none.
    pixel_um2 : float or None
        Area of a pixel, µm², where that is known.
    """

    objects: tuple[ObjectSummary, ...]
    rows: dict[int, int]
    state: "NDArray[np.int_]"
    area: "NDArray[np.float32]"
    y: "NDArray[np.float32]"
    x: "NDArray[np.float32]"
    pixel_um2: float | None

    @classmethod
    def read(cls, group: Any) -> Self:
        """That of an opened result."""
        ids, attrs = [int(i) for i in group["table/object_ids"][:]], dict(group.attrs)
        shape = (int(labels_of(group).shape[0]), len(ids))
        found = read_table(group["table"], shape, ("state", "area", "y", "x", "locked"))
        state = np.nan_to_num(found["state"]).astype(int)
        words = np.array([word or "" for word in STATES])[state]
        locked = ((np.nan_to_num(found["locked"]) > 0) & (state > 0)).sum(axis=0).tolist()
        names, parents = (dict(attrs.get(name) or {}) for name in ("names", "parents"))
        every = summaries(ids, words, found["area"], ExpectedIou.read(group).values)
        named = (
            replace(one, name=names.get(str(one.object_id), ""), parent=parents.get(str(one.object_id)), n_locked=n)
            for one, n in zip(every, locked, strict=True)
        )
        pixel = attrs.get("pixel_size_um")
        return cls(
            tuple(one for one in named if one.n_followed),
            {object_id: row for row, object_id in enumerate(ids)},
            state,
            found["area"],
            found["y"],
            found["x"],
            float(prod(pixel)) if pixel else None,
        )

    def state_at(self, object_id: int, t: int) -> ObjectState | None:
        """The state of an object on a frame; None where it was not looked for."""
        return STATES[int(self.state[t, self.rows[object_id]])]

    def area_at(self, object_id: int, t: int) -> int:
        """Its pixels there."""
        return int(np.nan_to_num(self.area[t, self.rows[object_id]]))

    def nearest(self, object_id: int, t: int) -> list[int]:
        """All other objects: those on the frame by their distance, the others by their id."""

        def distance(other: int) -> float:
            here, there = self.rows[object_id], self.rows[other]
            away = hypot(self.y[t, there] - self.y[t, here], self.x[t, there] - self.x[t, here])
            return away if np.isfinite(away) else np.inf

        others = (one.object_id for one in self.objects if one.object_id != object_id)
        return sorted(others, key=lambda other: (distance(other), other))


def summaries(
    object_ids: Sequence[int], state: "NDArray[np.str_]", area: "NDArray[Any]", expected_iou: "NDArray[np.float32]"
) -> list[ObjectSummary]:
    """Summaries of all objects of a result, in its order; the arrays are of shape (T, N)."""
    followed = state != ""
    seen = (state == str(ObjectState.PRESENT)) & (np.nan_to_num(area) > 0)
    unseen = np.where(expected_iou < 1, np.float32(0), np.nan)  # 1 where a person said so, NaN where it had left
    columns = zip(object_ids, followed.T, seen.T, np.where(seen, expected_iou, unseen).T, strict=True)
    return [_summary(object_id, looked_for, there, iou) for object_id, looked_for, there, iou in columns]


def _summary(
    object_id: int, followed: "NDArray[np.bool_]", seen: "NDArray[np.bool_]", iou: "NDArray[np.float32]"
) -> ObjectSummary:
    frames, known, n_followed = np.flatnonzero(seen), np.flatnonzero(np.isfinite(iou)), int(followed.sum())
    worst = int(known[np.argmin(iou[known])]) if len(known) else None
    lowest = np.nan if worst is None else float(iou[worst])
    if not len(frames):
        return ObjectSummary(object_id, None, None, 0, n_followed, np.nan, lowest, worst)
    first, last, mean = int(frames[0]), int(frames[-1]), float(iou[frames].mean())
    at = first if worst is None else worst
    return ObjectSummary(object_id, first, last, len(frames), n_followed, mean, lowest, at)
