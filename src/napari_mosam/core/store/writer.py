"""What is written to a result: frame by frame, each whole or not at all, in a transaction of its journal."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import nan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.files import disk
from napari_mosam.core.files.entries import LAST, Entry
from napari_mosam.core.files.journal import Journal, Transaction
from napari_mosam.core.files.manifest import MANIFEST, manifest_of, merged_manifest
from napari_mosam.core.files.places import RUN, ResultGoneError
from napari_mosam.core.files.zarr_files import write_frame, write_through
from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.results.columns import labels_of
from napari_mosam.core.results.progress import RERUN
from napari_mosam.core.store.compose import Locked, as_bytes, composed, merge_directions, shapes_of, way_since_prompt
from napari_mosam.core.store.layout import EDITS, open_group, reading, write_ids
from napari_mosam.core.store.records import FrameTable, RecordStore
from napari_mosam.core.store.schema import Shape, create_group
from napari_mosam.core.windows.sparse import SparseImage

if TYPE_CHECKING:
    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult, ObjectResult


class ResultWriter:
    """Writes one frame after another into a result; a frame is on disk, and whole, when a method returns.

    For who is alone with the result, see :func:`alone`.

    Attributes
    ----------
    records : RecordStore
    written : ndarray of bool, shape (T, N)
        Pairs of frame and object that this transaction wrote.
    n_written : int
        Frames that it wrote; one that was written in both directions counts twice.
    """

    def __init__(self, path: Path, group: Any, transaction: Transaction, prompts: "Prompts") -> None:
        self._path, self._folder = path, _identity(path)
        self._group, self._transaction = group, transaction
        write_through(group, transaction)
        self._labels, self._confidence = labels_of(group), group["confidence"]
        self.records = RecordStore.open(group, [int(i) for i in group["table/object_ids"][:]])
        self.written = np.zeros((self._labels.shape[0], len(self.records.object_ids)), bool)
        self.n_written = 0
        self._prompted: dict[int, set[int]] = {}
        for prompt in prompts:
            self._prompted.setdefault(prompt.object_id, set()).add(prompt.frame)
        self._shape_yx: tuple[int, int] = self._labels.shape[1:]
        self._prune = bool(group.attrs.get("config", {}).get("prune", True))
        self._pixel_um2 = prod(group.attrs.get("pixel_size_um") or [nan])

    @classmethod
    def create(cls, path: Path, shape: Shape, prompts: "Prompts", attributes: Mapping[str, Any]) -> None:
        """Make an empty result with an open transaction, for the results of a movie.

        Parameters
        ----------
        path : Path
            Where nothing is yet.
        shape : Shape
        prompts : Prompts
        attributes : mapping
            Settings and provenance, as JSON types.

        Raises
        ------
        PermissionError
            If the folder cannot be written.
        """
        kind, attributes = label_dtype(max(shape.object_ids)), {**attributes, "complete": False}
        group, _ = create_group(path, shape, kind, prompts, attributes)
        group["prompts"].attrs[EDITS] = []
        disk.write(path / MANIFEST, manifest_of(path))
        Transaction.begin(path, {"kind": RUN, "objects": list(shape.object_ids)})

    @classmethod
    def resume(cls, path: Path, entry: Entry, prompts: "Prompts") -> "ResultWriter":
        """Go on with the transaction of a run; `written` and `n_written` tell what it did already."""
        journal = Journal(path)
        going_on = Transaction(journal, entry if entry.state == "open" else journal.reopen(entry))
        writer = cls(path, open_group(path, "r+"), going_on, prompts)
        if writer.group["prompts"].attrs[EDITS]:  # it was closed, and that was listed
            with writer.batch():
                writer.group["prompts"].attrs[EDITS] = []
        for batch in entry.batches():
            if "t" in batch.note:
                writer._note_written(int(batch.note["t"]), batch.note["objects"])
        return writer

    @classmethod
    def reopen(
        cls, path: Path, prompts: "Prompts", new_ids: Sequence[int] = (), span: Sequence[int] = ()
    ) -> "ResultWriter":
        """Begin to follow objects of a result again, with room for more objects and the prompts as they are now.

        `span` are the first frame and the one after the last where that is not all the result has.

        Raises
        ------
        ResultError
            If it has no records.
        """
        group = open_group(path, "r+")
        ids = tuple(int(i) for i in group["table/object_ids"][:])
        records = RecordStore.open(group, ids)
        where = {"span": list(span)} if span else {}
        transaction = Transaction.begin(path, {"kind": RERUN, "objects": list(new_ids), **where})
        make_room(group, transaction, records, new_ids)
        return cls(path, group, transaction, prompts)

    @property
    def group(self) -> Any:
        """The zarr group; what is written to it belongs to the transaction, see :meth:`batch`."""
        return self._group

    @contextmanager
    def batch(self, note: Mapping[str, Any] | None = None) -> Iterator[None]:
        """What is written to the group inside is on disk afterwards: all or, where it is broken off, nothing."""
        self._check_there()
        try:
            yield
            self._transaction.publish(note or {})
        except BaseException:
            self._transaction.discard()
            raise

    def write(self, result: "FrameResult") -> None:
        """Write what one direction says of a frame; where the other was there before, both are fused."""
        t, new = result.t, result.objects
        if self.written[t].any():
            stored = self.records.read(t)
            self.put(t, {o.object_id: self.fused(t, stored.get(o.object_id), o) for o in new}, stored)
            return
        frame = FrameTable.empty(t, self.records.object_ids, self.records.side)
        for one in new:
            frame.put(one)
        labels, confidence = result.held
        self._write_frame(frame, [o.object_id for o in new], labels, confidence.mapped(as_bytes, np.uint8))

    def is_new(self, object_id: int, t: int) -> bool:
        """Whether this transaction has written an object on a frame."""
        return bool(self.written[t, self.records.object_ids.index(object_id)])

    def fused(self, t: int, stored: "ObjectResult | None", new: "ObjectResult") -> "ObjectResult":
        """What is new of an object on frame `t`, or what is stored of the other direction where that is better."""
        if stored is None:
            return new
        way = way_since_prompt(self._prompted.get(new.object_id, ()), t)
        return merge_directions(stored, new, self._shape_yx, way)

    def put(self, t: int, results: "Mapping[int, ObjectResult | None]", stored: FrameTable | None = None) -> None:
        """Replace results (None: forget them) and compose the frame anew; locked ones stay as they are.

        Parameters
        ----------
        t : int
        results : mapping of int to ObjectResult or None
            By object id.
        stored : FrameTable, optional
            All results of the frame, where they are already read.
        """
        frame = stored if stored is not None else self.records.read(t)
        locked = frame.locked
        for object_id, result in results.items():
            if object_id in locked:
                continue
            if result is None:
                frame.clear(object_id)
            else:
                frame.put(result)
        fixed = Locked(locked, self._labels[t], self._confidence[t]) if locked else None
        labels, confidence = composed(frame, self._shape_yx, self._labels.dtype.type, fixed, prune=self._prune)
        self._write_frame(frame, list(results), labels, confidence)

    def _write_frame(
        self, frame: FrameTable, object_ids: list[int], labels: SparseImage, confidence: SparseImage
    ) -> None:
        frame.measure(shapes_of(labels), self._pixel_um2)
        with reading(self._path), self.batch({"t": frame.t, "objects": object_ids}):
            write_frame(self._labels, frame.t, labels.full())
            write_frame(self._confidence, frame.t, confidence.full())
            self.records.write(frame)
        self._note_written(frame.t, object_ids)

    def _note_written(self, t: int, object_ids: Iterable[int]) -> None:
        self.written[t, [self.records.object_ids.index(i) for i in object_ids]] = True
        self.n_written += 1

    def _check_there(self) -> None:
        """A store makes the folders it misses, so a moved or deleted one would come back without its head."""
        if _identity(self._path) != self._folder or not (self._path / "zarr.json").is_file():
            raise ResultGoneError(
                f"'{self._path}' was moved or deleted while it was written; nothing more is written there"
            )

    def finish(self, *, complete: bool = False) -> None:
        """End the transaction; `complete` marks the result as such."""
        self._check_there()
        if complete and not self._transaction.ended:
            self._group.attrs["complete"] = True
        close(self._transaction)


def make_room(group: Any, transaction: Transaction, records: RecordStore, ids: Sequence[int]) -> RecordStore:
    """The records with room for those of the objects that are new; on disk when it returns."""
    added = tuple(i for i in ids if i not in records.object_ids)
    if not added:
        return records
    dtype = np.dtype(label_dtype(max(added)))
    write_through(group, transaction)
    grown = records.grow(added)
    write_ids(group["table"], grown.object_ids)
    _widen(group, transaction, dtype)
    transaction.publish({})
    return RecordStore.open(group, grown.object_ids)


def _widen(group: Any, transaction: Transaction, dtype: np.dtype[Any]) -> None:
    """Give the label frames a type that holds a new id, where theirs does not; every frame is written again."""
    narrow = group["0"]
    if dtype.itemsize <= narrow.dtype.itemsize:
        return
    head = {**json.loads((transaction.journal.root / "0" / "zarr.json").read_bytes()), "data_type": dtype.name}
    transaction.stage("0/zarr.json", json.dumps(head, indent=2).encode())
    wide = group["0"]
    for t in range(wide.shape[0]):
        frame = np.asarray(narrow[t])
        if frame.any():
            wide[t] = frame


def close(transaction: Transaction) -> None:
    """End a transaction: the manifest goes with its last batch, which may be there from before a crash."""
    if not transaction.ended:
        transaction.stage(MANIFEST, merged_manifest(transaction.journal.root, transaction.batches()))
        transaction.publish(LAST)
    transaction.commit()


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another of the same name; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
