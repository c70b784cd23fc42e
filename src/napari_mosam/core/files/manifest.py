"""What a folder of ours holds: size and crc32c of every chunk that was ever written, and of the metadata of zarr.

zarr leaves out chunks of nothing but background, so that a chunk is absent is no damage by itself; that one is absent
which was written is. Manifests of version 0.1 name no metadata.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import parse_json
from napari_mosam.core.files.entries import JOURNAL, Batch, Seal, seal_of, to_seal
from napari_mosam.core.files.journal import Journal

MANIFEST = "mosam_manifest.json"
"""Its name in the folder."""

_MOST_BYTES = 2**28
"""Of a manifest; one of a million frames has less."""

_TRIES, _PAUSE_S = 5, 0.02
"""How often, and how long apart, a file is looked at again that somebody may be writing."""

Seals = dict[str, Seal]


def is_sealed(key: str) -> bool:
    """Whether a file is a chunk, or metadata of what lies in the group.

    The head of the group itself is not: it says where the movie lies, which changes when the result is moved.
    """
    return "/c/" in f"/{key}" or key.endswith("/zarr.json")


def read_manifest(root: Path) -> Seals:
    """Files of all finished transactions.

    Raises
    ------
    Refused
        If there is no manifest, or it is damaged.
    """
    try:
        with (root / MANIFEST).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise Refused(f"'{root}' has lost its manifest ({MANIFEST}), so what is missing cannot be told") from None
    if len(content) > _MOST_BYTES:
        raise Refused(f"the manifest of '{root}' has more than {_MOST_BYTES / 1e6:,.0f} MB, the most that is read")
    try:
        return {key: seal for key, value in parse_json(content, unique=False).items() if (seal := to_seal(value))}
    except (Refused, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Refused(f"the manifest of '{root}' is damaged: {error}") from error


def merged_manifest(root: Path, batches: Iterable[Batch]) -> bytes:
    """The manifest after a transaction."""
    seals = _after(read_manifest(root), batches)
    return json.dumps({key: seals[key] for key in sorted(seals)}, separators=(",", ":")).encode()


def manifest_of(root: Path) -> bytes:
    """The manifest of a folder that was written without a journal."""
    keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    ours = (key for key in keys if is_sealed(key) and JOURNAL not in key.split("/"))
    seals = {key: seal_of((root / key).read_bytes()) for key in ours}
    return json.dumps(seals, separators=(",", ":")).encode()


def _after(seals: Seals, batches: Iterable[Batch]) -> Seals:
    for batch in batches:
        for key, seal in batch.files.items():
            if seal is None:
                seals.pop(key, None)
            elif is_sealed(key):
                seals[key] = seal
    return seals


@dataclass(frozen=True, slots=True)
class Expected:
    """What files there may be, beside a writer too.

    Attributes
    ----------
    seals : mapping of str to Seal
        Of every file that was written.
    pending : mapping of str to Seal or None
        Of the files that are being replaced at this moment.
    """

    seals: Mapping[str, Seal]
    pending: Mapping[str, Seal | None]

    @classmethod
    def of(cls, root: Path) -> "Expected":
        """By the manifest and the open transaction; nothing is expected while one is undone or redone."""
        journal = Journal(root)
        if journal.last("undoing", "redoing", "rolling"):
            return cls({}, {})
        entry = journal.last("open")
        batch = entry.pending() if entry else None
        seals = _after(read_manifest(root), entry.batches() if entry else ())
        return cls(seals, batch.files if batch else {})

    def damage(self, root: Path) -> dict[str, list[str]]:
        """Files that are 'missing' or 'of another size' than was written; what they hold is not looked at."""
        sizes = {key: _size(root / key) for key in self.seals if key not in self.pending}
        lost = [key for key, size in sizes.items() if size is None]
        other = [key for key, size in sizes.items() if size not in (None, self.seals[key][0])]
        return {how: keys for how, keys in (("missing", lost), ("of another size", other)) if keys}

    def fits(self, key: str, content: bytes | None) -> bool:
        """Whether a file may be so; None: absent."""
        if content is None:
            return key not in self.seals or key in self.pending
        return key not in self.seals or seal_of(content) in (self.seals[key], self.pending.get(key))


def damage_of(root: Path) -> dict[str, list[str]]:
    """As :meth:`Expected.damage`; nothing where there is no manifest that could tell."""
    try:
        return Expected.of(root).damage(root)
    except Refused:
        return {}


def damage_words(damage: Mapping[str, Sequence[str]]) -> str:
    """Such as '2 of its files are missing: 0/c/3/0/0, 0/c/4/0/0'."""
    return ", ".join(f"{len(keys)} of its files are {how}: {shortened(keys, 4)}" for how, keys in damage.items())


def shortened(items: Sequence[object], most: int = 12) -> str:
    """The first of a list."""
    return ", ".join(map(str, items[:most])) + (" ..." if len(items) > most else "")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


class Verifier:
    """Compares the files of a folder with its manifest as they are read.

    Parameters
    ----------
    root : Path
        The folder with the manifest.
    prefix : str
        What names of files lack, where a part of the folder is read.
    """

    def __init__(self, root: Path, prefix: str = "") -> None:
        self._root, self._prefix = root, prefix
        self._expected: Expected | None = None

    @classmethod
    def find(cls, folder: Path) -> "Verifier | None":
        """That of a folder, or of an array right in one; None where there is no manifest."""
        for root, prefix in ((folder, ""), (folder.parent, f"{folder.name}/")):
            if (root / MANIFEST).is_file():
                return cls(root, prefix)
        return None

    def verified(self, name: str, read: Callable[[], bytes | None]) -> bytes | None:
        """What a file holds; None where it was never written. Read again while it may be in somebody's hands.

        Raises
        ------
        Refused
            If it is missing or not what was written.
        """
        key = self._prefix + name
        for left in range(_TRIES, -1, -1):
            expected = self._expected = self._expected or Expected.of(self._root)  # other threads read too
            content = read()
            if expected.fits(key, content):
                return content
            self._expected = None
            if left < _TRIES:
                time.sleep(_PAUSE_S)
        how = "is missing" if content is None else "is not what was written"
        raise Refused(
            f"'{self._root}' cannot be read: {key} {how} (is it damaged? get it from a copy, or run 'mosam track' "
            "again)"
        )
