"""What the review page shows of a result; read in the thread of edits."""

from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_mosam.core.review.audit import Audit, changed_since
from napari_mosam.core.review.queue import ReviewItem, queue_of
from napari_mosam.core.review.table import ReviewTable
from napari_mosam.widgets.review.heat import Heat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.store.result import Result


@dataclass(frozen=True, slots=True, eq=False)
class Reviewed:
    """One result.

    Attributes
    ----------
    queue : tuple of ReviewItem
        What is left to look at.
    heat : Heat
    names : dict of int to str
    audit : Audit or None
    audit_is_past : bool
        Whether masks may have changed since it was drawn.
    """

    queue: tuple[ReviewItem, ...]
    heat: Heat
    names: dict[int, str]
    audit: Audit | None
    audit_is_past: bool
    _object_ids: tuple[int, ...]
    _places: "NDArray[np.float32]"
    _area: "NDArray[np.float32]"

    @classmethod
    def read(cls, result: "Result") -> Self:
        """That of a result.

        Raises
        ------
        FileNotFoundError, ResultError, ValueError
            If it is gone, or damaged.
        """
        table, audit = ReviewTable.read(result), Audit.among(result.attrs)
        past = audit is not None and changed_since(result.path, audit.step)
        ids, area = result.object_ids, np.nan_to_num(result.area)
        return cls(queue_of(table), Heat.of(table), result.names, audit, past, ids, result.places(), area)

    @property
    def n_frames_left(self) -> int:
        """Frames that are left to look at, each for one object."""
        return sum(len(item.frames) for item in self.queue)

    def where(self, object_id: int, frame: int) -> tuple[tuple[float, float], float] | None:
        """Middle (y, x) and diameter of an object, px; where it is not on the frame, of the nearest on which it is."""
        if object_id not in self._object_ids:
            return None
        column = self._object_ids.index(object_id)
        there = np.flatnonzero(np.isfinite(self._places[:, column, 0]))
        if not len(there):
            return None
        t = int(there[np.argmin(abs(there - frame))])
        y, x = self._places[t, column].tolist()
        return (y, x), 2 * sqrt(float(self._area[t, column]) / pi)
