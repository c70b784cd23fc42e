"""Lists of the review page: places to look at, and masks that were drawn at random."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_mosam.widgets.controls.object_model import swatch_icon

ROWS_SHOWN = 8
"""So that the page fits onto a screen of 720 px."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says.

    Attributes
    ----------
    object_id : int
    texts : tuple of str
        Of its columns.
    """

    object_id: int
    texts: tuple[str, ...]


class _Rows(QAbstractTableModel):
    """The rows; only those in sight are asked for."""

    def __init__(self, titles: Sequence[tuple[str, str]], color_of: Callable[[int], Any]) -> None:
        super().__init__()
        self.rows: Sequence[Row] = ()
        self._titles, self._color_of = titles, color_of

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Rows."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Columns."""
        return len(self._titles)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles and tips."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        title, tip = self._titles[section]
        return {Qt.ItemDataRole.DisplayRole: title, Qt.ItemDataRole.ToolTipRole: tip}.get(role)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell says."""
        row = self.rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return row.texts[index.column()]
        if role == Qt.ItemDataRole.DecorationRole and not index.column():
            return swatch_icon(self._color_of(row.object_id))
        return None


class PlaceList(QTableView):
    """A list of objects on frames, one of them chosen.

    Parameters
    ----------
    titles : sequence of (str, str)
        Title and tip of each column; the first is that of the object, the third takes the room that is left.
    widths : sequence of int
        Of the columns, px.
    color_of : callable
        RGBA of an object.
    """

    asked = Signal(int)
    """A row was clicked, or reached with the arrow keys."""

    def __init__(
        self, titles: Sequence[tuple[str, str]], widths: Sequence[int], color_of: Callable[[int], Any]
    ) -> None:
        super().__init__()
        self._rows = _Rows(titles, color_of)
        self.setModel(self._rows)
        self.verticalHeader().hide()
        height = self.fontMetrics().height() + 6
        self.verticalHeader().setDefaultSectionSize(height)
        for column, width in enumerate(widths):
            self.setColumnWidth(column, width)
        self.horizontalHeader().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(height * ROWS_SHOWN // 2)
        self.setFixedHeight(height * ROWS_SHOWN + self.horizontalHeader().sizeHint().height())
        self.selectionModel().currentRowChanged.connect(lambda now, _: now.isValid() and self.asked.emit(now.row()))
        self.clicked.connect(lambda index: self.asked.emit(index.row()))

    def show_rows(self, rows: Sequence[Row], at: int) -> None:
        """Show these rows, one of them chosen; -1: none."""
        with QSignalBlocker(self):
            if rows != self._rows.rows:
                self._rows.show(rows)
            self.choose(at)

    def choose(self, at: int) -> None:
        """Mark a row as chosen, and bring it into sight."""
        with QSignalBlocker(self):
            self.clearSelection()
            if 0 <= at < len(self._rows.rows):
                self.setCurrentIndex(self._rows.index(at, 0))
                self.scrollTo(self._rows.index(at, 0))
