"""The one door through which zarr stores on disk are opened: no address is followed, and no chunk can run code.

A zarr array names the codecs that its chunks go through, and one of them, pickle, runs whatever program lies in the
chunk. So only codecs are let through that are known to turn bytes or numbers into bytes or numbers. A list of what is
forbidden would not do: any installed package may add codecs under any name, and what those do nobody knows. Codecs of
text and of objects are not on the list either, since no image has them.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, refuse_address, require_room
from napari_mosam.core.config.json_files import parse_json

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


def _store(path: str | Path, *, read_only: bool) -> Any:
    refuse_address(path, "a zarr store")
    return _checked_store()(Path(path).expanduser(), read_only=read_only)


@cache
def _checked_store() -> type[Any]:
    from zarr.storage import LocalStore

    class CheckedStore(LocalStore):  # type: ignore[misc]
        """A folder whose metadata are checked before zarr sees them."""

        async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
            found = await super().get(key, *arguments, **options)
            return self._checked(key, found)

        def get_sync(self, key: str, *arguments: Any, **options: Any) -> Any:
            return self._checked(key, super().get_sync(key, *arguments, **options))

        def _checked(self, key: str, found: Any) -> Any:
            folder, _, last = key.rpartition("/")
            if found is not None and last in _METADATA:
                check_metadata(str(self.root / folder), found.to_bytes())
            return found

    return CheckedStore


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
