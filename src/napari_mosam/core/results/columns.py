"""Columns of the tables in which results are stored, and how they are read."""

from collections.abc import Iterable, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.files.zarr_files import read_whole
from napari_mosam.core.results.frame import Cue, MemoryRead, ObjectState

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECTIONS = ("forward", "backward")
ORIGINS = ("memory", "motion", "prompt", "painted")
CUES = ("drift", "flow", "keypoints", "kalman", "velocity", "learned")
STATES = (None, ObjectState.PRESENT, ObjectState.LOST, ObjectState.ENDED)
"""By code; 0 where an object was not followed."""

MAX_READS = 10
"""Memory frames kept of what was read, the nearest first: four prompted and six tracked ones are read by default."""

PLACES = ("frame", "object", "y", "x", "area", "area_um2")
SCORES = ("predicted_iou", "object_score", "consistency", "disagreement", "division")
BY_USER = ("parent", "accepted", "locked")
"""Columns that no run changes."""

TABLE = (*PLACES, *SCORES, "cue", "state", *BY_USER)
"""Of the table of a result, one row per frame and object: y and x of the mask's centre and its area in the label frame
(px; NaN where it has no pixel), the area in µm² where the size of a pixel is known, scores as in ``ObjectScores``, the
cue that placed the window and the state by their codes, the object's parent, what the user accepted or locked (1)."""

STATE, LOCKED = TABLE.index("state"), TABLE.index("locked")

CODES = {"state": tuple(state or "" for state in STATES), "cue": CUES}
"""Words by code, of the columns that hold codes."""

PLAIN = (
    *("center_y", "center_x", "height", "width", "shift_y", "shift_x"),
    *("contrast", "origin", "direction", "prompted", "remembered"),
)
CUE_PARTS = ("dy", "dx", "confidence", "used")
DETAILS = (
    *PLAIN,
    *(f"{cue}_{part}" for cue in CUES for part in CUE_PARTS),
    *(f"read{k}_{part}" for k in range(MAX_READS) for part in ("t", "rating")),
)
FIRST_CUE, FIRST_READ = len(PLAIN), len(PLAIN) + len(CUES) * len(CUE_PARTS)


def cues_of(row: "NDArray[np.float64]") -> tuple[Cue, ...]:
    """What each source of motion said, from a row of details; those that were asked."""
    parts = row[FIRST_CUE:FIRST_READ].reshape(len(CUES), len(CUE_PARTS)).tolist()
    asked = zip(CUES, parts, strict=True)
    return tuple(Cue(name, (dy, dx), sure, bool(used)) for name, (dy, dx, sure, used) in asked if not isnan(dy))


def reads_of(row: "NDArray[np.float64]") -> tuple[MemoryRead, ...]:
    """The memory frames that were read, nearest first, from a row of details."""
    pairs = row[FIRST_READ:].reshape(MAX_READS, 2).tolist()
    return tuple(MemoryRead(int(t), rating) for t, rating in pairs if not isnan(t))


def labels_of(group: Any) -> Any:
    """The label frames (T, Y, X) of a result; in those of version 0.1 they have another name."""
    return group["0"] if "0" in group else group["labels"]


def in_order(values: "NDArray[Any]", columns: Sequence[str]) -> "NDArray[np.float64]":
    """A table (..., C) whose columns are `columns`, as one with those of `TABLE`; what it lacks is NaN."""
    found = np.full((*values.shape[:-1], len(TABLE)), np.nan)
    for at, name in enumerate(TABLE):
        if name in columns:
            found[..., at] = values[..., columns.index(name)]
    return found


def read_table(table: Any, shape: tuple[int, int], names: Iterable[str]) -> "dict[str, NDArray[np.float32]]":
    """Some columns, also of results whose columns are arrays of their own; NaN where there is no such column."""
    if "values" in table:
        values = in_order(read_whole(table["values"], "the table of the result"), table["values"].attrs["columns"])
        return {name: values[..., TABLE.index(name)].astype(np.float32) for name in names}
    missing = np.full(shape, np.nan, np.float32)
    return {name: read_whole(table[name], f"the table '{name}'") if name in table else missing for name in names}
