"""The one door through which zarr stores on disk are opened: no address is followed, and no chunk can run code."""

import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import local_path, require_room
from napari_mosam.core.files.journal import Journal, Transaction


def open_zarr(path: str | Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open the zarr.Array or zarr.Group in a folder.

    Raises
    ------
    Refused
        For an address, and now or when a member is opened for an array with a codec that is not on the list, see
        :mod:`codecs`.
    """
    import zarr

    return zarr.open(_store(path, read_only=mode == "r"), mode=mode, use_consolidated=False)


def open_zarr_group(path: str | Path, mode: Literal["r", "r+", "w-"]) -> Any:
    """Open or make the zarr.Group in a folder; else as :func:`open_zarr`."""
    import zarr

    return zarr.open_group(_store(path, read_only=mode == "r"), mode=mode, use_consolidated=False)


def open_zarr_earlier(path: str | Path, numbers: Collection[int]) -> Any:
    """Open the zarr.Group in a folder as it was before its last transactions, whose numbers are given."""
    import zarr

    from napari_mosam.core.files.checked_store import EarlierStore

    place = _place(path)
    store = EarlierStore(place, read_only=True)
    store.steps = [entry for entry in Journal(place).entries() if entry.number in numbers]
    return zarr.open_group(store, mode="r", use_consolidated=False)


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


def write_frame(array: Any, t: int, frame: NDArray[Any]) -> None:
    """Replace frame `t` of an array (T, Y, X); a frame of nothing but the fill value, 0, has no chunk.

    The same file as ``array[t] = frame`` writes. That compares every pixel with the fill value and copies the frame
    before it is compressed: 120 ms for labels and confidence of 4096 px, against 12 ms.
    """
    if array.chunks == (1, *frame.shape) and frame.any():
        array.with_config({"write_empty_chunks": True})[t : t + 1] = frame[None]
    else:
        array[t] = frame


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
    from napari_mosam.core.files.checked_store import CheckedStore

    return CheckedStore(_place(path), read_only=read_only)


def _place(path: str | Path) -> Path:
    """Absolute, since a store reads on after the program has gone to another folder."""
    return local_path(path, "a zarr store").absolute()
