"""What is kept of every object on every frame: enough to compose, explain and follow again without the others.

Layout of a result's records, T frames and N objects: ``records/logits`` int8 (T, N, s, s), the mask logits before
competition, see :mod:`logit_codes`; ``records/details`` float64 (T, N, K), named by the array's attribute ``columns``;
``table/values`` float64 (T, N, C), likewise, in chunks that make a whole movie quick to read. A frame of each is
written at once. The first axis never grows, the second does when objects are added.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isnan, nan
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_mosam.core.files.places import ResultError
from napari_mosam.core.masks.logit_codes import coded, decode_logits, encode_logits
from napari_mosam.core.masks.overlap import FixedMask
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.results.columns import (
    BY_USER,
    CODES,
    CUE_PARTS,
    CUES,
    DETAILS,
    DIRECTIONS,
    FIRST_CUE,
    FIRST_READ,
    MAX_READS,
    ORIGINS,
    PLAIN,
    SCORES,
    STATE,
    STATES,
    TABLE,
    cues_of,
    in_order,
    reads_of,
)
from napari_mosam.core.results.frame import ObjectResult, ObjectScores, ObjectState
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.masks.region import Region

LabelShape = tuple[int, float, float]
"""Pixels of an id in a label frame, and y and x of their centre, px."""

ROWS_PER_CHUNK = 64
"""Frames of a chunk of the table: they are read at once for a timeline, and written again with each frame; not
measured."""

_PRESENT, _LOST = STATES.index(ObjectState.PRESENT), STATES.index(ObjectState.LOST)
"""Codes of states in the table."""

_FEWEST, _MOST = 16, 64
"""Objects of a chunk, at least, so that there is room for more, and at most; not measured."""


def as_stored(result: ObjectResult, device: "torch.device | str" = "cpu") -> FixedMask:
    """What an object brings to a contest in which it is not followed again: its mask as it comes back from storage."""
    logits = coded([torch.from_numpy(result.logits)])[0].to(device)
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
    table : ndarray of float64, shape (N, C)
        Scores are rounded to float32.
    """

    t: int
    object_ids: tuple[int, ...]
    logits: "NDArray[np.int8]"
    details: "NDArray[np.float64]"
    table: "NDArray[np.float64]"

    @classmethod
    def empty(cls, t: int, object_ids: Sequence[int], side: int) -> Self:
        """No record of anything."""
        n = len(object_ids)
        details, table = np.full((n, len(DETAILS)), nan), np.full((n, len(TABLE)), nan)
        table[:, STATE] = 0
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
        scores = {name: values[name] for name in SCORES}
        return ObjectResult(
            object_id=self.object_ids[row],
            direction=DIRECTIONS[int(known["direction"])],
            state=state,
            window=Window((known["center_y"], known["center_x"]), (known["height"], known["width"])),
            logits=decode_logits(self.logits[row]),
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
        self.logits[row] = encode_logits(result.logits)
        self.details[row] = _detail_row(result)
        numbers = {name: float(np.float32(getattr(result, name))) for name in ("area", *SCORES)}
        used = next((CUES.index(cue.name) for cue in result.cues if cue.used), nan)
        numbers |= {"frame": self.t, "object": result.object_id, "cue": used, "state": STATES.index(result.state)}
        self._set(row, {"y": nan, "x": nan, "area_um2": nan, **numbers})

    def clear(self, object_id: int) -> None:
        """Forget an object on this frame."""
        row = self.object_ids.index(object_id)
        self.logits[row], self.details[row] = 0, nan
        self._set(row, {name: nan for name in TABLE if name not in BY_USER} | {"state": 0})

    def exchange(self, one: int, other: int) -> None:
        """Let two objects have each the record of the other, with what a user did to it; the mother stays."""
        rows = [self.object_ids.index(i) for i in (one, other)]
        for array in (self.logits, self.details, self.table):
            array[rows] = array[rows[::-1]]
        mother = TABLE.index("parent")
        self.table[rows, mother] = self.table[rows[::-1], mother]
        for object_id, row in zip((one, other), rows, strict=True):
            self._set(row, {"object": object_id if self.table[row, STATE] else nan})

    def erase(self, object_id: int) -> None:
        """Forget an object on this frame, with what a user did to it."""
        self.clear(object_id)
        self._set(self.object_ids.index(object_id), dict.fromkeys(BY_USER, nan))

    def accept(self, object_id: int) -> None:
        """Say that a person gave an object the mask that it has on this frame, or none; runs do not change it."""
        self.details[self.object_ids.index(object_id), DETAILS.index("origin")] = ORIGINS.index("painted")
        self.set_by_user(object_id, locked=True, accepted=True)

    def measure(self, shapes: "Mapping[int, LabelShape]", pixel_um2: float) -> None:
        """Take areas and centres from the label frame, by object id; `pixel_um2` is NaN where it is not known."""
        for row, object_id in enumerate(self.object_ids):
            if self.table[row, STATE]:
                area, y, x = shapes.get(object_id, (0, nan, nan))
                self._set(row, {"y": y, "x": x, "area": area, "area_um2": area * pixel_um2})

    def see(self) -> None:
        """Let objects that hold no pixel be lost, and those that hold one be present; one that ended stays so."""
        state, area = self.table[:, STATE], self.table[:, TABLE.index("area")]
        there = np.isin(state, (_PRESENT, _LOST))
        state[there] = np.where(area[there] > 0, _PRESENT, _LOST)

    @property
    def locked(self) -> tuple[int, ...]:
        """Objects that are locked on the frame."""
        locked = np.nan_to_num(self.table[:, TABLE.index("locked")]) > 0
        return tuple(object_id for object_id, is_locked in zip(self.object_ids, locked, strict=True) if is_locked)

    def set_by_user(self, object_id: int, **values: bool) -> None:
        """Set columns that no run changes, such as 'locked'."""
        self._set(self.object_ids.index(object_id), {name: float(value) for name, value in values.items()})

    def _set(self, row: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.table[row, TABLE.index(name)] = value


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
        values = array(table, "values", ROWS_PER_CHUNK, "float64", nan, (len(TABLE),))
        details.attrs["columns"] = list(DETAILS)
        values.attrs.update({"columns": list(TABLE), "codes": {name: list(words) for name, words in CODES.items()}})
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
        if details.attrs["columns"] != list(DETAILS):
            raise ResultError("this result was written by another version, with other columns; run 'mosam track' again")
        opened = cls(tuple(object_ids), group["records/logits"], details, values)
        opened.check_shapes()
        return opened

    def check_shapes(self) -> None:
        """Refuse arrays that do not fit each other; how many objects they have may change beside a reader.

        Raises
        ------
        ResultError
            With the array: its metadata were damaged.
        """
        n_frames = self.logits.shape[0]
        rows = (self.details, len(DETAILS)), (self.table, len(self.table.attrs["columns"]))
        wanted = (self.logits, (n_frames, self.side, self.side)), *((array, (n_frames, n)) for array, n in rows)
        for array, shape in wanted:
            if array.shape[:1] + array.shape[2:] != shape:
                raise ResultError(
                    f"the array '{array.path}' has the shape {array.shape}, which does not fit the others (is it "
                    "damaged? run 'mosam track' again)"
                )

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
        table = self._rows(t)
        return FrameTable(t, self.object_ids, np.asarray(self.logits[t]), np.asarray(self.details[t]), table)

    def states(self, object_id: int) -> list[ObjectState | None]:
        """Of an object on all frames; None where it was not followed."""
        return [STATES[int(code)] for code in np.nan_to_num(self.table_of(object_id)[:, STATE])]

    def table_of(self, object_id: int) -> "NDArray[np.float64]":
        """The table of an object over all frames, shape (T, C)."""
        return in_order(np.asarray(self.table[:, self.object_ids.index(object_id)]), self.table.attrs["columns"])

    def edit(self, frames: Iterable[int]) -> Iterator[FrameTable]:
        """Frames, ascending, to be changed in place; each is written when the next is asked for, the table at last."""
        for _, group in groupby(sorted(frames), lambda t: t // ROWS_PER_CHUNK):
            block = list(group)
            first, behind = block[0], block[-1] + 1
            table = self._rows(slice(first, behind))
            for t in block:
                logits, details = np.asarray(self.logits[t]), np.asarray(self.details[t])
                yield FrameTable(t, self.object_ids, logits, details, table[t - first])
                self.logits[t], self.details[t] = logits, details
            self.table[first:behind] = table

    def set_by_user(self, object_id: int, frames: Iterable[int], **values: bool) -> None:
        """Set columns that no run changes of an object on frames."""
        row = self.object_ids.index(object_id)
        for _, group in groupby(sorted(frames), lambda t: t // ROWS_PER_CHUNK):
            block = list(group)
            table, rows = self._rows(slice(block[0], block[-1] + 1)), [t - block[0] for t in block]
            for name, value in values.items():
                table[rows, row, TABLE.index(name)] = float(value)
            self.table[block[0] : block[-1] + 1] = table

    def centers(self, t: int) -> dict[int, tuple[float, float]]:
        """Middles (y, x) of the objects in a label frame, px; of those that have a pixel there."""
        places = self._rows(t)[:, [TABLE.index("y"), TABLE.index("x")]].tolist()
        known = zip(self.object_ids, places, strict=False)  # a run may have added rows since
        return {object_id: (y, x) for object_id, (y, x) in known if not isnan(y + x)}

    def write(self, frame: FrameTable) -> None:
        """Replace the records of a frame."""
        self.logits[frame.t], self.details[frame.t] = frame.logits, frame.details
        self.write_table(frame)

    def write_table(self, frame: FrameTable) -> None:
        """Replace the table of a frame alone."""
        self.table[frame.t] = frame.table

    def read_one(self, object_id: int, t: int) -> ObjectResult | None:
        """The record of one object on one frame."""
        at = self.object_ids.index(object_id)
        logits, details = (np.asarray(array[t, at])[None] for array in (self.logits, self.details))
        return FrameTable(t, (object_id,), logits, details, self._rows(t)[at : at + 1]).row(0)

    def _rows(self, t: int | slice) -> "NDArray[np.float64]":
        """The table of a frame, or of several, the state 0 where an object was not followed."""
        table = in_order(np.asarray(self.table[t]), self.table.attrs["columns"])
        table[..., STATE] = np.nan_to_num(table[..., STATE])
        return table
