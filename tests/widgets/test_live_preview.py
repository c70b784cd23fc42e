"""The mask of a mark appears by itself, goes with the mark, and is never older than it."""

import threading

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from tests.widgets.conftest import PLACES, N
from tests.widgets.mouse import press, undo_key

from napari_mosam.core.session.session import Session


@pytest.fixture
def asked(monkeypatch):
    """Frame and objects of every preview that a session computes."""
    calls, preview = [], Session.preview

    def kept(self, frame, objects=None):
        calls.append((frame, objects))
        return preview(self, frame, objects)

    monkeypatch.setattr(Session, "preview", kept)
    return calls


def outlined(widget, hands, frame=0):
    """Ids that are outlined on a frame, once nothing is asked any more."""
    hands.qtbot.wait(1)
    hands.qtbot.waitUntil(lambda: not widget.jobs.live.busy and not widget.jobs.waits, timeout=10_000)
    layer = hands.layer(widget, "preview")
    return [] if layer is None else [int(i) for i in np.unique(layer.data[frame]) if i]


def at_first(widget):
    widget.viewer.dims.set_point(0, 0)
    return widget


def test_a_click_is_outlined_by_itself_and_undo_takes_both(open_widget, movie, hands, qtbot, truth):
    widget = at_first(open_widget(movie, show=True, live=True))
    widget.controls.plus.click()
    press(widget.viewer, qtbot, PLACES[0][0])
    assert outlined(widget, hands) == [1]
    layer = hands.layer(widget, "preview")
    shown, line, disk = widget.jobs.live.ids_on(0) == 1, np.asarray(layer.data[0]) == 1, truth[0] == 1
    assert (shown & disk).sum() > 0.8 * (shown | disk).sum()
    np.testing.assert_array_equal(line, shown & ~binary_erosion(shown))
    assert widget.session.result is None and hands.labels(widget) is None and not widget.jobs.busy
    assert hands.says(widget).startswith("Outlined object 1.")
    assert f"Seen from {widget.session.movie.grey_limits.low:.6g} to" in widget.controls.limits_note.text()
    undo_key(widget.viewer, qtbot)
    hands.settle(widget)
    assert outlined(widget, hands) == [] and not widget.session.prompts
    hands.redo(widget)
    assert outlined(widget, hands) == [1]


@pytest.mark.slow
def test_only_the_object_that_changed_is_asked_for(open_widget, movie, hands, asked):
    widget = at_first(open_widget(movie, live=True))
    for disk in (1, 2, 3):
        hands.mark(widget, disk)
        assert outlined(widget, hands) == list(range(1, disk + 1))
    hands.click(widget, 0, 44, 42)
    assert outlined(widget, hands) == [1, 2, 3]
    (changed,) = {int(i) for i in widget.prompts.points.features["object_id"]}
    assert asked == [(0, [1]), (0, [2]), (0, [3]), (0, [changed])]
    widget.session.undo()
    assert outlined(widget, hands) == [1, 2, 3] and len(asked) == 4, "it is known what it was before"


def test_an_answer_that_a_newer_mark_has_overtaken_is_not_shown(open_widget, movie, hands, engine, asked):
    widget, go_on, waits = at_first(open_widget(movie, live=True)), threading.Event(), threading.Event()
    engine.model.waits = lambda: (waits.set(), go_on.wait(10))
    hands.click(widget, 0, *PLACES[0][0])
    hands.qtbot.waitUntil(waits.is_set)
    widget.prompts.clear()
    hands.click(widget, 0, *PLACES[0][1])
    go_on.set()
    assert outlined(widget, hands) == [1]
    y, x = np.nonzero(hands.layer(widget, "preview").data[0])
    np.testing.assert_allclose((y.mean(), x.mean()), PLACES[0][1], atol=1)
    assert len(asked) == 2 and len(widget.session.prompts) == 1


@pytest.mark.slow
def test_marks_of_a_burst_are_asked_for_once(open_widget, movie, hands, asked):
    widget = at_first(open_widget(movie, live=True))
    for y in (18, 20, 22):
        hands.click(widget, 0, y, 20)
    assert outlined(widget, hands) == [1] and asked == [(0, [1])]


@pytest.mark.slow
def test_each_frame_has_its_own_previews_and_no_others(open_widget, movie, hands, asked):
    widget = at_first(open_widget(movie, live=True))
    hands.mark(widget, 1)
    assert outlined(widget, hands) == [1]
    hands.mark(widget, 2, frame=3)
    assert outlined(widget, hands, 3) == [], "it is not shown, so it is not asked for"
    widget.viewer.dims.set_point(0, 3)
    assert outlined(widget, hands, 3) == [int(widget.prompts.shapes.features["object_id"].iloc[1])]
    assert not any(np.asarray(hands.layer(widget, "preview").data[t]).any() for t in range(N) if t not in (0, 3))


