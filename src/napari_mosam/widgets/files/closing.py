"""Asks before napari closes while a run is going or results have no place yet; says what a closed dock leaves."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_mosam.widgets.files import questions

if TYPE_CHECKING:
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.widget import MosamWidget

SaveAll = Callable[["list[Session]", Callable[[], object]], object]


class Closing(QObject):
    """Watches the window of a dock.

    Parameters
    ----------
    dock : MosamWidget
    save_all : callable
        Saves sessions at places that it asks for, and calls what it is given when they are saved.
    """

    def __init__(self, dock: "MosamWidget", save_all: SaveAll) -> None:
        super().__init__()
        self._dock, self._save_all = dock, save_all
        self._window: QMainWindow | None = None
        dock.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Find the window when the dock is shown; ask when somebody closes it."""
        if event.type() == QEvent.Type.Show and watched is self._dock:
            self._watch(_window_of(self._dock))
        if event.type() == QEvent.Type.Close and watched is self._window and not self._may_close():
            event.ignore()
            return True
        return False

    def close(self) -> None:
        """Watch nothing any more; say what becomes of a run."""
        with suppress(RuntimeError):  # the window is gone already
            self._watch(None)
            self._dock.removeEventFilter(self)
        if self._dock.jobs.busy and self._dock.session is not None:
            tell_at_end(self._dock.session)

    def _watch(self, window: QMainWindow | None) -> None:
        if self._window is not None:
            self._window.removeEventFilter(self)
        self._window = window
        if window is not None:
            window.installEventFilter(self)
            window.destroyed.connect(self._dock.jobs.sessions.close)  # the viewer has ended, with a dock or without

    def _may_close(self) -> bool:
        running, unsaved = self._dock.jobs.busy, self._dock.jobs.sessions.unsaved()
        if not _is_seen(self._window) or not (running or unsaved):
            return True
        answer = questions.before_closing(self._window, _words(len(unsaved), running), save=bool(unsaved))
        if answer == "save":
            self._dock.cancel()
            self._save_all(unsaved, self._close_again)
        return answer == "keep"

    def _close_again(self) -> None:
        if self._window is not None:
            self._window.close()


def tell_at_end(session: "Session") -> None:
    """Say, when what a session is doing has ended, what was kept and where; its dock is gone by then."""
    from napari.utils.notifications import show_info

    def ended(doing: str) -> None:
        if not doing:
            session.events.busy.disconnect(ended)
            show_info(_left_behind(session))

    session.events.busy.connect(ended)


def _left_behind(session: "Session") -> str:
    if session.result is None or session.path is None:
        return "MoSAM was closed before the first frame of the run was done; there is no result."
    where = f"as '{session.path}'" if session.saved else "under Recent"
    progress = session.result.progress
    kept = "The result" if progress.complete else f"Half a result ({progress})"
    return f"MoSAM was closed and its run stopped. {kept} is kept {where}."


def _words(n_unsaved: int, running: bool) -> str:
    run = "A run is going; closing stops it, and the frames that are done are kept." if running else ""
    which = "The result has" if n_unsaved == 1 else f"{n_unsaved} results have"
    some = f"{which} no place of {'its' if n_unsaved == 1 else 'their'} own yet. Nothing is lost: what is not saved "
    return "\n\n".join(filter(None, [run, some + "stays under Recent." if n_unsaved else ""]))


def _window_of(widget: QWidget) -> QMainWindow | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent


def _is_seen(window: QMainWindow | None) -> bool:
    """Whether a person closes it: a program that closes napari has hidden what is in the window before."""
    centre = None if window is None else window.centralWidget()
    if centre is None:
        return False
    inside = centre.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
    return any(child.isVisible() for child in inside)
