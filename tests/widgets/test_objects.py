"""The table of objects, in a real viewer: what is clicked is taken in hand, shown, edited and undone."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QIcon
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit
from tests.widgets import mouse
from tests.widgets.conftest import PLACES, box_around
from tests.widgets.mouse import CONTROL, LEFT, NO_KEY, undo_key

from napari_mosam.core.results.objects import ObjectSummary, Overview
from napari_mosam.widgets.controls.object_model import COLUMNS, SWATCH_PX
from napari_mosam.widgets.controls.object_table import ObjectTable

ROW_OFF = QItemSelectionModel.SelectionFlag.Deselect | QItemSelectionModel.SelectionFlag.Rows
TITLES = [column.title for column in COLUMNS]


@pytest.fixture
def ran(open_widget, movie, hands):
    """A dock in which two disks were followed, its table, and hands for it."""
    widget = open_widget(movie, show=True)
    hands.mark(widget, 1, 2)
    hands.run(widget)
    widget.controls.objects.box.expand(animate=False)
    hands.qtbot.waitUntil(lambda: widget.controls.objects.table.objects.rowCount() == 2)
    hands.qtbot.wait(50)  # or what was folded lies in no place yet
    return widget


def place(table, row, title="Id"):
    return table.visualRect(table.model().index(row, TITLES.index(title))).center()


def click(table, row, title="Id", keys=NO_KEY):
    QTest.mouseClick(table.viewport(), LEFT, keys, place(table, row, title))


def double_click(table, row, title="Id"):
    for act in (QTest.mouseClick, QTest.mouseDClick, QTest.mouseRelease):  # or Qt takes the button for pressed
        act(table.viewport(), LEFT, NO_KEY, place(table, row, title))


def words(table, row, *titles):
    return [table.model().index(row, TITLES.index(title)).data() for title in titles]


def done(widget, hands, words_of_history):
    """Wait until the last entry of the history says so, and the table shows the result."""
    hands.qtbot.waitUntil(lambda: words_of_history in "".join(widget.session.history[-1:]), timeout=20_000)
    hands.settle(widget)
    return np.array(widget.session.result.labels[:])


def press(button):
    QTest.mouseClick(button, LEFT)


def test_it_says_what_became_of_each_object_and_how_it_is_on_the_frame_shown(ran, hands):
    table, last, result = ran.controls.objects.table, ran.source.shape[0] - 1, ran.session.result
    assert ran.controls.objects.box.text() == "Objects (2)"
    everywhere = f"{last + 1}/{last + 1}"
    assert words(table, 0, "Id", "Name", "Frames", "Seen") == ["1", "", f"0\u2013{last}", everywhere]
    assert words(table, 1, "Worst", "Locked") == [f"{result.predicted_iou[:, 1].min():.2f}", ""]
    for t in (0, 5):
        ran.viewer.dims.set_point(0, t)
        assert words(table, 0, "Here") == [f"{(np.asarray(result.labels[t]) == 1).sum()} px"]
    wide = [title for at, title in enumerate(TITLES) if not table.isColumnHidden(at)]
    assert wide[:4] == TITLES[:4] and sum(c.width for c in COLUMNS[: len(wide)]) <= table.viewport().width()


def test_row_label_and_object_in_hand_are_one(ran, hands, qtbot):
    table, labels = ran.controls.objects.table, hands.labels(ran)
    click(table, 1)
    assert (ran.controls.object_id.value(), labels.selected_label, table.current) == (2, 2, 2)
    ran.viewer.layers.selection.active, labels.mode = labels, "pick"
    mouse.press(ran.viewer, qtbot, PLACES[ran.frame][0])
    assert (ran.controls.object_id.value(), table.current, ran.prompts.object_id) == (1, 1, 1)
    ran.controls.object_id.setValue(2)
    assert (table.current, labels.selected_label) == (2, 2)
    ran.viewer.dims.set_point(0, 3)
    worst = table.objects.object_at(0).worst_frame
    double_click(table, 0)
    assert ran.frame == worst and ran.controls.object_id.value() == 1
    press(ran.controls.objects.last)
    assert ran.frame == ran.source.shape[0] - 1


def test_an_id_that_the_labels_had_no_room_for_can_be_taken_in_hand_and_painted(ran, hands, qtbot):
    labels, before = hands.labels(ran), hands.shown(ran)
    assert labels.data.dtype == np.uint16
    ran.controls.object_id.setValue(70_000)
    assert (labels.selected_label, labels.data.dtype) == (70_000, np.uint32)
    labels.brush_size = 3
    labels.paint((ran.frame, 50, 50), 70_000)
    hands.settle(ran)
    shown = hands.shown(ran)
    assert (shown[ran.frame] == 70_000).sum() >= 5 and np.array_equal(hands.stored(ran), shown)
    assert np.array_equal(np.where(shown == 70_000, 0, shown), before)


def test_two_rows_and_a_button_swap_from_the_frame_shown_on_and_ctrl_z_takes_it_back(ran, hands, qtbot):
    table, before = ran.controls.objects.table, hands.stored(ran)
    ran.controls.object_id.setValue(2)
    hands.box(ran, 6, *box_around(2, 6))
    ran.viewer.dims.set_point(0, 4)
    click(table, 0), click(table, 1, keys=CONTROL)
    assert table.both == (1, 2) and ran.controls.objects.swap.text() == "Swap"
    press(ran.controls.objects.swap)
    after = done(ran, hands, "swapping objects 1 and 2 from frame 4 on")
    want = before.copy()
    want[4:] = np.choose(before[4:], [0, 2, 1])
    assert np.array_equal(after, want) and np.array_equal(hands.shown(ran)[4], want[4])
    assert "Objects 1 and 2 are swapped from frame 4 on" in hands.says(ran)
    assert words(table, 0, "Locked") == ["1"]
    marks = {(mark.object_id, mark.frame) for mark in ran.prompts.prompts(ran.source)}
    assert marks == {(1, 0), (2, 0), (1, 6)}, "a mark goes with its mask"
    undo_key(ran.viewer, qtbot)
    hands.settle(ran)
    assert np.array_equal(hands.stored(ran), before)


def test_one_is_split_named_and_merged_with_one_of_the_menu(ran, hands, qtbot):
    panel, table, before = ran.controls.objects, ran.controls.objects.table, hands.stored(ran)
    ran.viewer.dims.set_point(0, 3)
    click(table, 0)
    press(panel.split)
    split = done(ran, hands, "splitting object 1 from frame 3 on")
    assert np.array_equal(split, np.where((before == 1) & (np.arange(8) > 2)[:, None, None], 3, before))
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (3)")
    assert words(table, 0, "Frames", "Here") == ["0\u20132", ""] and words(table, 2, "Frames") == ["3\u20137"]
    double_click(table, 2, "Name")
    (field,) = table.findChildren(QLineEdit)
    QTest.keyClicks(field, "late one"), QTest.keyClick(field, Qt.Key.Key_Return)
    done(ran, hands, "the renaming of object 3")
    assert words(table, 2, "Name") == ["late one"] and ran.session.result.names == {3: "late one"}
    click(table, 0)
    texts = [action.text() for action in ran.objects.menu().actions()]
    assert texts[:4] == ["Go to first frame (0)", "Go to last frame (2)", texts[2], "Rename"]
    (merge,) = [action.menu() for action in ran.objects.menu().actions() if action.text() == "Merge with"]
    assert [action.text() for action in merge.actions()] == ["2", "3 (late one)"]
    merge.actions()[1].trigger()
    assert np.array_equal(done(ran, hands, "merging object 3 into 1"), before)
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (2)")
    assert words(table, 0, "Name") == ["late one"]


@pytest.mark.slow
def test_one_is_locked_and_let_go(ran, hands):
    panel, table = ran.controls.objects, ran.controls.objects.table
    click(table, 1)
    press(panel.lock)
    done(ran, hands, "locking object 2")
    assert words(table, 1, "Locked") == ["all"] and panel.lock.text() == "Unlock"
    press(panel.lock)
    done(ran, hands, "releasing object 2")
    assert words(table, 1, "Locked") == [""] and ran.session.result.locked(3) == ()


def test_objects_are_deleted_with_their_marks_and_come_back(ran, hands, qtbot):
    panel = ran.controls.objects
    panel.table.choose(None)
    press(panel.delete)
    assert "no object is chosen" in hands.says(ran).lower()
    click(panel.table, 1)
    press(panel.delete)
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (1)", timeout=20_000)
    assert ran.session.prompts.object_ids == (1,) and not (hands.labels(ran).data[:] == 2).any()
    ran.undo()
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (2)", timeout=20_000)
    assert ran.session.prompts.object_ids == (1, 2)


@pytest.mark.slow
def test_several_objects_are_deleted_in_one_step(ran, hands, qtbot):
    panel, before = ran.controls.objects, len(ran.session.history)
    panel.table.selectAll()
    assert panel.delete.text() == "Delete 2 objects"
    press(panel.delete)
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (0)", timeout=20_000)
    hands.settle(ran)
    assert ran.session.history[before:] == ("removing objects 1 and 2",) and not ran.session.prompts
    assert hands.says(ran).startswith("Objects 1 and 2 were deleted")
    ran.undo()
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (2)", timeout=20_000)
    assert ran.session.prompts.object_ids == (1, 2)


def test_many_chosen_rows_are_chosen_again_in_one_go(qtbot):
    """Told of each row alone, the table took 40 s for 1000."""
    table, told = ObjectTable(), []
    qtbot.addWidget(table)
    rows = overview(*(ObjectSummary(i, 0, 9, 10, 10, 0.5, 0.5, 3) for i in range(1, 301)))
    table.show_objects(rows)
    table.selectAll()
    table.selectionModel().select(table.model().index(6, 0), ROW_OFF)
    kept, current = table.ids, table.current
    assert len(kept) == 299 and 7 not in kept
    table.selectionModel().selectionChanged.connect(lambda *_: told.append(1))
    table.show_objects(rows)
    assert (table.ids, table.current) == (kept, current) and len(told) <= 2


def overview(*objects):
    n = len(objects)
    none = np.full((10, n), np.nan)
    rows = {one.object_id: row for row, one in enumerate(objects)}
    return Overview(tuple(objects), rows, np.zeros((10, n), int), none, none, none, None)


def test_it_is_sorted_by_numbers_and_what_is_chosen_stays_so(qtbot):
    table = ObjectTable()
    qtbot.addWidget(table)
    table.show()
    rows = [(2, 0.5), (10, 0.25), (1, float("nan"))]
    table.show_objects(overview(*(ObjectSummary(i, 0, 9, 10, 10, worst, worst, 3) for i, worst in rows)))
    assert [words(table, row, "Id") for row in range(3)] == [["1"], ["2"], ["10"]]
    table.sortByColumn(TITLES.index("Worst"), Qt.SortOrder.AscendingOrder)
    assert [words(table, row, "Id") for row in range(3)] == [["1"], ["10"], ["2"]]
    for width, shown in ((330, 6), (800, len(COLUMNS))):
        table.resize(width, 200)
        assert sum(not table.isColumnHidden(at) for at in range(len(COLUMNS))) == shown
    table.choose(10)
    table.show_objects(overview(*(ObjectSummary(i, 0, 9, 10, 10, 1 / i, 1 / i, 3) for i in (1, 10))))
    assert table.current == 10 and table.model().rowCount(QModelIndex()) == 2
    assert [words(table, row, "Id") for row in range(2)] == [["10"], ["1"]], "still by the worst"


@pytest.mark.parametrize(
    ("pixels", "pixel_um2", "said"),
    [
        (620, 1.0, "620 µm²"),
        (11_234, 1.0, "11,200 µm²"),
        (480_000, 0.25, "120,000 µm²"),
        (620, 0.01, "6.2 µm²"),
        (7, 0.0001, "0.0007 µm²"),
        (11_234, None, "11,234 px"),
    ],
)
def test_areas_are_written_as_people_do_and_fit_their_column(qtbot, pixels, pixel_um2, said):
    table, one = ObjectTable(), overview(ObjectSummary(1, 0, 9, 10, 10, 0.5, 0.5, 3))
    qtbot.addWidget(table)
    table.show_objects(replace(one, area=np.full((10, 1), float(pixels)), pixel_um2=pixel_um2))
    assert words(table, 0, "Here") == [said]
    assert table.fontMetrics().horizontalAdvance(said) + 6 <= COLUMNS[TITLES.index("Here")].width


@pytest.mark.parametrize("mode", [QIcon.Mode.Normal, QIcon.Mode.Selected])
def test_the_colour_beside_a_number_is_that_of_the_cell_in_rows_that_are_selected_too(qtbot, mode):
    table, color = ObjectTable(), QColor(220, 120, 20)
    qtbot.addWidget(table)
    table.color_of = lambda object_id: color.getRgbF()
    table.show_objects(overview(ObjectSummary(1, 0, 9, 10, 10, 0.5, 0.5, 3)))
    icon = QIcon(table.model().index(0, 0).data(Qt.ItemDataRole.DecorationRole))  # as Qt draws it in a row
    assert icon.pixmap(SWATCH_PX, mode).toImage().pixelColor(SWATCH_PX // 2, SWATCH_PX // 2) == color


def test_who_is_near_is_offered_first():
    shown = overview(*(ObjectSummary(i, 0, 9, 10, 10, 0.5, 0.5, 3, parent=None) for i in (1, 2, 3, 4)))
    y = np.array([[0.0, 50.0, 3.0, np.nan]] * 10)
    near = Overview(shown.objects, shown.rows, shown.state, y, y, y * 0, 0.25)
    assert near.nearest(1, 0) == [3, 2, 4] and near.nearest(4, 0) == [1, 2, 3]
    assert (near.area_at(2, 0), near.area_at(4, 0)) == (50, 0)
