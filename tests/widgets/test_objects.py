"""The table of objects, in a real viewer: what is clicked is taken in hand, shown, deleted and undone."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_mosam.core.results.objects import ObjectSummary
from napari_mosam.widgets.controls.object_table import ObjectTable


@pytest.fixture
def ran(open_widget, movie, hands):
    widget = open_widget(movie, show=True)
    hands.mark(widget, 1, 2)
    hands.run(widget)
    widget.controls.objects.box.expand(animate=False)
    return widget


def cell(table, row, column=0):
    return table.visualItemRect(table.item(row, column)).center()


def words(table, row):
    return [table.item(row, column).text() for column in range(table.columnCount())]


def test_it_says_what_became_of_each_object(ran):
    table, last = ran.controls.objects.table, ran.source.shape[0] - 1
    assert ran.controls.objects.box.text() == "Objects (2)"
    assert [words(table, row)[:2] for row in (0, 1)] == [["1", f"0\u2013{last}"], ["2", f"0\u2013{last}"]]
    assert words(table, 0)[2] == f"{last + 1}/{last + 1}" and float(words(table, 0)[3]) <= float(words(table, 0)[4])


def test_a_click_takes_an_object_in_hand_and_a_double_click_goes_to_its_worst_frame(ran, hands, qtbot):
    table = ran.controls.objects.table
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, cell(table, 1))
    assert (ran.controls.object_id.value(), hands.labels(ran).selected_label, table.current) == (2, 2, 2)
    worst = table.item(0, 0).data(Qt.ItemDataRole.UserRole).worst_frame
    ran.viewer.dims.set_point(0, worst + 1)
    for act in (QTest.mouseClick, QTest.mouseDClick, QTest.mouseRelease):  # or Qt takes the button for pressed
        act(table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, cell(table, 0))
    assert ran.frame == worst and ran.controls.object_id.value() == 1


def test_an_object_is_deleted_with_its_marks_and_comes_back(ran, hands, qtbot):
    panel = ran.controls.objects
    panel.delete.click()
    assert "no object is chosen" in ran.controls.status.text().lower()
    panel.table.choose(2)
    panel.delete.click()
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (1)", timeout=20_000)
    assert ran.session.prompts.object_ids == (1,) and not (hands.labels(ran).data[:] == 2).any()
    ran.undo()
    qtbot.waitUntil(lambda: panel.box.text() == "Objects (2)", timeout=20_000)
    assert ran.session.prompts.object_ids == (1, 2)


def test_it_is_sorted_by_numbers(qtbot):
    table = ObjectTable()
    qtbot.addWidget(table)
    rows = [(2, 0.5), (10, 0.25), (1, float("nan"))]
    table.show_objects([ObjectSummary(i, 0, 9, 10, 10, worst, worst, 3) for i, worst in rows])
    assert [words(table, row)[0] for row in range(3)] == ["1", "2", "10"]
    table.sortByColumn(3, Qt.SortOrder.AscendingOrder)
    assert [words(table, row)[0] for row in range(3)] == ["1", "10", "2"]
    table.choose(10)
    table.show_objects([ObjectSummary(i, 0, 9, 10, 10, 1 / i, 1 / i, 3) for i in (1, 10)])
    assert table.current == 10
