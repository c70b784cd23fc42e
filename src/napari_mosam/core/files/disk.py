"""The one door through which results are written: every write, rename, link, sync and removal is a function here.

Tests count the calls and stop at each of them, so nothing that a crash may cut in two is done anywhere else.
"""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def is_full(error: OSError) -> bool:
    """Whether the disk has no more room, or the user no more share of it."""
    return error.errno in _FULL


def why_not(error: OSError) -> str | None:
    """What is the matter with the disk and what to do, for what can happen to any file; None for all else."""
    place = f" ({error.filename2 or error.filename})" if error.filename else ""
    if is_full(error):
        return f"the disk is full{place}; make room, or choose another disk"
    if error.errno in _FORBIDDEN:
        return f"the system does not allow it{place}; choose a place you may read and write"
    if error.errno == errno.ELOOP:
        return f"a link leads back to itself{place}; remove it, or choose another place"
    return None


def write(path: Path, content: bytes) -> None:
    """Write a file, and the folders that it misses; one that is cut off may be half there."""
    try:
        file = path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    with file:
        file.write(content)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file; what is cut off may be half there."""
    with path.open("ab") as file:
        file.write(content)


def truncate(path: Path, size: int) -> None:
    """Cut a file to its first bytes."""
    os.truncate(path, size)


def rename(source: Path, target: Path) -> None:
    """Give a file or folder another name, in place of a file of that name; whole or not at all."""
    try:
        os.replace(source, target)
    except FileNotFoundError:
        if not os.path.lexists(source):
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name that stays when the first is replaced; a copy where there are no such links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, part)
    os.replace(part, target)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in."""
    path.mkdir(parents=True, exist_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)


def remove_empty(path: Path) -> None:
    """Remove a folder in which there are only folders; one with a file in it stays."""
    for folder, _, _ in os.walk(path, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; where the system cannot say, go on."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
