"""The keys that go with the dock: one table, bound while the dock is open, wherever in the window the focus is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QAbstractSpinBox, QApplication, QComboBox, QDialog, QWidget

if TYPE_CHECKING:
    from napari_mosam.widgets.review.page import ReviewPage
    from napari_mosam.widgets.widget import MosamWidget


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A key and what it does.

    Attributes
    ----------
    key : str
        As napari writes it; a letter, alone or with Shift, that napari and its layers leave free.
    words : str
        For the list.
    action : callable or None
        Given the dock; None where somebody else sees to it.
    """

    key: str
    words: str
    action: Callable[[Any], object] | None = None


def toggle_labels(dock: "MosamWidget") -> None:
    """Show the labels of the result, or hide them."""
    labels = None if dock.jobs.view is None else dock.jobs.view.labels
    if labels is not None:
        labels.visible = not labels.visible


def review(dock: "MosamWidget") -> "ReviewPage":
    """The page on which a result is looked through, in sight."""
    from napari_mosam.widgets.review.page import TITLE, ReviewPage

    dock.pages.turn_to(TITLE)
    page = dock.pages.page(TITLE)
    assert isinstance(page, ReviewPage)
    return page


SHORTCUTS = (
    Shortcut("N", "Next cell", lambda dock: dock.controls.new_object.click()),
    Shortcut("Q", "Not here: no such cell on this frame", lambda dock: dock.controls.absent.click()),
    Shortcut("U", "Preview the frame", lambda dock: dock.controls.preview.click()),
    Shortcut("G", "Go: follow the cells, or stop", lambda dock: dock.controls.propagate.click()),
    Shortcut("W", "Numbers on and off", lambda dock: dock.controls.switches.numbers.click()),
    Shortcut("H", "Labels on and off", toggle_labels),
    Shortcut("J", "Review: next place", lambda dock: review(dock).step(1)),
    Shortcut("K", "Review: back", lambda dock: review(dock).step(-1)),
    Shortcut("Shift+J", "Review: accept, or right", lambda dock: review(dock).accept()),
    Shortcut("Shift+K", "Review: fix, or wrong", lambda dock: review(dock).fix()),
    Shortcut("Ctrl+Z", "Undo"),
    Shortcut("Ctrl+Shift+Z", "Redo"),
)
"""All of them; napari's own keys and those of its layers are not among them."""


class Shortcuts(QObject):
    """Binds the keys that are free, and gives them back.

    napari hands on a key from wherever the focus is, but for fields and lists, which keep letters to themselves: these
    are watched while they have the focus. Where text is typed, letters are text.

    Parameters
    ----------
    dock : MosamWidget
    shortcuts : sequence of Shortcut
    """

    def __init__(self, dock: "MosamWidget", shortcuts: Sequence[Shortcut] = SHORTCUTS) -> None:
        super().__init__()
        self._dock = dock
        self._watched: QWidget | None = None
        asked = {s.key: _bound_to(dock, s.action) for s in shortcuts if s.action is not None}
        self._bound = {key: action for key, action in asked.items() if key not in _taken(dock.viewer)}
        for key, action in self._bound.items():
            dock.viewer.bind_key(key, action)
        there = [s for s in shortcuts if s.action is None or s.key in self._bound]
        dock.controls.switches.list_keys([(s.key, s.words) for s in there])
        QApplication.instance().focusChanged.connect(self._focus_moved)

    def close(self) -> None:
        """Give the keys back; those that somebody else has bound since stay."""
        QApplication.instance().focusChanged.disconnect(self._focus_moved)
        self._watch(None)
        for key in self._ours():
            self._dock.viewer.bind_key(key, None)
        self._bound = {}

    def eventFilter(self, field: Any, event: Any) -> bool:
        """Take a key from a field that would keep it and make nothing of it."""
        modifier = Qt.KeyboardModifier
        before = {modifier.NoModifier: "", modifier.KeypadModifier: "", modifier.ShiftModifier: "Shift+"}
        if event.type() != QEvent.Type.KeyPress or event.modifiers() not in before:
            return False
        action = self._ours().get(before[event.modifiers()] + QKeySequence(event.key()).toString())
        if action is not None:
            action(self._dock.viewer)
        return action is not None

    def _ours(self) -> dict[str, Callable[[Any], object]]:
        """What is bound by us still."""
        now = list(self._dock.viewer.keymap.values())
        return {key: action for key, action in self._bound.items() if action in now}

    def _focus_moved(self, _: Any, field: QWidget | None) -> None:
        keeps = isinstance(field, QAbstractSpinBox | QAbstractItemView | QComboBox)
        typed = isinstance(field, QComboBox) and field.isEditable()
        self._watch(field if field is not None and keeps and not typed and self._is_near(field) else None)

    def _watch(self, field: QWidget | None) -> None:
        if self._watched is not None:
            self._watched.removeEventFilter(self)
        self._watched = field
        if field is not None:
            field.installEventFilter(self)
            field.destroyed.connect(self._gone)

    def _gone(self) -> None:
        self._watched = None

    def _is_near(self, field: QWidget) -> bool:
        """Whether a field is in the window of this viewer, or in a dock beside it, and not in a dialog."""
        return not isinstance(field.window(), QDialog) and _root(field) is _root(self._dock)


def _bound_to(dock: "MosamWidget", action: Callable[[Any], object]) -> Callable[[Any], None]:
    """What napari calls with its viewer; it asks for the name of a function, which a partial one has not."""

    def shortcut(_: Any) -> None:
        action(dock)

    return shortcut


def _taken(viewer: Any) -> set[str]:
    """Keys that somebody has bound: in this viewer, or in napari's settings."""
    from napari.settings import get_settings

    bound = [key for keys in get_settings().shortcuts.shortcuts.values() for key in keys]
    return {str(key) for key in (*bound, *viewer.keymap)}


def _root(widget: QWidget) -> QWidget:
    parent = widget.parentWidget()
    return widget if parent is None else _root(parent)
