"""What the table of objects says, column by column; computed only for rows that are in sight."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap

from napari_mosam.core.results.frame import ObjectState

if TYPE_CHECKING:
    from napari_mosam.core.results.objects import ObjectSummary, Overview

SWATCH_PX = 12
"""Side of the colour beside a number: as high as the digits."""

WORDS = {ObjectState.PRESENT: "hidden", ObjectState.LOST: "not found", ObjectState.ENDED: "gone", None: ""}
"""What is said of an object that has no pixel on a frame, by its state there."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    title, tip : str
    width : int
        Px that its words need.
    text : callable
        What it says of an object; given also the overview and the frame.
    key : callable
        The number, or word, by which it is sorted.
    """

    title: str
    tip: str
    width: int
    text: "Callable[[ObjectSummary, Overview, int], str]"
    key: "Callable[[ObjectSummary, Overview, int], Any]"


def _frames(one: "ObjectSummary", *_: Any) -> str:
    return "never" if one.first is None else f"{one.first}\u2013{one.last}"


def _here(one: "ObjectSummary", overview: "Overview", t: int) -> str:
    pixels = overview.area_at(one.object_id, t)
    if not pixels:
        return WORDS[overview.state_at(one.object_id, t)]
    return f"{pixels:,} px" if overview.pixel_um2 is None else f"{_rounded(pixels * overview.pixel_um2)} µm²"


def _rounded(area: float) -> str:
    """Three digits that count, such as '0.62', '6.2', '620' and '11,200'."""
    return f"{float(f'{area:.3g}'):,.10g}"


def _locked(one: "ObjectSummary", *_: Any) -> str:
    return "all" if one.n_locked == one.n_followed else str(one.n_locked or "")


def _short(value: float) -> str:
    return "" if isnan(value) else f"{value:.2f}"


def _number(value: float) -> float:
    return -1.0 if isnan(value) else value


COLUMNS = (
    Column(
        "Id",
        "Its number and the colour of its labels. A double click goes to the frame where a look is needed most.",
        42,
        lambda one, *_: str(one.object_id),
        lambda one, *_: one.object_id,
    ),
    Column("Name", "Double click to give it a name.", 50, lambda one, *_: one.name, lambda one, *_: one.name.lower()),
    Column(
        "Frames",
        "The first and the last frame on which it was seen.",
        54,
        _frames,
        lambda one, *_: -1 if one.first is None else one.first,
    ),
    Column(
        "Here",
        "Its area on the frame shown; where it has no pixel there, why.",
        84,
        _here,
        lambda one, overview, t: overview.area_at(one.object_id, t),
    ),
    Column(
        "Worst",
        "The least that can be expected of how well it fits on one of its frames (IoU, from 0 to 1); 0: not found.",
        46,
        lambda one, *_: _short(one.worst_iou),
        lambda one, *_: _number(one.worst_iou),
    ),
    Column(
        "Locked",
        "On how many of its frames no run changes it, as you locked, corrected or painted it there.",
        50,
        _locked,
        lambda one, *_: one.n_locked / one.n_followed,
    ),
    Column(
        "Mean",
        "The mean of what can be expected of how well its masks fit (IoU, from 0 to 1).",
        46,
        lambda one, *_: _short(one.mean_iou),
        lambda one, *_: _number(one.mean_iou),
    ),
    Column(
        "Seen",
        "On how many of the frames on which it was looked for it was seen.",
        64,
        lambda one, *_: f"{one.n_seen}/{one.n_followed}",
        lambda one, *_: one.n_seen / one.n_followed,
    ),
    Column("Parent", "Its mother.", 54, lambda one, *_: str(one.parent or ""), lambda one, *_: one.parent or 0),
)
"""In the order in which they are shown as far as there is room."""

NAME, HERE = (next(at for at, column in enumerate(COLUMNS) if column.title == title) for title in ("Name", "Here"))


class ObjectModel(QAbstractTableModel):
    """The objects of a result, on the frame shown."""

    renamed = Signal(int, str)
    """An object was given a name."""

    def __init__(self, color_of: Callable[[int], Any]) -> None:
        super().__init__()
        self.overview: Overview | None = None
        self.frame = 0
        self._color_of = color_of

    def show(self, overview: "Overview | None") -> None:
        """Show these objects."""
        self.beginResetModel()
        self.overview = overview
        self.endResetModel()

    def show_frame(self, frame: int) -> None:
        """Say how the objects are on a frame."""
        self.frame = frame
        if self.rowCount():
            self.dataChanged.emit(self.index(0, HERE), self.index(self.rowCount() - 1, HERE))

    def object_at(self, row: int) -> "ObjectSummary":
        """The object in a row."""
        assert self.overview is not None
        return self.overview.objects[row]

    # ---- what Qt asks

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Objects."""
        return 0 if self.overview is None else len(self.overview.objects)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Columns."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles and tips."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        return {Qt.ItemDataRole.DisplayRole: column.title, Qt.ItemDataRole.ToolTipRole: column.tip}.get(role)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell says."""
        one, column, overview = self.object_at(index.row()), COLUMNS[index.column()], self.overview
        assert overview is not None
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.EditRole:
                return column.text(one, overview, self.frame)
            case Qt.ItemDataRole.UserRole:
                return column.key(one, overview, self.frame)
            case Qt.ItemDataRole.DecorationRole if index.column() == 0:
                return swatch_icon(self._color_of(one.object_id))
            case Qt.ItemDataRole.ToolTipRole:
                return _all(one, overview, self.frame)
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Names can be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NAME else flags

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Tell that a name was typed; it is shown when the result has it."""
        one = self.object_at(index.row())
        if str(value) != one.name:
            self.renamed.emit(one.object_id, str(value))
        return False


def _all(one: "ObjectSummary", overview: "Overview", frame: int) -> str:
    """Every column in words, for a table that has no room."""
    said = ((column.title, column.text(one, overview, frame)) for column in COLUMNS)
    return "\n".join(f"{title}: {text}" for title, text in said if text)


def swatch(rgba: Any) -> QPixmap:
    """A small square of a colour, to stand beside the number of an object."""
    picture = QPixmap(SWATCH_PX, SWATCH_PX)
    picture.fill(QColor.fromRgbF(*(float(v) for v in rgba[:3])))
    return picture


def swatch_icon(rgba: Any) -> QIcon:
    """The same for a row that can be selected: Qt would tint the colour of a picture there."""
    icon, picture = QIcon(), swatch(rgba)
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(picture, mode)
    return icon
