"""The table of objects with what can be done to them: a row each, buttons, and a menu on the right mouse button."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelection, QSignalBlocker, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_mosam.widgets.controls.builders import make_collapsible
from napari_mosam.widgets.controls.object_model import COLUMNS, NAME, ObjectModel
from napari_mosam.widgets.picture.colors import object_color

if TYPE_CHECKING:
    from napari_mosam.core.results.objects import ObjectSummary, Overview

ROWS_SHOWN = 6
"""So that table and run button fit onto a screen of 720 px."""

MAX_PARTNERS = 12
"""Objects that a menu offers for a swap or a merge, the nearest first: more are chosen in the table; not measured."""


class ObjectTable(QTableView):
    """A row for each object; sorted by a click on a column."""

    chosen = Signal(int)
    """An object was taken in hand."""
    asked = Signal(int, int)
    """An object was double clicked; with the frame where a look is needed most."""
    selected = Signal()
    """Other rows are selected."""
    menu_wanted = Signal(object)
    """The right mouse button was pressed on a row, at this place of the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.color_of: Callable[[int], Any] = lambda object_id: object_color(object_id).ravel()
        self.objects = ObjectModel(lambda object_id: self.color_of(object_id))
        self._sorted = QSortFilterProxyModel()
        self._sorted.setSourceModel(self.objects)
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self._sorted.setDynamicSortFilter(False)  # rows do not move while the viewer goes from frame to frame
        self.setModel(self._sorted)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        for at, column in enumerate(COLUMNS):
            self.setColumnWidth(at, column.width)
        self.horizontalHeader().setMinimumSectionSize(min(column.width for column in COLUMNS))
        self.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setFixedHeight(
            (self.fontMetrics().height() + 6) * ROWS_SHOWN + self.horizontalHeader().sizeHint().height()
        )
        self.doubleClicked.connect(self._double_clicked)
        self.selectionModel().selectionChanged.connect(self._selection_changed)

    @property
    def current(self) -> int | None:
        """The object that was chosen last, if its row is still selected."""
        row, rows = self.currentIndex().row(), self._chosen_rows()
        return self._of(row).object_id if row in rows else self._of(rows.pop()).object_id if len(rows) == 1 else None

    @property
    def ids(self) -> list[int]:
        """Objects whose rows are selected, ascending."""
        return sorted(self._of(row).object_id for row in self._chosen_rows())

    @property
    def both(self) -> tuple[int, int] | None:
        """Two objects whose rows are selected, the one that was chosen last at the end."""
        ids, current = self.ids, self.current
        if len(ids) != 2 or current is None:
            return None
        return ids[ids[0] == current], current

    def show_objects(self, overview: "Overview | None") -> None:
        """Show these objects; the ones that are chosen stay so."""
        kept, current = set(self.ids), self.current
        with QSignalBlocker(self):
            self.objects.show(overview)
            if kept:
                self._select_again(kept, current)
        self.selected.emit()

    def choose(self, object_id: int | None) -> None:
        """Mark the row of an object."""
        if self.current == object_id:
            return
        with QSignalBlocker(self):
            self.clearSelection()
            self._select(object_id)
        self.selected.emit()

    def rename(self, object_id: int) -> None:
        """Let the name of an object be typed."""
        row = self._row(object_id)
        if row is not None:
            self.edit(self._sorted.index(row, NAME))

    def resizeEvent(self, event: Any) -> None:
        """Show as many columns as there is room for."""
        room = self.viewport().width()
        for at, column in enumerate(COLUMNS):
            room -= column.width
            self.setColumnHidden(at, room < 0)
        super().resizeEvent(event)

    def contextMenuEvent(self, event: Any) -> None:
        """Ask for the menu of the row."""
        if self.indexAt(event.pos()).isValid():
            self.menu_wanted.emit(event.globalPos())

    def _of(self, row: int) -> "ObjectSummary":
        return self.objects.object_at(self._sorted.mapToSource(self._sorted.index(row, 0)).row())

    def _row(self, object_id: int | None) -> int | None:
        rows = range(self._sorted.rowCount())
        return next((row for row in rows if self._of(row).object_id == object_id), None)

    def _chosen_rows(self) -> set[int]:
        """Rows that are selected: of their ranges, as Qt's own list asks for the flags of every cell."""
        return {row for part in self.selectionModel().selection() for row in range(part.top(), part.bottom() + 1)}

    def _select(self, object_id: int | None) -> None:
        row, model = self._row(object_id), self.selectionModel()
        if row is not None:
            flags = model.SelectionFlag.ClearAndSelect | model.SelectionFlag.Rows
            model.setCurrentIndex(self._sorted.index(row, 0), flags)
            self.scrollTo(self._sorted.index(row, 0))

    def _select_again(self, object_ids: set[int], current: int | None) -> None:
        """Select the rows of several objects in one go."""
        model, chosen = self.selectionModel(), QItemSelection()
        ids = [self._of(row).object_id for row in range(self._sorted.rowCount())]
        rows = [row for row, object_id in enumerate(ids) if object_id in object_ids]
        for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]):  # rows beside each other are one range
            one = [row for _, row in run]
            chosen.select(self._sorted.index(one[0], 0), self._sorted.index(one[-1], len(COLUMNS) - 1))
        model.select(chosen, model.SelectionFlag.ClearAndSelect)
        if current in ids:
            index = self._sorted.index(ids.index(current), 0)
            model.setCurrentIndex(index, model.SelectionFlag.NoUpdate)
            self.scrollTo(index)

    def _selection_changed(self, *_: Any) -> None:
        if self.current is not None:
            self.chosen.emit(self.current)
        self.selected.emit()

    def _double_clicked(self, index: Any) -> None:
        one = self._of(index.row())
        if index.column() == NAME:
            self.edit(index)
        elif one.worst_frame is not None:
            self.asked.emit(one.object_id, one.worst_frame)


