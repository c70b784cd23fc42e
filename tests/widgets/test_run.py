"""Runs in a real viewer with a fake engine: results, cancel, painting, layers that go away."""

import threading
import time

import numpy as np
import pytest
from napari.utils.notifications import notification_manager


@pytest.fixture
def held(engine):
    """An event that holds the worker before frame 3 until it is set."""
    event = threading.Event()
    engine.before = lambda t: event.wait(10) if t == 3 else None
    yield event
    event.set()


def wait_for_frame(qtbot, widget, t):
    qtbot.waitUntil(lambda: widget.run is not None and t in widget.run.frames, timeout=10_000)


def test_frames_arrive_in_a_labels_layer_placed_like_the_image(open_widget, movie, hands, engine):
    widget = open_widget(movie, scale=(2, 0.5, 0.5), translate=(0, 7, 9), units=("s", "um", "um"), axis_labels="tyx")
    hands.box(widget, 0, 2, 4, 8, 10)
    labels = hands.run(widget)
    assert [(labels[t] == 1).sum() for t in range(10)] == [36] * 10
    layer, image = hands.labels(widget), widget.controls.image.layer
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.units == image.units and layer.axis_labels == image.axis_labels
    assert "Done: 10 frames" in widget.controls.status.text()
    assert not any("MainThread" in name for name in engine.threads)


