"""What belongs to a zarr store: nothing else is written into one, and a result takes nothing else with it."""

import os
import re
from fnmatch import fnmatch
from pathlib import Path

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files.entries import JOURNAL
from napari_mosam.core.files.manifest import MANIFEST

_MARKS = ("zarr.json", ".zgroup", ".zarray", MANIFEST)
"""Files of which one is in every group and array, and in a result whose metadata are lost."""

_ARRAYS = re.compile(r"(0|labels|confidence|table|records|prompts)/(\w+/)?(zarr\.json|c(/\d+)*)")
"""Metadata and chunks of a result, of this version and of earlier ones."""

_BESIDE = ("zarr.json", MANIFEST, "mosam_session.json")
"""What else there is at the top of a result, but for its journal."""

_NOBODYS = ("*.part", "*.partial", ".*.part.*", ".DS_Store", "._*", "Thumbs.db", "desktop.ini", ".nfs*")
"""What a write that was cut off, or the system, leaves in any folder."""


def check_outside(path: str | Path) -> None:
    """Refuse a place for something new that is inside a zarr store, whichever way leads there.

    Raises
    ------
    Refused
        With the store.
    """
    for folder in Path(os.path.realpath(path)).parents:
        if any(os.path.isfile(folder / name) for name in _MARKS):
            raise Refused(
                f"'{path}' would lie in '{folder}', which is a zarr store, and nothing else is written into one; "
                "choose a place outside it"
            )


def strangers(folder: Path) -> list[str]:
    """Files in the folder of a result that are no part of it, sorted."""
    keys = ((Path(place) / name).relative_to(folder) for place, _, names in os.walk(folder) for name in names)
    return sorted(key.as_posix() for key in keys if not _is_part(key))


def _is_part(key: Path) -> bool:
    if len(key.parts) == 1 and key.name in _BESIDE:
        return True
    known = key.parts[0] == JOURNAL or _ARRAYS.fullmatch(key.as_posix())
    return bool(known) or any(fnmatch(key.name, name) for name in _NOBODYS)
