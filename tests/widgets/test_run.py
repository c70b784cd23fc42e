"""Runs in a real viewer: results, cancel, what is painted meanwhile, layers that go away, other threads."""

import threading
import time

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from tests.widgets.conftest import N

from napari_mosam.core.config.run import RunConfig
from napari_mosam.widgets.sessions.view import SessionView

OFF_THE_CELLS = np.zeros((64, 64), bool)
OFF_THE_CELLS[50:60, 4:20] = True


def iou(mask, wanted):
    return (mask & wanted).sum() / (mask | wanted).sum()


def test_frames_arrive_in_a_labels_layer_placed_like_the_image(open_widget, movie, truth, hands, engine):
    widget = open_widget(movie, scale=(2, 0.5, 0.5), translate=(0, 7, 9), units=("s", "um", "um"), axis_labels="tyx")
    hands.mark(widget, 1, 2)
    labels = hands.run(widget)
    assert min(iou(labels[t] == i, truth[t] == i) for t in range(N) for i in (1, 2)) > 0.7
    np.testing.assert_array_equal(labels, hands.stored(widget))
    layer, image = hands.labels(widget), widget.controls.image.layer
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.units == image.units and layer.axis_labels == image.axis_labels
    assert hands.says(widget).startswith(f"Done: {N} frames in ")
    assert {name.rpartition("_")[0] for name in engine.threads} == {"MoSAM run"}


def test_cancel_keeps_what_is_done_and_propagate_goes_on_there(open_widget, movie, hands, held, engine):
    widget = open_widget(movie)
    hands.mark(widget, 1, 2)
    hands.start(widget, held)
    started = time.thread_time()
    widget.controls.propagate.click()
    assert time.thread_time() - started < 0.2
    assert not widget.controls.propagate.isEnabled()
    held.let_go()
    hands.finish(widget)
    stored = hands.shown(widget)
    assert stored[:3].any((1, 2)).all() and not stored[3:].any()
    assert hands.says(widget) == "Cancelled. 3 frames done and kept; Continue goes on there."
    assert widget.controls.propagate.text() == "Continue"
    seen = []
    engine.after = seen.append
    went_on = hands.run(widget)
    assert set(seen) >= set(range(3, N)) and widget.session.result.complete
    widget.session.run(anew=True)
    np.testing.assert_array_equal(hands.stored(widget), went_on)


@pytest.mark.slow
def test_cancel_before_the_first_frame_changes_nothing(open_widget, movie, hands, engine):
    go_on = threading.Event()
    name = engine.device_name
    engine.device_name = lambda config: go_on.wait(10) and name(config)
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.controls.propagate.click()
    widget.controls.propagate.click()
    go_on.set()
    hands.finish(widget)
    assert hands.says(widget) == "Cancelled before the first frame was done; no label was changed."
    assert hands.labels(widget) is None and widget.session.path is None
    assert list(engine.recent().results()) == []


@pytest.mark.slow
def test_a_rerun_that_is_cancelled_leaves_the_labels_as_they_were(open_widget, movie, hands, held, engine):
    held.let_go()
    widget = open_widget(movie)
    hands.mark(widget, 1)
    before = hands.run(widget)
    hands.mark(widget, 2)
    engine.after = lambda t: t == 2 and widget.session.stop()
    widget.controls.propagate.click()
    hands.finish(widget)
    np.testing.assert_array_equal(hands.shown(widget), before)
    engine.after = lambda t: None
    assert set(np.unique(hands.run(widget))) == {0, 1, 2}


