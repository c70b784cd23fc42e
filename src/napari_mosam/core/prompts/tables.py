"""Tables of prompts as records: our own columns, napari's points and shapes, TrackMate's spots."""

import csv
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import read_text
from napari_mosam.core.prompts.kinds import PromptError
from napari_mosam.core.prompts.trackmate import Sizes, Spot, refuse_splits, sizes_of, spot_records

CSV_COLUMNS = ("object", "frame", "y", "x", "positive", "y0", "x0", "y1", "x1", "mask")

MAX_BYTES = 100_000_000
"""Of a file of prompts: some millions of points; not measured."""

_WINDOWS = "cp1252"
"""Encoding in which spreadsheets save tables on many machines; only names of mask files could tell it from others."""

_DELIMITERS = ",;\t"
_FIRST_LINES = re.compile(r"\A(?:(?:sep=.?|[ \t,;]*)\r?\n)+", re.IGNORECASE)
"""What may stand before the names of columns: empty rows, and how Excel is told what separates cells."""

_UNTRACKED = ("", "none", "nan")
"""Track of a spot of TrackMate that has none, by its versions."""

_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")
_SIGNS = {"+": True, "-": False}
_ID_COLUMNS = ("object_id", "object", "track_id")

Record = Mapping[str, Any]
Numbered = tuple[int, Any]
"""A record and its number in the file, from 1."""

