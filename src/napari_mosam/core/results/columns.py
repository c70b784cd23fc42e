"""Columns of the tables in which results are stored, and how they are read."""

from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.images.zarr_files import read_whole
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

TABLE = ("predicted_iou", "object_score", "area", "consistency", "disagreement", "division", "state")
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


def read_table(table: Any, shape: tuple[int, int]) -> "dict[str, NDArray[np.float32]]":
    """All columns, also of results whose columns are arrays of their own."""
    if "values" in table:
        values = read_whole(table["values"], "the table of the result")
        return {name: values[..., table["values"].attrs["columns"].index(name)] for name in TABLE}
    missing = np.full(shape, np.nan, np.float32)
    return {name: read_whole(table[name], f"the table '{name}'") if name in table else missing for name in TABLE}
