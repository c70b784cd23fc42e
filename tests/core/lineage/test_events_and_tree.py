"""Which frames are looked at for a division, and how a lineage is laid out: pure rules on small tables."""

import numpy as np
import pytest

from napari_mosam.core.lineage.events import Track, lengths
from napari_mosam.core.lineage.tree import LineageTree, TrackTable
from napari_mosam.core.results.objects import ObjectSummary


def track(area, *, length=None, pieces=None, same=None):
    values = np.array(area, float)
    given = [
        np.full(len(values), fill) if one is None else np.array(one, float)
        for one, fill in ((length, 1.1), (pieces, 0), (same, 0.9))
    ]
    return Track(1, values, *given, np.ones(len(values), bool))


def test_nothing_is_looked_at_where_nothing_happens():
    assert track([100, 104, 98, 101, 99, 100]).worth_a_look() == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"area": [100, 100, 100, 55]}, "the mask has 55% of its area before"),
        ({"area": [100, 100, 100, 0]}, "the cell is gone"),
        ({"area": [100] * 4, "pieces": [0, 0, 0, 0.9]}, "the mask fell into two pieces"),
        ({"area": [100] * 4, "length": [1.1, 1.1, 1.1, 1.6]}, "the mask became long"),
        ({"area": [100] * 4, "same": [np.nan, 0.9, 0.9, 0.5]}, "the mask changed its shape"),
    ],
)
def test_a_frame_is_looked_at_where_the_mask_changed(changes, said):
    assert track(**changes).worth_a_look() == {3: said}


def test_it_is_said_once_that_a_cell_is_gone_and_not_where_nobody_looked():
    assert list(track([100, 100, 0, 0, 0]).worth_a_look()) == [2]
    gone = track([100, 100, 0, 0])
    assert (
        Track(1, gone.area, gone.length, gone.pieces, gone.consistency, np.array([1, 1, 0, 0], bool)).worth_a_look()
        == {}
    )


def test_length_over_width_is_that_of_the_ellipse():
    y, x = np.mgrid[:80, :120]
    labels = np.zeros((80, 120), int)
    labels[np.hypot(y - 20, x - 20) <= 15] = 3
    labels[np.hypot((y - 50) / 10, (x - 80) / 30) <= 1] = 7
    disk, ellipse, none = lengths(labels, [3, 7, 9])
    assert abs(disk - 1) < 0.02 and abs(ellipse - 3) < 0.06 and np.isnan(none)


def cell(object_id, first, last, parent=None):
    return ObjectSummary(object_id, first, last, 1, 1, 1.0, 1.0, first, "", parent)


def test_a_mother_lies_in_the_middle_of_her_daughters_and_families_do_not_mix():
    cells = [cell(1, 0, 4), cell(5, 5, 9, 1), cell(4, 5, 9, 1), cell(6, 10, 12, 4), cell(7, 10, 12, 4), cell(2, 0, 12)]
    tree = LineageTree.of(cells)
    rows = {line.object_id: line.row for line in tree.lines}
    assert rows == {6: 0, 4: 0.5, 7: 1, 1: 1.25, 5: 2, 2: 3}
    assert tree.n_rows == 4
    assert {line.object_id: line.mother_row for line in tree.lines}[5] == rows[1]


def test_a_mother_is_drawn_until_her_daughters_are_seen():
    tree = LineageTree.of([cell(1, 0, 2), cell(2, 3, 9, 1), cell(3, 5, 9, 1), cell(4, 0, 7), cell(5, 3, 9, 4)])
    assert {line.object_id: line.until for line in tree.lines} == {1: 5, 2: 9, 3: 9, 4: 7, 5: 9}
    assert {line.object_id: line.last for line in tree.lines}[1] == 2, "where she was seen stays as it is"


def test_who_was_never_seen_is_left_out_and_a_mother_that_was_not_is_none():
    tree = LineageTree.of([cell(1, None, None), cell(2, 3, 6, 1), cell(3, 0, 2, 9)])
    assert [(line.object_id, line.mother) for line in tree.lines] == [(3, None), (2, None)]


def test_a_place_leads_to_the_line_that_is_there_then():
    tree = LineageTree.of([cell(1, 0, 4), cell(2, 5, 9, 1)])
    assert [tree.at(0, frame).object_id for frame in (0, 3, 6, 9)] == [1, 1, 2, 2]
    assert tree.at(0.4, 2).object_id == 1 and tree.at(1.5, 2) is None


def test_a_long_lineage_does_not_exhaust_the_stack():
    cells = [cell(i, i, i, i - 1 if i > 1 else None) for i in range(1, 3001)]
    assert LineageTree.of(cells).n_rows == 1


def test_tracks_are_by_object_and_frame_and_the_graph_knows_those_alone():
    places = np.full((3, 3, 2), np.nan)
    places[:2, 1], places[2, 0], places[2, 2] = (5, 6), (1, 2), (8, 9)
    table = TrackTable.of([9, 2, 4], places, {9: 2, 4: 2, 7: 2})
    assert table.ids.tolist() == [2, 2, 4, 9] and table.frames.tolist() == [0, 1, 2, 2]
    assert table.yx.tolist() == [[5, 6], [5, 6], [8, 9], [1, 2]]
    assert table.graph == {9: [2], 4: [2]}