class ObjectPanel:
    """The table in a part of the dock that opens on a click, with what can be done to an object."""

    def __init__(self) -> None:
        self.table = ObjectTable()
        self.first = _button("First", "Go to the first frame on which the object was seen.")
        self.last = _button("Last", "Go to the last frame on which the object was seen.")
        self.worst = _button("Worst", "Go to the frame where a look is needed most.")
        self.name = _button("Rename", "Give the object a name. Or double click its name in the table.")
        self.swap = _button("Swap", "")
        self.merge = _button("Merge", "")
        self.split = _button("Split", "")
        self.lock = _button("Lock", "")
        self.delete = _button("Delete", "Take what is chosen out, with its marks. Ctrl+Z brings it back.")
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addLayout(self._buttons())
        self.box = make_collapsible(
            "Objects", "What became of each object; click a column to sort by it, Ctrl+click for two.", inner
        )
        self.show_objects(None)

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(3)
        grid.addWidget(QLabel("Go to"), 0, 0)
        for at, button in enumerate((self.first, self.last, self.worst), 1):
            grid.addWidget(button, 0, at)
        for at, button in enumerate((self.swap, self.merge, self.split, self.name)):
            grid.addWidget(button, 1, at)
        grid.addWidget(self.lock, 2, 0, 1, 2)
        grid.addWidget(self.delete, 2, 2, 1, 2)
        return grid

    def show_objects(self, overview: "Overview | None") -> None:
        """Show these objects; nothing at all where there are none."""
        n = 0 if overview is None else len(overview.objects)
        self.table.show_objects(overview)
        self.box.setText(f"Objects ({n})")
        self.box.setVisible(bool(n))


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def partner_menu(
    parent: QWidget, title: str, ids: Sequence[int], named: Callable[[int], str], act: Callable[[int], object]
) -> QMenu:
    """A menu of other objects, the nearest first."""
    menu = QMenu(title, parent)
    for object_id in ids[:MAX_PARTNERS]:
        menu.addAction(named(object_id), lambda *_, i=object_id: act(i))
    if len(ids) > MAX_PARTNERS:
        menu.addAction("Others: Ctrl+click the two in the table").setEnabled(False)
    menu.setEnabled(bool(ids))
    return menu
