"""The heat strip: objects x frames, the frame shown as a line; a click goes to an object and a frame."""

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_mosam.core.results.doubts import SURE_IOU
from napari_mosam.widgets.review.heat import FIXED, KIND_COLORS, LEFT, MARKED, NOT_FOLLOWED, Heat
from napari_mosam.widgets.support import numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN_PX = 34
"""Left of the picture, for the numbers of objects."""

AXIS_PX = 14
"""Below the picture, for the numbers of frames."""

ROW_PX = 12
"""Height of a row from which its number is written beside it."""

FEWEST_FRAMES = 8
"""In sight when zoomed in as far as possible."""

ZOOM_STEP = 1.25
"""For a notch of the wheel."""

WORDS = {NOT_FOLLOWED: "not followed", LEFT: "left the picture", FIXED: "accepted, painted or locked", MARKED: "marked"}
"""What is said of what has no expected IoU."""


class HeatStrip(QWidget):
    """The picture; the wheel zooms in time, a double click shows all frames again."""

    asked = Signal(int, int)
    """An object on a frame was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._heat: Heat | None = None
        self._frames = range(0)
        self._image: QImage | None = None
        self._pixels: NDArray[np.uint8] | None = None  # QImage does not keep them
        self._at = (0, 0)
        self._names: dict[int, str] = {}
        self.setMouseTracking(True)
        self.setMinimumHeight(48)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        """Low, so that the picture above stays large."""
        return QSize(400, 84)

    def show_heat(self, heat: "Heat | None", names: "dict[int, str] | None" = None) -> None:
        """Show these rows; the frames in sight stay."""
        n_frames = 0 if heat is None else heat.n_frames
        same = self._heat is not None and self._heat.n_frames == n_frames
        self._heat, self._names = heat, names or {}
        self._frames = self._frames if same else range(n_frames)
        self._drop()

    def show_place(self, object_id: int, frame: int) -> None:
        """Show which frame is shown, and which object is in hand."""
        if (object_id, frame) != self._at:
            self._at = object_id, frame
            self.update()

    @property
    def frames(self) -> range:
        """Those in sight."""
        return self._frames

    def zoom(self, by: float, around: int) -> None:
        """Show fewer frames, or more, so that one stays where it is."""
        if self._heat is None or not self._frames:
            return
        n = int(np.clip(round(len(self._frames) / by), min(FEWEST_FRAMES, self._heat.n_frames), self._heat.n_frames))
        share = (around - self._frames.start) / len(self._frames)
        first = int(np.clip(round(around - share * n), 0, self._heat.n_frames - n))
        self._frames = range(first, first + n)
        self._drop()

    def place(self, at: QPoint) -> tuple[int, int] | None:
        """Object and frame under a point of the widget; None beside the picture."""
        if self._heat is None:
            return None
        area = self._area
        y, x = at.y() - area.top(), at.x() - area.left()
        return self._heat.place(y, x, self._frames, area.height(), area.width())

    def point(self, object_id: int, frame: int) -> QPoint:
        """Where an object on a frame is drawn."""
        assert self._heat is not None
        area, row = self._area, self._heat.object_ids.index(object_id)
        y = area.top() + (row + 0.5) * area.height() / len(self._heat.object_ids)
        return QPoint(round(self._x(frame)), int(y))

    def words(self, object_id: int, frame: int) -> str:
        """What is said of an object on a frame."""
        assert self._heat is not None
        row = self._heat.object_ids.index(object_id)
        value, kind = float(self._heat.value[row, frame]), int(self._heat.kind[row, frame])
        name = f" ({self._names[object_id]})" if self._names.get(object_id) else ""
        if kind in WORDS:
            said = WORDS[kind]
        elif not value:
            said = "not found"
        else:
            sure = "sure" if value >= SURE_IOU else "unsure"
            said = f"expected IoU {value:.2f}, {sure}"
        return f"object {object_id}{name}, frame {frame}: {said}"

    # ---- Qt

    def paintEvent(self, event: Any) -> None:
        """Draw the picture, the numbers, and the lines of frame and object."""
        painter, area = QPainter(self), self._area
        if self._heat is None or not self._heat.object_ids or not self._frames:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Nothing to show yet.")
            return
        if self._image is None:
            self._pixels = np.ascontiguousarray(self._heat.painted(self._frames, area.height(), area.width()))
            height, width, _ = self._pixels.shape
            self._image = QImage(self._pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        painter.drawImage(area.topLeft(), self._image)
        self._draw_numbers(painter, area)
        self._draw_place(painter, area)

    def _draw_numbers(self, painter: QPainter, area: QRect) -> None:
        assert self._heat is not None
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(self.palette().windowText().color())
        n, height = len(self._heat.object_ids), area.height()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        every = max(1, int(np.ceil(ROW_PX * n / height)))
        for row in range(0, n, every):
            top = area.top() + row * height // n
            box = QRect(0, top, MARGIN_PX - 5, max(height // n, ROW_PX))
            painter.drawText(box, right, str(self._heat.object_ids[row]))
        for frame in numbered(self._frames, area.width() / len(self._frames)):
            box = QRect(round(self._x(frame)) - 30, area.bottom() + 1, 60, AXIS_PX)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(frame))

    def _draw_place(self, painter: QPainter, area: QRect) -> None:
        assert self._heat is not None
        object_id, frame = self._at
        if frame in self._frames:
            width = area.width() / len(self._frames)
            left = area.left() + (frame - self._frames.start) * width
            for color, pen in ((QColor(0, 0, 0), 3), (QColor(255, 255, 255), 1)):
                painter.setPen(QPen(color, pen))
                if width < 6:
                    painter.drawLine(round(self._x(frame)), area.top(), round(self._x(frame)), area.bottom())
                else:
                    painter.drawRect(QRect(round(left), area.top(), round(width), area.height() - 1))
        if object_id in self._heat.object_ids:
            y = self.point(object_id, self._frames.start).y()
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(255, 255, 255))
            painter.drawPolygon([QPoint(MARGIN_PX - 4, y - 4), QPoint(MARGIN_PX, y), QPoint(MARGIN_PX - 4, y + 4)])

    def resizeEvent(self, event: Any) -> None:
        """Draw it anew."""
        super().resizeEvent(event)
        self._drop()

    def mousePressEvent(self, event: Any) -> None:
        """Go to what is clicked."""
        found = self.place(event.pos())
        if found is not None and event.button() == Qt.MouseButton.LeftButton:
            self.asked.emit(*found)

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Show all frames."""
        self._frames = range(0 if self._heat is None else self._heat.n_frames)
        self._drop()

    def mouseMoveEvent(self, event: Any) -> None:
        """Say what is there."""
        found = self.place(event.pos())
        if found is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(event.globalPos(), self.words(*found), self)

    def wheelEvent(self, event: Any) -> None:
        """Zoom in time."""
        found = self.place(event.position().toPoint())
        notches = event.angleDelta().y() / 120
        if found is not None and notches:
            self.zoom(ZOOM_STEP**notches, found[1])
        event.accept()

    # ---- inside

    @property
    def _area(self) -> QRect:
        return QRect(MARGIN_PX, 2, max(self.width() - MARGIN_PX - 12, 1), max(self.height() - AXIS_PX - 3, 1))

    def _x(self, frame: int) -> float:
        """The middle of a frame."""
        area = self._area
        return area.left() + (frame - self._frames.start + 0.5) * area.width() / max(len(self._frames), 1)

    def _drop(self) -> None:
        self._image = None
        self.update()


def swatch(kind: int) -> QColor:
    """Colour of what has no expected IoU."""
    return QColor(*KIND_COLORS[kind])
