"""Strokes that wait for the end of a run are taken back in order, and what a step changed is known afterwards."""

import numpy as np
from tests.core.session.test_session import LABELS, SQUARE, THIRD, TWO, N, session_of, stroke

from napari_mosam import BoxPrompt
from napari_mosam.core.session.waiting import Waiting


def during(session, *calls):
    """Follow, with calls while the run is in frame 2, one after the other."""
    left = list(calls)
    session.run(progress=lambda result, *_: result.t == 2 and left and [call() for call in left[:]] and left.clear())


def test_undo_during_a_run_takes_back_a_stroke_that_waits_and_redo_does_it_again(tmp_path):
    session, frames = session_of(tmp_path), []
    session.events.waiting.connect(frames.append)
    other = SQUARE[::-1]

    def act():
        stroke(session, 1, SQUARE, 5)
        stroke(session, 3, other, 6)
        assert session.history == ("painting on frame 1", "painting on frame 3")
        assert session.undo() == "painting on frame 3" and session.waiting == (1,)
        assert session.undo() == "painting on frame 1" and session.waiting == ()
        assert session.redo() == "painting on frame 1" and set(session.waiting_on(1)) == {5}

    during(session, act)
    labels = np.asarray(session.result.labels[:])
    assert (labels[1][SQUARE] == 5).all() and not (labels == 6).any() and frames == [3, 1, 1]
    assert session.history == ("the run", "painting on frame 1")


def test_a_mark_made_after_a_stroke_is_taken_back_before_it(tmp_path):
    session = session_of(tmp_path)

    def act():
        stroke(session, 1, SQUARE, 5)
        session.mark(BoxPrompt(4, 2, (1, 1, 9, 9)))
        assert session.history[-2:] == ("painting on frame 1", "1 mark")
        assert [session.undo(), session.undo()] == ["1 mark", "painting on frame 1"]

    during(session, act)
    assert session.waiting == () and not (np.asarray(session.result.labels[1]) == 5).any()


def test_strokes_on_one_frame_are_taken_back_one_by_one():
    waiting = Waiting()
    waiting.add(2, {1: SQUARE}, 0)
    waiting.add(2, {1: SQUARE, 7: None}, 0)
    assert waiting.back().words == "painting on frame 2" and list(waiting.on(2)) == [1]
    waiting.back()
    assert not waiting and waiting.last(0) is None and waiting.next_undone(1) is None
    waiting.forth()
    waiting.add(4, {2: None}, 0)
    assert waiting.next_undone(0) is None and waiting.frames == (2, 4)


def test_what_the_last_step_changed_is_known_by_object_and_frame(session):
    assert session.changed() == {}
    before = np.asarray(session.result.labels[:])
    session.correct(1, 2, SQUARE & (LABELS[2] != 2))
    after = np.asarray(session.result.labels[:])
    frames = {i: tuple(t for t in range(N) if ((before[t] == i) != (after[t] == i)).any()) for i in (1, 2)}
    assert session.changed() == {i: changed for i, changed in frames.items() if changed} and 2 in frames[1]
    session.mark(THIRD)
    assert session.changed() == {}
    session.run()
    assert set(session.changed()) <= {1}, "the new one did not change, the other gives pixels away where they meet"
    session.undo()
    assert session.history[-1] == "1 mark"


def test_frames_that_were_not_followed_before_did_not_change(tmp_path):
    session = session_of(tmp_path, prompts=TWO)
    session.run(frames=(0, 3))
    session.run(frames=(3, N))
    assert session.changed() == {}
