"""The heat strip in a dock of its own below the picture, with what it shows and what its colours mean."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QMainWindow, QVBoxLayout, QWidget
from superqt import QFlowLayout

from napari_mosam.widgets.controls.builders import make_boxed, make_menu, make_row
from napari_mosam.widgets.controls.object_model import swatch
from napari_mosam.widgets.review.heat import FIXED, KIND_COLORS, LEFT, MARKED, ramp
from napari_mosam.widgets.review.strip import HeatStrip

if TYPE_CHECKING:
    from napari_mosam.widgets.review.heat import Heat

TITLE = "MoSAM review"
"""Of the dock."""

ALL, UNSURE, IN_HAND = "all", "unsure", "in hand"
WHICH = "Which objects have a row: all, those that are unsure on some frame, or the one in hand."
ORDER = "The order of the rows: the worst objects first, or by their numbers."
BY_ID, WORST_FIRST = "by number", "worst first"

RAMP_PX, WHICH_PX, ORDER_PX = 40, 80, 112
"""Width of the ramp of colours in the legend, and of the menus: one line below a picture of 560 px."""

ENTRY_PX = 4
"""Above and below an entry of the legend, which is lower than a menu beside it."""

CORNERS = (
    (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
    (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
)
"""Of the window: the docks beside the picture keep their height, and the strip has the width of the slider."""


class StripView(QWidget):
    """The strip, two menus and a legend."""

    gone = Signal()
    """Somebody closed the dock."""

    def __init__(self) -> None:
        super().__init__()
        self.strip = HeatStrip()
        self.which = make_menu([(word, word) for word in (ALL, UNSURE, IN_HAND)], WHICH)
        self.order = make_menu([(word, word) for word in (WORST_FIRST, BY_ID)], ORDER)
        self._heat: Heat | None = None
        self._names: dict[int, str] = {}
        self._in_hand, self._shown = 0, None
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 4, 2)
        column.setSpacing(1)
        column.addLayout(self._head())
        column.addWidget(self.strip, 1)
        for menu in (self.which, self.order):
            menu.currentIndexChanged.connect(self._show)

    def show_heat(self, heat: "Heat | None", names: dict[int, str]) -> None:
        """Show a result."""
        self._heat, self._names = heat, names
        self._show()

    def show_place(self, object_id: int, frame: int) -> None:
        """Show where the viewer is."""
        changed, self._in_hand = object_id != self._in_hand, object_id
        if changed and self.which.currentData() == IN_HAND:
            self._show()
        self.strip.show_place(object_id, frame)

    def event(self, event: Any) -> bool:
        """Notice that napari took it out of its dock."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.gone.emit()
        return bool(super().event(event))

    def _show(self, *_: Any) -> None:
        heat, which = self._heat, self.which.currentData()
        if heat is not None and which == UNSURE:
            heat = heat.unsure()
        elif heat is not None and which == IN_HAND:
            heat = heat.only([row for row, i in enumerate(heat.object_ids) if i == self._in_hand])
        if heat is not None:
            heat = heat.worst_first() if self.order.currentData() == WORST_FIRST else heat.by_id()
        self.strip.show_heat(heat, self._names)

    def _head(self) -> QFlowLayout:
        """Menus and legend side by side as far as there is room, else below each other."""
        row = QFlowLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setHorizontalSpacing(8)
        row.setVerticalSpacing(0)
        for menu, width in ((self.which, WHICH_PX), (self.order, ORDER_PX)):
            menu.setFixedWidth(width)
            row.addWidget(menu)
        colors = _picture(np.tile(ramp(np.linspace(0, 1, RAMP_PX)), (10, 1, 1)))
        row.addWidget(_entry(_word("wrong"), colors, _word("right")))
        for kind, word in ((FIXED, "accepted"), (MARKED, "marked"), (LEFT, "left")):
            square = QLabel()
            square.setPixmap(swatch([value / 255 for value in KIND_COLORS[kind]]))
            row.addWidget(_entry(square, _word(word)))
        return row


def _entry(*parts: QLabel) -> QWidget:
    """What stays together in the legend."""
    entry = make_boxed(make_row(*parts))
    entry.layout().setContentsMargins(0, ENTRY_PX, 0, ENTRY_PX)
    return entry


def _word(text: str) -> QLabel:
    """Small, for a legend."""
    label = QLabel(text)
    label.setStyleSheet("font-size: 10px")
    return label


def _picture(pixels: Any) -> QLabel:
    height, width, _ = pixels.shape
    label = QLabel()
    label.setToolTip("Expected IoU of a mask, from 0 to 1; 0 where the object was not found.")
    image = QImage(np.ascontiguousarray(pixels).data, width, height, 3 * width, QImage.Format.Format_RGB888)
    label.setPixmap(QPixmap.fromImage(image.copy()))
    return label


class StripDock:
    """Opens and closes it in a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    asked : callable
        Told of an object and a frame that were clicked.
    gone : callable
        Told that somebody closed it.
    """

    def __init__(self, viewer: Any, asked: Callable[[int, int], object], gone: Callable[[], object]) -> None:
        self._viewer, self._asked, self._gone = viewer, asked, gone
        self.view: StripView | None = None
        self._dock: Any = None
        self._window: QMainWindow | None = None
        self._corners: list[tuple[Any, Any]] = []  # as they were

    def open(self) -> StripView:
        """Have it in sight."""
        if self.view is None:
            self.view = StripView()
            self.view.strip.asked.connect(self._asked)
            self._dock = self._viewer.window.add_dock_widget(
                self.view, name=TITLE, area="bottom", add_vertical_stretch=False
            )
            self.view.gone.connect(self._closed)
            self._dock.visibilityChanged.connect(self._hidden)
        self._take_corners()
        self._dock.show()
        return self.view

    def hide(self) -> None:
        """Have it out of sight, to be shown again."""
        if self._dock is not None:
            self._dock.blockSignals(True)
            self._dock.hide()
            self._dock.blockSignals(False)
            self._give_corners()

    def close(self) -> None:
        """Take it out of the viewer."""
        view = self.view
        if view is not None:
            view.gone.disconnect(self._closed)
            with suppress(LookupError, AttributeError, RuntimeError):  # a window that goes away takes it along
                self._viewer.window.remove_dock_widget(view)
                self._give_corners()
            view.deleteLater()
        self.view = self._dock = self._window = None

    def _take_corners(self) -> None:
        window = self._dock.window()
        if self._window is None and isinstance(window, QMainWindow):
            self._window, self._corners = window, [(corner, window.corner(corner)) for corner, _ in CORNERS]
            for corner, area in CORNERS:
                window.setCorner(corner, area)

    def _give_corners(self) -> None:
        for corner, area in self._corners:
            assert self._window is not None
            self._window.setCorner(corner, area)
        self._window, self._corners = None, []

    def _closed(self) -> None:
        self._give_corners()
        self.view = self._dock = None
        self._gone()

    def _hidden(self, visible: bool) -> None:
        if not visible and self._dock is not None and self._dock.isHidden():
            self._gone()
