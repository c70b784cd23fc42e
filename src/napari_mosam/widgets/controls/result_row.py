"""The rows under the status: what was done last can be undone, and the result gets its place."""

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_mosam.widgets.controls.builders import make_note, make_row

_LONGEST = 30
"""Letters of a name that fit into a dock of 320 px beside 'saved'."""


class ResultRow(QWidget):
    """Buttons alone; what they do is connected by the dock."""

    def __init__(self) -> None:
        super().__init__()
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self.start_over = _button(
            "Start over", "A new result of this movie with the same marks. The one that is here stays under Recent."
        )
        self.place = make_note()
        self.save = _button("Save", "Give the result a place; what you do later is there at once.")
        self.save_as = _button("Save as…", "Copy the result to another place, and go on there.")
        self.open = _button("Open…", "Go on with a result: its movie, labels, marks and settings come back.")
        self.recent = _button("Recent", "Results that were opened last, and all that were never saved.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(make_row((self.undo, 1), (self.redo, 1), (self.start_over, 1)))
        column.addWidget(self.place)
        column.addLayout(make_row(*((b, 1) for b in (self.save, self.save_as, self.open, self.recent))))
        self.show_history((), ())
        self.show_place(None, saved=False)

    def show_history(self, done: Sequence[str], undone: Sequence[str]) -> None:
        """Say what would be undone, and what would be done again."""
        for button, words, key in ((self.undo, done, "Ctrl+Z"), (self.redo, undone, "Ctrl+Shift+Z")):
            verb = "Take back" if button is self.undo else "Do again"
            button.setEnabled(bool(words))
            button.setToolTip(f"{verb}: {words[-1]}. Key: {key}" if words else f"Nothing to {button.text().lower()}.")

    def show_place(self, path: Path | None, *, saved: bool) -> None:
        """Say where the result is."""
        kept = "Not saved yet: kept under Recent" if path is not None else "No result yet"
        self.place.setText(f"{shortened(path.name)}, saved" if path is not None and saved else kept)
        self.place.setToolTip("" if path is None else str(path))
        for button in (self.save, self.save_as, self.start_over):
            button.setEnabled(path is not None)


class RecoverRow(QWidget):
    """One line about a result that a program left behind when it ended; hidden until there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.words = make_note()
        self.go_on = _button("Go on with it", "Open the result with its movie, marks and settings.")
        self.dismiss = _button("Not now", "Do not ask again; it stays under Recent.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.words)
        column.addLayout(make_row((self.go_on, 1), (self.dismiss, 1)))
        self.hide()

    def offer(self, name: str, when: str) -> None:
        """Say which result it is."""
        self.words.setText(f"napari ended while '{shortened(name)}' was open ({when}). What was done is there.")
        self.show()


def shortened(name: str) -> str:
    """A name that fits into the dock, without its middle where it is too long."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[1 - half :]}"


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
