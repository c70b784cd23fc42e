"""A process that dies at a chosen operation of the disk, and after which nothing more is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from napari_mosam.core.files import disk

OPERATIONS = (
    *("write", "append", "truncate", "rename", "link", "sync"),
    *("remove", "make_folder", "remove_folder", "remove_empty"),
)
"""Functions of `disk`."""


class Killed(BaseException):
    """The end of the process, which no code can catch."""


@contextmanager
def dying_at(n: int | None, *, torn: bool = False) -> Iterator[SimpleNamespace]:
    """Die instead of operation `n` (None: never), or in its middle; gives the operations that were begun.

    Parameters
    ----------
    n : int or None
        From 0.
    torn : bool
        Whether half of what is written is there then.
    """
    seen = SimpleNamespace(operations=[])

    def patched(name: str) -> Any:
        operation = getattr(disk, name)

        def dying(*args: Any) -> None:
            dead = n is not None and len(seen.operations) > n
            seen.operations.append((name, str(args[0])))
            if dead:
                raise Killed
            if n is not None and len(seen.operations) > n:
                if torn and name in ("write", "append"):
                    operation(args[0], args[1][: len(args[1]) // 2])
                raise Killed
            operation(*args)

        return dying

    with patch.multiple(disk, **{name: patched(name) for name in OPERATIONS}):
        yield seen


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def content_but_journal(folder: Path) -> dict[str, bytes]:
    """All files of a result, without what can be undone."""
    return {name: found for name, found in content(folder).items() if not name.startswith("journal/")}
