"""The zarr group of a result: where it may be made, and its small parts."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_mosam.core._checks import refuse_address
from napari_mosam.core._zarr_files import open_zarr_group, read_whole
from napari_mosam.core.prompt_records import from_records, to_records
from napari_mosam.core.records import TABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.prompts import Prompts

RESULT_MARK = "napari_mosam"
"""Attribute of a group that holds a result: the version that wrote it."""

LOCK_CHUNK = (64, 64)


def open_group(path: str | Path, mode: Literal["r", "r+"]) -> Any:
    """The zarr group of a result.

    Raises
    ------
    Refused
        For an address, and for an array in it that is stored with a codec which could run code.
    """
    return open_zarr_group(path, mode)


def write_prompts(group: Any, prompts: "Prompts") -> None:
    """Keep prompts in a result's group."""
    group.require_group("prompts").attrs["records"] = to_records(prompts)


def read_prompts(group: Any) -> "Prompts":
    """The prompts kept in a result's group; ValueError where there are none."""
    if "prompts" not in group:
        raise ValueError("this result was written without its prompts, by an earlier version; run 'mosam track' again")
    return from_records(group["prompts"].attrs["records"], group["labels"].shape[1:])


def write_ids(table: Any, object_ids: Sequence[int]) -> None:
    """Name the columns of the tables."""
    ids = np.array(object_ids, np.uint32)
    if "object_ids" in table:
        table["object_ids"].resize(ids.shape)
    else:
        table.create_array("object_ids", shape=ids.shape, chunks=(max(len(ids), 64),), dtype="uint32")
    table["object_ids"][:] = ids


def read_table(table: Any, shape: tuple[int, int]) -> "dict[str, NDArray[np.float32]]":
    """All columns, also of results whose columns are arrays of their own."""
    if "values" in table:
        values = read_whole(table["values"], "the table of the result")
        return {name: values[..., table["values"].attrs["columns"].index(name)] for name in TABLE}
    missing = np.full(shape, np.nan, np.float32)
    return {name: read_whole(table[name], f"the table '{name}'") if name in table else missing for name in TABLE}


def lock_array(group: Any, n_frames: int, n_objects: int) -> Any:
    """Which objects are locked on which frames; made when it is first needed."""
    if "locked" not in group["table"]:
        group["table"].create_array("locked", shape=(n_frames, n_objects), chunks=LOCK_CHUNK, dtype="uint8")
    return group["table/locked"]


def locked_ids(group: Any, object_ids: Sequence[int], t: int) -> tuple[int, ...]:
    """Objects that are locked on frame `t`."""
    if "locked" not in group["table"]:
        return ()
    row = np.asarray(group["table/locked"][t])
    return tuple(object_id for object_id, locked in zip(object_ids, row, strict=True) if locked)


# ---- where a result may be made


def clear_place(path: Path, *, overwrite: bool) -> None:
    """Make sure a result can be written at `path`; only an earlier result is ever removed."""
    refuse_address(path, "a result")
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"'{path}' exists; choose another name or allow it to be overwritten (--overwrite)")
    if not _is_result(path):
        raise FileExistsError(
            f"'{path}' is not a result of napari-mosam, so it is not overwritten; choose another name"
        )
    shutil.rmtree(path)


def _is_result(path: Path) -> bool:
    from zarr.errors import ContainsArrayError, GroupNotFoundError

    try:
        return RESULT_MARK in open_zarr_group(path, "r").attrs
    except (ContainsArrayError, GroupNotFoundError, FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return False


def new_group(path: Path) -> Any:
    """An empty group at `path`, its folders made; PermissionError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_zarr_group(path, "w-")
    except OSError as error:
        reason = error.strerror or error
        raise PermissionError(f"cannot write '{path}' ({reason}); choose a folder you may write to") from error


def mark_version() -> str:
    """The version that writes."""
    from importlib.metadata import version

    return version("napari-mosam")
