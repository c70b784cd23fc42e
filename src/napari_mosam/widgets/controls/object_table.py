"""The table of objects: which there are, where they were seen, and how sure the network is of them."""

from math import isnan
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_mosam.widgets.controls.builders import make_collapsible
from napari_mosam.widgets.layers.marks import object_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_mosam.core.results.objects import ObjectSummary

COLUMNS = ("Object", "Frames", "Seen", "Worst", "Mean")
TIPS = (
    "Its number and the colour of its labels. Click: take it in hand. Double click: go to where a look is needed most.",
    "The first and the last frame on which it was seen.",
    "On how many of the frames on which it was looked for it was seen.",
    "The lowest of the network's own estimates of how well a mask fits (IoU, from 0 to 1).",
    "Their mean.",
)
SWATCH_PX = 12
"""Side of the colour beside a number: as high as the digits."""

ROWS_SHOWN = 6
"""So that table and run button fit onto a screen of 720 px."""


class ObjectTable(QTableWidget):
    """A row for each object; sorted by a click on a column."""

    chosen = Signal(int)
    """An object was clicked."""
    asked = Signal(int, int)
    """An object was double clicked; with the frame where a look is needed most."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        for column, tip in enumerate(TIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() * (ROWS_SHOWN + 1))
        self.cellClicked.connect(lambda row, _: self.chosen.emit(self._of(row).object_id))
        self.cellDoubleClicked.connect(self._double_clicked)

    @property
    def current(self) -> int | None:
        """The object that is chosen."""
        rows = {index.row() for index in self.selectionModel().selectedRows()}
        return self._of(rows.pop()).object_id if rows else None

    def show_objects(self, objects: "Sequence[ObjectSummary]") -> None:
        """Show these objects; the one that is chosen stays so."""
        current = self.current
        self.setSortingEnabled(False)  # or rows move while they are filled
        self.setRowCount(len(objects))
        for row, one in enumerate(objects):
            for column, item in enumerate(_items(one)):
                self.setItem(row, column, item)
        self.setSortingEnabled(True)
        self.choose(current)

    def choose(self, object_id: int | None) -> None:
        """Mark the row of an object."""
        row = next((row for row in range(self.rowCount()) if self._of(row).object_id == object_id), None)
        if row is None:
            self.clearSelection()
        elif self.current != object_id:
            self.selectRow(row)

    def _of(self, row: int) -> "ObjectSummary":
        summary: ObjectSummary = self.item(row, 0).data(Qt.ItemDataRole.UserRole)
        return summary

    def _double_clicked(self, row: int, _: int) -> None:
        one = self._of(row)
        if one.worst_frame is not None:
            self.asked.emit(one.object_id, one.worst_frame)


class ObjectPanel:
    """The table in a part of the dock that opens on a click, with what can be done to an object."""

    def __init__(self) -> None:
        self.table = ObjectTable()
        self.delete = QPushButton("Delete object")
        self.delete.setToolTip("Take the object that is chosen in the table out, with its marks. Can be undone.")
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addWidget(self.delete)
        self.box = make_collapsible("Objects", "What became of each object; click a column to sort by it.", inner)
        self.show_objects(())

    def show_objects(self, objects: "Sequence[ObjectSummary]") -> None:
        """Show these objects; nothing at all where there are none."""
        self.table.show_objects(objects)
        self.box.setText(f"Objects ({len(objects)})")
        self.box.setVisible(bool(objects))


def _items(one: "ObjectSummary") -> list[QTableWidgetItem]:
    number = _item(one.object_id, str(one.object_id))
    number.setData(Qt.ItemDataRole.UserRole, one)
    number.setData(Qt.ItemDataRole.DecorationRole, _swatch(one.object_id))
    frames = "never" if one.first is None else f"{one.first}\u2013{one.last}"
    return [
        number,
        _item(-1 if one.first is None else one.first, frames),
        _item(one.n_seen / max(one.n_followed, 1), f"{one.n_seen}/{one.n_followed}"),
        _item(_number(one.worst_iou), _short(one.worst_iou)),
        _item(_number(one.mean_iou), _short(one.mean_iou)),
    ]


class _Sorted(QTableWidgetItem):
    """An entry that is sorted by its number, whatever it says."""

    def __init__(self, value: float, text: str) -> None:
        super().__init__(text)
        self.value = value

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < other.value)


def _item(value: float, text: str) -> _Sorted:
    return _Sorted(value, text)


def _number(value: float) -> float:
    return -1.0 if isnan(value) else value


def _short(value: float) -> str:
    return "" if isnan(value) else f"{value:.2f}"


def _swatch(object_id: int) -> QPixmap:
    picture = QPixmap(SWATCH_PX, SWATCH_PX)
    picture.fill(QColor.fromRgbF(*(float(v) for v in object_color(object_id).ravel()[:3])))
    return picture
