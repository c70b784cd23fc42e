"""A worker thread that yields results and never runs far ahead of the viewer."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari_mosam.core.results.frame import FrameResult

logger = logging.getLogger(__name__)

FIRST_DRAW_MS = 50
"""Before a run starts, so that new layers are drawn before torch takes every core; not measured."""

MAX_LEAD = 3
"""Results that may wait for the viewer: the engine goes on while one is drawn, and memory stays small; not measured."""

POLL_S = 0.05
"""Between two looks at whether a waiting run is stopped: at once for a person."""


@dataclass(eq=False)
class Backpressure:
    """Lets the worker pass while the viewer keeps up, until somebody stops the run.

    Parameters
    ----------
    lead : int
        Results that may wait for the viewer.
    """

    lead: int = MAX_LEAD
    is_aborted: Callable[[], bool] = bool  # napari's own request, at exit
    error: Exception | None = None
    _free: threading.Semaphore = field(init=False)
    _stop: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._free = threading.Semaphore(self.lead)

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return self._stop.is_set() or self.is_aborted()

    def stop(self) -> None:
        """End the run at its next frame."""
        self._stop.set()

    def done(self) -> None:
        """Tell that the viewer has handled a result."""
        self._free.release()

    def wait(self) -> bool:
        """Wait for the viewer; False when the run is to end. Polls, so nobody has to wake it."""
        while not self.stopped:
            if self._free.acquire(timeout=POLL_S):
                return True
        return False


def stream(steps: "Callable[[], Iterable[FrameResult]]", gate: Backpressure) -> "Generator[FrameResult, None, None]":
    """Yield the results of `steps`; an error goes to the gate, since the thread pool swallows some of those raised."""
    try:
        results = iter(steps())
        while not gate.stopped:
            result = next(results, None)
            if result is None or not gate.wait():
                break
            yield result
        close = getattr(results, "close", None)
        if close is not None:
            close()
    except Exception as error:
        logger.info("run failed", exc_info=True)
        gate.error = error


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended."""

    error: Exception | None
    stopped: bool
    n_results: int
    seconds: float


class Worker:
    """Starts one run at a time and hands its results to the GUI thread."""

    def __init__(self) -> None:
        self._gate: Backpressure | None = None
        self._job: _Job | None = None  # Qt keeps no reference to the owner of a slot

    @property
    def busy(self) -> bool:
        """Whether a run is going, or a cancelled one is finishing its frame."""
        return self._gate is not None

    @property
    def stopping(self) -> bool:
        """Whether the run was told to stop."""
        return self._gate is not None and self._gate.stopped

    def start(
        self,
        steps: "Callable[[], Iterable[FrameResult]]",
        *,
        total: int,
        title: str,
        on_result: "Callable[[FrameResult], None]",
        on_end: Callable[[RunEnd], None],
    ) -> None:
        """Run `steps` in a thread; `on_result` and `on_end` are called in the GUI thread.

        Raises
        ------
        RuntimeError
            If a run is going.
        """
        if self.busy:
            raise RuntimeError("a run is going already; cancel it or wait for its end")
        self._gate = gate = Backpressure()
        self._job = _Job(gate, on_result, self._ended(on_end))
        self._job.start(steps, total, title)

    def stop(self) -> None:
        """Ask the run to end; returns at once."""
        if self._gate is not None:
            self._gate.stop()

    def _ended(self, on_end: Callable[[RunEnd], None]) -> Callable[[RunEnd], None]:
        def ended(end: RunEnd) -> None:
            self._gate = self._job = None
            on_end(end)

        return ended


class _Job:
    """Connects one worker with one pair of callbacks."""

    def __init__(
        self, gate: Backpressure, on_result: "Callable[[FrameResult], None]", on_end: Callable[[RunEnd], None]
    ) -> None:
        self._gate, self._on_result, self._on_end = gate, on_result, on_end
        self._n_results = 0
        self._started = time.perf_counter()

    def start(self, steps: "Callable[[], Iterable[FrameResult]]", total: int, title: str) -> None:
        from napari.qt.threading import create_worker

        worker: Any = create_worker(
            stream,
            steps,
            self._gate,
            _start_thread=False,
            _ignore_errors=True,
            _progress={"total": total, "desc": title},
            _connect={"yielded": self._handle, "finished": self._finish},
        )
        self._gate.is_aborted = lambda: worker.abort_requested
        QTimer.singleShot(FIRST_DRAW_MS, worker.start)  # new layers are drawn before torch takes every core

    def _handle(self, result: "FrameResult") -> None:
        try:
            self._on_result(result)
            self._n_results += 1
        except Exception as error:
            logger.info("result could not be shown", exc_info=True)
            self._gate.error = error
            self._gate.stop()
        finally:
            self._gate.done()

    def _finish(self) -> None:
        seconds = time.perf_counter() - self._started
        self._on_end(RunEnd(self._gate.error, self._gate.stopped, self._n_results, seconds))
