"""The zarr group of a result: how it is opened, and its small parts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_mosam.core.config.checks import Refused, refuse_address
from napari_mosam.core.files.disk import why_not
from napari_mosam.core.files.manifest import read_manifest
from napari_mosam.core.files.places import RESULT_MARK, ResultError, ResultGoneError, is_result, settled, shown
from napari_mosam.core.files.zarr_files import open_zarr_group
from napari_mosam.core.prompts.records import from_records, to_records
from napari_mosam.core.results.columns import TABLE, in_order, labels_of

if TYPE_CHECKING:
    from napari_mosam.core.prompts.collection import Prompts


SCHEMA = 2
"""Of the results that are written. Those of version 0.1, which do not say, have 1."""

NAMES, PARENTS = "names", "parents"
"""Attributes of a result: names of objects, and mothers by daughter, by ids as text."""

EDITS = "edits"
"""Attribute of the prompts: what was done to a result, see :mod:`edits`."""


_NO_RESULT = "'{}' is no result of 'mosam track'; give the OUT.zarr that it wrote"


def open_group(path: str | Path, mode: Literal["r", "r+"]) -> Any:
    """The zarr group of a result; a swap that was cut off is put right first.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ResultError
        If it cannot be read, has lost its manifest, is of a newer version, or holds an array that is stored with a
        codec which could run code.
    Refused
        For an address.
    """
    refuse_address(path, "a result")
    with reading(path):
        folder = settled(path)
        if not folder.exists():
            raise FileNotFoundError(f"there is no result '{shown(path)}'; check the path")
        group = _root(folder, mode)
        schema = schema_of(group.attrs)
        if "table" not in group or ("0" not in group and "labels" not in group):
            raise ResultError(_NO_RESULT.format(shown(path)))
        if schema > 1:
            read_manifest(folder)
        return group


def _root(folder: Path, mode: Literal["r", "r+"]) -> Any:
    """The group of a folder; ResultError where that is none, or is ours and has lost its head."""
    try:
        group = open_zarr_group(folder, mode)
    except Exception as error:  # zarr has its own each
        if isinstance(error, OSError) and why_not(error):
            raise
        if not is_result(folder):
            raise ResultError(_NO_RESULT.format(folder)) from error
        raise ResultError(f"'{folder}' is a result with damaged metadata: {_first_line(error)}") from error
    if is_result(folder) and RESULT_MARK not in group.attrs:
        raise ResultError(f"'{folder}' is a result with damaged metadata: zarr.json does not say who wrote it")
    return group


def schema_of(attrs: Mapping[str, Any]) -> int:
    """Which schema a result follows.

    Raises
    ------
    ResultError
        If it is newer than this version.
    """
    schema = attrs.get("schema", 1)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ResultError(
            f"this result was written by a newer version (napari-mosam {attrs.get(RESULT_MARK, 'unknown')}, schema "
            f"{schema}); this one reads schemas up to {SCHEMA}: update napari-mosam"
        )
    return schema


def names_of(attrs: Mapping[str, Any]) -> dict[int, str]:
    """Names that a person gave objects, by id."""
    return {int(i): str(name) for i, name in dict(attrs.get(NAMES) or {}).items()}


def parents_of(attrs: Mapping[str, Any]) -> dict[int, int]:
    """Mothers by daughter."""
    return {int(child): int(mother) for child, mother in dict(attrs.get(PARENTS) or {}).items()}


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn whatever a damaged store makes its readers raise into one kind of error; a refusal keeps its words.

    Raises
    ------
    ResultError
        In place of it.
    """
    try:
        yield
    except (ResultError, ResultGoneError, FileNotFoundError, ImportError, MemoryError):
        raise
    except Refused as error:
        raise ResultError(str(error)) from error
    except Exception as error:  # zarr, the codecs and the parsers have their own each
        if isinstance(error, OSError) and why_not(error):
            raise
        said = _first_line(error)
        raise ResultError(f"'{shown(path)}' cannot be read: {said} (is it damaged? run 'mosam track' again)") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def write_prompts(group: Any, prompts: "Prompts") -> None:
    """Keep prompts in a result's group."""
    group.require_group("prompts").attrs["records"] = to_records(prompts)


def read_prompts(group: Any) -> "Prompts":
    """The prompts kept in a result's group; ResultError where there are none."""
    if "prompts" not in group:
        raise ResultError("this result was written without its prompts, by an earlier version; run 'mosam track' again")
    return from_records(group["prompts"].attrs["records"], labels_of(group).shape[1:])


def write_ids(table: Any, object_ids: Sequence[int]) -> None:
    """Name the columns of the tables."""
    ids = np.array(object_ids, np.uint32)
    if "object_ids" in table:
        table["object_ids"].resize(ids.shape)
    else:
        table.create_array("object_ids", shape=ids.shape, chunks=(max(len(ids), 64),), dtype="uint32")
    table["object_ids"][:] = ids


def locked_ids(group: Any, object_ids: Sequence[int], t: int) -> tuple[int, ...]:
    """Objects that are locked on frame `t`; in results of version 0.1 that is an array of its own."""
    table = group["table"]
    if "locked" in table:
        row = np.asarray(table["locked"][t])
    elif "values" in table:
        row = in_order(np.asarray(table["values"][t]), table["values"].attrs["columns"])[:, TABLE.index("locked")]
    else:
        return ()
    return tuple(i for i, locked in zip(object_ids, np.nan_to_num(row).tolist(), strict=True) if locked)


def mark_version() -> str:
    """The version that writes."""
    from importlib.metadata import version

    return version("napari-mosam")
