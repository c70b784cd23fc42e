"""What a person says of divisions, checked and written: one step of the journal each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, whole_number
from napari_mosam.core.files.places import alone
from napari_mosam.core.images.label_images.labels import as_mask
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.store.history import ready_for_edit
from napari_mosam.core.store.layout import open_group
from napari_mosam.core.store.lineage.edits import (
    Division,
    deny_transaction,
    divide_transaction,
    first_frame,
    frames_by_user,
    parent_transaction,
)
from napari_mosam.core.store.records import RecordStore
from napari_mosam.core.store.result import Result

Daughter = int | NDArray[np.bool_]
"""An object that begins on the frame of the division, or the pixels of one that is new."""


def plan_division(result: Result, marks: Prompts, mother: int, frame: int, daughters: Sequence[Daughter]) -> Division:
    """A division of a result's object, checked; Refused, or ValueError, where it cannot be.

    Parameters
    ----------
    result : Result
    marks : Prompts
        Of the session; their ids are no ids of new objects.
    mother : int
    frame : int
        On which the daughters are seen first.
    daughters : sequence
        Both; or one, where what is followed as the mother goes on with the other.
    """
    mother, frame = whole_number(mother, "the mother"), whole_number(frame, "the frame")
    records = RecordStore.open(open_group(result.path, "r"), result.object_ids)
    _check_mother(result, records, mother, frame)
    if not 1 <= len(daughters) <= 2:
        raise Refused(
            f"{len(daughters)} daughters are given; give two, or the one that is not followed as object {mother}"
        )
    labels = np.asarray(result.labels[frame])
    held = labels == mother
    given = [_as_given(result, records, mother, frame, one) for one in daughters]
    if len(given) == 1:
        rest = held & ~given[0] if isinstance(given[0], np.ndarray) else held
        if not rest.any():
            raise Refused(f"object {mother} has no pixel on frame {frame} that could be the other daughter; give both")
        given.append(rest)
    free = 1 + max((*result.object_ids, *marks.object_ids))
    taken = np.zeros(labels.shape, bool)
    masks: dict[int, NDArray[np.bool_] | None] = {}
    for one in given:
        if isinstance(one, int):
            masks[one] = None
            continue
        masks[free], taken, free = one & ~taken, taken | one, free + 1
    if len(masks) < len(given):
        raise Refused(f"object {next(iter(masks))} is given as both daughters; give two")
    if any(mask is not None and not mask.any() for mask in masks.values()):
        raise Refused(f"both daughters of object {mother} have the same pixels on frame {frame}; give two cells")
    division = Division(mother, frame, masks)
    shares = {i: int((mask & held).sum()) for i, mask in division.born.items()}
    if shares and _followed(records, mother, frame):
        return Division(mother, frame, masks, max(shares, key=lambda i: shares[i]))
    fixed = {*frames_by_user(records, mother, frame), *(t for t in marks.of(mother) if t >= frame)}
    if fixed:
        raise Refused(
            f"object {mother} is marked, corrected or locked on frame {min(fixed)}, after that division; take that "
            "back first, or give the pixels of one daughter, who will have it"
        )
    return division


def divide(path: Path, division: Division) -> Result:
    """End the mother and begin the daughters; nothing is followed yet."""
    with alone(path):
        ready_for_edit(path)
        divide_transaction(path, division)
    return Result.open(path)


def link(path: Path, daughter: int, mother: int | None) -> Result:
    """Note the mother of an object, or that it has none."""
    daughter = whole_number(daughter, "the daughter")
    mother = None if mother is None else whole_number(mother, "the mother")
    _check_known(Result.open(path), *(i for i in (daughter, mother) if i is not None))
    with alone(path):
        ready_for_edit(path)
        parent_transaction(path, daughter, mother)
    return Result.open(path)


def deny(path: Path, mother: int, frame: int, *, denied: bool = True) -> Result:
    """Remember that an object does not divide on a frame, or forget that."""
    mother, frame = whole_number(mother, "the mother"), whole_number(frame, "the frame")
    _check_known(Result.open(path), mother)
    with alone(path):
        ready_for_edit(path)
        deny_transaction(path, mother, frame, denied=denied)
    return Result.open(path)


def _check_known(result: Result, *ids: int) -> None:
    for object_id in ids:
        if object_id not in result.object_ids:
            known = ", ".join(map(str, result.object_ids))
            raise Refused(f"there is no object {object_id} in the result; it holds {known}")


def _check_mother(result: Result, records: RecordStore, mother: int, frame: int) -> None:
    _check_known(result, mother)
    n_frames = int(result.labels.shape[0])
    if not 1 <= frame < n_frames:
        raise Refused(f"no cell divides on frame {frame} of this result; give one of 1 to {n_frames - 1}")
    first = first_frame(records, mother)
    if first is None or first >= frame:
        seen = "on no frame" if first is None else f"first on frame {first}"
        raise Refused(f"object {mother} is seen {seen}, so it cannot divide on frame {frame}; choose a later one")
    daughters = sorted(i for i, parent in result.parents.items() if parent == mother)
    if daughters:
        told = " and ".join(map(str, daughters))
        raise Refused(f"object {mother} has daughters already: {told}; break these links first")


def _as_given(
    result: Result, records: RecordStore, mother: int, frame: int, daughter: Daughter
) -> "int | NDArray[np.bool_]":
    """The id of a daughter that is there, or the pixels (Y, X) of one that is new."""
    shape = tuple(result.labels.shape[1:])
    if isinstance(daughter, np.ndarray):
        if daughter.shape != shape:
            raise Refused(f"the pixels of a daughter have the shape {daughter.shape}; give (Y, X) = {shape}")
        mask = as_mask(daughter, "the pixels of a daughter")
        if not mask.any():
            raise Refused("a daughter has no pixel; give at least one")
        return mask
    object_id = whole_number(daughter, "a daughter")
    _check_known(result, object_id)
    first = first_frame(records, object_id)
    if object_id == mother or first is None or first < frame:
        why = "is the mother" if object_id == mother else "is never seen" if first is None else "is there before"
        raise Refused(
            f"object {object_id} {why}, so it is no daughter that begins on frame {frame}; give one that is first seen "
            "there or later, or split it there first"
        )
    return object_id


def _followed(records: RecordStore, object_id: int, start: int) -> bool:
    return any(state is not None for state in records.states(object_id)[start:])
