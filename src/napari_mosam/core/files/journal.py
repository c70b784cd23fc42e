"""Transactions on the files of a folder: what they replace is kept, so that they can be undone whole.

Layout: ``journal/NNNN.STATE``, one folder per transaction. ``log`` holds a line of JSON that says what it is, then one
per batch; ``before`` and ``after`` hold files by the names that they have in the folder; ``staged`` and ``batch`` are
there while a batch is written. See docs/adr/0009-the-store.md for what a crash at each point leaves.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files import disk
from napari_mosam.core.files.entries import JOURNAL, LAST, SETTLED, Batch, Entry, Seal, checked, is_entry, seal_of

MOST_KEPT = 20
"""Finished transactions that can be undone; older ones go."""

MOST_BYTES = 2_000_000_000
"""Of what finished transactions keep; beyond it the oldest go, but never the last."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Journal:
    """The transactions of a folder. Whoever changes anything is alone with the folder.

    Attributes
    ----------
    root : Path
        The folder.
    """

    root: Path

    def entries(self) -> list[Entry]:
        """From the oldest to the newest."""
        try:
            names = [path for path in (self.root / JOURNAL).iterdir() if is_entry(path.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted((Entry(path) for path in names), key=lambda entry: entry.number)

    def last(self, *states: str) -> Entry | None:
        """The newest in one of the states."""
        return next((entry for entry in reversed(self.entries()) if entry.state in states), None)

    def next_undone(self) -> Entry | None:
        """The one that redo would do."""
        return next((entry for entry in self.entries() if entry.state == "undone" and not self._is_past(entry)), None)

    def _is_past(self, entry: Entry) -> bool:
        """Whether something was done after it was undone, so that it cannot be redone."""
        done = self.last("done")
        return done is not None and done.number > entry.number

    def begin(self, note: Mapping[str, Any]) -> Entry:
        """A new open transaction."""
        number = max((entry.number for entry in self.entries()), default=0) + 1
        started = Entry(self.root / JOURNAL / f"{number:04d}.gone")  # until it says what it is
        disk.make_folder(started.path)
        disk.write(started.log, json.dumps(dict(note), separators=(",", ":")).encode() + b"\n")
        return started.in_state("open")

    # ---- batches

    def apply(self, entry: Entry) -> None:
        """Put the files of a published batch in their places, and log it; goes on where it was cut off."""
        line = entry.batch.read_bytes()
        batch = Batch.from_line(line)
        for key, seal in batch.files.items():
            place, staged, before = self._place(key), entry.path / "staged" / key, entry.path / "before" / key
            moves = staged.exists() if seal is not None else place.exists()
            if moves and key in batch.old and not before.exists():
                disk.link(place, before)
            if moves and seal is not None:
                disk.rename(staged, place)
            elif moves:
                disk.remove(place)
        if not _ends_with(entry.log, b"\n" + line):
            disk.append(entry.log, line)
        disk.remove(entry.batch)

    def commit(self, entry: Entry) -> None:
        """Make a transaction last, and drop what cannot be redone or is too old."""
        changes = entry.changes()
        places = [self._place(key) for key, (_, after) in changes.items() if after]
        for place in [*places, *sorted({place.parent for place in places}), entry.log, self.root]:
            disk.sync(place)
        disk.remove_empty(entry.path / "staged")
        entry.in_state("done")
        self._forget_undone()
        self._forget_old()

    def _forget_undone(self) -> None:
        for undone in [entry for entry in self.entries() if entry.state == "undone" and self._is_past(entry)]:
            _drop(undone)

    def _forget_old(self) -> None:
        done = [entry for entry in self.entries() if entry.state == "done"]
        sizes = {entry.number: entry.size() for entry in done}
        kept = list(done)
        while len(kept) > 1 and (len(kept) > MOST_KEPT or sum(sizes[entry.number] for entry in kept) > MOST_BYTES):
            kept.pop(0)
        old = done[: len(done) - len(kept)]
        for entry in old:
            _drop(entry)
        if old:
            logger.warning("'%s': %d older step(s) can no longer be undone", self.root, len(old))

    def reopen(self, entry: Entry) -> Entry:
        """Go on with the newest finished transaction; what was done after it, and undone, is forgotten."""
        for undone in [later for later in self.entries() if later.state == "undone"]:
            _drop(undone)
        return entry.in_state("open")

    # ---- back and forth

    def roll_back(self, entry: Entry) -> None:
        """Forget an open transaction: every file is again what it was before."""
        rolling = entry if entry.state == "rolling" else self._settled(entry).in_state("rolling")
        for key, (before, _) in rolling.changes().items():
            place, kept = self._place(key), rolling.path / "before" / key
            if before and kept.exists():
                disk.rename(kept, place)
            elif not before and place.exists():
                disk.remove(place)
        disk.sync(self.root)
        _drop(rolling)

    def undo(self, entry: Entry) -> Entry:
        """Put back what a finished transaction replaced; what it wrote is kept."""
        undoing = entry if entry.state == "undoing" else entry.in_state("undoing")
        for key, (before, after) in undoing.changes().items():
            self._swap(key, undoing.path / "before", undoing.path / "after", there=before, now=after)
        return self._sealed(undoing, "undone")

    def redo(self, entry: Entry) -> Entry:
        """Put back what an undone transaction had written."""
        redoing = entry if entry.state == "redoing" else entry.in_state("redoing")
        for key, (before, after) in redoing.changes().items():
            self._swap(key, redoing.path / "after", redoing.path / "before", there=after, now=before)
        return self._sealed(redoing, "done")

    def _swap(self, key: str, source: Path, target: Path, *, there: bool, now: bool) -> None:
        """Keep the file of now in `target` and put that of `source` in its place; goes on where it was cut off."""
        place, kept, put = self._place(key), target / key, source / key
        if now and not kept.exists() and place.exists():
            disk.link(place, kept)
        if there and put.exists():
            disk.rename(put, place)
        elif not there and now and place.exists():
            disk.remove(place)

    def _sealed(self, entry: Entry, state: str) -> Entry:
        for parent in sorted({self._place(key).parent for key in entry.changes()}):
            disk.sync(parent)
        return entry.in_state(state)

    # ---- after a crash

    def is_settled(self) -> bool:
        """Whether nothing was cut off that the next writer has to finish."""
        return not any(entry.state not in SETTLED or entry.batch.exists() for entry in self.entries())

    def settle(self) -> None:
        """Finish what was cut off: a batch, an undo, a redo, a roll back; an open transaction stays open."""
        ends = {"undoing": self.undo, "redoing": self.redo, "rolling": self.roll_back, "gone": _remove}
        for entry in self.entries():
            if entry.state in ends:
                ends[entry.state](entry)
            elif entry.state == "open":
                self._settled(entry)
        self._forget_undone()

    def _settled(self, entry: Entry) -> Entry:
        """An open transaction without a half batch and without half a line."""
        whole = entry.log.read_bytes().rfind(b"\n") + 1 if entry.log.exists() else 0
        if entry.log.exists() and whole < entry.log.stat().st_size:
            disk.truncate(entry.log, whole)
        if entry.batch.exists():
            self.apply(entry)
        if (entry.path / "staged").exists():
            disk.remove_folder(entry.path / "staged")
        return entry

    def _place(self, key: str) -> Path:
        """Where a file lies; Refused where links lead out of the folder."""
        place = self.root / key
        if self.root.resolve() not in (place.parent.resolve(), *place.parent.resolve().parents):
            raise Refused(f"'{place}' leads out of '{self.root}', so it is not written")
        return place


def _ends_with(path: Path, tail: bytes) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - len(tail), 0))
        return file.read() == tail


