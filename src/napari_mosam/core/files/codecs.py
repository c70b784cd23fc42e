"""Which codecs the chunks of a zarr array may go through.

A zarr array names them, and one, pickle, runs whatever program lies in the chunk. So only codecs are let through that
are known to turn bytes or numbers into bytes or numbers. A list of what is forbidden would not do: any installed
package may add codecs under any name, and what those do nobody knows. Codecs of text and of objects are not on the list
either, since no image has them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import parse_json

_COMPRESSORS = ("blosc", "bz2", "gzip", "lz4", "lzma", "pcodec", "zfpy", "zlib", "zstd")
_FILTERS = ("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle")
_CHECKSUMS = ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3")
_LAYOUT = ("bytes", "endian", "sharding_indexed", "transpose")
CODECS = frozenset((*_COMPRESSORS, *_FILTERS, *_CHECKSUMS, *_LAYOUT))
PICTURES = "imagecodecs_"
"""Decoders of pictures (JPEG XL and so on) from the package imagecodecs, for whoever has registered them with zarr."""

METADATA = ("zarr.json", ".zarray")
"""Files of a zarr node that name the codecs of an array."""

_MAX_METADATA = 2**28
"""Bytes of the metadata of a zarr node, consolidated ones too; larger ones are refused unread."""


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
