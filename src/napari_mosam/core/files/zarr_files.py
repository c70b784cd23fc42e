"""The one door through which zarr stores on disk are opened: no address is followed, and no chunk can run code.

A zarr array names the codecs that its chunks go through, and one of them, pickle, runs whatever program lies in the
chunk. So only codecs are let through that are known to turn bytes or numbers into bytes or numbers. A list of what is
forbidden would not do: any installed package may add codecs under any name, and what those do nobody knows. Codecs of
text and of objects are not on the list either, since no image has them.
"""

import asyncio
import math
import os
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, refuse_address, require_room
from napari_mosam.core.config.json_files import parse_json
from napari_mosam.core.files import disk
from napari_mosam.core.files.journal import Transaction
from napari_mosam.core.files.manifest import Verifier, is_chunk

_COMPRESSORS = ("blosc", "bz2", "gzip", "lz4", "lzma", "pcodec", "zfpy", "zlib", "zstd")
_FILTERS = ("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle")
_CHECKSUMS = ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3")
_LAYOUT = ("bytes", "endian", "sharding_indexed", "transpose")
CODECS = frozenset((*_COMPRESSORS, *_FILTERS, *_CHECKSUMS, *_LAYOUT))
PICTURES = "imagecodecs_"
"""Decoders of pictures (JPEG XL and so on) from the package imagecodecs, for whoever has registered them with zarr."""

_METADATA = ("zarr.json", ".zarray")
_MAX_METADATA = 2**28
"""Bytes of the metadata of a zarr node, consolidated ones too; larger ones are refused unread."""


