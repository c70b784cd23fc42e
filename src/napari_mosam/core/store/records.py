"""What is kept of every object on every frame: enough to compose, explain and follow again without the others.

Layout of a result's records, T frames and N objects: ``records/logits`` int8 (T, N, s, s), the mask logits before
competition, see :mod:`logit_codes`; ``records/details`` float64 (T, N, K), named by the array's attribute ``columns``;
``table/values`` float32 (T, N, C), likewise, in chunks that make a whole movie quick to read. A frame of each is
written at once. The first axis never grows, the second does when objects are added.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_mosam.core.images.places import ResultError
from napari_mosam.core.masks.logit_codes import coded, decode_array, encode_logits
from napari_mosam.core.masks.overlap import FixedMask
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.results.columns import (
    CUE_PARTS,
    CUES,
    DETAILS,
    DIRECTIONS,
    FIRST_CUE,
    FIRST_READ,
    MAX_READS,
    ORIGINS,
    PLAIN,
    STATES,
    TABLE,
    cues_of,
    reads_of,
)
from napari_mosam.core.results.frame import ObjectResult, ObjectScores
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.masks.region import Region

ROWS_PER_CHUNK = 64
"""Frames of a chunk of the table: they are read at once for a timeline, and written again with each frame; not
measured."""

_FEWEST, _MOST = 16, 64
"""Objects of a chunk, at least, so that there is room for more, and at most; not measured."""


def as_stored(result: ObjectResult, device: "torch.device | str" = "cpu") -> FixedMask:
    """What an object brings to a contest in which it is not followed again: its mask as it comes back from storage."""
    logits = coded(torch.from_numpy(result.logits).to(device))
    return FixedMask(result.object_id, result.window, logits, result.predicted_iou, result.painted)


def region_of(result: ObjectResult, shape_yx: tuple[int, int]) -> "Region | None":
    """Frame pixels of a mask before competition, as it comes back from storage; None if there are none."""
    return region_of_logits(as_stored(result).logits, result.window, shape_yx)


def _detail_row(result: ObjectResult) -> "NDArray[np.float64]":
    row = np.full(len(DETAILS), nan)
    row[:FIRST_CUE] = (
        *(*result.window.center_yx, *result.window.size_yx, *result.shift_yx, result.contrast),
        *(ORIGINS.index(result.decoded_with), DIRECTIONS.index(result.direction), result.prompted, result.remembered),
    )
    for cue in result.cues:
        at = FIRST_CUE + CUES.index(cue.name) * len(CUE_PARTS)
        row[at : at + len(CUE_PARTS)] = (*cue.shift_yx, cue.confidence, cue.used)
    for k, read in enumerate(result.memory[:MAX_READS]):
        row[FIRST_READ + 2 * k : FIRST_READ + 2 * k + 2] = read.t, read.rating
    return row


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """All records of one frame, editable in place.

    Attributes
    ----------
    t : int
    object_ids : tuple of int
        One per row.
    logits : ndarray of int8, shape (N, S/4, S/4)
    details : ndarray of float64, shape (N, K)
    table : ndarray of float32, shape (N, C)
    """

    t: int
    object_ids: tuple[int, ...]
    logits: "NDArray[np.int8]"
    details: "NDArray[np.float64]"
    table: "NDArray[np.float32]"

    @classmethod
    def empty(cls, t: int, object_ids: Sequence[int], side: int) -> Self:
        """No record of anything."""
        n = len(object_ids)
        details, table = np.full((n, len(DETAILS)), nan), np.full((n, len(TABLE)), nan, np.float32)
        table[:, -1] = 0
        return cls(t, tuple(object_ids), np.zeros((n, side, side), np.int8), details, table)

    def __iter__(self) -> Iterator[ObjectResult]:
        """The results there are, by ascending id."""
        found = [result for row in range(len(self.object_ids)) if (result := self.row(row)) is not None]
        return iter(sorted(found, key=lambda result: result.object_id))

    def get(self, object_id: int) -> ObjectResult | None:
        """That of an object; None where it was not followed."""
        return self.row(self.object_ids.index(object_id))

    def row(self, row: int) -> ObjectResult | None:
        """The result in a row."""
        values, details = dict(zip(TABLE, self.table[row].tolist(), strict=True)), self.details[row]
        state = STATES[int(values["state"])]
        if state is None:
            return None
        known = dict(zip(PLAIN, details[:FIRST_CUE].tolist(), strict=True))
        scores = {name: values[name] for name in TABLE if name not in ("area", "state")}
        return ObjectResult(
            object_id=self.object_ids[row],
            direction=DIRECTIONS[int(known["direction"])],
            state=state,
            window=Window((known["center_y"], known["center_x"]), (known["height"], known["width"])),
            logits=decode_array(self.logits[row]),
            scores=ObjectScores(contrast=known["contrast"], **scores),
            area=int(values["area"]),
            cues=cues_of(details),
            memory=reads_of(details),
            decoded_with=ORIGINS[int(known["origin"])],
            remembered=bool(known["remembered"]),
        )

    def put(self, result: ObjectResult) -> None:
        """Keep a result in place of what was there."""
        row = self.object_ids.index(result.object_id)
        self.logits[row] = encode_logits(torch.from_numpy(result.logits)).numpy()
        self.details[row] = _detail_row(result)
        numbers = (float(getattr(result, name)) for name in TABLE[:-1])
        self.table[row] = (*numbers, STATES.index(result.state))

    def clear(self, object_id: int) -> None:
        """Forget an object on this frame."""
        row = self.object_ids.index(object_id)
        self.logits[row], self.details[row], self.table[row] = 0, nan, (*[nan] * (len(TABLE) - 1), 0)

    def set_areas(self, areas: Mapping[int, int]) -> None:
        """Take the areas of the label frame, by object id."""
        for row, object_id in enumerate(self.object_ids):
            if self.table[row, -1]:
                self.table[row, TABLE.index("area")] = areas.get(object_id, 0)


@dataclass(frozen=True, slots=True, eq=False)
class RecordStore:
    """The records of a result on disk.

    Attributes
    ----------
    object_ids : tuple of int
        One per column (second axis) of the arrays.
    logits, details, table : zarr.Array
    """

    object_ids: tuple[int, ...]
    logits: Any
    details: Any
    table: Any

    @classmethod
    def create(cls, group: Any, object_ids: Sequence[int], n_frames: int, side: int) -> Self:
        """Make the empty arrays in a result's zarr group; `side` is that of the logits, px."""
        from zarr.codecs import BloscCodec

        n, per_chunk = len(object_ids), min(max(len(object_ids), _FEWEST), _MOST)
        fast, records, table = BloscCodec(cname="lz4", clevel=5), group.create_group("records"), group["table"]

        def array(where: Any, name: str, rows: int, dtype: str, fill: float, tail: tuple[int, ...]) -> Any:
            shape, chunks = (n_frames, n, *tail), (rows, per_chunk, *tail)
            return where.create_array(
                name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, compressors=[fast]
            )

        logits = array(records, "logits", 1, "int8", 0, (side, side))
        details = array(records, "details", 1, "float64", nan, (len(DETAILS),))
        values = array(table, "values", ROWS_PER_CHUNK, "float32", nan, (len(TABLE),))
        details.attrs["columns"], values.attrs["columns"] = list(DETAILS), list(TABLE)
        return cls(tuple(object_ids), logits, details, values)

    @classmethod
    def open(cls, group: Any, object_ids: Sequence[int]) -> Self:
        """Those of an opened result.

        Raises
        ------
        ResultError
            If the result has none, or keeps other columns.
        """
        if "records" not in group or "values" not in group["table"]:
            raise ResultError(
                "this result was written without records, by an earlier version; run 'mosam track' again to explain "
                "or correct it"
            )
        details, values = group["records/details"], group["table/values"]
        if (details.attrs["columns"], values.attrs["columns"]) != (list(DETAILS), list(TABLE)):
            raise ResultError("this result was written by another version, with other columns; run 'mosam track' again")
        return cls(tuple(object_ids), group["records/logits"], details, values)

    @property
    def side(self) -> int:
        """Side of the logits, px of the decoder's grid."""
        return int(self.logits.shape[-1])

    def grow(self, object_ids: Sequence[int]) -> "RecordStore":
        """The same with room for more objects, added at the end."""
        ids = (*self.object_ids, *object_ids)
        for array in (self.logits, self.details, self.table):
            array.resize((array.shape[0], len(ids), *array.shape[2:]))
        return replace(self, object_ids=ids)

    def read(self, t: int) -> FrameTable:
        """All records of a frame."""
        table = np.asarray(self.table[t])
        table[np.isnan(table[:, -1]), -1] = 0
        return FrameTable(t, self.object_ids, np.asarray(self.logits[t]), np.asarray(self.details[t]), table)

    def write(self, frame: FrameTable) -> None:
        """Replace the records of a frame."""
        self.logits[frame.t], self.details[frame.t], self.table[frame.t] = frame.logits, frame.details, frame.table

    def read_one(self, object_id: int, t: int) -> ObjectResult | None:
        """The record of one object on one frame."""
        column = self.object_ids.index(object_id)
        one = FrameTable(
            t, (object_id,), *(np.asarray(a[t, column])[None] for a in (self.logits, self.details, self.table))
        )
        return None if np.isnan(one.table[0, -1]) else one.row(0)
