"""Who is whose daughter: a division, a link that a person makes or breaks, and divisions that a person denied.

Each is one step of the journal. A division ends its mother: from its frame on she is absent and locked. Daughters that
begin there are corrected on that frame, absent and locked before it, and followed by the next re-run.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.prompts.reassign import SPLIT, Reassignment
from napari_mosam.core.results.columns import LOCKED, STATE, TABLE
from napari_mosam.core.store.edits import edited, give_pixels, list_edit, mask_record
from napari_mosam.core.store.layout import PARENTS, open_group, parents_of, read_prompts, write_prompts
from napari_mosam.core.store.records import FrameTable, RecordStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIVISION, PARENTAGE, DENIAL = "division", "parentage", "denied division"
"""Kinds of steps."""

DENIED = "denied_divisions"
"""Attribute of a result: frames on which a person said that an object does not divide, by object as text."""

AREA = TABLE.index("area")


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """A cell that divides.

    Attributes
    ----------
    mother, frame : int
        Who ends, and on which frame her daughters are seen first.
    masks : mapping of int to (ndarray of bool, shape (Y, X), or None)
        Pixels there by daughter; None for an object that is there already.
    heir : int or None
        The daughter that takes what is stored of the mother from that frame on; without one it is dropped.
    """

    mother: int
    frame: int
    masks: "Mapping[int, NDArray[np.bool_] | None]"
    heir: int | None = None

    @property
    def born(self) -> "dict[int, NDArray[np.bool_]]":
        """The daughters that begin there."""
        return {i: mask for i, mask in self.masks.items() if mask is not None}

    def prompts(self, given: Prompts) -> Prompts:
        """Marks as they are afterwards, without those of the daughters that begin there."""
        if self.heir is None:
            return given
        return Reassignment(SPLIT, self.mother, self.heir, self.frame).prompts(given)

    def to_record(self) -> dict[str, Any]:
        """What :meth:`from_record` reads, as JSON types."""
        masks = {str(i): None if m is None else mask_record(i, self.frame, m) for i, m in self.masks.items()}
        return {
            "kind": DIVISION,
            "object": self.mother,
            "frame": self.frame,
            "daughters": list(self.masks),
            "masks": masks,
            "heir": self.heir or 0,
        }


def divide_transaction(path: Path, division: Division) -> None:
    """End a mother, begin her daughters and note whose they are."""
    mother, start, heir = division.mother, division.frame, division.heir
    with edited(path, DIVISION, [mother, *division.masks], first=start) as (group, records):
        list_edit(group, division.to_record())
        n_frames = int(group["0"].shape[0])
        parents = parents_of(group.attrs)
        if heir is not None:
            births = {i: first for i in parents if i in records.object_ids and (first := first_frame(records, i))}
            parents = Reassignment(SPLIT, mother, heir, start).parents(parents, births)
        _write(group, PARENTS, parents | dict.fromkeys(division.masks, mother))
        write_prompts(group, division.prompts(read_prompts(group)))
        there = np.flatnonzero(_known(records.table_of(mother))[start:]) + start
        for frame in records.edit(there.tolist()):
            _hand_on(group, frame, mother, heir)
        records.set_by_user(mother, range(start, n_frames), locked=True)
        for daughter in division.born:
            records.set_by_user(daughter, range(start), locked=True)
        if division.born:
            give_pixels(group, records, start, division.born)


def _hand_on(group: Any, frame: FrameTable, mother: int, heir: int | None) -> None:
    """Let what a frame holds of a mother be her heir's, or nobody's."""
    labels = np.asarray(group["0"][frame.t])
    mine = labels == mother
    if heir is None:
        frame.erase(mother)
    else:
        frame.exchange(mother, heir)
    if mine.any():
        group["0"][frame.t] = np.where(mine, heir or 0, labels).astype(labels.dtype)
    if mine.any() and heir is None:
        confidence = np.asarray(group["confidence"][frame.t])
        group["confidence"][frame.t] = np.where(mine, 0, confidence).astype(confidence.dtype)


def parent_transaction(path: Path, daughter: int, mother: int | None) -> None:
    """Note the mother of an object, or that it has none; Refused where that cannot be."""
    group = open_group(path, "r")
    records = RecordStore.open(group, [int(i) for i in group["table/object_ids"][:]])
    if mother is not None:
        _check_kin(records, parents_of(group.attrs), daughter, mother)
    elif daughter not in parents_of(group.attrs):
        raise Refused(f"object {daughter} has no mother, so there is nothing to break")
    with edited(path, PARENTAGE, [daughter] if mother is None else [daughter, mother]) as (written, _):
        list_edit(written, {"kind": PARENTAGE, "object": daughter, "parent": mother or 0})
        _write(written, PARENTS, {**parents_of(written.attrs), daughter: mother or 0})


def deny_transaction(path: Path, mother: int, frame: int, *, denied: bool = True) -> None:
    """Remember that an object does not divide on a frame, or forget that."""
    with edited(path, DENIAL, [mother], frames=[frame]) as (group, _):
        list_edit(group, {"kind": DENIAL, "object": mother, "frame": frame, "denied": denied})
        known = denied_of(group.attrs)
        frames = {*known.get(mother, ()), frame} if denied else {*known.get(mother, ())} - {frame}
        _write(group, DENIED, known | {mother: sorted(frames)})


def denied_of(attrs: Mapping[str, Any]) -> dict[int, list[int]]:
    """Frames on which a person said that an object does not divide, by object."""
    return {int(i): [int(t) for t in frames] for i, frames in dict(attrs.get(DENIED) or {}).items()}


def first_frame(records: RecordStore, object_id: int) -> int | None:
    """The first frame on which an object has a pixel; None where it never has one."""
    seen = np.flatnonzero(np.nan_to_num(records.table_of(object_id)[:, AREA]) > 0)
    return int(seen[0]) if seen.size else None


def frames_by_user(records: RecordStore, object_id: int, start: int) -> list[int]:
    """Frames from one on, on which a person fixed pixels of an object."""
    table = records.table_of(object_id)[start:]
    fixed = (np.nan_to_num(table[:, LOCKED]) > 0) & (np.nan_to_num(table[:, AREA]) > 0)
    return (np.flatnonzero(fixed) + start).tolist()


def ancestors(parents: Mapping[int, int], object_id: int) -> Iterator[int]:
    """The mother of an object, her mother, and so on; each once."""
    seen: set[int] = set()
    while object_id in parents and object_id not in seen:
        seen.add(object_id)
        object_id = parents[object_id]
        yield object_id


def _check_kin(records: RecordStore, parents: Mapping[int, int], daughter: int, mother: int) -> None:
    if daughter == mother:
        raise Refused(f"object {daughter} cannot be its own mother; give two objects")
    if daughter in ancestors(parents, mother):
        raise Refused(f"object {mother} descends from object {daughter}, so it cannot be its mother")
    births = [first_frame(records, i) for i in (daughter, mother)]
    for i, birth in zip((daughter, mother), births, strict=True):
        if birth is None:
            raise Refused(f"object {i} is on no frame, so nobody knows whether it is older; choose another object")
    born, older = births
    if born is not None and older is not None and older >= born:
        raise Refused(
            f"object {mother} is first seen on frame {older} and object {daughter} on frame {born}; a mother is there "
            "before her daughter: exchange them, or choose another"
        )


def _known(table: "NDArray[np.float64]") -> "NDArray[np.bool_]":
    return np.nan_to_num(table[:, STATE]) > 0


def _write(group: Any, attribute: str, known: Mapping[int, int] | Mapping[int, Sequence[int]]) -> None:
    """Keep what is known by object; what is empty is not."""
    kept = {str(i): value for i, value in sorted(known.items()) if value}
    if kept:
        group.attrs[attribute] = kept
    elif attribute in group.attrs:
        del group.attrs[attribute]


def inherit(old: Mapping[str, Any], path: Path, ids: Collection[int]) -> None:
    """Give a new result of the same objects the mothers and the denials of an earlier one."""
    for daughter, mother in parents_of(old).items():
        if {daughter, mother} <= {*ids}:
            with edited(path, PARENTAGE, [daughter, mother]) as (group, _):
                list_edit(group, {"kind": PARENTAGE, "object": daughter, "parent": mother})
                _write(group, PARENTS, {**parents_of(group.attrs), daughter: mother})
    for mother, frames in denied_of(old).items():
        for t in frames if mother in ids else ():
            deny_transaction(path, mother, t)
