"""What a person painted and what is not in the result yet: a run is going, or there is no result."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Masks = Mapping[int, NDArray[np.bool_] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """One stroke that waits.

    Attributes
    ----------
    frame : int
    before, after : mapping of int to (ndarray of bool, shape (Y, X), or None)
        Masks that wait on that frame without it and with it; None for an object that is absent.
    since : int
        How much was done in the session when it was painted.
    """

    frame: int
    before: "Masks"
    after: "Masks"
    since: int

    @property
    def words(self) -> str:
        """What it was."""
        return f"painting on frame {self.frame}"


class Waiting:
    """Masks that wait to be written, by frame and object, and the strokes that they came with."""

    def __init__(self) -> None:
        self._masks: dict[int, Masks] = {}
        self._done: list[Stroke] = []
        self._undone: list[Stroke] = []

    def __bool__(self) -> bool:
        return bool(self._masks)

    @property
    def frames(self) -> tuple[int, ...]:
        """Those that were painted, ascending."""
        return tuple(sorted(self._masks))

    def on(self, frame: int) -> "Masks":
        """What waits on a frame."""
        return self._masks.get(frame, {})

    def add(self, frame: int, masks: "Masks", since: int | None) -> None:
        """One more stroke, given as all that differs from the result on its frame; None: a mark tells of it too."""
        before = self.on(frame)
        self._masks[frame] = {**before, **masks}
        if since is not None:
            self._done.append(Stroke(frame, before, self._masks[frame], since))
        self._undone.clear()

    def take(self, frame: int) -> "Masks":
        """Let what waits on a frame be written; its strokes cannot be taken back here any more."""
        self._done = [stroke for stroke in self._done if stroke.frame != frame]
        self._undone.clear()
        return self._masks.pop(frame)

    def last(self, since: int) -> Stroke | None:
        """The last stroke, if nothing else was done after it."""
        return self._done[-1] if self._done and self._done[-1].since >= since else None

    def next_undone(self, since: int) -> Stroke | None:
        """The one that was taken back last, if nothing else was done since."""
        return self._undone[-1] if self._undone and self._undone[-1].since == since else None

    def back(self) -> Stroke:
        """Take the last stroke back."""
        stroke = self._done.pop()
        self._undone.append(stroke)
        self._put(stroke.frame, stroke.before)
        return stroke

    def forth(self) -> Stroke:
        """Do again what was taken back last."""
        stroke = self._undone.pop()
        self._done.append(stroke)
        self._put(stroke.frame, stroke.after)
        return stroke

    def among(self, done: tuple[str, ...]) -> tuple[str, ...]:
        """What was done, in words, with the strokes that wait in their places."""
        words = list(done)
        for further, stroke in enumerate(self._done):
            words.insert(min(stroke.since, len(done)) + further, stroke.words)
        return tuple(words)

    def undone(self, since: int) -> tuple[str, ...]:
        """What was taken back and can be done again, in words, the next at the end."""
        return tuple(stroke.words for stroke in self._undone) if self.next_undone(since) is not None else ()

    def _put(self, frame: int, masks: "Masks") -> None:
        if masks:
            self._masks[frame] = masks
        else:
            self._masks.pop(frame, None)
