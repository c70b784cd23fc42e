"""One history: Ctrl+Z takes back what was done last, whatever it was, wherever the focus is."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.widgets.conftest import box_around
from tests.widgets.mouse import drag, key, press, redo_key, undo_key

from napari_mosam import BoxPrompt, MaskPrompt, PointPrompt

SQUARE = np.zeros((64, 64), bool)
SQUARE[44:60, 2:22] = True


def state(widget, hands):
    """What can be seen, and what is stored."""
    result = widget.session.result
    labels = hands.labels(widget)
    return (
        tuple(sorted(map(repr, widget.session.prompts))),
        tuple(sorted(map(repr, widget.prompts.prompts(widget.source)))),
        None if result is None else (result.object_ids, hands.stored(widget).tobytes()),
        None if labels is None else hands.shown(widget).tobytes(),
        None if result is None else tuple(result.locked(t) for t in range(8)),
        widget.controls.summary.text(),
    )


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param("movie", marks=pytest.mark.slow),
        pytest.param("points", marks=pytest.mark.slow),
        pytest.param("boxes", marks=pytest.mark.slow),
        "labels",
        pytest.param("none", marks=pytest.mark.slow),
    ],
)
def test_the_keys_work_on_the_canvas_whatever_layer_is_chosen(open_widget, movie, hands, qtbot, layer):
    widget = open_widget(movie, show=True)
    viewer = widget.viewer
    hands.mark(widget, 1)
    hands.run(widget)
    hands.click(widget, 0, 20, 20)
    hands.settle(widget)
    chosen = {
        "movie": widget.controls.image.layer,
        "points": widget.prompts.points,
        "boxes": widget.prompts.shapes,
        "labels": hands.labels(widget),
    }
    viewer.layers.selection.select_only(chosen[layer]) if layer in chosen else viewer.layers.selection.clear()
    assert widget.session.history == ("the box of object 1", "the run", "the click of object 1")
    for left in (2, 1, 0):
        undo_key(viewer, qtbot)
        hands.settle(widget)
        assert len(widget.session.history) == left and len(widget.session.undone) == 3 - left
    assert widget.controls.summary.text() == "Nothing marked yet" and hands.labels(widget) is None
    for done in (1, 2, 3):
        redo_key(viewer, qtbot)
        hands.settle(widget)
        assert len(widget.session.history) == done
    assert widget.controls.summary.text() == "1 object: 1 box, 1 click" and hands.shown(widget).any()


@pytest.mark.slow
def test_the_keys_work_in_the_dock_and_leave_a_field_its_own(open_widget, movie, hands, qtbot):
    widget = open_widget(movie, show=True)
    controls = widget.controls
    hands.mark(widget, 1)
    hands.run(widget)
    for focus in (controls.propagate, controls.show_confidence, controls.diameter, controls.object_id, controls.low):
        focus.setFocus()
        undo_key(widget.viewer, qtbot, on=focus)
        hands.settle(widget)
        assert widget.session.history == ("the box of object 1",), focus
        redo_key(widget.viewer, qtbot, on=focus)
        hands.settle(widget)
        assert widget.session.history == ("the box of object 1", "the run"), focus
    controls.advanced.expand()
    QTest.keyClicks(controls.low, "12")
    undo_key(widget.viewer, qtbot, on=controls.low)
    hands.settle(widget)
    assert controls.low.text() == "" and len(widget.session.history) == 2, "what was typed goes first"


@pytest.mark.slow
def test_labels_of_the_user_keep_their_own_undo(open_widget, movie, hands, qtbot):
    widget = open_widget(movie, show=True)
    hands.mark(widget, 1)
    hands.settle(widget)
    own = widget.viewer.add_labels(np.zeros((8, 64, 64), np.uint16))
    own.paint((0, 40, 40), 3)
    widget.viewer.layers.selection.select_only(own)
    undo_key(widget.viewer, qtbot)
    hands.settle(widget)
    assert not own.data.any() and widget.session.history == ("the box of object 1",)


@pytest.mark.parametrize("n_acts", [8, pytest.param(None, marks=pytest.mark.slow)])
def test_everything_is_undone_and_done_again_in_a_mixed_order(open_widget, movie, hands, truth, qtbot, n_acts):
    widget = open_widget(movie)
    session, states = widget.session, [state(widget, hands)]

    def stroke(frame, where, object_id):
        return lambda: hands.paint(widget, frame, where, object_id)

    def seed():
        layer = widget.viewer.add_labels(np.where(truth == 3, 30, 0).astype(np.uint16))
        widget.controls.seed_labels.layer = layer
        widget.viewer.dims.set_point(0, 2)
        widget.controls.seed.click()
        widget.viewer.layers.remove(layer)

    def delete_the_mark():
        points = widget.prompts.points
        points.selected_data = set(np.flatnonzero(points.features["sign"] == "mask"))
        points.remove_selected()

    acts = [
        lambda: hands.mark(widget, 1),
        lambda: hands.click(widget, 0, 44, 40),
        widget.controls.clear.click,
        lambda: hands.mark(widget, 1, 2),
        lambda: hands.run(widget),
        stroke(2, SQUARE, 1),
        lambda: session.mark(BoxPrompt(9, 1, box_around(3, 1))),
        stroke(3, truth[3] == 2, 0),
        seed,
        lambda: hands.run(widget),
        delete_the_mark,
        lambda: session.lock(2, 5),
        lambda: session.correct(1, 6, truth[6] == 1),
        stroke(0, SQUARE, 77),
        widget.forget_painted,
        widget.controls.clear.click,
        lambda: session.remove(9),
    ]
    for act in acts[:n_acts]:
        act()
        hands.settle(widget)
        qtbot.wait(1)
        states.append(state(widget, hands))
    entries = len(session.history)
    assert entries >= len(acts[:n_acts])
    seen = [states[-1]]
    for _ in range(entries):
        hands.undo(widget)
        seen.append(state(widget, hands))
    assert session.history == () and not widget.controls.result.undo.isEnabled()
    left = iter(seen)
    assert all(wanted in left for wanted in reversed(states)), "every state comes back, in order"
    for wanted in reversed(seen[:-1]):
        hands.redo(widget)
        assert state(widget, hands) == wanted
    assert not widget.controls.result.redo.isEnabled()


def test_undo_says_what_it_took_back_and_what_is_next(open_widget, movie, hands):
    widget = open_widget(movie)
    row = widget.controls.result
    assert not row.undo.isEnabled() and row.undo.toolTip() == "Nothing to undo."
    hands.mark(widget, 1)
    hands.settle(widget)
    assert row.undo.toolTip() == "Take back: the box of object 1. Key: Ctrl+Z"
    hands.run(widget)
    hands.paint(widget, 3, SQUARE, 1)
    hands.undo(widget)
    assert hands.says(widget) == "Undone: painting on frame 3." and row.redo.isEnabled()
    assert (row.undo.toolTip(), row.redo.toolTip()) == (
        "Take back: the run. Key: Ctrl+Z",
        "Do again: painting on frame 3. Key: Ctrl+Shift+Z",
    )
    hands.redo(widget)
    assert hands.says(widget) == "Done again: painting on frame 3." and not row.redo.isEnabled()
    for _ in range(3):
        hands.undo(widget)
    widget.undo()
    hands.settle(widget)
    assert hands.says(widget) == "There is nothing to undo"


# ---- marks


def test_clear_is_undone(open_widget, movie, hands, truth):
    widget = open_widget(movie)
    hands.mark(widget, 1, 2)
    hands.click(widget, 3, 20, 40)
    layer = widget.viewer.add_labels(truth * 10)
    widget.viewer.dims.set_point(0, 4)
    widget.controls.seed.click()
    widget.viewer.layers.remove(layer)
    hands.settle(widget)
    before = state(widget, hands)
    assert widget.controls.summary.text() == "5 objects: 2 boxes, 1 click, 3 masks"
    n = len(widget.session.history)
    widget.controls.clear.click()
    hands.settle(widget)
    assert widget.controls.summary.text() == "Nothing marked yet" and not len(widget.session.prompts)
    assert len(widget.session.history) == n + 1, "one gesture is one entry"
    assert hands.says(widget) == "6 marks were removed. Ctrl+Z brings them back."
    hands.undo(widget)
    assert state(widget, hands) == before


@pytest.mark.slow
def test_marks_that_go_with_their_layer_are_said_and_come_back(after_a_run, hands):
    widget, _labels = after_a_run()
    before = widget.session.prompts
    widget.viewer.layers.remove(widget.prompts.shapes)
    hands.settle(widget)
    assert not widget.session.prompts
    assert hands.says(widget) == "The box of object 1 was removed. Ctrl+Z brings it back."
    hands.run(widget)
    assert hands.says(widget) == "There is nothing new to follow. Mark or correct something, then press Track."
    hands.undo(widget)
    assert widget.session.prompts == before and widget.controls.summary.text() == "1 object: 1 box"
    widget.viewer.layers.clear()
    hands.settle(widget)
    assert hands.says(widget) == "'movie' was removed. Its result is kept, see Recent."


def test_the_mark_of_a_mask_is_chosen_with_the_mouse_deleted_with_the_key_and_undone(
    open_widget, movie, hands, truth, qtbot
):
    widget = open_widget(movie, show=True)
    viewer = widget.viewer
    layer = viewer.add_labels(truth)
    viewer.dims.set_point(0, 2)
    widget.controls.seed.click()
    viewer.layers.remove(layer)
    hands.settle(widget)
    points = widget.prompts.points
    assert points.visible and list(points.features["sign"]) == ["mask"] * 3
    (row,) = np.flatnonzero(points.features["object_id"] == 2)
    viewer.layers.selection.select_only(points)
    points.mode = "select"
    press(viewer, qtbot, tuple(points.data[row][-2:]))
    assert points.selected_data == {row}
    key(viewer, qtbot, Qt.Key.Key_Delete)
    hands.settle(widget)
    assert widget.session.prompts.object_ids == (1, 3)
    assert widget.controls.summary.text() == "2 objects: 2 masks"
    undo_key(viewer, qtbot)
    hands.settle(widget)
    assert widget.session.prompts.object_ids == (1, 2, 3) and len(widget.prompts.points.data) == 3
    np.testing.assert_array_equal(widget.session.prompts.of(2)[2][0].to_frame((64, 64)), truth[2] == 2)


@pytest.mark.slow
def test_a_box_that_is_dragged_is_one_entry_and_is_undone(open_widget, movie, hands, qtbot):
    widget = open_widget(movie, show=True)
    viewer = widget.viewer
    hands.mark(widget, 1)
    hands.settle(widget)
    (before,) = widget.session.prompts
    shapes = widget.prompts.shapes
    viewer.dims.set_point(0, 0)
    viewer.layers.selection.select_only(shapes)
    shapes.mode = "select"
    press(viewer, qtbot, (20, 20))
    assert shapes.selected_data == {0}
    drag(viewer, qtbot, (20, 20), (24, 24), (30, 30), (34, 36))
    hands.settle(widget)
    (after,) = widget.session.prompts
    assert after.box[0] > before.box[0] + 8 and widget.session.history[-1].startswith("changing")
    n = len(widget.session.history)
    for _ in range(n - 1):
        undo_key(viewer, qtbot)
        hands.settle(widget)
    assert list(widget.session.prompts) == [before] == list(widget.prompts.prompts(widget.source))
    assert n == 2, widget.session.history


def test_an_order_of_the_layers_own_is_no_change(open_widget, movie, hands, qtbot):
    widget = open_widget(movie)
    widget.session.mark(
        BoxPrompt(1, 0, box_around(1, 0)), PointPrompt(1, 0, (20.0, 20.0)), PointPrompt(1, 0, (21.0, 20.0))
    )
    hands.settle(widget)
    assert widget.controls.summary.text() == "1 object: 1 box, 2 clicks"
    points = widget.prompts.points
    points.selected_data = {0}
    points.remove_selected()
    hands.settle(widget)
    hands.undo(widget)
    qtbot.wait(20)
    assert widget.session.history == ("3 marks",) and widget.session.undone == ("removing the click of object 1",)
    widget.controls.object_id.setValue(4)
    hands.redo(widget)
    assert set(widget.session.prompts) == {BoxPrompt(1, 0, box_around(1, 0)), PointPrompt(1, 0, (21.0, 20.0))}


@pytest.mark.slow
def test_half_a_mark_is_kept_and_a_run_says_what_is_missing(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.click(widget, 0, 20, 20, "-")
    hands.settle(widget)
    assert widget.session.history == ("the click of object 1",)
    widget.controls.propagate.click()
    assert "negative points only" in hands.says(widget)
    hands.click(widget, 0, 18, 18)
    hands.run(widget)
    assert "Done" in hands.says(widget)
    hands.undo(widget)
    hands.undo(widget)
    assert [p.positive for p in widget.prompts.prompts(widget.source)] == [False]


@pytest.mark.slow
def test_a_mark_made_during_a_run_outlives_the_undo_of_that_run(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    hands.mark(widget, 2)
    hands.qtbot.wait(5)
    widget.controls.propagate.click()  # cancel: else the new mark is followed right after
    held.let_go()
    hands.finish(widget)
    assert widget.session.history == ("the box of object 1", "the box of object 2", "the run")
    hands.undo(widget)
    assert widget.session.result is None and widget.controls.summary.text() == "2 objects: 2 boxes"


@pytest.mark.slow
def test_undo_during_a_run_takes_back_marks_and_waits_with_the_rest(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    hands.mark(widget, 2)
    hands.qtbot.wait(5)
    widget.controls.result.undo.click()
    hands.qtbot.waitUntil(lambda: widget.session.prompts.object_ids == (1,))
    hands.qtbot.waitUntil(lambda: widget.controls.summary.text() == "1 object: 1 box")
    held.let_go()
    hands.finish(widget)
    assert widget.session.result.complete and (hands.shown(widget) == 1).any((1, 2)).all()


@pytest.mark.slow
def test_a_mask_of_the_console_is_seen_chosen_and_deleted(open_widget, movie, hands, truth):
    widget = open_widget(movie)
    widget.session.mark(MaskPrompt.from_frame(5, 3, truth[3] == 2))
    hands.settle(widget)
    points = widget.prompts.points
    assert list(points.features["object_id"]) == [5] and widget.controls.summary.text() == "1 object: 1 mask"
    points.selected_data = {0}
    points.remove_selected()
    hands.settle(widget)
    assert not len(widget.session.prompts) and widget.session.history == ("1 mark", "removing the mask of object 5")