def test_what_the_user_paints_during_a_run_survives_it(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1, 2)
    hands.start(widget, held)
    layer = hands.labels(widget)
    layer.brush_size = 4
    layer.paint((6, 52, 10), 1)
    layer.paint((1, 52, 10), 5)
    painted = hands.shown(widget)
    assert (painted[6] == 1).sum() > 8 and (painted[1] == 5).sum() > 8
    hands.qtbot.wait(120)
    np.testing.assert_array_equal(hands.shown(widget), painted)
    held.let_go()
    hands.finish(widget)
    after = hands.shown(widget)
    np.testing.assert_array_equal(after[6] == 1, painted[6] == 1)
    np.testing.assert_array_equal(after[1] == 5, painted[1] == 5)
    np.testing.assert_array_equal(after, hands.stored(widget))
    assert (after[6] == 2).any() and widget.session.result.complete
    assert widget.session.result.locked(6) == (1,) and widget.session.result.locked(1) == (5,)


@pytest.mark.slow
def test_no_object_takes_pixels_that_the_user_painted_or_erased(open_widget, movie, truth, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    layer = hands.labels(widget)
    layer.brush_size = 3
    layer.paint((5, 20, 24), 9)  # inside disk 1 of that frame
    painted = hands.shown(widget)[5] == 9
    held.let_go()
    hands.finish(widget)
    frame = hands.shown(widget)[5]
    assert painted.sum() > 3 and (frame[painted] == 9).all() and (frame == 9).sum() == painted.sum()
    assert 0 < (frame == 1).sum() < (truth[5] == 1).sum()


def test_marks_made_during_a_run_are_followed_right_after_it(open_widget, movie, hands, held, engine):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    hands.mark(widget, 2)
    held.let_go()
    hands.qtbot.waitUntil(lambda: len(widget.session.history) == 4, timeout=10_000)
    hands.finish(widget)
    assert widget.session.history == ("the box of object 1", "the box of object 2", "the run", "the run")
    assert set(np.unique(hands.shown(widget))) == {0, 1, 2} and hands.says(widget).startswith("Done")
    assert widget.controls.summary.text() == "2 objects: 2 boxes"


@pytest.mark.slow
def test_a_second_run_keeps_other_objects(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    first = hands.run(widget)
    layer = hands.labels(widget)
    widget.new_object()
    hands.mark(widget, 2, frame=4)
    second = hands.run(widget)
    assert hands.labels(widget) is layer
    np.testing.assert_array_equal(second == 1, first == 1)
    assert (second == 2).any((1, 2)).all()


@pytest.mark.slow
def test_a_run_on_part_of_the_frames(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.mark(widget, 1, frame=4)
    widget.controls.first.setValue(4)
    widget.controls.last.setValue(6)
    seen = []
    engine.after = seen.append
    labels = hands.run(widget)
    assert sorted(set(seen)) == [4, 5, 6] and hands.says(widget).startswith("Done: 3 frames in ")
    assert labels[4:7].any((1, 2)).all() and not labels[:4].any() and not labels[7:].any()
    assert widget.session.settings.frames == (4, 7)


@pytest.mark.slow
def test_a_second_run_while_one_is_going_is_refused(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    widget.propagate()
    assert hands.says(widget) == ("A run is going; press Cancel, or wait for its end, before you start another")
    held.let_go()
    hands.finish(widget)
    assert len(widget.run.frames) == N


@pytest.mark.slow
def test_removing_the_movie_stops_its_run_and_the_result_is_kept(open_widget, movie, hands, held):
    widget = open_widget(movie)
    image = widget.controls.image.layer
    hands.mark(widget, 1)
    hands.start(widget, held)
    widget.viewer.layers.remove(image)
    held.let_go()
    hands.qtbot.waitUntil(lambda: not widget.jobs.busy)
    assert "'movie' was removed" in hands.says(widget)
    widget.viewer.layers.append(image)
    assert widget.session.result.progress.frames == (0, 1, 2)
    assert hands.labels(widget) is not None and hands.shown(widget)[:3].any((1, 2)).all()


@pytest.mark.slow
def test_removing_the_labels_stops_the_run_and_the_next_shows_them_again(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    widget.viewer.layers.remove(hands.labels(widget))
    held.let_go()
    hands.finish(widget)
    assert "Stopped, since the layer 'MoSAM labels' was removed." in hands.says(widget)
    assert hands.run(widget).any((1, 2)).all()


@pytest.mark.slow
def test_renaming_layers_during_a_run_does_not_matter(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    image = widget.controls.image.layer
    image.name, hands.labels(widget).name = "renamed", "my cells"
    widget.prompts.shapes.name = "my boxes"
    held.let_go()
    hands.finish(widget)
    assert len(widget.run.frames) == N
    assert widget.controls.image.layer is image and widget.controls.image.currentText() == "renamed"


@pytest.mark.parametrize(
    "error", [ValueError("bad weights"), pytest.param(RuntimeError("out of memory"), marks=pytest.mark.slow)]
)
def test_an_error_in_a_run_is_shown_and_what_was_done_is_kept(open_widget, movie, hands, engine, error):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    engine.after = lambda t: t == 1 and setattr(engine.model, "error", error)
    notification_manager.records.clear()
    labels = hands.run(widget)
    said = str(error).capitalize()
    assert hands.says(widget) == f"{said} 2 frames were done and are kept."
    assert "ff6b6b" in widget.controls.status.styleSheet()
    assert notification_manager.records[-1].message == said
    assert labels[:2].any((1, 2)).all() and not labels[2:].any()
    engine.model.error, engine.after = None, lambda t: None
    assert hands.run(widget).any((1, 2)).all()


@pytest.mark.slow
def test_only_the_current_object_is_run(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1, 2)
    widget.controls.only_current.setChecked(True)
    assert set(np.unique(hands.run(widget))) == {0, 2}


@pytest.mark.slow
def test_large_ids_widen_the_labels_and_keep_what_was_there(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    first, layer = hands.run(widget), hands.labels(widget)
    assert layer.data.dtype == first.dtype == widget.session.result.labels.dtype
    for object_id, disk, dtype in ((300, 2, np.uint16), (70_000, 3, np.uint32)):
        widget.controls.object_id.setValue(object_id)
        hands.mark(widget, disk)
        labels = hands.run(widget)
        assert labels.dtype == layer.data.dtype == dtype and hands.labels(widget) is layer
        assert (labels == object_id).any((1, 2)).all()
        np.testing.assert_array_equal(labels == 1, first == 1)


@pytest.mark.slow
def test_two_viewers_do_not_mix(open_widget, movie, hands):
    one, two = open_widget(movie), open_widget(movie[:4])
    hands.mark(one, 1)
    assert two.prompts.ids() == set()
    hands.mark(two, 2)
    one.controls.propagate.click()
    two.controls.propagate.click()
    hands.finish(one)
    hands.finish(two)
    assert (len(hands.shown(one)), len(hands.shown(two))) == (N, 4)
    assert one.session is not two.session and one.session.path != two.session.path


@pytest.mark.slow
def test_writing_a_large_frame_does_not_block_the_viewer(open_widget, hands, monkeypatch):
    large = np.zeros((4, 2048, 2048), np.uint16)
    large[:, 20:40, 20:40] = 1000
    times = []
    frame_done = SessionView._frame_done

    def timed(*frame):
        started = time.thread_time()
        frame_done(*frame)
        times.append(time.thread_time() - started)

    monkeypatch.setattr(SessionView, "_frame_done", timed)
    widget = open_widget(large)
    hands.box(widget, 0, 20, 20, 40, 40)
    hands.run(widget)
    assert len(times) == 4 and np.median(times) < 0.25, times


@pytest.mark.slow
def test_other_settings_are_a_new_result_and_undo_shows_the_earlier_one(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1, frame=4)
    both, place = hands.run(widget), widget.session.path
    assert both.any((1, 2)).all()
    widget.controls.settings = RunConfig(engine=widget.controls.settings.engine, direction="forward")
    forward = hands.run(widget)
    assert widget.session.path != place and not forward[:4].any() and forward[4:].any((1, 2)).all()
    hands.undo(widget)
    assert widget.session.path == place
    np.testing.assert_array_equal(hands.shown(widget), both)
