"""A result moved or copied, and what it says of where its movie lies put right."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_mosam.core.config.json_files import parse_json
from napari_mosam.core.files import disk
from napari_mosam.core.files.entries import JOURNAL
from napari_mosam.core.files.places import Place, alone

_HEAD = "zarr.json"


def move(source: Path, target: Path, aside: Path | None = None) -> None:
    """Move a result, across disks too.

    Parameters
    ----------
    source, target : Path
    aside : Path, optional
        Where a result goes that lies at `target`; without it the target has to be free.

    Raises
    ------
    FileExistsError, PermissionError, ResultBusyError
        Before anything is moved.
    """
    with alone(source) as mine, alone(target, make_folder=True) as place:
        if aside is not None and os.path.lexists(place.path):
            _put(place.path, aside)
        place.check_free(overwrite=False)
        _put(mine.path, place.path)


def copy(source: Path, target: Path, *, overwrite: bool = False) -> None:
    """Copy a result, with all that can be undone; else as :func:`move`."""
    with alone(source) as mine, alone(target, make_folder=True) as place:
        place.check_free(overwrite=overwrite)
        _copy(mine.path, place)


def _put(source: Path, target: Path) -> None:
    disk.make_folder(target.parent)
    try:
        disk.rename(source, target)
        _point_to_movie(target, source)
        disk.sync(target.parent)
    except OSError:
        if not source.exists():
            raise
        _copy(source, Place(target))  # another disk
        disk.remove_folder(source)


def _copy(source: Path, place: Place) -> None:
    try:
        shutil.copytree(source, place.new)
        _point_to_movie(place.new, source, place.path)
        place.publish(place.new)
    except BaseException:
        disk.remove_folder(place.new)
        raise


def _point_to_movie(folder: Path, old: Path, new: Path | None = None) -> None:
    """Write the way from a result to its movie anew, in what can be undone too.

    Parameters
    ----------
    folder : Path
        The result.
    old, new : Path
        Where it lay, and where it lies; `folder` by default.
    """
    for head in _heads(folder):
        content = parse_json(head.read_bytes())
        if _redirect(content.get("attributes", {}), old, new or folder):
            part = head.with_name(f"{head.name}.part")
            disk.write(part, json.dumps(content, indent=2).encode())
            disk.rename(part, head)


def _heads(folder: Path) -> Iterator[Path]:
    yield folder / _HEAD
    for part in ("before", "after"):
        yield from (folder / JOURNAL).glob(f"*/{part}/{_HEAD}")


def _redirect(attributes: dict[str, Any], old: Path, new: Path) -> bool:
    """Whether anything in the attributes led somewhere."""
    places = [attributes.get("provenance", {}).get("movie", {}), _source(attributes)]
    told = [(place, key) for place, key in zip(places, ("path", "image"), strict=True) if place.get(key)]
    for place, key in told:
        place[key] = _from(new, Path(os.path.normpath(os.path.realpath(old) / Path(place[key]))))
    return bool(told)


def _source(attributes: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = attributes.get("ome", {}).get("image-label", {}).get("source", {})
    return found


def _from(result: Path, movie: Path) -> str:
    try:
        return Path(os.path.relpath(movie, os.path.realpath(result))).as_posix()
    except ValueError:  # another drive
        return str(movie)
