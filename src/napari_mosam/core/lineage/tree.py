"""The kin of a result's objects, laid out to be drawn, and as the tracks and the graph of other programs; no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.results.objects import ObjectSummary


@dataclass(frozen=True, slots=True)
class TreeLine:
    """One object in a tree.

    Attributes
    ----------
    object_id, first, last : int
        From which frame to which it was seen.
    row : float
        Its height, in lines from the top: a mother lies in the middle of her daughters.
    mother : int or None
    mother_row : float
        Her height; its own without one.
    name : str
    until : int
        To which frame it is drawn: its last one, or that on which the last of its daughters is first seen.
    """

    object_id: int
    first: int
    last: int
    row: float
    mother: int | None = None
    mother_row: float = 0.0
    name: str = ""
    until: int = 0


@dataclass(frozen=True, slots=True)
class LineageTree:
    """All objects that were seen, families side by side.

    Attributes
    ----------
    lines : tuple of TreeLine
        From the top.
    n_rows : int
    """

    lines: tuple[TreeLine, ...] = ()
    n_rows: int = 0

    @classmethod
    def of(cls, objects: "Sequence[ObjectSummary]") -> Self:
        """Of objects and their parents; who was never seen is left out, and a mother that was not is none."""
        seen = {one.object_id: one for one in objects if one.first is not None}
        daughters: dict[int, list[int]] = {}
        for one in sorted(seen.values(), key=lambda one: (one.first or 0, one.object_id)):
            if one.parent in seen:
                daughters.setdefault(one.parent, []).append(one.object_id)
        roots = (one for one in seen.values() if one.parent not in seen)
        rows: dict[int, float] = {}
        n_rows = 0
        for root in sorted(roots, key=lambda one: (one.first or 0, one.object_id)):
            n_rows = _place(root.object_id, daughters, rows, n_rows)
        lines = [_line(seen[i], rows, [seen[d] for d in daughters.get(i, ())], seen) for i in rows]
        return cls(tuple(sorted(lines, key=lambda line: (line.row, line.object_id))), n_rows)

    def at(self, row: float, frame: float) -> TreeLine | None:
        """The line nearest to a height, less than one row away; of several at one height that which is there then."""
        near = [line for line in self.lines if abs(line.row - row) < 1]
        away = {line: max(line.first - frame, frame - line.last, 0) for line in near}
        return min(near, key=lambda line: (away[line] > 0, abs(line.row - row), away[line]), default=None)


def _place(root: int, daughters: Mapping[int, Sequence[int]], rows: dict[int, float], n_rows: int) -> int:
    """Give a family its rows below those that are taken; a loop, since lineages may be long."""
    todo = [(root, False)]
    while todo:
        one, placed = todo.pop()
        own = [i for i in daughters.get(one, ()) if i != one]
        if not own:
            rows[one], n_rows = float(n_rows), n_rows + 1
        elif placed:
            rows[one] = float(np.mean([rows[i] for i in own]))
        else:
            todo += [(one, True), *((i, False) for i in reversed(own))]
    return n_rows


def _line(
    one: "ObjectSummary",
    rows: Mapping[int, float],
    daughters: "Sequence[ObjectSummary]",
    seen: "Mapping[int, ObjectSummary]",
) -> TreeLine:
    assert one.first is not None and one.last is not None
    mother = one.parent if one.parent in seen else None
    row, until = rows[one.object_id], max([one.last, *(daughter.first or 0 for daughter in daughters)])
    mother_row = row if mother is None else rows[mother]
    return TreeLine(one.object_id, one.first, one.last, row, mother, mother_row, one.name, until)


@dataclass(frozen=True, slots=True, eq=False)
class TrackTable:
    """Where all objects are over time.

    Attributes
    ----------
    ids, frames : ndarray of int, shape (P,)
        By object, then by frame.
    yx : ndarray of float, shape (P, 2)
        Centres, px.
    graph : dict of int to list of int
        Mothers by daughter, of objects that are in the table.
    """

    ids: "NDArray[np.int64]"
    frames: "NDArray[np.int64]"
    yx: "NDArray[np.float64]"
    graph: dict[int, list[int]]

    @classmethod
    def of(cls, object_ids: Sequence[int], places: "NDArray[np.floating]", parents: Mapping[int, int]) -> Self:
        """Of the centres (T, N, 2) of all objects, px, NaN where one is not, and the mothers by daughter."""
        rows, frames = np.nonzero(np.isfinite(places).all(-1).T)
        order = np.lexsort((frames, np.asarray(object_ids, np.int64)[rows]))
        rows, frames = rows[order], frames[order]
        ids = np.asarray(object_ids, np.int64)[rows]
        there = {*ids.tolist()}
        graph = {i: [mother] for i, mother in parents.items() if {i, mother} <= there}
        return cls(ids, frames.astype(np.int64), np.asarray(places[frames, rows], np.float64), graph)