Row = tuple[int, dict[str, str]]
"""Its number, and its cells that are not empty, by column."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def ids(self) -> str | None:
        """The column that says whose a mark of napari is; None where there is none."""
        return next((column for column in _ID_COLUMNS if column in self.columns), None)


def table_records(path: Path, pixel_um: Sizes | None = None) -> list[Numbered]:
    """The records of a table, in the form of those of a JSON file, with their numbers.

    Cells are separated by commas, semicolons or tabs, whichever the first line has most of; without commas between
    them they may have decimal commas. Empty rows, and the row numbers of a first column without a name, are no records.

    Parameters
    ----------
    path : Path
    pixel_um : tuple of float, optional
        Size (y, x) of a pixel of the movie, µm, for positions that are given in a unit of length.

    Raises
    ------
    PromptError
        For what is no table, for unknown columns, and for positions that cannot be brought to pixels.
    """
    table = _read(path)
    columns = set(table.columns)
    if {"axis-0", "axis-1"} <= columns:
        shapes = {"index", "shape-type", "vertex-index"} <= columns
        marks = list(_napari_shapes(table) if shapes else _napari_points(table))
        _tell_whose(path.name, len(marks), "shape" if shapes else "point", table.ids)
        return marks
    if {"track_id", "frame", "position_x", "position_y"} <= columns:
        return list(_trackmate_spots(table, pixel_um))
    return [(n, _own_record(n, row)) for n, row in table.rows]


def table_masks(path: Path) -> list[str]:
    """The mask files that a table names; PromptError for what is no table."""
    return [cells["mask"] for _, cells in _read(path).rows if "mask" in cells]


# --- text to cells ---------------------------------------------------------------------------------------------------


def _read(path: Path) -> _Table:
    try:
        text = _FIRST_LINES.sub("", read_text(path, MAX_BYTES, _WINDOWS))
        delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
        lines = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, Refused) as error:
        raise PromptError(f"not a valid CSV table ({error})") from None
    columns = tuple(name.strip().lower() for name in lines[0]) if lines else ()
    twice = [column for column in columns if column and columns.count(column) > 1]
    if twice:
        raise PromptError(f"the column '{twice[0]:.40}' stands twice; give it once")
    rows = ((n, _cells(n, line, columns, delimiter)) for n, line in enumerate(lines[1:], 1))
    return _Table(columns, tuple((n, cells) for n, cells in rows if cells))


def _cells(n: int, line: list[str], columns: tuple[str, ...], delimiter: str) -> dict[str, str]:
    filled = {k: text.strip() for k, text in enumerate(line) if text.strip()}
    if any(k >= len(columns) for k in filled):
        raise PromptError(f"record {n}: more cells than columns; {_allowed()}")
    if any(k > 0 and not columns[k] for k in filled):
        raise PromptError(f"record {n}: a cell in a column without a name; {_allowed()}")
    decimal = delimiter != ","
    return {columns[k]: _with_point(text) if decimal else text for k, text in filled.items() if columns[k]}


def _with_point(text: str) -> str:
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def _number(text: str | None) -> float | str | None:
    """The number in a cell, or what is there instead, for the message."""
    try:
        return float(text or "")
    except ValueError:
        return text


# --- cells to records ------------------------------------------------------------------------------------------------


def _own_record(n: int, cells: dict[str, str]) -> Record:
    unknown = [column for column in cells if column not in CSV_COLUMNS]
    if unknown:
        raise PromptError(f"record {n}: unknown column '{unknown[0]:.40}'; {_allowed()}")
    record: dict[str, Any] = {key: _number(cells[key]) for key in ("object", "frame") if key in cells}
    for name, columns in (("point", ("y", "x")), ("box", ("y0", "x0", "y1", "x1"))):
        if any(column in cells for column in columns):
            record[name] = [_number(cells.get(column)) for column in columns]
    if "positive" in cells:
        record["positive"] = _sign(cells["positive"])
    return record | ({"mask": cells["mask"]} if "mask" in cells else {})


def _allowed() -> str:
    return (
        f"allowed: {','.join(CSV_COLUMNS)}, separated by commas, semicolons or tabs (or a table of points or shapes "
        "saved by napari, or of spots by TrackMate)"
    )


def _sign(text: str) -> bool | str:
    word = text.lower()
    return word in _TRUE if word in (*_TRUE, *_FALSE) else text


def _tell_whose(name: str, n_marks: int, kind: str, ids: str | None) -> None:
    """Say what is assumed of marks that do not say whose they are."""
    if ids is None and n_marks > 1:
        logger.warning(
            "%s does not say whose its %ss are, so each of the %d is an object of its own, 1 to %d in their order; "
            "where some are of one object, add a column 'object_id'",
            *(name, kind, n_marks, n_marks),
        )


def _napari_points(table: _Table) -> Iterator[Numbered]:
    """Points of a layer; each is an object of its own where no column of features says whose it is."""
    for k, (n, cells) in enumerate(table.rows, 1):
        frame, yx = _place(table, n, cells)
        sign = cells.get("sign", "+")
        positive = _SIGNS.get(sign, sign)
        yield n, {"object": _whose(table, n, cells, k), "frame": frame, "point": yx, "positive": positive}


def _whose(table: _Table, n: int, cells: dict[str, str], otherwise: int) -> float:
    return otherwise if table.ids is None else _coordinate(n, cells, table.ids)


def _napari_shapes(table: _Table) -> Iterator[Numbered]:
    """Shapes of a layer: rectangles and ellipses as boxes, outlines as polygons.

    napari itself writes no features of shapes, so that each is an object of its own, unless a column was added.
    """
    shapes = groupby(table.rows, key=lambda row: (row[1].get("index"), row[1].get("shape-type")))
    for k, ((_, kind), rows) in enumerate(shapes, 1):
        numbered = list(rows)
        n, cells = numbered[0]
        places = [_place(table, *row) for row in numbered]
        frame, corners = places[0][0], [yx for _, yx in places]
        yield n, {"object": _whose(table, n, cells, k), "frame": frame, **_outline(kind, corners)}


def _outline(kind: str | None, corners: list[list[float]]) -> Record:
    if kind in ("polygon", "path"):
        return {"polygon": corners}
    if kind not in ("rectangle", "ellipse"):
        raise PromptError(
            f"a shape of the type '{kind}' outlines no object; allowed: rectangle, ellipse, polygon, path"
        )
    ys, xs = zip(*corners, strict=True)
    return {"box": [min(ys), min(xs), max(ys), max(xs)]}


def _place(table: _Table, n: int, cells: dict[str, str]) -> tuple[float, list[float]]:
    """Frame and [y, x]: the first axis and the last two; what lies between them are planes and channels."""
    axes = [column for column in table.columns if column.startswith("axis-")]
    frame = _coordinate(n, cells, axes[0]) if len(axes) > 2 else 0.0
    return float(round(frame)), [_coordinate(n, cells, axis) for axis in axes[-2:]]


def _coordinate(n: int, cells: dict[str, str], column: str) -> float:
    value = _number(cells.get(column))
    if not isinstance(value, float) or not isfinite(value):
        raise PromptError(f"record {n}: '{column}' is {value!r:.80}; give a finite number")
    return value


def _trackmate_spots(table: _Table, pixel_um: Sizes | None) -> Iterator[Numbered]:
    """Spots that belong to a track, as points; below the names of columns stand rows of other names and of units."""
    words = [cells for _, cells in table.rows if not isinstance(_number(cells.get("frame")), float)]
    units = [cells["position_x"].strip("()") for cells in words if cells.get("position_x", "").startswith("(")]
    sizes = sizes_of(units[0] if units else None, pixel_um)
    tracked = [row for row in table.rows if row[1].get("track_id", "").lower() not in _UNTRACKED]
    spots = [_spot(n, cells) for n, cells in tracked if cells not in words]
    refuse_splits(spots)
    return spot_records(spots, sizes)


def _spot(n: int, cells: dict[str, str]) -> Spot:
    track, frame, y, x = (_coordinate(n, cells, key) for key in ("track_id", "frame", "position_y", "position_x"))
    return Spot(n, track, frame, (y, x))
