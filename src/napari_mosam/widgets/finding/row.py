"""The row of the dock that finds cells, and what is done with those that were found."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_mosam.core.find.request import MIN_SCORE
from napari_mosam.widgets.controls.builders import make_boxed, make_row

WEAKEST = 0.2
"""Score down to which the slider goes: below, hardly any mask is a cell, see :data:`napari_mosam.core.find.scan`."""

SUREST = 0.95
"""Score up to which it goes: no mask has more."""


class FindRow(QWidget):
    """A button; and, as long as there are proposals, a slider that thins them out, 'Accept' and 'Discard'."""

    def __init__(self) -> None:
        super().__init__()
        self.find = QPushButton("Find cells")
        self.find.setToolTip(
            "Propose an outline for every cell of the frame shown that has none yet, nuclei best of all. Nothing is "
            "marked before you accept it. A given cell diameter makes it faster and surer."
        )
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(round(100 * WEAKEST), round(100 * SUREST))
        self.slider.setToolTip("Hide proposals of which the network is less sure. Nothing is computed anew.")
        self.least = QLabel()
        self.accept = QPushButton("Accept")
        self.accept.setToolTip("Make each proposal that is shown in yellow an object; Track follows them.")
        self.discard = QPushButton("Discard")
        self.discard.setToolTip("Take the proposals away; nothing was marked.")
        self._choice = make_boxed(make_row(QLabel("at least this sure"), (self.slider, 1), self.least))
        self._buttons = make_boxed(make_row((self.accept, 1), (self.discard, 1)))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part in (self.find, self._choice, self._buttons):
            column.addWidget(part)
        self.slider.valueChanged.connect(lambda: self.least.setText(f"{self.score:.2f}".lstrip("0")))
        self.reset()

    @property
    def score(self) -> float:
        """The least score of a proposal that is shown."""
        return self.slider.value() / 100

    def reset(self) -> None:
        """Show the button alone."""
        self.slider.setValue(round(100 * MIN_SCORE))
        self._choice.hide()
        self._buttons.hide()

    def offer(self, n: int) -> None:
        """Show how many proposals are accepted with the next press."""
        self.accept.setText(f"Accept ({n})")
        self.accept.setEnabled(n > 0)
        self._choice.show()
        self._buttons.show()
