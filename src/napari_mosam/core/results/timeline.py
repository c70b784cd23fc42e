"""One object over all frames: what the engine saw, decided and read, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from napari_mosam.core.results.columns import (
    DETAILS,
    DIRECTIONS,
    ORIGINS,
    SCORES,
    STATE,
    STATES,
    TABLE,
    cues_of,
    in_order,
    reads_of,
)
from napari_mosam.core.results.frame import Cue, MemoryRead, ObjectState

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORDS = {"origin": ORIGINS, "direction": DIRECTIONS}


class StoredRecords(Protocol):
    """Arrays that hold the records of a result: table (T, N, C) and details (T, N, K)."""

    @property
    def object_ids(self) -> tuple[int, ...]:
        """One per column."""

    @property
    def table(self) -> Any:
        """Numbers, (T, N, C)."""

    @property
    def details(self) -> Any:
        """Everything else, (T, N, K)."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The frames on which one object was followed, n of them; meanings and units are those of ``ObjectResult``.

    Attributes
    ----------
    object_id : int
    t : ndarray of int, shape (n,)
        Frames, ascending.
    states : tuple of ObjectState
    predicted_iou, object_score, area, consistency, disagreement, division, contrast : ndarray of float, shape (n,)
    decoded_with, directions : tuple of str
    prompted, remembered : ndarray of bool, shape (n,)
    shift_yx : ndarray of float, shape (n, 2)
        Motion that placed the window, px since the frame followed before.
    cues : tuple of tuple of Cue
    memory : tuple of tuple of MemoryRead
        At most the ten nearest.
    """

    object_id: int
    t: "NDArray[np.int64]"
    states: tuple[ObjectState, ...]
    predicted_iou: "NDArray[np.float32]"
    object_score: "NDArray[np.float32]"
    area: "NDArray[np.float32]"
    consistency: "NDArray[np.float32]"
    disagreement: "NDArray[np.float32]"
    division: "NDArray[np.float32]"
    contrast: "NDArray[np.float64]"
    decoded_with: tuple[str, ...]
    directions: tuple[str, ...]
    prompted: "NDArray[np.bool_]"
    remembered: "NDArray[np.bool_]"
    shift_yx: "NDArray[np.float64]"
    cues: tuple[tuple[Cue, ...], ...]
    memory: tuple[tuple[MemoryRead, ...], ...]

    @classmethod
    def read(cls, store: StoredRecords, object_id: int, frames: slice = slice(None)) -> Self:
        """That of a stored object over a range of frames."""
        column = store.object_ids.index(object_id)
        first = frames.indices(store.table.shape[0])[0]
        details = np.asarray(store.details[frames, column])
        table = in_order(np.asarray(store.table[frames, column]), store.table.attrs["columns"])
        followed = np.flatnonzero(np.nan_to_num(table[:, STATE]) > 0)
        return cls._of(object_id, followed + first, table[followed], details[followed])

    @classmethod
    def _of(
        cls, object_id: int, t: "NDArray[np.int64]", table: "NDArray[np.float64]", details: "NDArray[np.float64]"
    ) -> Self:
        values = {name: table[:, TABLE.index(name)].astype(np.float32) for name in ("area", *SCORES)}
        states = tuple(state for code in table[:, STATE] if (state := STATES[int(code)]) is not None)
        column = dict(zip(DETAILS, details.T, strict=True))
        origin, direction = ([words[int(code)] for code in column[name]] for name, words in _WORDS.items())
        return cls(
            object_id=object_id,
            t=t,
            states=states,
            contrast=column["contrast"],
            decoded_with=tuple(origin),
            directions=tuple(direction),
            prompted=column["prompted"] > 0,
            remembered=column["remembered"] > 0,
            shift_yx=np.stack([column["shift_y"], column["shift_x"]], 1),
            cues=tuple(cues_of(row) for row in details),
            memory=tuple(reads_of(row) for row in details),
            **values,
        )

    def __len__(self) -> int:
        return len(self.t)

    @property
    def used(self) -> tuple[Cue | None, ...]:
        """The cue that placed the window on each frame; None where the window stayed."""
        return tuple(_used(cues) for cues in self.cues)


def _used(cues: Sequence[Cue]) -> Cue | None:
    return next((cue for cue in cues if cue.used), None)
