"""Where results lie that were not saved yet, and which were opened last.

A folder per result, never swept: ``<time>-<number>/`` holds the result itself until it is saved, and from then on a
file that says where it is. Before the first run it holds the marks. Every session writes its own folder alone, so that
several hosts may share a home folder.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import read_json
from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.files.places import is_result
from napari_mosam.core.session.session_file import NAME, kept_in

PLACE, IN_USE = "place.json", "in_use.json"
"""Names of the files that say where a saved result is, and who is working on it."""

_MAX_BYTES = 10_000
"""Of these files; a path has at most 4096."""


_UNSAFE = re.compile(r"[^\w.-]+")
"""What a name of a movie may hold and that of a folder should not."""

_LONGEST = 80
"""Characters of the name of a movie that are kept; file systems allow 255 bytes."""


@dataclass(frozen=True, slots=True)
class RecentResult:
    """One result of the list.

    Attributes
    ----------
    path : Path
        The result.
    saved : bool
        Whether a person gave it its place.
    left_open : bool
        Whether the program that worked on it ended without closing it.
    """

    path: Path
    saved: bool
    left_open: bool


@dataclass(frozen=True, slots=True)
class RecentMarks:
    """Marks of which no result was made yet; see :meth:`Session.open`.

    Attributes
    ----------
    path : Path
        Their folder.
    movie : Path
    n_marks : int
    worked_on : datetime
        Last.
    left_open : bool
        As of a result.
    """

    path: Path
    movie: Path
    n_marks: int
    worked_on: datetime
    left_open: bool


@dataclass(frozen=True, slots=True)
class Recent:
    """The list.

    Attributes
    ----------
    root : Path
    """

    root: Path

    @classmethod
    def of_user(cls) -> "Recent":
        """That of the user, in the folder for data of programs."""
        import platformdirs

        return cls(Path(platformdirs.user_data_dir("napari-mosam", appauthor=False)) / "recent")

    def new_place(self, name: str) -> Path:
        """A path at which nothing is, for a new result."""
        stem = _UNSAFE.sub("_", Path(name).stem)[:_LONGEST]
        return self.new_folder() / f"{stem or 'movie'}.zarr"

    def holds(self, path: Path) -> bool:
        """Whether a result lies here, so that it has no place yet that a person gave it."""
        return self.root.resolve() in path.resolve().parents

    def note(self, path: Path) -> None:
        """Put a saved result in front of the list; one that lies here is in it."""
        if self.holds(path):
            return
        for folder in self._folders():
            if _named(folder) == path:
                (folder / PLACE).unlink(missing_ok=True)
        folder = self.new_folder()
        write_whole(folder / PLACE, json.dumps({"path": str(path)}))

    def take(self, path: Path) -> None:
        """Say that this process works on a result; see :attr:`RecentResult.left_open`."""
        folder = self._folder_of(path)
        if folder is not None:
            write_whole(folder / IN_USE, json.dumps({"host": _host(), "process": os.getpid()}))

    def leave(self, path: Path) -> None:
        """Say that it does not any more."""
        folder = self._folder_of(path)
        if folder is not None:
            (folder / IN_USE).unlink(missing_ok=True)

    def results(self) -> list[RecentResult]:
        """All that are there still, the newest first."""
        found = [(folder, _inside(folder), _named(folder)) for folder in sorted(self._folders(), reverse=True)]
        here = [(folder, mine or named, named) for folder, mine, named in found]
        return [
            RecentResult(path, path == named, _is_left(folder))
            for folder, path, named in here
            if path is not None and is_result(path)
        ]

    def marks(self) -> list[RecentMarks]:
        """Marks of which no result was made yet, the newest first."""
        found = ((folder, kept_in(folder)) for folder in sorted(self._folders(), reverse=True))
        return [
            RecentMarks(folder, Path(kept.movie), kept.n_marks, kept.written, _is_left(folder))
            for folder, kept in found
            if kept is not None
        ]

    def drop_marks(self, folder: Path) -> None:
        """Forget marks, of which there is a result now, or none any more."""
        for name in (NAME, IN_USE):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody put something else there
            folder.rmdir()

    def new_folder(self) -> Path:
        """An empty one."""
        folder = self.root / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{uuid.uuid4().hex[:6]}"
        folder.mkdir(parents=True)
        return folder

    def _folders(self) -> Iterator[Path]:
        return (path for path in (self.root.iterdir() if self.root.is_dir() else ()) if path.is_dir())

    def _folder_of(self, path: Path) -> Path | None:
        place = path.resolve()
        return next((f for f in self._folders() if _named(f) == path or f.resolve() in (place, place.parent)), None)


def _inside(folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob("*.zarr")) if not path.name.startswith(".")), None)


def _named(folder: Path) -> Path | None:
    said = _read(folder / PLACE)
    return Path(said["path"]) if isinstance(said.get("path"), str) else None


def _is_left(folder: Path) -> bool:
    said = _read(folder / IN_USE)
    if not said or said.get("host") != _host():
        return False
    import psutil

    return isinstance(said.get("process"), int) and not psutil.pid_exists(said["process"])


def _read(path: Path) -> dict[str, Any]:
    try:
        said = read_json(path, _MAX_BYTES)
    except (OSError, Refused):
        return {}
    return said if isinstance(said, dict) else {}


def _host() -> str:
    import platform

    return platform.node()
