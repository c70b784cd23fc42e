"""What a person paints in the labels is theirs: no run changes it, it is in the result, and it can be undone."""

import numpy as np
import pytest
from tests.support.fake_model import disks
from tests.widgets.mouse import double_click, drag, hold, press, redo_key, release, undo_key

from napari_mosam import Result

SQUARE = np.zeros((64, 64), bool)
SQUARE[34:54, 2:22] = True  # 400 px, off the disks that are marked


def in_hand(widget, layer, mode, label=1, brush=5):
    widget.viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = mode, label, brush


def polygon(viewer, qtbot, *corners):
    for corner in corners[:-1]:
        press(viewer, qtbot, corner)
        qtbot.wait(QT_DOUBLE_CLICK_MS)  # or Qt takes two clicks for a double click
    double_click(viewer, qtbot, corners[-1])


QT_DOUBLE_CLICK_MS = 600

# what is in hand, its label, and what the mouse does on frame t (disk 1: rows 14 to 26, columns t + 14 to t + 26)
TOOLS = {
    "brush": ("paint", 1, lambda v, q, t: drag(v, q, (46, 10), (50, 20), (46, 30))),
    "brush of a new id": ("paint", 7, lambda v, q, t: drag(v, q, (18, t + 16), (20, t + 20), (24, t + 22))),
    "eraser": ("erase", 1, lambda v, q, t: drag(v, q, (16, t + 18), (22, t + 20))),
    "fill": ("fill", 9, lambda v, q, t: press(v, q, (20, t + 20))),
    "polygon": ("polygon", 1, lambda v, q, t: polygon(v, q, (40, 8), (40, 28), (56, 28), (56, 8))),
}


@pytest.mark.slow
def test_strokes_of_the_mouse_survive_the_next_run_and_are_undone_by_the_keys(after_a_run, hands, qtbot):
    widget, layer = after_a_run(show=True)
    viewer = widget.viewer
    before = hands.shown(widget)
    states = [before]
    for t, (mode, label, use) in enumerate(TOOLS.values(), 2):
        viewer.dims.set_point(0, t)
        in_hand(widget, layer, mode, label)
        use(viewer, qtbot, t)
        hands.settle(widget)
        states.append(hands.shown(widget))
    painted = states[-1]
    touched = painted != before
    assert all(n > 10 for n in touched.sum((1, 2))[2:7]) and not touched[:2].any() and not touched[7:].any()
    np.testing.assert_array_equal(hands.stored(widget), painted)
    assert len(widget.session.history) == 2 + len(TOOLS), "one entry for each stroke"
    after = hands.run(widget)
    np.testing.assert_array_equal(after[touched & (painted > 0)], painted[touched & (painted > 0)])
    assert not (after[touched & (painted == 0)] == 1).any(), "erased; a neighbour that is free may have these"
    for t, (_, label, _) in enumerate(TOOLS.values(), 2):
        if label == 1:  # the object is the person's there, as a whole
            np.testing.assert_array_equal(after[t] == 1, painted[t] == 1)
    assert "What you did by hand on 5 frames was kept." in hands.says(widget)
    in_hand(widget, layer, "pan_zoom")
    undo_key(viewer, qtbot)  # the run
    hands.settle(widget)
    for state in states[-1::-1]:
        np.testing.assert_array_equal(hands.shown(widget), state)
        undo_key(viewer, qtbot)
        hands.settle(widget)
    for _ in range(len(states) + 1):
        redo_key(viewer, qtbot)
        hands.settle(widget)
    np.testing.assert_array_equal(hands.shown(widget), after)


def test_400_px_survive_runs_a_claim_cancel_save_and_reopening(after_a_run, hands, engine, tmp_path):
    widget, _layer = after_a_run(1, 2)
    hands.paint(widget, 4, SQUARE, 1)

    def kept():
        assert (hands.shown(widget) == hands.stored(widget)).all()
        return int((hands.shown(widget)[4][SQUARE] == 1).sum())

    assert kept() == 400
    hands.run(widget)
    assert kept() == 400
    hands.box(widget, 4, 30, 10, 50, 30)  # a neighbour that wants some of the pixels
    widget.new_object()
    hands.mark(widget, 3, frame=2)
    hands.run(widget)
    assert kept() == 400
    hands.mark(widget, 2, frame=6)
    engine.after = lambda t: t == 5 and widget.session.stop()
    hands.run(widget)
    assert kept() == 400
    engine.after = lambda t: None
    widget.session.run(anew=True)
    hands.settle(widget)
    assert kept() == 400 and widget.session.result.locked(4) == (1,)
    place = widget.session.save(tmp_path / "cells.zarr")
    hands.settle(widget)
    assert kept() == 400
    widget.session.close()
    session = engine.open(place, widget.source)
    widget.jobs.replace(widget.source, session)
    hands.settle(widget)
    assert widget.session is session and hands.labels(widget) is not None and kept() == 400
    assert hands.run(widget).any() and kept() == 400


