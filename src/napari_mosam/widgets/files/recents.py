"""The menu of recent results, and the offer to go on with one that a crash left."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QMenu

from napari_mosam.widgets.files.recent_list import RecentEntry, entries

if TYPE_CHECKING:
    from napari_mosam.widgets.engine import Engine
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.widget import MosamWidget


class Recents:
    """What a dock shows of the recent results; they are looked at in a thread.

    Parameters
    ----------
    dock : MosamWidget
    engine : Engine
        Knows them.
    on_open : callable
        Opens one, given its path.
    fail : callable
        Shows an error.
    """

    def __init__(
        self,
        dock: "MosamWidget",
        engine: "Engine",
        on_open: Callable[[Path], object],
        fail: Callable[[Exception], object],
    ) -> None:
        self._jobs, self._engine, self._open, self._fail = dock.jobs, engine, on_open, fail
        self._button, self._offered = dock.controls.result.recent, dock.controls.recover
        self._left: list[RecentEntry] = []
        self.menu = QMenu(dock)
        self.menu.setToolTipsVisible(True)
        self._button.clicked.connect(self.show)
        self._offered.go_on.clicked.connect(self.go_on)
        self._offered.dismiss.clicked.connect(self.dismiss)

    def look(self) -> None:
        """Look whether something was left."""
        self._jobs.background(lambda: entries(self._engine.recent()), self._found)

    def show(self, *_: Any) -> None:
        """List the recent results; the menu opens when they are known."""
        self._jobs.background(lambda: entries(self._engine.recent()), self._fill)

    def go_on(self, *_: Any) -> None:
        """Open the result that was left."""
        path = self._left.pop(0).path
        self._offer()
        self._open(path)

    def dismiss(self, *_: Any) -> None:
        """Leave it where it is, and do not offer it again."""
        path = self._left.pop(0).path
        self._offer()
        self._jobs.background(partial(self._engine.recent().leave, path), lambda _: None)

    def _found(self, outcome: "JobEnd") -> None:
        self._left = [entry for entry in outcome.value or () if entry.left_open]
        self._offer()

    def _offer(self) -> None:
        """Offer to go on with what was left, one after the other."""
        self._offered.setVisible(bool(self._left))
        if self._left:
            self._offered.offer(self._left[0].name, self._left[0].when)

    def _fill(self, outcome: "JobEnd") -> None:
        self.menu.clear()
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        here = {session.path for session in self._jobs.sessions.all()}
        for entry in outcome.value:
            words = f"{entry.words}, open here" if entry.path in here else entry.words
            self.menu.addAction(words, partial(self._open, entry.path)).setToolTip(str(entry.path))
        if not outcome.value:
            self.menu.addAction("No result yet").setEnabled(False)
        self.menu.popup(self._button.mapToGlobal(self._button.rect().bottomLeft()))
