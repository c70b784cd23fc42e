"""What was done in a session, in order: changes of marks and steps of a result's journal, in one list."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.prompts.collection import Prompts

Place = Path | None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done; undoing it touches nothing else.

    Attributes
    ----------
    words : str
        What it was.
    marks : tuple of Prompts, optional
        All marks before and after, where they changed.
    places : tuple of (Path or None), optional
        Where the result lay before and after, where another took its place.
    steps : tuple of int
        Numbers of the steps of the result that it took, rising.
    """

    words: str
    marks: tuple[Prompts, Prompts] | None = None
    places: tuple[Place, Place] | None = None
    steps: tuple[int, ...] = ()

    @property
    def only_marks(self) -> bool:
        """Whether the result has no part in it."""
        return self.places is None and not self.steps

    def moved(self, old: Path, new: Path) -> "Change":
        """The same after a result was moved."""
        if self.places is None:
            return self
        before, after = (new if place == old else place for place in self.places)
        return replace(self, places=(before, after))


@dataclass(frozen=True, slots=True)
class History:
    """What was done and can be undone, and what was undone and can be done again; each list ends with what is next."""

    done: tuple[Change, ...] = ()
    undone: tuple[Change, ...] = ()

    def added(self, change: Change) -> "History":
        """With one more; what was undone cannot be done again."""
        return History((*self.done, change))

    def steps(self, since: int) -> tuple[int, ...]:
        """Numbers of the steps of the present result that were taken from an entry on."""
        found: tuple[int, ...] = ()
        for change in self.done[since:]:
            found = change.steps if change.places is not None else (*found, *change.steps)
        return found

    def back(self) -> "History":
        """With the last one undone."""
        return History(self.done[:-1], (*self.undone, self.done[-1]))

    def forth(self) -> "History":
        """With the one done again that was undone last."""
        return History((*self.done, self.undone[-1]), self.undone[:-1])

    def next(self, which: Literal["undo", "redo"]) -> Change:
        """What would be undone or done again; Refused where there is nothing."""
        changes = self.done if which == "undo" else self.undone
        if not changes:
            raise Refused(f"there is nothing to {which}")
        return changes[-1]

    def moved(self, old: Path, new: Path) -> "History":
        """The same after a result was moved."""
        return History(*(tuple(change.moved(old, new) for change in part) for part in (self.done, self.undone)))