def _drop(entry: Entry) -> None:
    _remove(entry.in_state("gone"))


def _remove(entry: Entry) -> None:
    disk.remove_folder(entry.path)


class Transaction:
    """Changes files of a folder, batch by batch, until it is committed.

    Parameters
    ----------
    journal : Journal
    entry : Entry
        Open, and settled.
    """

    def __init__(self, journal: Journal, entry: Entry) -> None:
        self.journal, self.entry = journal, entry
        self._touched = set(entry.changes())
        self._staged: dict[str, Seal | None] = {}

    @classmethod
    def begin(cls, root: Path, note: Mapping[str, Any]) -> "Transaction":
        """A new one; `note` says what it is, in JSON types."""
        journal = Journal(root)
        return cls(journal, journal.begin(note))

    def stage(self, key: str, content: bytes | None) -> None:
        """Add a file to the batch in hand, or (None) its removal."""
        if content is not None:
            disk.write(self._staged_path(key), content)
        self._staged[checked(key)] = None if content is None else seal_of(content)

    def staged(self, key: str) -> Path | None:
        """Where a file of the batch in hand is, if it is one."""
        return self._staged_path(key) if key in self._staged else None

    def touches(self, key: str) -> bool:
        """Whether it changed a file, or is about to."""
        return key in self._touched or key in self._staged

    def publish(self, note: Mapping[str, Any]) -> None:
        """End the batch: its files are in their places, all or none."""
        if self._staged:
            batch = self._batch(note)
            part = self.entry.path / "batch.part"
            disk.write(part, batch.to_line())
            disk.rename(part, self.entry.batch)
            self.journal.apply(self.entry)
            self._touched |= set(batch.files)
            self._staged = {}

    def discard(self) -> None:
        """Drop the batch in hand."""
        self._staged = {}

    def commit(self) -> None:
        """Make it last."""
        self.journal.commit(self.entry)
        self.entry = replace(self.entry, path=self.entry.path.with_suffix(".done"))

    @property
    def ended(self) -> bool:
        """Whether its last batch is there already, from before a crash."""
        batches = self.entry.batches()
        return bool(batches) and batches[-1].note == LAST

    def batches(self) -> list[Batch]:
        """All so far, the one in hand too."""
        return [*self.entry.batches(), self._batch({})]

    def _batch(self, note: Mapping[str, Any]) -> Batch:
        files = {key: self._staged[key] for key in sorted(self._staged)}  # in whatever order threads staged them
        places = {key: self.journal.root / key for key in files if key not in self._touched}
        old = {key: place.stat().st_size for key, place in places.items() if place.exists()}
        return Batch(note, files, old)

    def _staged_path(self, key: str) -> Path:
        return self.entry.path / "staged" / key
