"""The recent results in words."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosam.core.session.session_file import NAME

if TYPE_CHECKING:
    from napari_mosam.core.session.recent import Recent

N_SHOWN = 10
"""Results in the menu: what fits beside a small screen without scrolling."""


@dataclass(frozen=True, slots=True)
class RecentEntry:
    """One result.

    Attributes
    ----------
    path : Path
    name : str
        Without '.zarr'.
    when : str
        It was worked on last, such as 'today 14:03'.
    saved : bool
    left_open : bool
        Whether the program that worked on it ended without closing it.
    """

    path: Path
    name: str
    when: str
    saved: bool
    left_open: bool

    @property
    def words(self) -> str:
        """For a menu."""
        state = "left open" if self.left_open else "saved" if self.saved else "not saved"
        return f"{self.name},  {self.when},  {state}"


def entries(recent: "Recent") -> list[RecentEntry]:
    """The newest of them, those first that were left open; looks at each, so it belongs in a thread."""
    listed = list(_entries(recent))
    return sorted(listed, key=lambda entry: not entry.left_open)[:N_SHOWN]


def _entries(recent: "Recent") -> Iterator[RecentEntry]:
    seen: set[Path] = set()
    for result in recent.results():
        if result.path not in seen:
            seen.add(result.path)
            when = in_words(_worked_on(result.path), datetime.now())
            yield RecentEntry(result.path, result.path.stem, when, result.saved, result.left_open)


def _worked_on(path: Path) -> datetime:
    for place in (path / NAME, path):
        with suppress(OSError):
            return datetime.fromtimestamp(place.stat().st_mtime)
    return datetime.now()


def in_words(then: datetime, now: datetime) -> str:
    """Such as 'today 14:03', 'yesterday 09:10', '3 May 2026'."""
    days = (now.date() - then.date()).days
    if days > 1:
        return f"{then.day} {then:%B %Y}"
    return f"{'yesterday' if days == 1 else 'today'} {then:%H:%M}"
