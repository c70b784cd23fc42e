"""Of questions that follow each other quickly, the last one alone is asked, and only its answer is shown."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mosam.widgets.sessions.threads import JobEnd


class Latest:
    """One question at a time.

    Parameters
    ----------
    background : callable
        Does a job in another thread, and calls its second argument with the :class:`JobEnd`.
    show : callable
        Given the answer to the question that was asked last.
    """

    def __init__(self, background: Callable[..., object], show: "Callable[[JobEnd], object]") -> None:
        self._background, self._show = background, show
        self._key: Any = None
        self._job: Callable[[], Any] | None = None
        self._going = False

    def ask(self, key: Any, job: Callable[[], Any] | None = None) -> None:
        """Ask, unless that was asked last; None for no question."""
        if key == self._key:
            return
        self._key, self._job = key, None if key is None else job
        self._start()

    def forget(self) -> None:
        """Ask for nothing, and let the next question be a new one."""
        self._key = self._job = None

    def _start(self) -> None:
        if self._going or self._job is None:
            return
        key, job, self._job, self._going = self._key, self._job, None, True

        def ended(outcome: "JobEnd") -> None:
            self._going = False
            if key is not None and key == self._key and self._job is None:
                self._show(outcome)
            self._start()

        self._background(job, ended)
