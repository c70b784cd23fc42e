"""What a journal holds: transactions, each a folder, and their batches, each a line of JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import parse_json
from napari_mosam.core.files import disk

JOURNAL = "journal"
"""Name of the folder of transactions in the folder that they change."""

LAST = {"last": True}
"""Note of the last batch of a transaction."""

Seal = tuple[int, int]
"""Size and crc32c of a file."""

SETTLED = ("open", "done", "undone")
"""States in which nothing was cut off."""
STATES = (*SETTLED, "rolling", "undoing", "redoing", "gone")
"""All, as names of folders have them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that change together.

    Attributes
    ----------
    note : mapping
        Of whoever writes: JSON types.
    files : mapping of str to (size, crc32c) or None
        By their names in the folder, with '/'; None: removed.
    old : mapping of str to int
        Those that the transaction changes for the first time and that were there before, and their size.
    """

    note: Mapping[str, Any]
    files: Mapping[str, Seal | None]
    old: Mapping[str, int]

    def to_line(self) -> bytes:
        """One line of JSON."""
        content = {"note": self.note, "files": self.files, "old": self.old}
        return json.dumps(content, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Batch":
        """From JSON; Refused for what is none of ours."""
        content = parse_json(line)
        try:
            files = {checked(key): to_seal(seal) for key, seal in content["files"].items()}
            return cls(dict(content["note"]), files, {checked(key): int(n) for key, n in content["old"].items()})
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise Refused(f"its journal is damaged ({error})") from error


def to_seal(value: Any) -> Seal | None:
    """From JSON."""
    return None if value is None else (int(value[0]), int(value[1]))


def checked(key: str) -> str:
    """A name inside the folder; Refused for one that leads out of it, or into the journal."""
    parts = key.split("/")
    if not all(parts) or {".", ".."} & set(parts) or parts[0] == JOURNAL or "\\" in key or ":" in key:
        raise Refused(f"its journal names the file '{key:.60}', which is no part of it")
    return key


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction in the journal.

    Attributes
    ----------
    path : Path
        Its folder.
    """

    path: Path

    @property
    def number(self) -> int:
        """Rising with time."""
        return int(self.path.name.split(".")[0])

    @property
    def state(self) -> str:
        """'open', 'done', 'undone'; 'rolling', 'undoing', 'redoing' or 'gone' where that was cut off."""
        return self.path.name.split(".")[1]

    @property
    def log(self) -> Path:
        """What it is, and its batches."""
        return self.path / "log"

    @property
    def batch(self) -> Path:
        """The batch whose files are being put in their places."""
        return self.path / "batch"

    @property
    def note(self) -> Mapping[str, Any]:
        """What it is; Refused where that cannot be read."""
        lines = self._lines()
        said = parse_json(lines[0]) if lines else {}
        if not isinstance(said, Mapping):
            raise Refused(f"its journal is damaged ({self.path.name} does not say what it is)")
        return said

    def batches(self) -> list[Batch]:
        """Those that are in the log."""
        return [Batch.from_line(line) for line in self._lines()[1:]]

    def pending(self) -> Batch | None:
        """That whose files are being put in their places."""
        try:
            return Batch.from_line(self.batch.read_bytes())
        except FileNotFoundError:
            return None

    def changes(self) -> dict[str, tuple[bool, bool]]:
        """Of every file whether it was there before and whether it is there after."""
        found: dict[str, tuple[bool, bool]] = {}
        for batch in self.batches():
            for key, seal in batch.files.items():
                before = found[key][0] if key in found else key in batch.old
                found[key] = before, seal is not None
        return found

    def in_state(self, state: str) -> "Entry":
        """The same after the rename that changes its state."""
        moved = self.path.with_name(f"{self.number:04d}.{state}")
        disk.rename(self.path, moved)
        disk.sync(moved.parent)
        return Entry(moved)

    def size(self) -> int:
        """Bytes of the files that it keeps."""
        return sum(size for batch in self.batches() for size in batch.old.values())

    def _lines(self) -> list[bytes]:
        """Whole lines; one that was cut off does not count."""
        try:
            return self.log.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []


def is_entry(name: str) -> bool:
    """Whether a folder in the journal is a transaction."""
    number, _, state = name.partition(".")
    return number.isascii() and number.isdecimal() and state in STATES


def seal_of(content: bytes) -> Seal:
    """Size and crc32c."""
    import google_crc32c

    return len(content), int(google_crc32c.value(content))
