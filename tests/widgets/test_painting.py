"""What a person painted in the results is never changed by a run, until they let go of it."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.widgets.mouse import double_click, drag, hold, key, press, release

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def after_a_run(open_widget, movie, hands, engine):
    """A function: a widget in which object 1 was followed, and whose next run finds it 3 px to the right."""

    def run(**options):
        widget = open_widget(movie, **options)
        hands.box(widget, 0, 2, 4, 8, 10)
        hands.run(widget)
        engine.right = 3
        return widget, hands.labels(widget)

    return run


def in_hand(widget, layer, mode, label=1, brush=5):
    widget.viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = mode, label, brush


def polygon(viewer, qtbot, *corners):
    for corner in corners[:-1]:
        press(viewer, qtbot, corner)
        qtbot.wait(600)  # or Qt takes two clicks for a double click
    double_click(viewer, qtbot, corners[-1])


# what is in hand, its label, and what the mouse does on frame t (object 1: rows t + 2 to t + 7, columns 4 to 9)
TOOLS = {
    "brush": ("paint", 1, lambda v, q, t: drag(v, q, (40, 30), (44, 40), (40, 50))),
    "brush of a new id": ("paint", 7, lambda v, q, t: drag(v, q, (t + 3, 6), (t + 3, 12), (t + 7, 14))),
    "eraser": ("erase", 1, lambda v, q, t: drag(v, q, (t + 3, 5), (t + 5, 7))),
    "fill": ("fill", 9, lambda v, q, t: press(v, q, (t + 4, 6))),
    "polygon": ("polygon", 1, lambda v, q, t: polygon(v, q, (30, 30), (30, 50), (50, 50), (50, 30))),
}


def test_what_a_person_painted_survives_the_next_run_and_can_still_be_undone(after_a_run, hands, qtbot):
    widget, layer = after_a_run(show=True)
    viewer = widget.viewer
    before = np.asarray(layer.data[:])
    for t, (mode, label, use) in enumerate(TOOLS.values(), 2):
        viewer.dims.set_point(0, t)
        in_hand(widget, layer, mode, label)
        use(viewer, qtbot, t)
    painted = np.asarray(layer.data[:])
    touched = painted != before
    assert all(n > 10 for n in touched.sum((1, 2))[2:7]) and not touched[:2].any() and not touched[7:].any()
    after = hands.run(widget)
    np.testing.assert_array_equal(after[touched], painted[touched])
    for t, (_, label, _) in enumerate(TOOLS.values(), 2):
        if label == 1:  # the object is the person's there, as a whole
            np.testing.assert_array_equal(after[t] == 1, painted[t] == 1)
    assert (after[8] == 1).sum() == 36 and not (after[8] == 1)[:, :7].any(), "other frames are the run's"
    assert "What you painted or erased on 5 frames was kept." in widget.controls.status.text()
    in_hand(widget, layer, "pan_zoom")
    for _ in TOOLS:
        key(viewer, qtbot, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(np.asarray(layer.data[:])[touched], before[touched])
    np.testing.assert_array_equal(np.asarray(layer.data[:])[~touched], after[~touched])
    for _ in TOOLS:
        key(viewer, qtbot, Qt.Key.Key_Z, CONTROL | SHIFT)
    np.testing.assert_array_equal(layer.data[:], after)


def test_a_stroke_that_is_undone_is_the_runs_again(after_a_run, hands, qtbot):
    widget, layer = after_a_run(show=True)
    in_hand(widget, layer, "paint")
    widget.viewer.dims.set_point(0, 5)
    drag(widget.viewer, qtbot, (40, 30), (44, 40))
    qtbot.waitUntil(widget.controls.forget.isEnabled)
    widget.viewer.dims.set_point(0, 8)
    key(widget.viewer, qtbot, Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: not widget.controls.forget.isEnabled())
    assert "painted" not in widget.controls.painted.text()
    labels = hands.run(widget)
    assert (labels[5] == 1).sum() == 36 and not (labels[5] == 1)[:, :7].any()
    assert "painted" not in widget.controls.status.text()


def test_a_whole_cell_that_was_erased_stays_away(after_a_run, hands):
    widget, layer = after_a_run()
    layer.fill((5, 9, 6), 0)
    assert not np.asarray(layer.data[5]).any()
    assert not hands.run(widget)[5].any()


def test_edits_from_a_script_survive_the_next_run(after_a_run, hands):
    widget, layer = after_a_run()
    square = np.nonzero(np.ones((1, 10, 10)))
    for edit in (
        lambda: layer.data.__setitem__((4, slice(40, 50), slice(40, 50)), 7),
        lambda: layer.data_setitem((square[0] + 3, square[1], square[2] + 50), 7),
        lambda: setattr(layer, "data", with_square(layer)),
        lambda: setattr(layer, "data", with_square(layer, np.uint8)),
        lambda: setattr(layer, "data", with_square(layer, np.int64)),
        lambda: setattr(layer, "data", read_only(with_square(layer))),
        lambda: setattr(layer, "data", dask_array(with_square(layer))),
    ):
        edit()
        edited = np.asarray(layer.data[:])
        after = hands.run(widget)
        assert (edited == 7).any() and (edited == 1).any()
        np.testing.assert_array_equal(after == 7, edited == 7)
        assert (after[6] == 1).sum() == 36 and not (after[6] == 1)[:, :7].any()


def with_square(layer, dtype=np.uint16):
    data = np.asarray(layer.data[:]).astype(dtype)
    data[5, 40:50, 40:50] = 7
    return data


def read_only(array):
    array.flags.writeable = False
    return array


def dask_array(array):
    return pytest.importorskip("dask.array").from_array(array)


@pytest.mark.slow
def test_an_array_that_the_user_gave_the_layer_is_not_written(after_a_run, hands):
    widget, layer = after_a_run()
    mine = with_square(layer)
    copy = mine.copy()
    layer.data = mine
    hands.run(widget)
    np.testing.assert_array_equal(mine, copy)


@pytest.fixture
def held(engine):
    """Events: the run stands before frame 3; let it go on."""
    reached, go_on = threading.Event(), threading.Event()

    def wait(t):
        if t == 3:
            reached.set()
            go_on.wait(10)

    engine.before = wait
    yield reached, go_on
    go_on.set()


@pytest.mark.slow
def test_a_stroke_whose_button_is_down_while_a_run_writes_survives(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie, show=True)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    qtbot.waitUntil(held[0].is_set)
    layer = hands.labels(widget)
    in_hand(widget, layer, "paint")
    widget.viewer.dims.set_point(0, 6)
    hold(widget.viewer, qtbot, (40, 30), (44, 40))
    held[1].set()
    hands.finish(widget)
    assert widget.viewer.layers.selection.active is layer
    release(widget.viewer, qtbot, (44, 40))
    frame = np.asarray(layer.data[6])
    assert (frame == 1).sum() > 30 and not frame[8:14].any(), "the object of that frame is the painted one"
    assert (np.asarray(layer.data[7]) == 1).sum() == 36
    qtbot.waitUntil(widget.controls.forget.isEnabled)


@pytest.mark.slow
@pytest.mark.parametrize("given", [np.uint16, np.int32])
def test_labels_replaced_while_a_run_goes_on_are_kept_and_the_run_goes_on(
    open_widget, movie, hands, held, qtbot, given
):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    qtbot.waitUntil(held[0].is_set)
    layer = hands.labels(widget)
    layer.data = with_square(layer, given)
    held[1].set()
    hands.finish(widget)
    labels = np.asarray(layer.data[:])
    assert (labels[5, 40:50, 40:50] == 7).all()
    assert [(labels[t] == 1).sum() for t in range(10)] == [36] * 10


def test_paint_survives_the_dock_being_closed_and_opened_and_a_second_dock(after_a_run, open_widget, hands):
    first, layer = after_a_run()
    layer.data[5, 40:50, 40:50] = 7
    viewer = first.viewer
    viewer.window.remove_dock_widget(first)
    second, third = open_widget(None, viewer=viewer), open_widget(None, viewer=viewer)
    for widget in (second, third):
        labels = hands.run(widget)
        assert hands.labels(widget) is layer
        assert (labels[5, 40:50, 40:50] == 7).all() and not (labels[5] == 1)[:, :7].any()
        assert "What you painted or erased on 1 frame was kept." in widget.controls.status.text()


def test_forgetting_says_what_is_let_go_and_changes_no_pixel(after_a_run, hands, qtbot):
    widget, layer = after_a_run()
    forget = widget.controls.forget
    assert not forget.isEnabled() and not widget.controls.painted.text()
    for t in (5, 6):
        layer.fill((t, 4 + t, 6), 0)
        layer.data_setitem((np.full(10, t), np.arange(10), np.full(10, 50)), 7)
    qtbot.waitUntil(forget.isEnabled)
    qtbot.waitUntil(lambda: "You painted or erased 92 px on 2 frames." in widget.controls.painted.text())
    painted = hands.run(widget)
    assert not (painted[5:7] == 1).any() and (painted == 7).sum() == 20
    forget.click()
    assert "92 px on 2 frames" in widget.controls.status.text() and not forget.isEnabled()
    np.testing.assert_array_equal(layer.data[:], painted)
    labels = hands.run(widget)
    assert (labels[5] == 1).sum() == 36 and "painted" not in widget.controls.status.text()


@pytest.mark.slow
def test_nothing_can_be_forgotten_while_a_run_goes_on(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    qtbot.waitUntil(held[0].is_set)
    hands.labels(widget).paint((8, 40, 40), 1)
    qtbot.waitUntil(lambda: "1 frame" in widget.controls.painted.text())
    assert not widget.controls.forget.isEnabled()
    held[1].set()
    hands.finish(widget)
    assert widget.controls.forget.isEnabled()


def test_labels_of_the_user_and_copies_of_a_result_are_never_written(after_a_run, hands, qtbot):
    widget, layer = after_a_run()
    viewer = widget.viewer
    own = viewer.add_labels(np.ones((10, 64, 64), np.uint16), name="MoSAM labels")
    viewer.layers.selection.active = layer
    viewer.layers.selection.select_only(layer)
    from napari.layers._layer_actions import _duplicate_layer

    _duplicate_layer(viewer.layers)
    copy = viewer.layers["MoSAM labels copy"]
    before = np.asarray(copy.data[:])
    np.testing.assert_array_equal(before, layer.data[:])
    after = hands.run(widget)
    assert (after != before).any()
    np.testing.assert_array_equal(copy.data[:], before)
    assert (np.asarray(own.data) == 1).all()
    copy.data[5] = 3
    np.testing.assert_array_equal(layer.data[:], after)
    viewer.layers.remove(layer)
    again = hands.run(widget)
    assert hands.labels(widget) not in (copy, own) and again.any() and (np.asarray(copy.data[5]) == 3).all()


@pytest.mark.slow
def test_paint_survives_the_move_to_wider_labels(after_a_run, hands, engine):
    widget, layer = after_a_run()
    engine.right = 30
    layer.data[5, 40:50, 40:50] = 7
    widget.prompts.clear()
    widget.controls.object_id.setValue(70_000)
    hands.box(widget, 0, 22, 4, 28, 10)
    labels = hands.run(widget)
    assert labels.dtype == np.uint32 and (labels[5, 40:50, 40:50] == 7).all()
    assert (labels[5] == 70_000).sum() == 36
    assert "What you painted or erased on 1 frame was kept." in widget.controls.status.text()
