"""The session of the dock from the console or a script: it is the same, from any thread, and the dock follows."""

import threading

import numpy as np
import pytest
from tests.widgets.conftest import N, box_around

from napari_mosam import BoxPrompt
from napari_mosam.widgets.sessions import session

SQUARE = np.zeros((64, 64), bool)
SQUARE[44:60, 2:22] = True


def elsewhere(qtbot, call):
    """Do something in another thread, while the viewer goes on; raises what it raised."""
    raised = []

    def job():
        try:
            call()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=20_000)
    if raised:
        raise raised[0]


def test_it_is_the_session_of_the_dock(open_widget, movie, make_napari_viewer):
    from napari.utils._proxies import PublicOnlyProxy

    with pytest.raises(ValueError, match="there is no session yet; open a time-lapse and Plugins > MoSAM"):
        session(make_napari_viewer())
    widget = open_widget(movie)
    assert session(widget.viewer) is widget.session is session(PublicOnlyProxy(widget.viewer))
    assert session() is widget.session, "that of the viewer used last"
    widget.viewer.add_image(movie[:4], name="other")
    assert session(widget.viewer) is widget.session and widget.session.movie.n_frames == 4
    widget.controls.image.setCurrentText("movie")
    assert session(widget.viewer) is widget.session and widget.session.movie.n_frames == N


@pytest.mark.parametrize("where", [pytest.param("here", marks=pytest.mark.slow), "elsewhere"])
def test_what_is_done_with_it_is_seen_in_the_dock(open_widget, movie, hands, qtbot, where):
    widget = open_widget(movie)
    its = session(widget.viewer)
    do = (lambda qtbot, call: call()) if where == "here" else elsewhere

    do(qtbot, lambda: its.mark(BoxPrompt(4, 0, box_around(1, 0))))
    hands.settle(widget)
    assert widget.controls.summary.text() == "1 object: 1 box"
    assert list(widget.prompts.shapes.features["object_id"]) == [4]

    do(qtbot, its.run)
    hands.settle(widget)
    np.testing.assert_array_equal(hands.shown(widget), its.result.labels[:])
    assert (hands.shown(widget) == 4).any((1, 2)).all()

    painted = np.where(SQUARE, 4, np.asarray(its.result.labels[3]))
    do(qtbot, lambda: its.paint(3, painted))
    hands.settle(widget)
    np.testing.assert_array_equal(hands.shown(widget)[3], painted)
    assert (
        widget.controls.painted.text()
        == "By hand: 1 mask on 1 frame (painted, erased, swapped, merged). Runs leave them as they are."
    )

    do(qtbot, its.undo)
    hands.settle(widget)
    assert not (hands.shown(widget)[3][SQUARE] == 4).any() and not widget.controls.painted.text()
    assert widget.controls.result.redo.isEnabled()

    do(qtbot, lambda: its.correct(4, 2, SQUARE))
    hands.settle(widget)
    np.testing.assert_array_equal(hands.shown(widget)[2] == 4, SQUARE)

    do(qtbot, lambda: setattr(its, "prompts", []))
    hands.settle(widget)
    assert widget.controls.summary.text() == "Nothing marked yet" and not len(widget.prompts.shapes.data)
    assert its.history == ("1 mark", "the run", "the correction of object 4 on 2", "marks")


@pytest.mark.slow
def test_what_is_done_in_the_dock_is_seen_in_it(open_widget, movie, hands):
    widget = open_widget(movie)
    its, told = session(widget.viewer), []
    its.events.marks.connect(lambda: told.append("marks"))
    hands.mark(widget, 1)
    hands.settle(widget)
    assert [(p.object_id, p.frame, p.box) for p in its.prompts] == [(1, 0, box_around(1, 0))] and told == ["marks"]
    shown = hands.run(widget)
    np.testing.assert_array_equal(its.result.labels[:], shown)


@pytest.mark.slow
def test_a_run_of_the_console_is_refused_while_the_dock_runs_and_nothing_breaks(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    with pytest.raises(ValueError, match="a run is going; wait for its end, or stop it, then try again"):
        elsewhere(qtbot, widget.session.run)
    held.let_go()
    hands.finish(widget)
    assert hands.says(widget).startswith(f"Done: {N} frames")


def test_strokes_and_marks_during_a_run_of_the_console(open_widget, movie, hands, held, qtbot):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.settle(widget)
    thread = threading.Thread(target=widget.session.run)
    thread.start()
    qtbot.waitUntil(lambda: bool(held) and hands.labels(widget) is not None)
    hands.mark(widget, 2)
    layer = hands.labels(widget)
    rows, columns = np.nonzero(SQUARE)
    layer.data_setitem((np.full(len(rows), 5), rows, columns), 1)
    qtbot.wait(120)
    assert (hands.shown(widget)[5][SQUARE] == 1).all()
    held.let_go()
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=20_000)
    hands.settle(widget)
    np.testing.assert_array_equal(hands.shown(widget)[5] == 1, SQUARE)
    np.testing.assert_array_equal(hands.shown(widget), hands.stored(widget))
    assert widget.session.prompts.object_ids == (1, 2)
    assert widget.session.history[-1] == "painting on frame 5"


@pytest.mark.slow
def test_a_stroke_while_the_console_works_for_long_is_written_after_it(open_widget, movie, hands, qtbot, tmp_path):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.run(widget)
    with widget.session._working("saving"):
        hands.labels(widget).data[5, 44:60, 2:22] = 1
        qtbot.wait(150)
        assert (hands.shown(widget)[5][SQUARE[:]][:] == 1).all()
    elsewhere(qtbot, lambda: widget.session.save(tmp_path / "cells.zarr"))
    hands.settle(widget)
    assert (hands.shown(widget)[5][SQUARE] == 1).all()
    hands.paint(widget, 6, SQUARE, 1)
    np.testing.assert_array_equal(hands.shown(widget), hands.stored(widget))
    assert (hands.stored(widget)[5:7, 44:60, 2:22] == 1).all()
