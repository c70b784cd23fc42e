"""Who is who in a result: ids that are swapped, split off or merged from a frame on, and names; one step each.

What a person says so counts as a correction, see docs/adr/0012: on the frame from which it holds the masks are accepted
and locked, and are prompts of their objects in every later re-run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import nan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.masks.region import Region
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.prompts.kinds import MaskPrompt
from napari_mosam.core.prompts.reassign import MERGE, SPLIT, Reassignment
from napari_mosam.core.results.columns import STATE, TABLE
from napari_mosam.core.results.frame import ObjectResult
from napari_mosam.core.store.compose import shapes_of
from napari_mosam.core.store.edits import as_given, edited, list_edit
from napari_mosam.core.store.layout import NAMES, PARENTS, names_of, open_group, parents_of, read_prompts, write_prompts
from napari_mosam.core.store.records import FrameTable, RecordStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

RENAME = "renaming"
"""Kind of the step that gives an object a name."""

PRESENT = 1
"""Code of the state of an object that was seen, see `columns.STATES`."""

LONGEST_NAME = 80
"""Characters; a longer one is no name."""

Known = Mapping[int, "NDArray[np.float64]"]
"""The table of an object, shape (T, C), by id."""


# ---- names


def rename_transaction(path: Path, object_id: int, name: str) -> None:
    """Give an object a name, or take it with an empty one."""
    if not isinstance(name, str):
        raise Refused(f"the name is {name!r:.80}; give text, or '' to take the name away")
    given = " ".join(name.split())
    if len(given) > LONGEST_NAME:
        raise Refused(f"the name has {len(given)} characters; give at most {LONGEST_NAME}")
    with edited(path, RENAME, [object_id]) as (group, _):
        list_edit(group, {"kind": RENAME, "object": object_id, "name": given})
        _write(group, NAMES, names_of(group.attrs) | {object_id: given})


def _write(group: Any, attribute: str, known: Mapping[int, Any]) -> None:
    """Keep what is known by object; what is empty is not."""
    kept = {str(i): value for i, value in sorted(known.items()) if value}
    if kept:
        group.attrs[attribute] = kept
    elif attribute in group.attrs:
        del group.attrs[attribute]


# ---- who is who


def planned(path: Path, kind: str, first: int, second: int, start: int) -> Reassignment:
    """What a swap, a split or a merge is going to do; ValueError where it would do nothing."""
    known = _known(path, [first, second])
    if first == second:
        raise Refused(f"object {first} was given twice; give two objects")
    change = Reassignment(kind, first, second, start, _holders(known, first, second, start) if kind == MERGE else {})
    absent = [i for i in change.ids if not _there(known[i])[start:].any()]
    if len(absent) == len(change.ids):
        told = " and ".join(map(str, absent))
        raise Refused(f"object {told} is on no frame from {start} on; choose an earlier frame, or another object")
    if kind == SPLIT and not _there(known[first])[:start].any():
        raise Refused(
            f"object {first} is on no frame before {start}, so nothing can be split off; choose a later frame"
        )
    return change


def reassign_transaction(path: Path, change: Reassignment, *, daughter: bool = False) -> None:
    """Carry it out; `daughter`: note the object that was split as the mother of the new one."""
    ids = [change.first, change.second]
    known, before = _known(path, ids), read_prompts(open_group(path, "r"))
    ends, fixed = _ending(known, change), sorted(_fixed(known, change, change.prompts(before).object_ids))
    told = {"kind": change.kind, "objects": ids, "frame": change.start, "daughter": daughter}
    masks: list[MaskPrompt] = []
    with edited(path, change.kind, ids, first=change.start) as (group, records):
        list_edit(group, told)
        parents = change.parents(parents_of(group.attrs), _births(group, records))
        _write(group, PARENTS, parents | ({change.second: change.first} if daughter else {}))
        for frame in records.edit({*_frames(known, change, ends), *(t for _, t in fixed)}):
            masks += _changed(group, frame, change, ends, [i for i, at in fixed if at == frame.t])
        _write_heads(group, records, change, masks)


def _changed(
    group: Any, frame: FrameTable, change: Reassignment, ends: Sequence[int], fixed: Sequence[int]
) -> list[MaskPrompt]:
    """Change one frame; gives the masks of the objects that are corrected there."""
    t, before = frame.t, np.asarray(group["0"][frame.t])
    labels = _relabelled(before, change) if t >= change.start else before
    if t >= change.start:
        _move(frame, change, labels, group)
    for i in ends if t >= change.start else ():
        frame.set_by_user(i, locked=True)
    for i in fixed:
        frame.accept(i)
    if not np.array_equal(before, labels):
        group["0"][t] = labels
    found = (MaskPrompt.from_frame(i, t, labels == i) for i in fixed)
    return [mask for mask in found if mask.mask.size]


def _relabelled(labels: "NDArray[Any]", change: Reassignment) -> "NDArray[Any]":
    after = labels.copy()
    for old, new in change.ids.items():
        after[labels == old] = new
    return after


def _move(frame: FrameTable, change: Reassignment, labels: "NDArray[Any]", group: Any) -> None:
    """Let the records of a frame belong to whom they belong afterwards; `labels` are those of afterwards."""
    first, second = change.first, change.second
    if change.kind != MERGE:
        frame.exchange(first, second)
        return
    holder = change.holders.get(frame.t, first)
    if holder == 0:
        frame.put(_joined(frame, change, labels, group))
        frame.measure(shapes_of(labels), prod(group.attrs.get("pixel_size_um") or [nan]))
    elif holder == second:
        frame.exchange(first, second)
    frame.erase(second)


def _joined(frame: FrameTable, change: Reassignment, labels: "NDArray[Any]", group: Any) -> ObjectResult:
    """Two masks of one object, as sure as the less sure of them."""
    both = [one for i in (change.first, change.second) if (one := frame.get(i)) is not None]
    unsure, window = min(both, key=lambda one: one.predicted_iou), group.attrs.get("config", {}).get("window", {})
    region, shape_yx = Region.from_mask(labels == change.first), (labels.shape[0], labels.shape[1])
    given = as_given(both[0], change.first, region, shape_yx, window, frame.logits.shape[-1])
    return replace(given, scores=unsure.scores)


def _write_heads(group: Any, records: RecordStore, change: Reassignment, masks: Sequence[MaskPrompt]) -> None:
    """Prompts, and the name of an object that is gone."""
    said = {(mask.object_id, mask.frame) for mask in masks}
    kept = (p for p in change.prompts(read_prompts(group)) if (p.object_id, p.frame) not in said)
    write_prompts(group, Prompts([*kept, *masks]))
    names = names_of(group.attrs)
    if change.kind == MERGE and not _there(records.table_of(change.second)).any():
        gone = names.pop(change.second, "")
        _write(group, NAMES, {change.first: gone} | names)


# ---- which frames


def _known(path: Path, ids: Sequence[int]) -> Known:
    """The tables of objects; of one that is new, an empty one."""
    group = open_group(path, "r")
    records = RecordStore.open(group, [int(i) for i in group["table/object_ids"][:]])
    empty = np.full((records.table.shape[0], len(TABLE)), nan)
    return {i: records.table_of(i) if i in records.object_ids else empty for i in ids}


def _there(table: "NDArray[np.float64]") -> "NDArray[np.bool_]":
    return np.nan_to_num(table[:, STATE]) > 0


def _seen(table: "NDArray[np.float64]") -> "NDArray[np.bool_]":
    return np.asarray((table[:, STATE] == PRESENT) & (np.nan_to_num(table[:, TABLE.index("area")]) > 0))


def _locked(table: "NDArray[np.float64]") -> "NDArray[np.bool_]":
    return np.nan_to_num(table[:, TABLE.index("locked")]) > 0


def _holders(known: Known, first: int, second: int, start: int) -> dict[int, int]:
    """Whose mask the first has after a merge, on frames on which anything is kept of the second."""
    there, seen = {i: _there(table) for i, table in known.items()}, {i: _seen(table) for i, table in known.items()}
    found = {}
    for t in np.flatnonzero(there[second] | _locked(known[second])).tolist():
        if t >= start and seen[first][t] and seen[second][t]:
            found[t] = 0
        elif t >= start:
            takes = there[second][t] and (seen[second][t] or not there[first][t])
            found[t] = second if takes else first
    return found


def _frames(known: Known, change: Reassignment, ends: Sequence[int]) -> Iterator[int]:
    """Frames on which anything moves, or on which an object that ends is not to come back."""
    for t in range(change.start, len(known[change.first])):
        if ends or any(_there(table)[t] or _locked(table)[t] for table in known.values()):
            yield t


def _ending(known: Known, change: Reassignment) -> list[int]:
    """Objects that are there before the first frame, and on none from then on."""
    there = {i: _there(table) for i, table in known.items()}
    on = {change.id_at(i, change.start) for i, found in there.items() if found[change.start :].any()}
    return [i for i, found in there.items() if found[: change.start].any() and i not in on]


def _fixed(known: Known, change: Reassignment, marked: Sequence[int]) -> set[tuple[int, int]]:
    """Objects, and frames, on which the masks are afterwards what a person said.

    One that has no mark left, of `marked` objects, has the last mask before.
    """
    fixed = set(_seams(known, change) if change.kind == MERGE else _borders(known, change))
    for i, table in known.items():
        before = np.flatnonzero(_seen(table)[: change.start])
        if before.size and i not in {*marked, *(one for one, _ in fixed)}:
            fixed.add((i, int(before[-1])))
    return fixed


def _borders(known: Known, change: Reassignment) -> Iterator[tuple[int, int]]:
    """Where an object is on its first frame with the other id, and where it is seen first."""
    for old, new in change.ids.items():
        for frames in (_there(known[old]), _seen(known[old])):
            yield from ((new, change.start + int(t)) for t in np.flatnonzero(frames[change.start :])[:1])


def _seams(known: Known, change: Reassignment) -> Iterator[tuple[int, int]]:
    """Where two masks are joined, or the mask of one object follows on that of the other."""
    seen, before = {i: _seen(table) for i, table in known.items()}, 0
    for t in range(len(seen[change.first])):
        holder = change.holders.get(t, change.first)
        if holder and not seen[holder][t]:
            continue
        if not holder or before not in (0, holder):
            yield change.first, t
        before = holder


def _births(group: Any, records: RecordStore) -> dict[int, int]:
    """First frames of all daughters."""
    there = ((i, _there(records.table_of(i))) for i in parents_of(group.attrs) if i in records.object_ids)
    return {i: int(np.argmax(found)) for i, found in there}
