"""The store under every zarr node that is opened here; imports zarr, so it is imported when one is."""

import asyncio
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from napari_mosam.core.files import disk
from napari_mosam.core.files.codecs import METADATA, check_metadata
from napari_mosam.core.files.entries import Entry
from napari_mosam.core.files.journal import Transaction
from napari_mosam.core.files.manifest import Verifier, is_sealed


class CheckedStore(LocalStore):  # type: ignore[misc]
    """A folder whose metadata and chunks are checked before zarr sees them, and that `disk` alone writes."""

    transaction: Transaction | None = None

    @cached_property
    def verifier(self) -> Verifier | None:
        """What compares files with the manifest; None where there is none."""
        return Verifier.find(self.root)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """A file, or a part of one; None where there is none. Refused where it is not what was written."""
        if self._as_it_is(key) or byte_range is not None:
            return self._checked(key, await super().get(key, prototype, byte_range))
        return self._checked(key, _buffer(await asyncio.to_thread(self._ours, key), prototype))

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        """As :meth:`get`."""
        if self._as_it_is(key) or byte_range is not None:
            return self._checked(key, super().get_sync(key, prototype=prototype, byte_range=byte_range))
        return self._checked(key, _buffer(self._ours(key), prototype))

    def _as_it_is(self, key: str) -> bool:
        """Whether a file is neither being written by us nor in a manifest."""
        if self.transaction is not None and self.transaction.touches(key):
            return self.transaction.staged(key) is None
        return self.verifier is None or not is_sealed(key)

    def _ours(self, key: str) -> bytes | None:
        staged = self.transaction.staged(key) if self.transaction else None
        if staged is not None or self.verifier is None:
            return _content(staged or self.root / key)
        return self.verifier.verified(key, lambda: _content(self.root / key))

    def _checked(self, key: str, found: Any) -> Any:
        folder, _, last = key.rpartition("/")
        if found is not None and last in METADATA:
            check_metadata(str(self.root / folder), found.to_bytes())
        return found

    async def exists(self, key: str) -> bool:
        """Whether there is a file, in the batch in hand too."""
        staged = self.transaction.staged(key) if self.transaction else None
        return (staged or self.root / key).is_file()

    async def _set(self, key: str, value: Any, exclusive: bool = False) -> None:
        if exclusive and await self.exists(key):
            raise FileExistsError(key)
        self.set_sync(key, value)

    def set_sync(self, key: str, value: Any) -> None:
        """Write a file, or add it to the batch in hand."""
        self._check_writable()
        content = value.to_bytes()
        if self.transaction is None:
            disk.write(self.root / key, content)
        else:
            self.transaction.stage(key, content)

    async def delete(self, key: str) -> None:
        """Remove a file."""
        self.delete_sync(key)

    def delete_sync(self, key: str) -> None:
        """Remove a file, or all files of a folder."""
        self._check_writable()
        place = self.root / key
        for file in _files(place):
            if self.transaction is None:
                disk.remove(file)
            else:
                self.transaction.stage(file.relative_to(self.root).as_posix(), None)

    async def delete_dir(self, prefix: str) -> None:
        """Remove all files of a folder."""
        self.delete_sync(prefix)


class EarlierStore(CheckedStore):
    """A folder as it was before its last transactions; to read alone."""

    steps: Sequence[Entry] = ()

    @cached_property
    def replaced(self) -> dict[str, Path | None]:
        """By file that they changed, where the earlier one is kept; None where there was none."""
        found: dict[str, Path | None] = {}
        for entry in sorted(self.steps, key=lambda entry: entry.number):
            for key, (before, _) in entry.changes().items():
                found.setdefault(key, entry.path / "before" / key if before else None)
        return found

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """A file; None where there was none."""
        if key not in self.replaced:
            return await super().get(key, prototype, byte_range)
        return self.get_sync(key, prototype=prototype)

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        """As :meth:`get`."""
        if key not in self.replaced:
            return super().get_sync(key, prototype=prototype, byte_range=byte_range)
        kept = self.replaced[key]
        return self._checked(key, None if kept is None else _buffer(_content(kept), prototype))

    async def exists(self, key: str) -> bool:
        """Whether there was a file."""
        return self.replaced[key] is not None if key in self.replaced else await super().exists(key)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _buffer(content: bytes | None, prototype: Any) -> Any:
    return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)


def _files(place: Path) -> list[Path]:
    """The file, or all files in the folder."""
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    return [place] if place.is_file() else []
