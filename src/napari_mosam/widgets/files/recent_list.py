"""The recent results in words."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosam.core.session.session_file import NAME
from napari_mosam.widgets.run_view import count_of

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
    state : str
        Such as 'saved'.
    left_open : bool
        Whether the program that worked on it ended without closing it.
    """

    path: Path
    name: str
    when: str
    state: str
    left_open: bool

    @property
    def words(self) -> str:
        """For a menu."""
        state = "left open" if self.left_open else self.state
        return f"{self.name},  {self.when},  {state}"


def entries(recent: "Recent") -> list[RecentEntry]:
    """The newest of them, those first that were left open; looks at each, so it belongs in a thread."""
    found = {path: (then, entry) for path, then, entry in (*_results(recent), *_marks(recent))}
    newest = sorted(found.values(), key=lambda pair: pair[0], reverse=True)
    return sorted((entry for _, entry in newest), key=lambda entry: not entry.left_open)[:N_SHOWN]


def _results(recent: "Recent") -> Iterator[tuple[Path, datetime, RecentEntry]]:
    for result in reversed(recent.results()):
        then, state = _worked_on(result.path), "saved" if result.saved else "not saved"
        when = in_words(then, datetime.now())
        yield result.path, then, RecentEntry(result.path, result.path.stem, when, state, result.left_open)


def _marks(recent: "Recent") -> Iterator[tuple[Path, datetime, RecentEntry]]:
    for marks in recent.marks():
        when, state = in_words(marks.worked_on, datetime.now()), f"{count_of(marks.n_marks, 'mark')} only"
        yield marks.path, marks.worked_on, RecentEntry(marks.path, marks.movie.stem, when, state, marks.left_open)


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
