"""How fast a run is, and how long it will still take."""

from collections import deque

LAST = 12
"""Frames over which the rate is measured: it follows objects that come and go, and one slow frame does not rule it.
Not measured."""


class Pace:
    """Frames a second over the last frames of a run."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque(maxlen=LAST + 1)

    def note(self, done: int, at: float) -> None:
        """So many frames are done at a time, s."""
        self._marks.append((done, at))

    @property
    def rate(self) -> float | None:
        """Frames a second; None before the second frame."""
        if len(self._marks) < 2:
            return None
        (before, since), (done, now) = self._marks[0], self._marks[-1]
        return (done - before) / max(now - since, 1e-6)

    def left(self, total: int) -> str:
        """What is left until so many frames are done, such as 'about 2 min left'; '' where nobody knows."""
        if not self.rate:
            return ""
        return f"about {in_words((total - self._marks[-1][0]) / self.rate)} left"


def in_words(seconds: float) -> str:
    """A time as coarse as an estimate is: '5 s', '40 s', '3 min', '2.5 h'."""
    if seconds < 57.5:
        return f"{max(5 * round(seconds / 5), 5)} s" if seconds >= 5 else f"{max(round(seconds), 1)} s"
    minutes = seconds / 60
    return f"{round(minutes)} min" if minutes < 59.5 else f"{minutes / 60:.1f} h"