def test_a_stroke_is_said_with_what_to_do_next(after_a_run, hands):
    widget, _layer = after_a_run(1, 2, live=True)
    next_for_one = "Ctrl+Z takes that back; Track follows it from there."

    def painted(frame, where, object_id):
        hands.paint(widget, frame, where, object_id)
        hands.qtbot.waitUntil(lambda: not widget.jobs.live.busy, timeout=10_000)
        hands.settle(widget)
        return hands.says(widget)

    assert painted(4, SQUARE, 1) == f"By hand on frame 4: object 1. {next_for_one}"
    assert painted(4, np.roll(SQUARE, (-30, 40), (0, 1)), 7) == f"By hand on frame 4: object 7. {next_for_one}"
    both = "By hand on frame 6: objects 1, 2. Ctrl+Z takes that back; Track follows them from there."
    assert painted(6, hands.shown(widget)[6] > 0, 0) == both
    hands.undo(widget)
    assert hands.says(widget) == "Undone: painting on frame 6."


@pytest.mark.slow
def test_a_stroke_during_a_run_leaves_what_that_says(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    hands.paint(widget, 1, SQUARE, 1)
    assert hands.says(widget).startswith("Frame 1 ")
    held.let_go()
    hands.finish(widget)
    assert hands.says(widget).startswith("Done") and (hands.stored(widget)[1][SQUARE] == 1).all()


@pytest.mark.slow
def test_a_stroke_that_is_undone_is_the_runs_again(after_a_run, hands):
    widget, _layer = after_a_run()
    first = hands.shown(widget)
    hands.paint(widget, 5, SQUARE, 1)
    assert widget.controls.forget.isEnabled()
    assert (
        widget.controls.painted.text()
        == "By hand: 1 mask on 1 frame (painted, erased, swapped, merged). Runs leave them as they are."
    )
    hands.undo(widget)
    assert hands.says(widget) == "Undone: painting on frame 5."
    assert not widget.controls.forget.isEnabled() and not widget.controls.painted.text()
    np.testing.assert_array_equal(hands.run(widget), first)
    assert "painted" not in hands.says(widget)


@pytest.mark.slow
def test_a_whole_cell_that_was_erased_stays_away(after_a_run, hands):
    widget, layer = after_a_run(1, 2)
    hands.paint(widget, 5, hands.shown(widget)[5] == 1, 0)
    layer.fill((6, 20, 26), 0)
    hands.settle(widget)
    for anew in (False, True):
        widget.session.run(anew=anew)
        hands.settle(widget)
        assert not (hands.shown(widget)[5:7] == 1).any()
        assert (hands.shown(widget)[[4, 7]] == 1).any((1, 2)).all() and (hands.shown(widget)[5] == 2).any()
    assert widget.session.result.locked(5) == (1,)


@pytest.mark.slow
def test_painting_an_object_moves_the_rest_of_its_track_in_the_next_run(after_a_run, hands, truth):
    """Frame 2 says that object 1 is disk 3; the others followed it unless they were painted too."""
    widget, _layer = after_a_run()
    hands.paint(widget, 3, hands.shown(widget)[3] == 1, 0)
    hands.paint(widget, 3, truth[3] == 3, 1)
    labels = hands.run(widget)
    np.testing.assert_array_equal(labels[3] == 1, truth[3] == 3)
    assert ((labels[5] == 1) & (truth[5] == 3)).sum() > 0.8 * (truth[5] == 3).sum()


@pytest.mark.slow
def test_a_new_id_is_an_object_which_the_next_run_follows(after_a_run, hands, truth):
    widget, _layer = after_a_run()
    hands.paint(widget, 2, truth[2] == 2, 7)
    assert widget.session.result.object_ids == (1, 7)
    assert widget.controls.summary.text() == "2 objects: 1 box, 1 mask"
    widget.new_object()
    assert widget.prompts.object_id == 8
    labels = hands.run(widget)
    assert ((labels[6] == 7) & (truth[6] == 2)).sum() > 0.8 * (truth[6] == 2).sum()


def test_a_stroke_whose_button_is_down_is_not_cut_in_two(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie, show=True)
    hands.mark(widget, 1)
    hands.start(widget, held)
    layer = hands.labels(widget)
    in_hand(widget, layer, "paint", 1)
    widget.viewer.dims.set_point(0, 6)
    hold(widget.viewer, qtbot, (46, 10), (50, 14))
    held.let_go()
    qtbot.waitUntil(lambda: not widget.jobs.busy, timeout=10_000)
    qtbot.wait(150)
    assert widget.viewer.layers.selection.active is layer
    seen = hands.shown(widget)[6] == 1
    assert seen[46, 10] and (hands.stored(widget)[6] == 1)[46, 10] == 0, "a stroke is written when its button is let go"
    hold_on = (46, 24)
    from qtpy.QtTest import QTest
    from tests.widgets.mouse import canvas_position

    QTest.mouseMove(widget.viewer.window._qt_viewer.canvas.native, canvas_position(widget.viewer, hold_on))
    qtbot.wait(50)
    release(widget.viewer, qtbot, hold_on)
    hands.settle(widget)
    frame = hands.shown(widget)[6] == 1
    assert frame[seen & (np.indices(seen.shape)[0] > 40)].all() and frame[46, 23]
    np.testing.assert_array_equal(hands.stored(widget)[6] == 1, frame)
    assert widget.session.history[-1] == "painting on frame 6"
    assert sum("painting" in words for words in widget.session.history) == 1
    assert (hands.shown(widget)[7] == 1).any()


@pytest.mark.slow
def test_forgetting_says_what_is_let_go_and_changes_no_pixel(after_a_run, hands):
    widget, _layer = after_a_run()
    first, forget = hands.shown(widget), widget.controls.forget
    assert not forget.isEnabled() and not widget.controls.painted.text()
    hands.paint(widget, 5, hands.shown(widget)[5] == 1, 0)
    hands.paint(widget, 6, SQUARE, 1)
    said = "By hand: 2 masks on 2 frames (painted, erased, swapped, merged). Runs leave them as they are."
    assert forget.isEnabled() and widget.controls.painted.text() == said
    painted = hands.run(widget)
    assert not (painted[5] == 1).any() and (painted[6][SQUARE] == 1).all()
    forget.click()
    hands.settle(widget)
    assert hands.says(widget) == "The next run may change 2 masks made by hand."
    np.testing.assert_array_equal(hands.shown(widget), painted)
    assert widget.session.result.locked(5) == widget.session.result.locked(6) == ()
    assert not forget.isEnabled() and not widget.controls.painted.text()
    widget.session.run(anew=True)
    hands.settle(widget)
    np.testing.assert_array_equal(hands.shown(widget)[5], first[5])


def test_labels_of_the_user_and_copies_of_a_result_are_never_written(after_a_run, hands):
    from napari.layers._layer_actions import _duplicate_layer

    widget, layer = after_a_run()
    viewer = widget.viewer
    own = viewer.add_labels(np.ones((8, 64, 64), np.uint16), name="mine")
    viewer.layers.selection.select_only(layer)
    _duplicate_layer(viewer.layers)
    copy = viewer.layers["MoSAM labels copy"]
    before = np.asarray(copy.data[...])
    np.testing.assert_array_equal(before, hands.shown(widget))
    hands.mark(widget, 2, frame=4)
    after = hands.run(widget)
    assert (after != before).any()
    np.testing.assert_array_equal(copy.data[...], before)
    copy.paint((5, 50, 10), 3)
    copy.data[6] = 3
    own.paint((2, 5, 5), 9)
    hands.settle(widget)
    np.testing.assert_array_equal(hands.stored(widget), after)
    viewer.layers.remove(layer)
    hands.mark(widget, 1, frame=7)
    again = hands.run(widget)
    assert hands.labels(widget) not in (copy, own, layer) and again.any() and (np.asarray(copy.data[6]) == 3).all()
    assert set(np.unique(own.data)) == {1, 9}


@pytest.mark.slow
def test_a_stroke_that_cannot_be_written_is_said_and_taken_back(after_a_run, hands, monkeypatch):
    widget, _layer = after_a_run()
    before = hands.shown(widget)

    def full(self, *_):
        raise OSError("no space left on the disk")

    monkeypatch.setattr(Result, "paint", full)
    hands.paint(widget, 5, SQUARE, 1)
    assert hands.says(widget) == "No space left on the disk"
    np.testing.assert_array_equal(hands.shown(widget), before)
    np.testing.assert_array_equal(hands.stored(widget), before)
    monkeypatch.undo()
    hands.paint(widget, 5, SQUARE, 1)
    assert (hands.stored(widget)[5][SQUARE] == 1).all()


@pytest.mark.slow
def test_a_painted_large_frame_does_not_block_the_viewer(open_widget, hands, monkeypatch):
    import time

    images, _ = disks([[(60, 60)], [(60, 60)]], shape=(2048, 2048), radius=20)
    widget = open_widget(images)
    hands.box(widget, 0, 40, 40, 80, 80)
    hands.run(widget)
    layer = hands.labels(widget)
    layer.brush_size = 40
    started = time.thread_time()
    layer.paint((1, 1000, 1000), 1)
    widget.jobs.view._strokes.send()
    assert time.thread_time() - started < 0.25
    hands.settle(widget)
    assert hands.stored(widget)[1, 1000, 1000] == 1
