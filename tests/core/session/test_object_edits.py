"""Objects that are renamed, swapped, split, merged and locked in a session: marks follow, undo, and later runs."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.core.session.test_session import LABELS, SQUARE, TWO, N, opened, session_of, stroke, told

from napari_mosam import BoxPrompt, MaskPrompt, PointPrompt, Prompts, Result, Session

LATE = BoxPrompt(2, 5, (38, 34, 50, 46))


def where(session, object_id):
    """Middle row of an object on each frame; -1 where it is not."""
    found = (np.argwhere(np.asarray(session.result.labels[t]) == object_id) for t in range(N))
    return [round(float(pixels[:, 0].mean())) if len(pixels) else -1 for pixels in found]


def test_marks_follow_their_object_and_all_is_undone_in_order(session, made):
    def now():
        return told(session.path), session.prompts, session.result.names

    session.mark(LATE, PointPrompt(1, 1, (20.0, 21.0)))
    states = [now()]
    for act in (
        lambda: session.swap(1, 2, 3),
        lambda: session.rename(2, "left cell"),
        lambda: session.split(2, 4),
        lambda: session.lock(3),
        lambda: session.merge(2, 3),
        lambda: session.release(2),
    ):
        act()
        states.append(now())
    assert states[1][1] == Prompts([*TWO, replace(LATE, object_id=1), PointPrompt(1, 1, (20.0, 21.0))])
    assert states[3][1] == states[1][1] and states[2][2] == {2: "left cell"}
    assert session.history[-6:-3] == (
        "swapping objects 1 and 2 from frame 3 on",
        "the renaming of object 2",
        "splitting object 2 from frame 4 on",
    )
    for state in states[-2::-1]:
        session.undo()
        assert now() == state
    for state in states[1:]:
        session.redo()
        assert now() == state


def test_the_same_bytes_without_a_session_and_after_reopening(session, made, tmp_path):
    session.swap(1, 2, 3), session.split(1, 4, daughter=True), session.merge(2, 3), session.rename(1, "a")
    path = session.save_as(tmp_path / "other" / "cells.zarr")
    shutil.copytree(made.path, tmp_path / "alone" / "cells.zarr")
    result = (
        Result.open(tmp_path / "alone" / "cells.zarr")
        .swap(1, 2, 3)
        .split(1, 4, daughter=True)
        .merge(2, 3)
        .rename(1, "a")
    )
    assert told(result.path) == told(path)
    session.close()
    again = opened(tmp_path / "other")
    assert again.prompts == session.prompts and again.result.names == {1: "a"}
    assert again.undo() == "the renaming of object 1" and again.undo() == "the merge of objects 2, 3"
    assert again.result.object_ids == (1, 2, 3)


def test_later_runs_and_new_results_keep_who_is_who(session):
    session.swap(1, 2, 3)
    want = [20, 20, 20, 44, 44, 44]
    assert where(session, 1) == want
    path = session.path
    session.run()
    assert where(session, 1) == want and session.path == path
    session.mark(MaskPrompt.from_frame(1, 1, LABELS[1] == 1))
    session.run()
    assert where(session, 1) == want, "a correction before the swap ends there"
    session.run(anew=True)
    assert session.path != path
    assert [where(session, i)[3:] for i in (1, 2)] == [[44] * 3, [20] * 3], "a new result begins with it"


def test_painted_frames_of_a_swap_change_hands_and_stay_painted(session):
    stroke(session, 4, SQUARE, 1)
    session.swap(1, 2, 3)
    assert (session.result.labels[4][SQUARE] == 2).all() and session.result.locked(4) == (2,)
    session.run()
    assert (session.result.labels[4][SQUARE] == 2).all()


def test_an_object_that_ends_by_a_split_is_not_followed_on(tmp_path):
    session = session_of(tmp_path, frames=(0, 4))
    session.run()
    new = session.split(1, 2)
    session.settings = replace(session.settings, frames=None)
    session.run()
    assert (new, where(session, 1)) == (3, [20, 20, -1, -1, -1, -1])
    assert where(session, 3) == [-1, -1, 20, 20, 20, 20] and where(session, 2) == [44] * N
    session.run(anew=True)
    assert where(session, 1)[2:] == [-1] * 4, "nor by a new result"


def test_half_a_result_goes_on_with_who_is_who(tmp_path):
    session = session_of(tmp_path)
    session.run(progress=lambda result, done, total: session.stop() if done == 4 else None)
    session.swap(1, 2, 2)
    assert session.run().complete
    assert (where(session, 1), where(session, 2)) == ([20, 20, 44, 44, 44, 44], [44, 44, 20, 20, 20, 20])


def test_locks_of_all_frames(session):
    session.lock(1)
    assert [session.result.locked(t) for t in range(N)] == [(1,)] * N
    session.release(1)
    assert [session.result.locked(t) for t in range(N)] == [()] * N


def test_nothing_is_changed_without_a_result(tmp_path):
    session: Session = session_of(tmp_path)
    for act in (lambda: session.swap(1, 2, 0), lambda: session.split(1, 1), lambda: session.rename(1, "a")):
        with pytest.raises(ValueError, match="no result yet"):
            act()
    assert session.history == () and session.busy == ""
