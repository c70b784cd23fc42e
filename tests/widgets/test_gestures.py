"""What a gesture of the mouse means, on a shown viewer."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from tests.widgets.mouse import CONTROL, LEFT, NO_KEY, SHIFT, canvas_position, drag, key

from napari_mosam import BoxPrompt, MaskPrompt, PointPrompt

RIGHT = Qt.MouseButton.RightButton
EMPTY = np.zeros((4, 200, 300), np.uint8)


def tap(widget, qtbot, yx, button=LEFT, keys=NO_KEY):
    native, place = widget.viewer.window._qt_viewer.canvas.native, canvas_position(widget.viewer, yx)
    QTest.mouseMove(native, place)
    qtbot.wait(20)
    QTest.mouseClick(native, button, keys, place)
    qtbot.wait(50)


def marks(widget):
    """Kind and object of each mark, in the session."""
    names = {PointPrompt: "click", BoxPrompt: "box", MaskPrompt: "mask"}
    return [
        (names[type(p)] + ("" if getattr(p, "positive", True) else "-"), p.object_id) for p in widget.session.prompts
    ]


@pytest.fixture
def widget(open_widget):
    widget = open_widget(EMPTY, show=True)
    widget.viewer.dims.set_point(0, 0)
    return widget


def test_a_box_is_the_next_cell_unless_what_is_known_of_the_one_in_hand_lies_in_it(widget, qtbot):
    widget.controls.plus.click()
    tap(widget, qtbot, (50, 50))
    widget.controls.box.click()
    drag(widget.viewer, qtbot, (30, 30), (50, 50), (70, 70))  # around the click
    drag(widget.viewer, qtbot, (30, 130), (50, 150), (70, 170))
    widget.controls.plus.click()
    tap(widget, qtbot, (150, 50))
    widget.controls.box.click()
    drag(widget.viewer, qtbot, (130, 230), (150, 250), (170, 270))  # not around the click
    assert sorted(marks(widget)) == [("box", 1), ("box", 2), ("box", 4), ("click", 1), ("click", 3)]


@pytest.mark.slow
def test_a_single_click_with_the_box_tool_is_a_click(widget, qtbot):
    widget.controls.box.click()
    tap(widget, qtbot, (50, 50))
    qtbot.waitUntil(lambda: marks(widget) == [("click", 1)], timeout=10_000)  # its layer is made first
    assert widget.session.history == ("the click of object 1",)
    np.testing.assert_allclose(widget.session.prompts.items[0].yx, (50, 50), atol=1)
    assert widget.controls.box.isChecked() and widget.prompts.shapes.nshapes == 0
    drag(widget.viewer, qtbot, (30, 130), (50, 150), (70, 170))
    assert sorted(marks(widget)) == [("box", 2), ("click", 1)]


def test_the_right_button_is_negative_and_shift_stays_with_the_cell(widget, qtbot):
    widget.controls.plus.click()
    tap(widget, qtbot, (50, 50))
    tap(widget, qtbot, (50, 200), RIGHT)
    tap(widget, qtbot, (150, 50), keys=SHIFT)
    tap(widget, qtbot, (150, 250))
    assert marks(widget) == [("click", 1), ("click-", 1), ("click", 1), ("click", 2)]
    native, place = widget.viewer.window._qt_viewer.canvas.native, canvas_position(widget.viewer, (100, 100))
    QTest.mousePress(native, RIGHT, NO_KEY, place)  # a drag zooms, as everywhere in napari
    QTest.mouseMove(native, place + QPoint(0, 40))
    QTest.mouseRelease(native, RIGHT, NO_KEY, place + QPoint(0, 40))
    qtbot.wait(50)
    assert len(marks(widget)) == 4
    widget.prompts.points.add((0, 100, 100))  # by a script, long after that press
    assert widget.prompts.points.features["sign"].iloc[-1] == "+"


def test_an_object_is_picked_by_a_click_on_its_mask(open_widget, movie, hands, qtbot):
    widget = open_widget(movie, show=True)
    hands.mark(widget, 1, 2)
    hands.run(widget)
    widget.viewer.dims.set_point(0, 3)
    hands.mark(widget, 3, frame=3)
    widget.controls.pick.click()
    tap(widget, qtbot, (20, 23))
    assert widget.controls.object_id.value() == 1 and "Object 1 is in hand" in hands.says(widget)
    assert widget.controls.plus.isChecked() and not widget.controls.pick.isChecked()
    tap(widget, qtbot, (44, 40), keys=CONTROL)
    assert widget.prompts.object_id == 2
    tap(widget, qtbot, (20, 39), keys=CONTROL)  # it has a box and no mask yet
    assert widget.prompts.object_id == 3
    tap(widget, qtbot, (60, 60), keys=CONTROL)
    assert widget.prompts.object_id == 3 and "There is no object" in hands.says(widget)
    assert [kind for kind, _ in marks(widget)] == ["box"] * 3 and len(widget.session.history) == 3


@pytest.mark.slow
def test_n_keeps_the_tool_in_hand(widget, qtbot):
    widget.controls.plus.click()
    tap(widget, qtbot, (50, 50))
    key(widget.viewer, qtbot, Qt.Key.Key_N)
    assert widget.controls.plus.isChecked() and widget.controls.status.text() == "Object 2: click inside the cell."
    tap(widget, qtbot, (52, 55))
    widget.controls.box.click()
    key(widget.viewer, qtbot, Qt.Key.Key_N)
    assert widget.controls.box.isChecked() and "drag a box" in widget.controls.status.text()
    assert marks(widget) == [("click", 1), ("click", 2)]


def test_a_scribble_is_clicks_along_it_and_one_mark_for_undo(widget, qtbot, hands):
    widget.controls.box.click()
    shapes = widget.prompts.shapes
    shapes.mode = "add_path"
    drag(widget.viewer, qtbot, (50, 50), (60, 70), (50, 90), (60, 110))
    assert marks(widget) == [("click", 1)] * 6 and widget.controls.summary.text() == "1 object: 1 scribble"
    assert all(45 < y < 65 and 50 < x < 110 for y, x in (p.yx for p in widget.session.prompts))
    shapes.mode = "add_line"
    drag(widget.viewer, qtbot, (150, 200), (150, 220), (150, 250))
    assert marks(widget)[6:] == [("click", 2)] * 6
    hands.undo(widget)
    assert marks(widget) == [("click", 1)] * 6 and shapes.nshapes == 1 and widget.prompts.points is None
    hands.undo(widget)
    assert not widget.session.prompts and shapes.nshapes == 0
    hands.redo(widget)
    assert marks(widget) == [("click", 1)] * 6


@pytest.mark.slow
def test_an_outline_of_two_corners_is_none(widget, qtbot):
    widget.controls.box.click()
    widget.prompts.shapes.mode = "add_polygon"
    tap(widget, qtbot, (50, 50))
    key(widget.viewer, qtbot, Qt.Key.Key_Escape)
    assert widget.prompts.shapes.nshapes == 0 and not widget.session.prompts


@pytest.mark.slow
def test_in_3d_marks_do_not_work_and_the_dock_says_how_to_go_back(widget, qtbot):
    widget.controls.plus.click()
    key(widget.viewer, qtbot, Qt.Key.Key_Y, CONTROL)
    note = widget.controls.flat_note
    assert note.isVisible() and "Ctrl+Y" in note.text() and not widget.controls.plus.isEnabled()
    tap(widget, qtbot, (100, 100))
    widget.new_object()
    assert not widget.session.prompts and "2-D" in widget.controls.status.text()
    key(widget.viewer, qtbot, Qt.Key.Key_Y, CONTROL)
    assert not note.isVisible() and widget.controls.plus.isChecked()
    tap(widget, qtbot, (100, 100))
    assert marks(widget) == [("click", 1)]


@pytest.mark.slow
def test_other_peoples_mouse_callbacks_stay(open_widget, qtbot):
    widget = open_widget(EMPTY, show=True)
    seen = []

    def theirs(layer, event):
        seen.append(event.type)

    widget.controls.box.click()
    widget.controls.plus.click()
    points = widget.prompts.points
    for owner in (points, widget.viewer, widget.viewer.layers["movie"]):
        owner.mouse_drag_callbacks.append(theirs)
    tap(widget, qtbot, (50, 50))
    widget.controls.minus.click()
    widget.shut_down()
    assert len(seen) == 2 and all(
        theirs in owner.mouse_drag_callbacks for owner in (points, widget.viewer, widget.viewer.layers["movie"])
    )
    ours = [c for layer in widget.viewer.layers for c in layer.mouse_drag_callbacks if "napari_mosam" in c.__module__]
    assert ours == []


@pytest.mark.parametrize("leading", [(), pytest.param((2,), marks=pytest.mark.slow)], ids=["T", "TC"])
def test_prompts_on_non_integer_slices_are_drawn_on_one_frame_alone(open_widget, qtbot, leading):
    """No phantom dots; also where another layer lets the viewer stand between two frames."""
    widget = open_widget(np.zeros((4, *leading, 60, 80), np.uint8), show=True, scale=(2, *(1 for _ in leading), 1, 1))
    widget.viewer.add_image(np.zeros((8, *leading, 60, 80)), name="finer", opacity=0.1)
    widget.controls.image.layer = widget.viewer.layers["movie"]
    widget.viewer.dims.set_point(0, 3)  # between frames 1 and 2
    frame = widget.frame
    widget.controls.plus.click()
    tap(widget, qtbot, (30, 40))
    assert len(marks(widget)) == 1 and [p.frame for p in widget.session.prompts] == [frame]
    shown = []
    for t in range(4):
        widget.viewer.dims.set_point(0, 2 * t)
        shown.append(len(widget.prompts.points._view_indices))
    assert shown == [int(t == frame) for t in range(4)]


def test_no_dot_is_drawn_on_a_frame_without_clicks(open_widget, qtbot):
    widget = open_widget(np.zeros((3, 200, 200), np.uint8), show=True)
    widget.viewer.dims.set_point(0, 0)
    widget.controls.plus.click()
    tap(widget, qtbot, (90, 90))
    qtbot.waitUntil(lambda: not widget.jobs.waits)

    def brightest():
        qtbot.wait(50)
        return widget.viewer.screenshot(canvas_only=True, flash=False)[..., :3].max()

    widget.viewer.reset_view()
    assert brightest() > 150
    widget.viewer.dims.set_point(0, 2)
    assert brightest() < 100
