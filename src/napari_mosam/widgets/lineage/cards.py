"""The list of proposals: pictures, what speaks for it, and what can be done."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_mosam.core.lineage.proposals import DivisionProposal

MOST = 12
"""Cards at a time: the next come when some are done with."""


class Cards(QWidget):
    """All proposals, the first of them as cards."""

    accepted, rejected, asked = Signal(object), Signal(object), Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._more = QLabel("")
        self._column.addWidget(self._more)
        self.cards: list[Card] = []

    def show_proposals(
        self, proposals: "Sequence[DivisionProposal]", pictures: "dict[int, Sequence[NDArray[np.uint8]]]"
    ) -> None:
        """Show them; `pictures` by the identity of the proposal."""
        for card in self.cards:
            self._column.removeWidget(card)
            card.setParent(None)
            card.deleteLater()
        self.cards = [Card(one, pictures.get(id(one), ())) for one in proposals[:MOST]]
        for at, card in enumerate(self.cards):
            self._column.insertWidget(at, card)
            card.accept.clicked.connect(lambda _=False, one=card.proposal: self.accepted.emit(one))
            card.reject.clicked.connect(lambda _=False, one=card.proposal: self.rejected.emit(one))
            card.go.clicked.connect(lambda _=False, one=card.proposal: self.asked.emit(one))
        left = len(proposals) - len(self.cards)
        self._more.setText(f"{left} more below; they come when some of these are done with." if left else "")
        self._more.setVisible(left > 0)


class Card(QFrame):
    """One proposal."""

    def __init__(self, proposal: "DivisionProposal", pictures: "Sequence[NDArray[np.uint8]]") -> None:
        super().__init__()
        self.proposal = proposal
        self.setFrameShape(QFrame.Shape.StyledPanel)
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 6, 6, 6)
        captions = (
            f"frame {proposal.frame - 1}: cell {proposal.mother}",
            f"frame {proposal.frame}: {_named(proposal)}",
        )
        for column, (picture, caption) in enumerate(zip(pictures, captions, strict=False)):
            shown = QLabel()
            shown.setPixmap(pixmap(picture))
            grid.addWidget(shown, 0, column)
            grid.addWidget(QLabel(caption), 1, column)
        why = QLabel(f"Why: {proposal.why}. How sure: {proposal.score:.0%}.")
        why.setWordWrap(True)
        grid.addWidget(why, 2, 0, 1, 3)
        buttons = QHBoxLayout()
        self.accept = _button(
            "Accept", "It divides there: the cell ends, and its daughters are followed from there on."
        )
        self.reject = _button("Reject", "It does not divide there; this is not proposed again.")
        self.go = _button("Go there", "Show that frame, and take the cell in hand.")
        for button in (self.accept, self.reject, self.go):
            buttons.addWidget(button)
        grid.addLayout(buttons, 3, 0, 1, 3)
        grid.setColumnStretch(2, 1)


def pixmap(picture: "NDArray[np.uint8]") -> QPixmap:
    """A picture (Y, X, 3) for Qt."""
    height, width, _ = picture.shape
    data = picture.tobytes()
    return QPixmap.fromImage(QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy())


def _named(proposal: "DivisionProposal") -> str:
    known = [str(one) for one in proposal.known if one is not None]
    return (
        "two daughters"
        if not known
        else f"daughters (one is cell {known[0]})"
        if len(known) == 1
        else (f"cells {known[0]} and {known[1]}")
    )


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
