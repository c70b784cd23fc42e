"""Runs on some frames, what is told while one goes and after it, corrections, and taking back during a run."""

import threading

import numpy as np
import pytest
from napari.layers import Tracks
from qtpy.QtWidgets import QPushButton
from tests.support.fake_model import disks
from tests.widgets.conftest import N

from napari_mosam.core.results.pace import Pace, in_words


def menu_of(widget):
    widget.runs.place_menu()
    return widget.controls.run_bar.menu


def button(menu, text):
    return next(b for b in menu.findChildren(QPushButton) if b.text() == text)


def go_to(widget, frame):
    widget.viewer.dims.set_point(0, frame)


@pytest.mark.slow
def test_runs_on_some_frames_one_after_the_other(open_widget, movie, hands, engine):
    widget, seen = open_widget(movie), []
    engine.after = seen.append
    hands.mark(widget, 1, 2)
    go_to(widget, 0)
    menu = menu_of(widget)
    assert menu.onward.text() == "From here on (frames 0 to 7)" and not menu.back.isEnabled()
    menu.next.setValue(3)
    button(menu, "Next").click()
    hands.finish(widget)
    assert set(seen) == {0, 1, 2} and widget.session.result.attrs["frames"] == [0, 3]
    go_to(widget, 2)
    menu_of(widget).to.setValue(4)
    menu.follow_frames.setChecked(True)
    button(menu, "From here to").click()
    hands.finish(widget)
    assert widget.session.result.attrs["frames"] == [0, 5] and widget.frame == 2, "back where it was begun"
    menu_of(widget).onward.trigger()
    hands.finish(widget)
    assert widget.session.result.attrs["frames"] == [0, N] and widget.session.result.complete
    before = hands.stored(widget)
    seen.clear()
    widget.controls.object_id.setValue(2)
    go_to(widget, 4)
    menu_of(widget).only_current.setChecked(True)
    assert menu.only_current.text() == "Only object 2"
    menu.onward.trigger()
    hands.finish(widget)
    assert set(seen) <= set(range(3, N))
    assert widget.session.result.history[-1].words == "the re-run of object 2 on frames 4 to 7"
    np.testing.assert_array_equal(hands.stored(widget) == 1, before == 1)
    assert widget.controls.settings.frames is None


def test_a_run_stops_to_ask_and_continue_goes_on(open_widget, hands):
    gone = [[(20, 20 + t), None if t in (3, 4, 5) else (44, 40)] for t in range(N)]
    widget = open_widget(disks(gone, shape=(64, 64), radius=6)[0])
    controls = widget.controls
    hands.mark(widget, 1, 2)
    controls.patience.setValue(2)
    hands.run(widget)
    assert hands.says(widget) == (
        "Stopped to ask: object 2 was unsure for 2 frames at frame 4. Look, correct it where needed, then press "
        "Continue."
    )
    assert controls.propagate.text() == "Continue" and not controls.doubts.isHidden()
    controls.doubts.here.click()
    assert widget.frame == 3 and controls.object_id.value() == 2
    assert controls.doubts.here.text() == "Unsure: object 2, frame 3 (1 of 1)"
    controls.absent.click()
    hands.finish(widget)
    assert widget.session.waiting == () and controls.propagate.text() == "Continue"
    hands.run(widget)
    assert widget.session.result.complete and controls.propagate.text() == "Track"
    assert hands.says(widget).startswith("Done: 6 frames")


def test_a_correction_says_and_shows_what_changed_and_not_here_takes_a_mask_away(after_a_run, hands):
    widget, _ = after_a_run(1, 2)
    before = hands.stored(widget)
    square = np.zeros((64, 64), bool)
    square[14:28, 16:36] = True
    hands.paint(widget, 3, square, 1)
    hands.run(widget)
    changes = widget.controls.changes
    after = hands.stored(widget)
    frames = [t for t in range(N) if t != 3 and ((before[t] == 1) != (after[t] == 1)).any()]
    assert [t for i, t in changes._places if i == 1] == frames
    assert not frames or "Changed: object 1 on frame" in hands.says(widget)
    widget.controls.object_id.setValue(2)
    go_to(widget, 5)
    widget.controls.absent.click()
    hands.finish(widget)
    assert not (hands.shown(widget)[5] == 2).any() and (hands.shown(widget)[6] == 2).any()
    assert "Changed: object 2 on frames 5 to 6." in hands.says(widget) and "Not found" not in hands.says(widget)
    changes.forth.click()
    assert widget.frame == 5 and changes.here.text() == "Changed: object 2, frame 5 (1 of 2)"
    hands.undo(widget)
    assert (hands.shown(widget)[5] == 2).any() and changes.isHidden()


def test_ctrl_z_during_a_run_takes_back_the_stroke_that_waits(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    layer = hands.labels(widget)
    layer.brush_size = 4
    for at, object_id in (((6, 52, 10), 5), ((6, 10, 52), 9)):
        layer.paint(at, object_id)
        hands.qtbot.waitUntil(lambda i=object_id: i in widget.session.waiting_on(6), timeout=10_000)
    hands.undo(widget)
    hands.qtbot.waitUntil(lambda: not (hands.shown(widget)[6] == 9).any(), timeout=5_000)
    assert (hands.shown(widget)[6] == 5).any() and widget.jobs.busy
    hands.undo(widget)
    hands.qtbot.waitUntil(lambda: not hands.shown(widget)[6].any(), timeout=5_000)
    hands.redo(widget)
    held.let_go()
    hands.finish(widget)
    assert (hands.stored(widget)[6] == 5).any() and not (hands.stored(widget) == 9).any()
    np.testing.assert_array_equal(hands.shown(widget), hands.stored(widget))


@pytest.mark.slow
def test_a_second_run_drops_no_layer_of_the_user(after_a_run, hands):
    widget, _ = after_a_run(1)
    viewer = widget.viewer
    tracks = viewer.add_tracks(
        np.array([[1, 0, 5, 5], [1, 1, 6, 6], [2, 2, 7, 7], [3, 2, 9, 9]], float), graph={2: [1], 3: [1]}
    )
    mine = viewer.add_labels(np.ones((N, 64, 64), np.uint8), name="mine")
    hands.mark(widget, 2)
    hands.run(widget)
    assert isinstance(tracks, Tracks) and tracks in viewer.layers and tracks.graph == {2: [1], 3: [1]}
    assert mine in viewer.layers and mine.data.all()


@pytest.mark.slow
def test_cancel_during_the_first_frame(open_widget, movie, hands, engine):
    reached, go_on = threading.Event(), threading.Event()
    engine.model.waits = lambda: reached.set() or go_on.wait(10)
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.controls.propagate.click()
    hands.qtbot.waitUntil(reached.is_set, timeout=10_000)
    widget.controls.propagate.click()
    go_on.set()
    hands.finish(widget)
    assert hands.says(widget) == "Cancelled. 1 frame done and kept; Continue goes on there."
    assert hands.run(widget).any((1, 2)).all()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (3.6, "4 s"), (42, "40 s"), (58, "1 min"), (150, "2 min"), (9000, "2.5 h")]
)
def test_a_time_is_told_as_coarse_as_it_is_known(seconds, words):
    assert in_words(seconds) == words


def test_what_is_left_follows_from_the_last_frames():
    pace = Pace()
    pace.note(1, 100.0)
    assert pace.left(10) == ""
    for done in range(2, 40):
        pace.note(done, 100.0 + 9 * done)
    assert pace.rate == pytest.approx(1 / 9) and pace.left(49) == "about 2 min left"