def open_zarr(path: str | Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open the zarr.Array or zarr.Group in a folder.

    Raises
    ------
    Refused
        For an address, and now or when a member is opened for an array with a codec that is not in `CODECS`.
    """
    import zarr

    return zarr.open(_store(path, read_only=mode == "r"), mode=mode, use_consolidated=False)


def open_zarr_group(path: str | Path, mode: Literal["r", "r+", "w-"]) -> Any:
    """Open or make the zarr.Group in a folder; else as :func:`open_zarr`."""
    import zarr

    return zarr.open_group(_store(path, read_only=mode == "r"), mode=mode, use_consolidated=False)


def check_codecs(name: str, metadata: Mapping[str, Any]) -> None:
    """Refuse the metadata of an array (as JSON, version 2 or 3) that names a codec which is not in `CODECS`.

    Raises
    ------
    Refused
        With the codec, and what to do.
    """
    for codec in _codecs(metadata):
        if codec not in CODECS and not codec.startswith(PICTURES):
            why = "runs any program that is hidden in the data" if codec == "pickle" else "is not known to be harmless"
            raise Refused(
                f"{name} is stored with the codec '{codec}', which {why}, so it is not read; allowed: "
                f"{', '.join(sorted(CODECS))}; have it saved again with one of them, such as blosc"
            )


def chunk_bytes(array: Any) -> int:
    """Memory that one chunk of an array takes when it is decoded, bytes; 0 where it is not in chunks."""
    chunks = getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or not all(isinstance(n, int) for n in chunks):
        return 0
    return math.prod(chunks) * int(array.dtype.itemsize)


def require_frame_room(array: Any, what: str, per_pixel: int = 0) -> None:
    """Refuse an array (..., Y, X) of which one frame and one chunk do not fit into memory together.

    Parameters
    ----------
    array : array_like
    what : str
        For the message: what one frame of it is.
    per_pixel : int
        Bytes that are needed of each pixel besides.
    """
    frame = math.prod(array.shape[-2:]) * (array.dtype.itemsize + per_pixel)
    require_room(frame + chunk_bytes(array), what, "cut out the part that matters, or save it in smaller chunks")


def read_whole(array: Any, what: str) -> NDArray[Any]:
    """Read a whole zarr array.

    Raises
    ------
    Refused
        If it does not fit into memory.
    """
    n_bytes = math.prod(array.shape) * array.dtype.itemsize
    require_room(n_bytes + chunk_bytes(array), what, "is the result damaged? run 'mosam track' again")
    return np.asarray(array[:])


def _codecs(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key in ("compressor", "filters", "codecs", "index_codecs"):
        nodes = metadata.get(key)
        for node in nodes if isinstance(nodes, list | tuple) else [nodes]:
            if node is not None:
                yield from _names(node)


def _names(node: Any) -> Iterator[str]:
    """Name of a codec and of those inside it, as a shard has them."""
    if not isinstance(node, Mapping):
        yield str(node).removeprefix("numcodecs.")
        return
    for key in ("id", "name"):
        if key in node:
            yield str(node[key]).removeprefix("numcodecs.")
    inner = node.get("configuration")
    if isinstance(inner, Mapping):
        yield from _codecs(inner)


def folder_of(node: Any) -> Path | None:
    """Where a zarr node lies; None where it does not lie in a folder."""
    root = getattr(node.store, "root", None)
    return Path(root) / node.path if root is not None else None


def absent_along(array: Any, axis: int) -> tuple[int, ...]:
    """Indices along an axis of an array in a folder of which no chunk is there: they read as the fill value."""
    folder = folder_of(array) if hasattr(array, "store") and hasattr(array, "path") else None
    if folder is None or not folder.is_dir():
        return ()
    there = {index[axis] for index in _chunk_indices(folder, array.ndim)}
    step = int((getattr(array, "shards", None) or array.chunks)[axis])
    return tuple(i for i in range(array.shape[axis]) if i // step not in there)


def _chunk_indices(folder: Path, ndim: int) -> Iterator[tuple[int, ...]]:
    """Of the chunks in the folder of an array, whose names are numbers between '/' or '.'."""
    for place, _, names in os.walk(folder):
        for name in names:
            words = (Path(place) / name).relative_to(folder).as_posix().removeprefix("c/").replace("/", ".").split(".")
            numbers = [int(word) for word in words if word.isascii() and word.isdecimal()]
            if len(numbers) == len(words) == ndim:
                yield tuple(numbers)


def write_through(group: Any, transaction: Transaction | None) -> None:
    """From now on, what is written to a group, and to what was taken from it, goes into a batch of a transaction."""
    group.store.transaction = transaction


def _store(path: str | Path, *, read_only: bool) -> Any:
    refuse_address(path, "a zarr store")
    return _checked_store()(Path(path).expanduser(), read_only=read_only)


@cache
def _checked_store() -> type[Any]:
    from zarr.storage import LocalStore

    class CheckedStore(LocalStore):  # type: ignore[misc]
        """A folder whose metadata and chunks are checked before zarr sees them, and that `disk` alone writes."""

        transaction: Transaction | None = None

        @cached_property
        def verifier(self) -> Verifier | None:
            return Verifier.find(self.root)

        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            if self._as_it_is(key) or byte_range is not None:
                return self._checked(key, await super().get(key, prototype, byte_range))
            return _buffer(await asyncio.to_thread(self._ours, key), prototype)

        def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
            if self._as_it_is(key) or byte_range is not None:
                return self._checked(key, super().get_sync(key, prototype=prototype, byte_range=byte_range))
            return _buffer(self._ours(key), prototype)

        def _as_it_is(self, key: str) -> bool:
            """Whether a file is neither being written by us nor in a manifest."""
            if self.transaction is not None and self.transaction.touches(key):
                return self.transaction.staged(key) is None
            return self.verifier is None or not is_chunk(key)

        def _ours(self, key: str) -> bytes | None:
            staged = self.transaction.staged(key) if self.transaction else None
            if staged is not None or self.verifier is None:
                return _content(staged or self.root / key)
            return self.verifier.verified(key, lambda: _content(self.root / key))

        def _checked(self, key: str, found: Any) -> Any:
            folder, _, last = key.rpartition("/")
            if found is not None and last in _METADATA:
                check_metadata(str(self.root / folder), found.to_bytes())
            return found

        async def exists(self, key: str) -> bool:
            staged = self.transaction.staged(key) if self.transaction else None
            return (staged or self.root / key).is_file()

        async def _set(self, key: str, value: Any, exclusive: bool = False) -> None:
            if exclusive and await self.exists(key):
                raise FileExistsError(key)
            self.set_sync(key, value)

        def set_sync(self, key: str, value: Any) -> None:
            self._check_writable()
            content = value.to_bytes()
            if self.transaction is None:
                disk.write(self.root / key, content)
            else:
                self.transaction.stage(key, content)

        async def delete(self, key: str) -> None:
            self.delete_sync(key)

        def delete_sync(self, key: str) -> None:
            self._check_writable()
            place = self.root / key
            for file in _files(place):
                if self.transaction is None:
                    disk.remove(file)
                else:
                    self.transaction.stage(file.relative_to(self.root).as_posix(), None)

        async def delete_dir(self, prefix: str) -> None:
            self.delete_sync(prefix)

    return CheckedStore


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _buffer(content: bytes | None, prototype: Any) -> Any:
    from zarr.core.buffer import default_buffer_prototype

    return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)


def _files(place: Path) -> list[Path]:
    """The file, or all files in the folder."""
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    return [place] if place.is_file() else []


def check_metadata(name: str, content: bytes) -> None:
    """Refuse metadata of a zarr node that are no JSON of a sensible size and depth, or that name a forbidden codec.

    Raises
    ------
    Refused
    """
    if len(content) > _MAX_METADATA:
        raise Refused(
            f"the metadata of {name} have {len(content) / 1e6:,.0f} MB; nothing that is read here has so much"
        )
    try:
        metadata = parse_json(content, unique=False)
    except Refused as error:
        raise Refused(f"the metadata of {name} cannot be read: {error}") from error
    if isinstance(metadata, Mapping):
        check_codecs(name, metadata)
