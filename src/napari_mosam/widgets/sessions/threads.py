"""Threads of the dock: one thing after the other in each, and whatever comes of it told in the GUI thread."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from qtpy.QtCore import QObject, Qt, QThread, QTimer, Signal

logger = logging.getLogger(__name__)

TURN_S = 0.01
"""What waits after that time is done in the next turn of the event loop: shorter than a frame of a screen."""


class GuiThread(QObject):
    """Carries calls into the thread in which it was made; at once where they come from there.

    Those from other threads, and those for :meth:`later`, are carried out in order, each after the end of the one
    before: also where one lets Qt work off its events, as napari's bars of progress do. What takes long together is
    spread over turns of Qt's event loop, so that the viewer draws and takes clicks in between.
    """

    _posted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._closed = self._carrying = False
        self._waiting: deque[tuple[Callable[[], object], bool]] = deque()  # and whether it ends the turn
        self._posted.connect(self._came, Qt.ConnectionType.QueuedConnection)
        self._next_turn = QTimer(self)  # not an event of length 0: Qt sends all of these before it lets a timer fire
        self._next_turn.setSingleShot(True)
        self._next_turn.timeout.connect(self._carry_out)

    def post(self, call: Callable[[], object]) -> None:
        """Carry out a call there; from any thread."""
        if QThread.currentThread() != self.thread():
            self._posted.emit(call)
        elif not self._closed:
            call()

    def later(self, call: Callable[[], object]) -> None:
        """Carry out a call in a turn of the event loop to come, the last of that turn; from this thread alone."""
        self._waiting.append((call, True))
        self._arm()

    @property
    def waits(self) -> bool:
        """Whether something is on its way that has come here."""
        return bool(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether nothing is carried out any more."""
        return self._closed

    def close(self) -> None:
        """Carry out nothing any more, not even what is on its way."""
        self._closed = True
        self._waiting.clear()

    def _came(self, call: Callable[[], object]) -> None:
        self._waiting.append((call, False))
        self._arm()

    def _carry_out(self) -> None:
        """As much as a turn has time for, but one call at least."""
        if self._carrying:
            return
        self._carrying, end = True, perf_counter() + TURN_S
        try:
            while self._waiting and not self._closed:
                call, last = self._waiting.popleft()
                call()
                if last or perf_counter() > end:
                    break
        finally:
            self._carrying = False
            self._arm()

    def _arm(self) -> None:
        if self._waiting and not (self._closed or self._carrying or self._next_turn.isActive()):
            self._next_turn.start(1)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What came of something that was done in a thread.

    Attributes
    ----------
    value : object
        What it returned; None where it failed.
    error : Exception or None
    """

    value: Any = None
    error: Exception | None = None


class Worker:
    """One thread.

    Parameters
    ----------
    name : str
        Of the thread.
    gui : GuiThread
        Is told of the ends.
    pool : ThreadPoolExecutor, optional
        Of a thread that is there already.
    """

    def __init__(self, name: str, gui: GuiThread, pool: ThreadPoolExecutor | None = None) -> None:
        self._pool = pool or ThreadPoolExecutor(1, name)
        self._gui = gui
        self._waiting = 0

    @property
    def busy(self) -> bool:
        """Whether something is being done whose end was not told yet."""
        return self._waiting > 0

    def beside(self) -> "Worker":
        """Another one who does things in the same thread, and is busy with these alone."""
        return Worker("", self._gui, self._pool)

    def start(self, job: Callable[[], Any], on_end: Callable[[JobEnd], object]) -> None:
        """Do something as soon as what was started before is done; `on_end` is called in the GUI thread."""
        self._waiting += 1
        self._pool.submit(self._do, job, on_end)

    def drain(self) -> None:
        """Wait until everything is done."""
        self._pool.submit(int).result()

    def close(self) -> None:
        """End the thread once everything is done; returns at once."""
        self._pool.shutdown(wait=False)

    def _do(self, job: Callable[[], Any], on_end: Callable[[JobEnd], object]) -> None:
        try:
            outcome = JobEnd(job())
        except Exception as error:
            logger.info("refused or failed", exc_info=True)
            outcome = JobEnd(error=error)
        self._gui.post(lambda: self._ended(outcome, on_end))

    def _ended(self, outcome: JobEnd, on_end: Callable[[JobEnd], object]) -> None:
        self._waiting -= 1
        on_end(outcome)


def do_once(name: str, gui: GuiThread, job: Callable[[], Any], on_end: Callable[[JobEnd], object]) -> None:
    """Do one thing in a thread of its own, for which Python waits before it ends; see :meth:`Worker.start`."""
    worker = Worker(name, gui)
    worker.start(job, on_end)
    worker.close()
