"""The lineage tree: time from left to right, a line for each object in its colour, joined where one divides."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QScrollArea, QToolTip, QWidget

from napari_mosam.core.lineage.tree import LineageTree, TreeLine
from napari_mosam.widgets.support import numbered

if TYPE_CHECKING:
    from collections.abc import Callable

ROW, LEFT, RIGHT, TOP = 16, 34, 12, 20
"""Height of a line, and room for numbers, px of the screen."""

FEWEST = 2.0
"""Px of the screen for a frame, at least; longer movies scroll."""


class TreeCanvas(QWidget):
    """Draws a tree, and tells which object and frame is clicked."""

    asked = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self.tree, self.n_frames, self.frame, self.in_hand = LineageTree(), 1, 0, 0
        self.color_of: Callable[[int], Any] = lambda object_id: (1.0, 1.0, 1.0, 1.0)
        self.setMouseTracking(True)
        self.setMinimumHeight(TOP + ROW)

    def show_tree(self, tree: LineageTree, n_frames: int) -> None:
        """Draw another tree."""
        self.tree, self.n_frames = tree, max(n_frames, 1)
        self.setMinimumHeight(TOP + ROW * (tree.n_rows + 1))
        self.setMinimumWidth(round(LEFT + RIGHT + FEWEST * self.n_frames))
        self.update()

    def show_place(self, frame: int, in_hand: int) -> None:
        """Move the line of the frame shown, and mark the object in hand."""
        if (frame, in_hand) != (self.frame, self.in_hand):
            self.frame, self.in_hand = frame, in_hand
            self.update()

    # ---- places

    def x_of(self, frame: float) -> float:
        """Where a frame lies."""
        return LEFT + (frame + 0.5) * (self.width() - LEFT - RIGHT) / self.n_frames

    def y_of(self, row: float) -> float:
        """Where a row lies."""
        return TOP + ROW * (row + 0.5)

    def place_at(self, x: float, y: float) -> tuple[TreeLine | None, int]:
        """The object and the frame at a place; on the way of the object, so a click beside its end leads to its end."""
        frame = (x - LEFT) * self.n_frames / max(self.width() - LEFT - RIGHT, 1) - 0.5
        line = self.tree.at((y - TOP) / ROW - 0.5, frame)
        if line is None:
            return None, round(min(max(frame, 0), self.n_frames - 1))
        return line, round(min(max(frame, line.first), line.last))

    # ---- Qt

    def paintEvent(self, event: Any) -> None:
        """Draw what is in sight."""
        painter, seen = QPainter(self), event.rect()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().windowText().color()
        self._draw_frames(painter, text)
        for line in self.tree.lines:
            heights = self.y_of(line.row), self.y_of(line.mother_row)
            if max(heights) >= seen.top() - ROW and min(heights) <= seen.bottom() + ROW:
                self._draw_line(painter, line, text)
        cursor = QPen(text, 1, Qt.PenStyle.DashLine)
        painter.setPen(cursor)
        x = self.x_of(self.frame)
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.end()

    def _draw_frames(self, painter: QPainter, text: QColor) -> None:
        """Numbers of frames, as many as there is room for."""
        painter.setPen(QPen(text, 1))
        for frame in numbered(range(self.n_frames), self.x_of(1) - self.x_of(0)):
            x = self.x_of(frame)
            painter.drawText(QRectF(x - 20, 0, 40, TOP - 4), Qt.AlignmentFlag.AlignCenter, str(frame))

    def _draw_line(self, painter: QPainter, line: TreeLine, text: QColor) -> None:
        red, green, blue, _ = (float(part) for part in self.color_of(line.object_id))
        y, start = self.y_of(line.row), self.x_of(line.first)
        painter.setPen(QPen(QColor.fromRgbF(red, green, blue), 5 if line.object_id == self.in_hand else 2.5))
        if line.mother is not None:
            painter.drawLine(QPointF(start, self.y_of(line.mother_row)), QPointF(start, y))
        painter.drawLine(QPointF(start, y), QPointF(max(self.x_of(line.until), start + 2), y))
        painter.setPen(QPen(text, 1))
        box = QRectF(start - LEFT, y - ROW / 2, LEFT - 4, ROW)
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, str(line.object_id))

    def mousePressEvent(self, event: Any) -> None:
        """Lead to the object and the frame."""
        place = event.position()
        line, frame = self.place_at(place.x(), place.y())
        if line is not None:
            self.asked.emit(line.object_id, frame)

    def mouseMoveEvent(self, event: Any) -> None:
        """Say what lies under the mouse."""
        place = event.position()
        line, _ = self.place_at(place.x(), place.y())
        if line is None:
            QToolTip.hideText()
            return
        name = f" ({line.name})" if line.name else ""
        of = f", daughter of {line.mother}" if line.mother is not None else ""
        QToolTip.showText(
            event.globalPosition().toPoint(), f"Cell {line.object_id}{name}{of}: frames {line.first} to {line.last}"
        )


class TreeView(QScrollArea):
    """A tree that scrolls."""

    def __init__(self) -> None:
        super().__init__()
        self.canvas = TreeCanvas()
        self.setWidget(self.canvas)
        self.setWidgetResizable(True)
        self.setMinimumHeight(180)

    def reveal(self, object_id: int) -> None:
        """Scroll so that an object is in sight."""
        line = next((one for one in self.canvas.tree.lines if one.object_id == object_id), None)
        if line is not None:
            self.ensureVisible(round(self.canvas.x_of(self.canvas.frame)), round(self.canvas.y_of(line.row)), 40, 30)
