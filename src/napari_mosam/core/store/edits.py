"""What a user does to a result by hand (locks and corrections), and the list of all that was done to it since its run.

The list is the attribute `edits` of the group ``prompts``, beside the prompts of now: first the run, with the prompts
that it had, then what followed, in order. It is written in the transactions that it tells of, so that undo takes back
both. It is empty where there was nothing but a run, and absent where that is not known (results of version 0.1).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused, whole_number
from napari_mosam.core.files.entries import Entry
from napari_mosam.core.files.journal import Transaction
from napari_mosam.core.files.places import RUN
from napari_mosam.core.files.zarr_files import write_through
from napari_mosam.core.images.label_images.labels import LARGEST_ID, as_mask
from napari_mosam.core.masks.raster import rasterise
from napari_mosam.core.masks.region import Region
from napari_mosam.core.prompts.kinds import MaskPrompt
from napari_mosam.core.prompts.records import to_records
from napari_mosam.core.results.frame import ObjectResult, ObjectScores, ObjectState
from napari_mosam.core.store.compose import CONFIDENCE_MAX, Locked, compose, shapes_of
from napari_mosam.core.store.layout import EDITS, open_group, reading
from napari_mosam.core.store.records import FrameTable, RecordStore
from napari_mosam.core.store.writer import close, make_room
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.prompts.collection import Prompt

LOCK, UNLOCK, ACCEPT, CORRECT = "lock", "unlock", "acceptance", "correction"
"""Kinds of what is done by hand; what is accepted is listed as a lock, for it is that too."""

_SURE = 30.0
"""Logit of a pixel that a user gave; the engine stores as much of a mask that was prompted."""

_SEEN = 10.0
"""Object score of an object that a user saw, and less it of one that is absent; as for a mask that was prompted."""

Json = dict[str, Any]

# ---- the list


def list_edit(group: Any, edit: Mapping[str, Any]) -> None:
    """Add to the list of what was done; before anything else the run, with the prompts that are there now."""
    attrs, listed = group["prompts"].attrs, edits_of(group)
    if listed is not None:
        run = {"kind": RUN, "prompts": attrs["records"], "results": None}
        attrs[EDITS] = [*(listed or [run]), dict(edit)]


def edits_of(group: Any) -> list[Json] | None:
    """The list; None where it is not known what was done."""
    listed = group["prompts"].attrs.get(EDITS) if "prompts" in group else None
    return list(listed) if isinstance(listed, list) else None


def prompts_at(prompts: "Sequence[Prompt]", changes: Mapping[int, Sequence[int]]) -> list[Json]:
    """Those on the frames that changed, by object, as JSON."""
    return to_records(p for p in prompts if p.frame in changes.get(p.object_id, ()))


def n_results(entry: Entry) -> int:
    """How many results of frames a run wrote so far."""
    return sum("t" in batch.note for batch in entry.batches())


def close_run(transaction: Transaction) -> None:
    """End a run that was stopped: half a result that is not gone on with."""
    with reading(transaction.journal.root):
        group = open_group(transaction.journal.root, "r+")
        write_through(group, transaction)
        attrs = group["prompts"].attrs
        if not transaction.ended and attrs.get(EDITS) == []:
            attrs[EDITS] = [{"kind": RUN, "prompts": attrs["records"], "results": n_results(transaction.entry)}]
    close(transaction)


# ---- by hand


def lock_transaction(path: Path, object_id: int, frames: Sequence[int], value: bool, *, accept: bool = False) -> None:
    """Lock an object on frames, and accept it where that is meant; or unlock it: then it is not accepted any more."""
    kind, said = LOCK if value else UNLOCK, {"accepted": value} if accept or not value else {}
    with edited(path, ACCEPT if accept else kind, [object_id], frames=list(frames)) as (group, records):
        records.set_by_user(object_id, frames, locked=value, **said)
        edit = {"kind": kind, "object": object_id, "frames": list(frames)}
        list_edit(group, edit | {"accepted": True} if accept else edit)


def remark_transaction(
    path: Path, kind: str, attribute: str, said: Any, where: "tuple[int, int] | None" = None
) -> None:
    """Keep what a person says of a result that changes no mask, as JSON types; `where` is an object and a frame."""
    ids, frames = ([], []) if where is None else ([where[0]], [where[1]])
    with edited(path, kind, ids, frames=frames) as (group, _):
        group.attrs[attribute] = said


def correct_transaction(path: Path, t: int, masks: "Mapping[int, NDArray[np.bool_]]") -> None:
    """Give objects of a frame the pixels that a user says, or none, and lock them; one step. New ids become objects.

    Parameters
    ----------
    path : Path
    t : int
    masks : mapping of int to ndarray of bool, shape (Y, X)
        By object, in the order in which they are given their pixels.

    Raises
    ------
    Refused
        If pixels of a mask are those of another object, locked there.
    """
    with edited(path, CORRECT, list(masks), frames=[t]) as (group, records):
        give_pixels(group, records, t, masks)
        for object_id, mask in masks.items():
            given = mask_record(object_id, t, mask)
            list_edit(group, {"kind": CORRECT, "object": object_id, "frame": t, "mask": given})


def give_pixels(group: Any, records: RecordStore, t: int, masks: "Mapping[int, NDArray[np.bool_]]") -> None:
    """Give objects of a frame their pixels and lock them, inside of a transaction; else as its whole."""
    frame = records.read(t)
    labels, confidence = np.asarray(group["0"][t]), np.asarray(group["confidence"][t])
    window, prune = group.attrs.get("config", {}).get("window", {}), _prunes(group)
    for object_id, mask in masks.items():
        now = _Frame(frame, labels, confidence)
        _refuse_locked(now, object_id, mask)
        labels, confidence = _given_away(now, object_id, mask, prune=prune)
        frame.put(_by_user(frame.get(object_id), object_id, mask, window, records.side))
        frame.set_by_user(object_id, locked=True, accepted=True)
    frame.measure(shapes_of(labels), prod(group.attrs.get("pixel_size_um") or [nan]))
    frame.see()
    group["0"][t], group["confidence"][t] = labels, confidence
    records.write(frame)


def checked_id(given: int) -> int:
    """An id of an object that is there or new; Refused for what is none."""
    object_id = whole_number(given, "the object")
    if not 1 <= object_id <= LARGEST_ID:
        raise Refused(f"{object_id} is no id of an object; allowed: 1 to {LARGEST_ID}")
    return object_id


def checked_mask(mask: "NDArray[Any] | None", shape: tuple[int, ...]) -> "NDArray[np.bool_]":
    """What a user gave as the pixels of an object; none for None."""
    if mask is None:
        return np.zeros(shape, bool)
    given = as_mask(mask, "the mask")
    if given.shape != shape:
        raise ValueError(f"the mask has the shape {given.shape}; give one of the frame's (Y, X) = {shape}")
    if not given.any():
        raise ValueError("the mask is empty; paint at least one pixel, or say that the object is absent")
    return given


def mask_record(object_id: int, t: int, mask: "NDArray[np.bool_]") -> Json | None:
    """A mask as the prompts are kept; None for that of an absent object."""
    return to_records([MaskPrompt.from_frame(object_id, t, mask)])[0]["mask"] if mask.any() else None


def corrected(path: Path) -> list[tuple[int, int]]:
    """Objects that a user corrected, and the frames on which that is locked still."""
    group = open_group(path, "r")
    records = RecordStore.open(group, [int(i) for i in group["table/object_ids"][:]])
    locked = np.asarray(records.table[:, :, list(records.table.attrs["columns"]).index("locked")])
    pairs = [(records.object_ids[at], int(t)) for t, at in np.argwhere(np.nan_to_num(locked) > 0)]
    found = ((pair, records.read_one(*pair)) for pair in pairs)
    return [pair for pair, result in found if result is not None and result.painted]


@contextmanager
def edited(path: Path, kind: str, ids: Sequence[int], **where: int | list[int]) -> Iterator[tuple[Any, RecordStore]]:
    """The group and its records, with room for new ids; what is written to them is one transaction: all or nothing.

    `where` says on which `frames` something is done, or from which `first` one on.
    """
    with reading(path):
        group = open_group(path, "r+")
        records = RecordStore.open(group, [int(i) for i in group["table/object_ids"][:]])
        transaction = Transaction.begin(path, {"kind": kind, "objects": list(ids), **where})
        write_through(group, transaction)
        try:
            yield group, make_room(group, transaction, records, ids)
            close(transaction)
        except BaseException:
            transaction.discard()
            if transaction.entry.path.exists():
                transaction.journal.roll_back(transaction.entry)
            raise


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """A frame as it is at the moment."""

    table: FrameTable
    labels: "NDArray[Any]"
    confidence: "NDArray[np.uint8]"


def _refuse_locked(now: _Frame, object_id: int, mask: "NDArray[np.bool_]") -> None:
    """Pixels of others that are locked stay theirs."""
    ids, counts = np.unique(now.labels[mask], return_counts=True)
    hit = {int(i): int(n) for i, n in zip(ids, counts, strict=True) if i in now.table.locked and i != object_id}
    if hit:
        told = ", ".join(f"{n} px of object {i}" for i, n in hit.items())
        raise Refused(
            f"the mask of object {object_id} on frame {now.table.t} covers {told}, locked there; unlock it first, or "
            "leave its pixels out"
        )


def _given_away(
    now: _Frame, object_id: int, mask: "NDArray[np.bool_]", *, prune: bool
) -> "tuple[NDArray[Any], NDArray[np.uint8]]":
    """The frame in which an object holds just these pixels; those that it leaves go to whoever claims them."""
    own = now.labels == object_id
    labels = np.where(mask, object_id, np.where(own, 0, now.labels)).astype(now.labels.dtype)
    confidence = np.where(mask, CONFIDENCE_MAX, np.where(own, 0, now.confidence)).astype(np.uint8)
    fixed = Locked((*now.table.locked, object_id), labels, confidence)
    return compose(now.table, (mask.shape[0], mask.shape[1]), labels.dtype.type, fixed, prune=prune)


def _prunes(group: Any) -> bool:
    return bool(group.attrs.get("config", {}).get("prune", True))


def _by_user(
    old: ObjectResult | None, object_id: int, mask: "NDArray[np.bool_]", config: Mapping[str, Any], side: int
) -> ObjectResult:
    """What is stored of an object that a user gave these pixels."""
    shape_yx = mask.shape[0], mask.shape[1]
    return as_given(old, object_id, Region.from_mask(mask), shape_yx, config, side)


def as_given(
    old: ObjectResult | None,
    object_id: int,
    region: Region | None,
    shape_yx: tuple[int, int],
    config: Mapping[str, Any],
    side: int,
) -> ObjectResult:
    """What is stored of an object that somebody gave these pixels; the window is that of a mask that was prompted."""
    window = old.window if old is not None else Window.full(shape_yx)
    logits = np.full((side, side), -_SURE, np.float32)
    if region is not None and config.get("mode") != "full":
        window = Window.square(region.center_yx, config.get("ratio", 5.0) * region.diameter)
    if region is not None:
        logits = ((rasterise(region, window, side)[0] * 2 - 1) * _SURE).numpy()
    return ObjectResult(
        object_id=object_id,
        direction=old.direction if old is not None else "forward",
        state=ObjectState.LOST if region is None else ObjectState.PRESENT,
        window=window,
        logits=logits,
        scores=ObjectScores(1.0, -_SEEN if region is None else _SEEN),
        area=0 if region is None else region.area,
        decoded_with="painted",
    )
