"""Small builders for the controls, and a menu of layers."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QWidget,
)
from superqt import QCollapsible

if TYPE_CHECKING:
    from napari.layers import Layer


class LayerCombo(QComboBox):
    """A menu of layers that survives renaming and reordering."""

    layer_changed = Signal()

    def __init__(self, empty: str) -> None:
        super().__init__()
        self._empty = empty
        self._last: Layer | None = None
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.currentIndexChanged.connect(self._tell)
        self.set_layers([])

    @property
    def layer(self) -> "Layer | None":
        """The chosen layer."""
        return self.currentData()

    @layer.setter
    def layer(self, layer: "Layer") -> None:
        rows = [row for row in range(self.count()) if self.itemData(row) is layer]
        if not rows:
            raise ValueError(f"'{layer.name}' is not in this menu; add it to the viewer first")
        self.setCurrentIndex(rows[0])

    def set_layers(self, layers: "Iterable[Layer]", otherwise: "Layer | None" = None) -> None:
        """Offer these layers; the choice stays if it still exists, or becomes `otherwise`, or the last."""
        chosen, layers = self.layer, list(layers)
        self.blockSignals(True)
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        if not layers:
            self.addItem(self._empty, None)
        kept = [row for wanted in (chosen, otherwise) for row, layer in enumerate(layers) if layer is wanted]
        self.setCurrentIndex(kept[0] if kept else max(0, len(layers) - 1))
        self.blockSignals(False)
        self._tell()

    def _tell(self) -> None:
        if self.layer is not self._last:
            self._last = self.layer
            self.layer_changed.emit()


def fill_menu(menu: QComboBox, entries: Iterable[tuple[str, Any]]) -> None:
    """Replace the entries of a menu; the choice stays."""
    chosen = menu.currentData()
    menu.clear()
    for label, value in entries:
        menu.addItem(label, value)
    if chosen is not None:
        choose(menu, chosen)


def make_menu(entries: Iterable[tuple[str, Any]], tip: str) -> QComboBox:
    """A menu of (label, value) entries."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setToolTip(tip)
    fill_menu(box, entries)
    return box


def choose(menu: QComboBox, value: Any) -> None:
    """Choose a value, adding it where it is missing."""
    row = next((row for row in range(menu.count()) if menu.itemData(row) == value), None)
    if row is None:
        menu.addItem(str(value), value)
        row = menu.count() - 1
    menu.setCurrentIndex(row)


def make_decimal(unit: str, tip: str) -> QDoubleSpinBox:
    """A box for a positive number with one decimal, of which 0 is 'Automatic'."""
    box = QDoubleSpinBox()
    box.setRange(0, 99999)
    box.setDecimals(1)
    box.setSuffix(unit)
    box.setSpecialValueText("Automatic")
    box.setToolTip(tip)
    return box


def make_spin(low: int, high: int, tip: str) -> QSpinBox:
    """A whole number."""
    box = QSpinBox()
    box.setRange(low, high)
    box.setToolTip(tip)
    box.setMinimumWidth(64)
    return box


def make_tool(text: str, tip: str) -> QPushButton:
    """A button that stays pressed while its tool is in hand."""
    tool = QPushButton(text)
    tool.setToolTip(tip)
    tool.setCheckable(True)
    return tool


def make_check(text: str, on: bool, tip: str) -> QCheckBox:
    """A box to tick."""
    check = QCheckBox(text)
    check.setChecked(on)
    check.setToolTip(tip)
    return check


def make_note() -> QLabel:
    """Text that wraps; a word that is longer than the dock is wide, such as a name, does not widen it."""
    note = QLabel()
    note.setWordWrap(True)
    note.setMinimumWidth(1)
    return note


def make_row(*items: Any) -> QHBoxLayout:
    """Widgets side by side; (widget, stretch) takes the room left."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for item in items:
        widget, stretch = item if isinstance(item, tuple) else (item, 0)
        row.addWidget(widget, stretch)
    return row


def make_boxed(layout: QHBoxLayout) -> QWidget:
    """A widget around a layout."""
    box = QWidget()
    box.setLayout(layout)
    return box


def make_form(parent: QWidget) -> QFormLayout:
    """A compact form inside a widget."""
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return form


def bring_into_sight(widget: QWidget) -> None:
    """Scroll to a widget, as soon as what was unfolded just now has its places."""
    areas, parent = [], widget.parentWidget()
    while parent is not None:
        areas += [parent] if isinstance(parent, QScrollArea) else []
        parent = parent.parentWidget()
    for area in areas:
        look, timer = partial(_look_at, area, widget), QTimer(area)
        area.verticalScrollBar().rangeChanged.connect(look)
        timer.setSingleShot(True)
        timer.timeout.connect(look)
        timer.timeout.connect(partial(area.verticalScrollBar().rangeChanged.disconnect, look))
        timer.start(SETTLED_MS)


def _look_at(area: QScrollArea, widget: QWidget, *_: object) -> None:
    area.ensureWidgetVisible(widget)


SETTLED_MS = 300
"""Until when layouts in layouts have their places; not measured."""

SPARE = 10
"""Px below what is in a folded part; as QCollapsible has it."""


class Folded(QCollapsible):
    """A part of the dock that opens on a click; closed at first, and then nothing in it is laid out or styled.

    Parameters
    ----------
    title : str
    inner : QWidget
        What is in it.
    """

    def __init__(self, title: str, inner: QWidget) -> None:
        super().__init__(title)
        self._inner = inner
        self.setDuration(0)
        inner.hide()
        self.addWidget(inner)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.content().layout().setContentsMargins(8, 2, 0, 0)
        self.content().installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Make room for what is put in while it is open."""
        if watched is self.content() and event.type() == QEvent.Type.LayoutRequest and self.isExpanded():
            self.content().setMaximumHeight(self.content().sizeHint().height() + SPARE)
        return bool(super().eventFilter(watched, event))

    def expand(self, animate: bool = True) -> None:
        """Open it."""
        self._inner.show()
        super().expand(animate)

    def collapse(self, animate: bool = True) -> None:
        """Close it."""
        super().collapse(animate)
        self._inner.hide()


def make_collapsible(title: str, tip: str, inner: QWidget) -> QCollapsible:
    """A part of the dock that opens on a click; closed at first."""
    box = Folded(title, inner)
    box.setToolTip(tip)
    return box
