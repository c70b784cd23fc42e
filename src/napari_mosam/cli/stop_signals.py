"""How the command ends on Ctrl-C and SIGTERM; imports next to nothing, so that it is there before everything else."""

import os
import signal
import sys
import time
from types import FrameType

STOPPED = 130
"""Exit code of a command that was stopped: 128 and the number of SIGINT, as shells have it."""

PATIENCE_S = 1.0
"""A second Ctrl-C within it is the same one, passed on by another program; a later one ends the command at once."""


class StopSignals:
    """Ctrl-C and SIGTERM alike.

    While the command loads there is nothing to lose, so it leaves at once: an exception inside an import comes out as
    anything. While it works, KeyboardInterrupt is raised. While it ends, nothing happens any more.
    """

    def __init__(self) -> None:
        self._loading, self._caught = True, False
        self._since: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the command was asked to stop while it worked."""
        return self._since is not None

    def catch(self) -> None:
        """Take charge of the signals that are not ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        self._caught = True
        show = sys.unraisablehook
        sys.unraisablehook = lambda what: None if issubclass(what.exc_type, KeyboardInterrupt) else show(what)

    def begin(self) -> None:
        """The command has loaded what it needs, and works from now on."""
        self._loading = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if the one that was asked for got lost on its way."""
        if self.asked:
            raise KeyboardInterrupt

    def end(self) -> None:
        """The command is ending; its last words are not to be interrupted, nor is the interpreter's end."""
        if self._caught:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._loading:
            leave("stopped before anything was done")
        now = time.monotonic()
        if self._since is None:
            self._since = now
            raise KeyboardInterrupt
        if now - self._since > PATIENCE_S:
            leave("stopped at once, in the middle of ending; 'mosam info' describes what is left")


def leave(message: str) -> None:
    """End the process now, whatever it is in the middle of."""
    os.write(2, f"mosam: {message}\n".encode())
    os._exit(STOPPED)