def test_a_run_takes_the_previews_away_and_none_is_made_while_it_goes(open_widget, movie, hands, held, asked):
    widget = at_first(open_widget(movie, live=True))
    hands.mark(widget, 1)
    assert outlined(widget, hands) == [1]
    hands.start(widget, held)
    assert not hands.layer(widget, "preview").data[0].any()
    hands.mark(widget, 2)
    hands.qtbot.wait(250)
    assert len(asked) == 1
    held.let_go()
    hands.finish(widget)
    assert outlined(widget, hands) == [] and len(asked) == 1 and widget.session.result.object_ids == (1, 2)


@pytest.mark.slow
def test_a_run_that_is_started_during_a_preview_waits_for_its_end(open_widget, movie, hands, engine, asked):
    widget, go_on, waits = at_first(open_widget(movie, live=True)), threading.Event(), threading.Event()
    engine.model.waits = lambda: (waits.set(), go_on.wait(10))
    hands.mark(widget, 1)
    hands.qtbot.waitUntil(waits.is_set)
    widget.controls.propagate.click()
    go_on.set()
    hands.finish(widget)
    assert "Done: 8 frames" in hands.says(widget) and outlined(widget, hands) == []


def test_a_stroke_is_written_although_a_preview_is_going(open_widget, movie, hands, engine):
    widget = at_first(open_widget(movie, live=True))
    hands.mark(widget, 1)
    hands.run(widget)
    go_on, waits = threading.Event(), threading.Event()
    engine.model.waits = lambda: (waits.set(), go_on.wait(10))
    hands.mark(widget, 2)
    hands.qtbot.waitUntil(waits.is_set)
    layer = hands.labels(widget)
    layer.data_setitem((np.full(3, 6), np.arange(3), np.arange(3)), 1)
    hands.qtbot.wait(150)
    go_on.set()
    hands.settle(widget)
    assert (hands.stored(widget)[6, range(3), range(3)] == 1).all() and outlined(widget, hands) == [2]


def test_clicks_on_a_frame_that_was_followed_change_the_mask_there(open_widget, movie, hands, engine, monkeypatch):
    from napari_mosam.core.session import work

    given, preview = [], work.preview_frame
    monkeypatch.setattr(work, "preview_frame", lambda r, t, m: (given.append(r.prompts.at(t)), preview(r, t, m))[1])
    widget = at_first(open_widget(movie, live=True))
    hands.mark(widget, 1)
    hands.run(widget)
    widget.viewer.dims.set_point(0, 4)
    hands.click(widget, 4, 20, 24)
    assert outlined(widget, hands, 4) == [1]
    click, mask = given[-1][1]
    np.testing.assert_array_equal(mask.to_frame((64, 64)), hands.stored(widget)[4] == 1)
    assert widget.session.prompts.at(4)[1] == [click], "no mark was made of the mask"


@pytest.mark.slow
def test_switched_off_nothing_is_asked_and_what_was_shown_goes(open_widget, movie, hands, asked):
    widget = at_first(open_widget(movie, live=True))
    hands.mark(widget, 1)
    assert outlined(widget, hands) == [1]
    widget.controls.live.click()
    hands.mark(widget, 2)
    assert outlined(widget, hands) == [] and len(asked) == 1
    widget.controls.preview.click()
    hands.finish(widget)
    assert outlined(widget, hands) == [1, 2]


@pytest.mark.slow
def test_what_is_waited_for_or_wrong_is_said_and_no_error_is_shown(open_widget, movie, hands, engine, monkeypatch):
    widget = at_first(open_widget(movie, live=True))
    monkeypatch.setattr(Session, "model_ready", False)
    go_on = threading.Event()
    engine.model.waits = lambda: go_on.wait(10)
    hands.mark(widget, 1)
    hands.qtbot.waitUntil(lambda: "Loading the network 'nano', once; then object 1" in hands.says(widget))
    go_on.set()
    assert outlined(widget, hands) == [1]
    widget.prompts.clear()
    hands.click(widget, 0, 20, 20, "-")
    assert outlined(widget, hands) == []
    assert hands.says(widget).startswith("Object 1 has negative points only")
    assert "font-weight" not in widget.controls.status.styleSheet()
