"""The rows under the status: what was done last can be undone, and the result gets its place."""

from collections.abc import Sequence

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_mosam.widgets.controls.builders import make_row


class ResultRow(QWidget):
    """Buttons alone; what they do is connected by the dock."""

    def __init__(self) -> None:
        super().__init__()
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(make_row((self.undo, 1), (self.redo, 1)))
        self.show_history((), ())

    def show_history(self, done: Sequence[str], undone: Sequence[str]) -> None:
        """Say what would be undone, and what would be done again."""
        for button, words, key in ((self.undo, done, "Ctrl+Z"), (self.redo, undone, "Ctrl+Shift+Z")):
            verb = "Take back" if button is self.undo else "Do again"
            button.setEnabled(bool(words))
            button.setToolTip(f"{verb}: {words[-1]}. Key: {key}" if words else f"Nothing to {button.text().lower()}.")
