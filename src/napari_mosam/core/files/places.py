"""Where a result lies, who may write it, and how a new one takes the place of an earlier one.

A result that replaces another is written beside it, under a hidden name, and takes its place by two renames when it is
whole. Whatever ends the process in between leaves one of them under its own name, or both under their hidden names;
then whoever opens the result next puts it right.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused, local_path
from napari_mosam.core.files import disk
from napari_mosam.core.files.entries import JOURNAL, Entry
from napari_mosam.core.files.journal import Journal
from napari_mosam.core.files.manifest import MANIFEST
from napari_mosam.core.files.stores import check_outside, strangers
from napari_mosam.core.files.zarr_files import open_zarr_group

RESULT_MARK = "napari_mosam"
"""Attribute of a group that holds a result: the version that wrote it."""

RUN = "run"
"""Kind of the transaction that makes a result."""

_TRIES, _PAUSE_S = 20, 0.05
"""How often, and how long apart, a place is tried that another holds: a second in all; a swap is two renames."""

_METADATA = "zarr.json"

_SHOWN = 5
"""Files named in a message."""

logger = logging.getLogger(__name__)


class ResultError(Refused):
    """A result that cannot be used: damaged, of another version, or none at all."""


class ResultBusyError(OSError):
    """Somebody else is writing the result."""


class ResultGoneError(OSError):
    """The result was moved or deleted while it was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a result and the hidden names beside it.

    Attributes
    ----------
    path : Path
        Absolute, without links.
    """

    path: Path

    @classmethod
    def of(cls, path: str | Path) -> "Place":
        """The place of a result, whichever way leads there; :class:`Refused` for an address."""
        return cls(Path(os.path.realpath(local_path(path, "a result"))))

    @property
    def new(self) -> Path:
        """Where the result is written that shall replace the one at `path`."""
        return self._beside("new")

    @property
    def old(self) -> Path:
        """Where the replaced result waits for its end."""
        return self._beside("old")

    @property
    def lock(self) -> Path:
        """The file that the one who writes holds."""
        return self._beside("lock")

    def _beside(self, word: str) -> Path:
        return self.path.with_name(f".{self.path.name}.mosam-{word}")

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse a place where no result may be made.

        Raises
        ------
        FileExistsError
            If `path` exists and may not be overwritten, is no result, or holds something else too.
        """
        exists = os.path.lexists(self.path)
        if exists and not overwrite:
            what, going_on = self.state(), "go on with it (--resume), " if self.can_go_on() else ""
            raise FileExistsError(
                f"'{self.path}' {what}; {going_on}choose another name or allow it to be overwritten (--overwrite)"
            )
        self._check_replaceable()
        if os.path.lexists(self.new):
            raise FileExistsError(f"'{self.new}' is left from an earlier run and cannot be removed; remove it yourself")

    def _check_replaceable(self) -> None:
        """Refuse to replace what is no result, or one with files in it that are no part of it."""
        if not os.path.lexists(self.path):
            return
        if not is_result(self.path):
            raise FileExistsError(
                f"'{self.path}' is not a result of napari-mosam, so it is not overwritten; choose another name"
            )
        others = strangers(self.path)
        if others:
            named = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
            raise FileExistsError(
                f"'{self.path}' holds what is no part of a result ({named}), so it is not overwritten; move that "
                "elsewhere, or choose another name"
            )

    def unfinished_run(self) -> Entry | None:
        """The transaction of the run that makes the result, where that can be gone on with.

        It is open, or was closed by a change that is undone.
        """
        journal = Journal(self.path)
        entry = journal.last("open") or journal.last("done")
        if entry is None or entry.note.get("kind") != RUN:
            return None
        return entry if entry.state == "open" or attributes_of(self.path).get("complete") is False else None

    def can_go_on(self) -> bool:
        """Whether there is a stopped run here, which makes the result or is to replace it."""
        return self.replacement() is not None or self.unfinished_run() is not None

    def state(self) -> str:
        """That it exists, and is not finished."""
        if self.replacement() is not None:
            return "exists, and the run that was to replace it is not finished"
        return "exists and is not finished" if self.unfinished_run() is not None else "exists"

    def replacement(self) -> Path | None:
        """A result that is to replace the one at `path`, if a stopped run left one of which there is something."""
        try:
            run = Place(self.new).unfinished_run()
            worth = run is not None and any("t" in batch.note for batch in run.batches())
        except Refused:  # its journal is damaged
            return None
        return self.new if worth or attributes_of(self.new).get("complete") is True else None

    def holds(self, source: Any) -> bool:
        """Whether a path is the result or leads into it."""
        if not isinstance(source, str | Path):
            return False
        place = Path(os.path.realpath(source))
        return self.path == place or self.path in place.parents

    def publish(self, folder: Path) -> None:
        """Put a result where it belongs, in place of an earlier one; its names and those beside it are synced."""
        for inside in (*(path for path in folder.rglob("*") if path.is_file() and JOURNAL not in path.parts), folder):
            disk.sync(inside)
        if os.path.lexists(self.path):
            self._check_replaceable()
            disk.rename(self.path, self.old)
        disk.rename(folder, self.path)
        disk.sync(self.path.parent)

    def tidy(self, *, replacing: bool = False) -> None:
        """Finish a swap that was cut off, or undo it, and remove what is left over; only for who holds the lock.

        A stopped run that was to replace the result is left over for all but the next run.
        """
        if not os.path.lexists(self.path):
            whole = next((folder for folder in (self.new, self.old) if self._can_take_over(folder)), None)
            if whole is not None:
                disk.rename(whole, self.path)
        if not (replacing and self.replacement()):
            _discard(self.new)
        _discard(self.old)

    def drop_replacement(self) -> None:
        """Forget a stopped run that was to replace the result."""
        _discard(self.new)

    def readable(self) -> Path:
        """The folder that holds the result, hidden or not."""
        if os.path.lexists(self.path):
            return self.path
        return next((folder for folder in (self.new, self.old) if self._can_take_over(folder)), self.path)

    def _can_take_over(self, folder: Path) -> bool:
        attrs = attributes_of(folder)
        return RESULT_MARK in attrs and (folder == self.old or attrs.get("complete") is True)


