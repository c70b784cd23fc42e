"""Hands what a person paints in the labels over to the session, a stroke at a time, without the viewer waiting."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.layers.result_view import LabelsView
    from napari_mosam.widgets.sessions.threads import JobEnd, Worker

TICK_MS = 50
"""Time without a change after which what was painted is a stroke; a person does not paint two in it. Not measured."""


class Strokes:
    """Strokes in one layer of labels.

    Parameters
    ----------
    session : Session
        Whose result they belong to.
    worker : Worker
        In whose thread they are written.
    fail : callable
        Told what could not be written; the labels are shown as they were.
    settled : callable
        Told that a stroke is written, or refused; given its frame and the objects that it changed.
    """

    def __init__(
        self,
        session: "Session",
        worker: "Worker",
        fail: Callable[[Exception], object],
        settled: Callable[[int, tuple[int, ...]], object],
    ) -> None:
        self._session, self._worker, self._fail, self._settled = session, worker, fail, settled
        self._dirty: dict[int, None] = {}
        self._sent: dict[int, int] = {}  # strokes that are on their way, by frame
        self.view: LabelsView | None = None
        self._touches = 0

    @property
    def pending(self) -> bool:
        """Whether a stroke is being painted, or on its way into the result."""
        return bool(self._dirty or self._sent)

    def painted(self, frames: list[int]) -> None:
        """Somebody painted in frames."""
        self._dirty |= dict.fromkeys(frames)
        self._look_later()

    def send(self) -> None:
        """Let what was painted until now be written, as a stroke per frame."""
        dirty, self._dirty = self._dirty, {}
        for t in dirty:
            assert self.view is not None
            strokes, frame = self.view.held.get(t, 0), self.view.frame(t)
            self._sent[t] = strokes
            self._worker.start(partial(self._session.paint, t, frame), partial(self._written, t, strokes))

    def settle(self) -> None:
        """Show as stored what does not wait to be written any more."""
        if self.view is not None:
            waiting = {*self._session.waiting, *self._dirty, *self._sent}
            for t in self.view.held:
                if t in waiting or not self.view.release(t):
                    self.view.renew(t)

    def taken_back(self, t: int) -> None:
        """A stroke that waited was taken back, or done again: show those that still wait."""
        if self.view is not None and t not in self._dirty and t not in self._sent:
            self.view.repaint(t, self._session.waiting_on(t))
            self.settle()

    def close(self) -> None:
        """Send what was painted; nothing more is to come."""
        self.send()

    def _look_later(self) -> None:
        self._touches += 1
        QTimer.singleShot(TICK_MS, partial(self._look, self._touches))

    def _look(self, touches: int) -> None:
        """Send what was painted, unless somebody is still at it."""
        if touches != self._touches or not self._dirty:
            return
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._look_later()
        else:
            self.send()

    def _written(self, t: int, strokes: int, outcome: "JobEnd") -> None:
        if self._sent.get(t) == strokes:
            del self._sent[t]
        if outcome.error is not None:
            assert self.view is not None
            self.view.release(t, strokes)
            self._fail(outcome.error)
        self._settled(t, outcome.value or ())
