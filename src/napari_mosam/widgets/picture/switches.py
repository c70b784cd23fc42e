"""What of a result is drawn on the movie, and which keys there are."""

from collections.abc import Iterable

from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_mosam.widgets.controls.builders import make_check, make_collapsible
from napari_mosam.widgets.picture.heat import ColorBar


class Switches(QWidget):
    """Switches for what is drawn, and a part that lists the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = make_check("Numbers on cells", True, "Write the number of each cell, or its name, on it. Key: W")
        tip = "Show how sure the network is of every pixel of the cells, inside their rims."
        self.confidence = make_check("Confidence layer", False, tip)
        self.flow = make_check("Motion layer", False, "Show the estimated motion of the frame as arrows.")
        self._keys = QWidget()
        self.keys = make_collapsible("Shortcuts", "Keys that work wherever the focus is.", self._keys)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.numbers, 0, 0)
        grid.addWidget(self.confidence, 1, 0)
        grid.addWidget(self.flow, 1, 1)
        self.bar = ColorBar("0 unsure", "1 sure")
        self.bar.hide()
        self.confidence.toggled.connect(self.bar.setVisible)
        grid.addWidget(self.bar, 2, 0, 1, 2)
        grid.addWidget(self.keys, 3, 0, 1, 2)

    def list_keys(self, keys: Iterable[tuple[str, str]]) -> None:
        """Show which key does what."""
        grid = QGridLayout(self._keys)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(1, 1)
        for row, (key, words) in enumerate(keys):
            grid.addWidget(QLabel(f"<b>{key}</b>"), row, 0)
            what = QLabel(words)
            what.setWordWrap(True)
            grid.addWidget(what, row, 1)