@contextmanager
def alone(path: str | Path, *, make_folder: bool = False, replacing: bool = False) -> Iterator[Place]:
    """Be the only one who writes a result; the system ends that with the process, however it ends.

    Parameters
    ----------
    path : path
        Of the result.
    make_folder : bool
        Whether it may be new, so that the folder it lies in is made.
    replacing : bool
        Whether a stopped run that was to replace the result may be gone on with; whoever else changes it, keeps it.

    Yields
    ------
    Place
        Tidied up.

    Raises
    ------
    ResultBusyError
        If somebody else is writing it.
    FileNotFoundError, PermissionError
        If its folder is not there, or cannot be written.
    Refused
        If it may be new and would lie in a zarr store.
    """
    place = Place.of(path)
    if make_folder:
        check_outside(place.path)
        _make_folder(place.path.parent, place.path)
    lock = _acquire(place)
    try:
        if replacing:
            with suppress(Refused):
                Journal(place.new).settle()
        place.tidy(replacing=replacing)
        Journal(place.path).settle()
        yield place
    finally:
        try:
            place.tidy(replacing=replacing)
        except KeyboardInterrupt:
            place.tidy(replacing=replacing)
            raise
        finally:
            if lock is not None:
                # Removed while it is held: who opened it meanwhile sees that it has no name any more, and opens anew.
                try:
                    with suppress(OSError):
                        disk.remove(place.lock)
                finally:
                    lock.release()


def _acquire(place: Place) -> Any:
    from filelock import FileLock, Timeout

    lock = FileLock(str(place.lock), timeout=0)
    holder = _holder(place)
    try:
        lock.acquire()
        _sign(place, lock)
    except Timeout:
        raise ResultBusyError(
            f"'{place.path}' is being written by another run{holder}; wait for its end, or choose another name"
        ) from None
    except NotImplementedError:
        logger.warning("'%s' lies where files cannot be locked; nothing keeps others from writing it too", place.path)
        return None
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no result '{place.path}'; check the path") from error
    except OSError as error:
        raise _not_writable(place.path, error) from error
    return lock


def _sign(place: Place, lock: Any) -> None:
    """Say in the lock file who holds it."""
    try:
        disk.write(place.lock, f"process {os.getpid()}{_host()}".encode())
    except BaseException:
        lock.release()
        raise


def _host() -> str:
    import platform

    return f" on {platform.node()}" if platform.node() else ""


def _holder(place: Place) -> str:
    try:
        words = place.lock.read_text(encoding="utf-8")[:200].strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return f" ({words})" if words else ""


def settled(path: str | Path) -> Path:
    """Where to read a result: `path`, after a swap or a change that was cut off is put right.

    In a folder that cannot be written it is read where it lies.
    """
    place = Place.of(path)
    for _ in range(_TRIES):
        exists = os.path.lexists(place.path)
        if Journal(place.path).is_settled() if exists else not (place.new.exists() or place.old.exists()):
            break
        try:
            with alone(path):
                break
        except ResultBusyError:
            if exists:  # who writes it does what is to do
                break
            time.sleep(_PAUSE_S)  # a swap takes no longer than two renames
        except OSError:
            return place.readable()
    return local_path(path, "a result")


def shown(path: str | Path) -> str:
    """A path as messages name it: from the current folder, where it lies in there."""
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)


def is_result(path: str | Path) -> bool:
    """Whether a folder is a result, whole or half; one whose metadata are damaged is known by its manifest."""
    return (Path(path) / MANIFEST).is_file() or RESULT_MARK in attributes_of(Path(path))


def attributes_of(path: Path) -> dict[str, Any]:
    """Attributes of a group; none where there is no group that can be read."""
    if not (path / _METADATA).is_file():
        return {}
    try:
        return dict(open_zarr_group(path, "r").attrs)
    except Exception:  # whatever is wrong with it, it is none of ours
        return {}


def _discard(folder: Path) -> None:
    """Remove a folder of ours; it is no result from the first moment on, so that none is found half removed."""
    for _ in range(_TRIES):  # a write that was interrupted may still be going on in a thread
        if not folder.is_dir() or folder.is_symlink():
            return
        with suppress(OSError):
            disk.remove(folder / _METADATA)
        disk.remove_folder(folder)
        if folder.exists():
            time.sleep(_PAUSE_S)


def new_group(path: Path) -> Any:
    """An empty group at `path`, its folders made; PermissionError where that is not possible."""
    _make_folder(path.parent, path)
    try:
        return open_zarr_group(path, "w-")
    except OSError as error:
        raise _not_writable(path, error) from error


def _make_folder(folder: Path, path: Path) -> None:
    try:
        disk.make_folder(folder)
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> PermissionError:
    what = "make room, or choose another disk" if disk.is_full(error) else "choose a folder you may write to"
    return PermissionError(f"cannot write '{path}' ({error.strerror or error}); {what}")
