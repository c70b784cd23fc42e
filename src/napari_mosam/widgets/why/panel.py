"""What the page 'Why' looks like: text, pictures of remembered frames, switches with their legends."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QToolButton, QVBoxLayout, QWidget

from napari_mosam.widgets.controls.builders import LayerCombo, make_check, make_note, make_row
from napari_mosam.widgets.picture.heat import ColorBar, painted
from napari_mosam.widgets.why.layers import LINE_COLORS, MEMORY_COLORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.widgets.why.told import Picture

SIDE = 88
"""Px of a picture in the dock: three and a half are seen side by side, so that one knows of more."""

OUTLINE = "#ffffff"


class Pictures(QScrollArea):
    """Remembered frames side by side; a click asks for one."""

    asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._row = QHBoxLayout()
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)
        inner = QWidget()
        inner.setLayout(self._row)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.buttons: list[QToolButton] = []
        self.hide()

    def show_pictures(self, pictures: "Sequence[Picture]", *, heat: bool) -> None:
        """Have these; with `heat`, what is sure of them on top."""
        while self._row.count():
            gone = self._row.takeAt(0).widget()
            if gone is not None:
                gone.deleteLater()
        self.buttons = [self._button(picture, heat) for picture in pictures]
        for button in self.buttons:
            self._row.addWidget(button)
        self._row.addStretch(1)
        self.setVisible(bool(pictures))
        tallest = max((button.sizeHint().height() for button in self.buttons), default=0)
        self.setFixedHeight(tallest + self.horizontalScrollBar().sizeHint().height() + 4)

    def _button(self, picture: "Picture", heat: bool) -> QToolButton:
        button = QToolButton()
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setText(picture.words)
        button.setToolTip(picture.tip)
        button.setIconSize(QSize(SIDE, SIDE))
        if picture.grey.size:
            button.setIcon(QIcon(pixmap_of(picture, heat=heat)))
        button.setAutoRaise(True)
        button.clicked.connect(lambda _=False, t=picture.t: self.asked.emit(t))
        return button


def pixmap_of(picture: "Picture", *, heat: bool) -> QPixmap:
    """A remembered frame with the outline of its mask."""
    rgba = np.repeat(picture.grey[..., None], 4, -1)
    rgba[..., 3] = 255
    if heat:
        sure = painted(picture.heat)
        rgba = np.where(sure[..., 3:] > 0, sure, rgba)
    drawn = np.ascontiguousarray(rgba)
    height, width = drawn.shape[:2]
    image = QImage(drawn.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    scale = SIDE / max(height, width)
    pixmap = QPixmap.fromImage(image.copy()).scaled(round(width * scale), round(height * scale))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(OUTLINE), 1.5))
    for path in picture.outline:
        painter.drawPolyline(QPolygonF([QPointF((x + 0.5) * scale, (y + 0.5) * scale) for y, x in path]))
    painter.end()
    return pixmap


class WhyPanel(QWidget):
    """The parts of the page, top to bottom."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 6, 8, 8)
        self._column.setSpacing(5)
        self._build_answer()
        self._build_layers()
        self._build_flow()
        self._build_comparison()
        self._column.addStretch(1)

    def _build_answer(self) -> None:
        self.title = QLabel()
        self.title.setStyleSheet("font-weight: bold;")
        self.title.setWordWrap(True)
        self.back = QPushButton("Back")
        self.back.setToolTip("Go back to the frame whose mask is explained.")
        self.back.hide()
        self._column.addLayout(make_row((self.title, 1), self.back))
        self.text = self._note()
        self.cues = self._note()
        self.cues.setTextFormat(Qt.TextFormat.RichText)
        self.memory = self._note()
        self.pictures = Pictures()
        self._column.addWidget(self.pictures)

    def _build_layers(self) -> None:
        self.confidence = make_check(
            "Show how sure that memory was",
            False,
            "Colour each pixel of the remembered masks by how sure the network was of it: here in the pictures, and on "
            "those frames as the layer 'MoSAM memory confidence'.",
        )
        self.bar = ColorBar("0 unsure", "1 sure")
        self.place = make_check(
            "Show where it looked",
            False,
            "Draw on the frame shown: the part of it that the network saw, and where motion expected the cell.",
        )
        self._column.addWidget(self.confidence)
        self._column.addWidget(self.bar)
        self._column.addWidget(self.place)
        self.legend = self._note()
        self.bar.hide()

    def _build_flow(self) -> None:
        self._line()
        self.flow = make_check(
            "Motion of this frame", False, "Draw as arrows how everything moved since the frame before."
        )
        self._column.addWidget(self.flow)
        self.flow_note = self._note()

    def _build_comparison(self) -> None:
        self._line()
        self.compare = QPushButton("Compare with SAM 2's memory")
        self.compare.setToolTip(
            "Follow this object twice, alone and from its own marks: with the memory of SAM 2, which reads the last "
            "six frames whatever they hold, and with that of the settings. Nothing of the result changes."
        )
        self.truth = LayerCombo("no labels layer")
        self.truth.setToolTip("Labels that you know to be right: both masks are measured against them.")
        self.with_truth = make_check("Truth", False, self.truth.toolTip())
        self._column.addWidget(self.compare)
        self._column.addLayout(make_row(self.with_truth, (self.truth, 1)))
        self.compared = self._note()
        self.go = QPushButton("Go")
        self.outlines = make_check("Show both outlines", True, "Draw both masks on every frame that was compared.")
        self.both = self._note()
        self.both.setText(
            f"{_swatch(MEMORY_COLORS['sam2'])} SAM 2's memory &nbsp; {_swatch(MEMORY_COLORS['mosam'])} MoSAM's memory"
        )
        self._column.addLayout(make_row((self.outlines, 1), self.go))
        self._column.addWidget(self.both)
        self.show_comparison("", None)

    # ---- what is shown

    def show_title(self, text: str, back_to: int | None = None) -> None:
        """Say whose mask is explained; and, where another frame is looked at meanwhile, offer the way back."""
        self.title.setText(text)
        self.back.setVisible(back_to is not None)
        self.back.setText(f"Back to frame {back_to}")

    def show_answer(self, sentences: Sequence[str], cues: Sequence[tuple[str, str, str]], memory: str) -> None:
        """Say why; nothing without sentences."""
        _say(self.text, " ".join(sentences))
        rows = [f"{escape(name)}: {escape(said)}{' <b>(used)</b>' if used else ''}" for name, said, used in cues]
        _say(self.cues, "<br>".join(["How far it moved, by:", *rows]) if rows else "")
        _say(self.memory, memory)

    def show_legend(self, kinds: "NDArray[np.int64] | None") -> None:
        """Say what the lines are; None for no lines."""
        words = ("what the network saw", "where motion expected it", "its box", "its points")
        there = [] if kinds is None else sorted(set(kinds.tolist()))
        _say(self.legend, " &nbsp; ".join(f"{_swatch(LINE_COLORS[kind])}&nbsp;{words[kind]}" for kind in there))

    def say_flow(self, text: str) -> None:
        """Say how to read the arrows; nothing without them."""
        _say(self.flow_note, text)

    def show_comparison(self, text: str, frame: int | None) -> None:
        """Say how both memories differ; nothing without text."""
        _say(self.compared, text)
        for part in (self.outlines, self.both):
            part.setVisible(bool(text))
        self.go.setVisible(frame is not None)
        self.go.setText(f"Go to frame {frame}")

    def show_end(self) -> None:
        """Bring the comparison into sight, however far the page is scrolled."""
        area = self.parentWidget().parentWidget() if self.parentWidget() is not None else None
        if isinstance(area, QScrollArea):
            area.ensureWidgetVisible(self.both)

    def _note(self) -> Any:
        note = make_note()
        note.hide()
        self._column.addWidget(note)
        return note

    def _line(self) -> None:
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFixedHeight(1)
        self._column.addWidget(line)


def _say(note: QLabel, text: str) -> None:
    note.setText(text)
    note.setVisible(bool(text))


def _swatch(color: str) -> str:
    return f'<span style="color: {color};">■</span>'