def test_cancel_keeps_what_is_done_and_returns_at_once(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    started = time.thread_time()
    widget.controls.propagate.click()
    assert time.thread_time() - started < 0.2
    assert not widget.controls.propagate.isEnabled()
    held.set()
    hands.finish(widget)
    stored = np.asarray(hands.labels(widget).data[:])
    assert stored[:3].any((1, 2)).all() and not stored[4:].any()
    assert widget.controls.status.text() == "Cancelled. 3 frames done and kept."
    assert widget.controls.propagate.text() == "Propagate"


def test_cancel_during_the_first_frame(open_widget, movie, hands, engine):
    event = threading.Event()
    engine.before = lambda t: event.wait(10)
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    widget.controls.propagate.click()
    event.set()
    hands.finish(widget)
    assert not np.asarray(hands.labels(widget).data[:]).any()


def test_worker_never_runs_far_ahead_of_the_viewer(open_widget, hands, engine, monkeypatch):
    widget = open_widget(np.zeros((40, 64, 64), np.uint8))
    leads = []
    handle = widget.jobs._handle

    def slowly(run, result):
        time.sleep(0.01)
        leads.append(len(engine.yielded) - len(leads))
        handle(run, result)

    monkeypatch.setattr(widget.jobs, "_handle", slowly)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.run(widget)
    assert len(leads) == 40
    assert 1 <= max(leads) <= 5


def test_what_the_user_paints_ahead_of_a_run_survives_it(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.box(widget, 0, 2, 14, 8, 20)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    layer = hands.labels(widget)
    layer.brush_size = 4
    layer.paint((6, 40, 40), 1)
    painted = np.asarray(layer.data[6]) == 1
    held.set()
    hands.finish(widget)
    assert painted.any()
    np.testing.assert_array_equal(np.asarray(layer.data[6]) == 1, painted)
    assert (np.asarray(layer.data[6]) == 2).sum() == 36
    assert (np.asarray(layer.data[7]) == 1).sum() == 36


def test_a_stroke_with_the_button_still_down_survives(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    layer = hands.labels(widget)
    with layer.block_history():
        layer.paint((5, 40, 40), 1)
        painted = np.asarray(layer.data[5]) == 1
        held.set()
        hands.finish(widget)
    np.testing.assert_array_equal(np.asarray(layer.data[5]) == 1, painted)
    layer.undo()
    layer.redo()


def test_no_object_takes_pixels_that_the_user_painted_or_erased(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    layer = hands.labels(widget)
    layer.brush_size = 3
    layer.paint((5, 8, 5), 9)  # frame 5: object 1 will be at rows 7-12, columns 4-9
    painted = np.asarray(layer.data[5]) == 9
    held.set()
    hands.finish(widget)
    frame = np.asarray(layer.data[5])
    assert painted.sum() > 3 and (frame[painted] == 9).all()
    assert 0 < (frame == 1).sum() < 36


def test_undo_and_redo_go_on_after_a_run(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    first = hands.run(widget)
    layer = hands.labels(widget)
    layer.paint((0, 4, 6), 5)
    layer.paint((0, 40, 40), 5)
    painted = np.asarray(layer.data[:])
    np.testing.assert_array_equal(hands.run(widget), painted)
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(layer.data[:], first)
    layer.redo()
    layer.redo()
    np.testing.assert_array_equal(layer.data[:], painted)


def test_second_run_keeps_other_objects_and_other_frames(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    first = hands.run(widget)
    layer = hands.labels(widget)
    widget.prompts.clear()
    widget.new_object()
    assert widget.prompts.object_id == 2
    hands.box(widget, 4, 40, 40, 50, 50)
    widget.controls.first.setValue(4)
    widget.controls.last.setValue(6)
    engine.before = lambda t: None
    second = hands.run(widget)
    assert hands.labels(widget) is layer
    np.testing.assert_array_equal(second[:4], first[:4])
    np.testing.assert_array_equal(second[7:], first[7:])
    assert engine.config.frames == (4, 7) and engine.prompts.object_ids == (2,)


def test_a_second_run_while_one_is_going_is_refused(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.propagate()
    widget.propagate()
    assert "run is going" in widget.controls.status.text()
    held.set()
    hands.finish(widget)
    assert len(widget.run.frames) == 10


@pytest.mark.parametrize("role", ["image", "labels"])
def test_removing_a_layer_stops_the_run_quietly(open_widget, movie, hands, held, qtbot, role):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    layer = widget.run.source.image if role == "image" else hands.labels(widget)
    widget.viewer.layers.remove(layer)
    held.set()
    hands.finish(widget)
    assert "was removed" in widget.controls.status.text()


def test_renaming_layers_during_a_run_does_not_matter(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    image = widget.controls.image.layer
    image.name, hands.labels(widget).name = "renamed", "my cells"
    widget.prompts.shapes.name = "my boxes"
    held.set()
    hands.finish(widget)
    assert len(widget.run.frames) == 10
    assert widget.controls.image.layer is image and widget.controls.image.currentText() == "renamed"


@pytest.mark.parametrize("what", ["viewer", "dock"])
def test_closing_during_a_run_stops_it(open_widget, movie, hands, held, qtbot, what):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    wait_for_frame(qtbot, widget, 2)
    runner, viewer = widget.runner, widget.viewer
    if what == "viewer":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(widget)
    held.set()
    qtbot.waitUntil(lambda: not runner.busy, timeout=10_000)
    assert not {"N", "U"} & {str(key) for key in viewer.keymap}


@pytest.mark.parametrize("error", [ValueError("bad weights"), RuntimeError("out of memory")])
def test_an_error_in_the_worker_is_shown_and_keeps_the_layer(open_widget, movie, hands, engine, error):
    engine.error = error
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    notification_manager.records.clear()
    hands.run(widget)
    assert str(error).lower() in widget.controls.status.text().lower()
    assert "ff6b6b" in widget.controls.status.styleSheet()
    assert str(error).lower() in notification_manager.records[-1].message.lower()
    assert hands.labels(widget) is not None


def test_only_the_current_object_is_run(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.box(widget, 0, 22, 4, 28, 10)
    widget.controls.only_current.setChecked(True)
    hands.run(widget)
    assert engine.prompts.object_ids == (2,)


def test_ids_above_255_are_kept(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.run(widget)
    widget.controls.object_id.setValue(300)
    hands.box(widget, 0, 22, 4, 28, 10)
    labels = hands.run(widget)
    assert set(np.unique(labels)) == {0, 1, 300}
    assert labels.dtype == np.uint16


def test_ids_above_65535_widen_the_labels_and_keep_what_was_there(open_widget, movie, hands, engine, make_result):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    first = hands.run(widget)
    widget.prompts.clear()
    widget.controls.object_id.setValue(70_000)
    hands.box(widget, 0, 22, 4, 28, 10)
    engine.before = lambda t: (_ for _ in ()).throw(ValueError("before the first frame"))
    labels = hands.run(widget)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, first)


def test_two_viewers_do_not_mix(open_widget, movie, hands):
    one, two = open_widget(movie), open_widget(movie[:4])
    hands.box(one, 0, 2, 4, 8, 10)
    assert two.prompts.ids() == set()
    hands.box(two, 0, 2, 4, 8, 10)
    one.controls.propagate.click()
    two.controls.propagate.click()
    hands.finish(one)
    hands.finish(two)
    assert (hands.labels(one).data.shape[0], hands.labels(two).data.shape[0]) == (10, 4)


def test_writing_a_large_frame_does_not_block_the_viewer(open_widget, hands, engine, monkeypatch):
    widget = open_widget(np.zeros((4, 2048, 2048), np.uint8))
    times = []
    handle = widget.jobs._handle

    def timed(run, result):
        started = time.thread_time()
        handle(run, result)
        times.append(time.thread_time() - started)

    monkeypatch.setattr(widget.jobs, "_handle", timed)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.run(widget)
    assert np.median(times) < 0.25, times
