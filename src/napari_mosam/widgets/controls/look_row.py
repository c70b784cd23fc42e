"""A row that leads from one place worth a look to the next."""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_mosam.widgets.controls.builders import make_row

Place = tuple[int, int]
"""An object, and a frame."""


class LookRow(QWidget):
    """Back, where we are, forth; hidden where there is nothing to look at.

    Parameters
    ----------
    what, offer : str
        What there is to look at, such as 'unsure', and how that is offered.

    Attributes
    ----------
    asked : Signal
        Object and frame that are to be shown.
    """

    asked = Signal(int, int)

    def __init__(self, what: str, offer: str) -> None:
        super().__init__()
        self._what, self._offer = what, offer
        self._places, self._at = tuple[Place, ...](), -1
        self.back, self.here, self.forth = QToolButton(), QPushButton(), QToolButton()
        for button, text, tip in (
            (self.back, "◂", f"The place before that is {what}."),
            (self.forth, "▸", f"The next place that is {what}."),
        ):
            button.setText(text)
            button.setToolTip(tip)
        self.here.setToolTip("Show it in the viewer, and take this object in hand.")
        self.back.clicked.connect(lambda: self.step(-1))
        self.here.clicked.connect(lambda: self.step(0))
        self.forth.clicked.connect(lambda: self.step(1))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(make_row(self.back, (self.here, 1), self.forth))
        self.show_places(())

    def show_places(self, places: Sequence[Place]) -> None:
        """Lead through these places, the first one first."""
        self._places, self._at = tuple(places), -1
        self.setVisible(bool(places))
        self._say()

    def step(self, by: int) -> None:
        """Go to the next place, or to one before; from the last on to the first."""
        if self._places:
            self._at = max(self._at, 0) if by == 0 else (max(self._at, -1 if by > 0 else 0) + by) % len(self._places)
            self._say()
            self.asked.emit(*self._places[self._at])

    def _say(self) -> None:
        if self._at < 0:
            self.here.setText(f"{self._offer} ({len(self._places)})")
            return
        object_id, frame = self._places[self._at]
        which = f"{self._at + 1} of {len(self._places)}"
        self.here.setText(f"{self._what.capitalize()}: object {object_id}, frame {frame} ({which})")
