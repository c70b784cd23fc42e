"""Other frames in a session: the result is extended or changed there, goes on after a stop, and is not made anew."""

import platform
from dataclasses import replace

import numpy as np
import pytest
from tests.core.session.test_session import IMAGES, LABELS, QUICK, SQUARE, TWO, N, opened, session_of, stroke, told
from tests.support.fake_model import FakeSegmenter

from napari_mosam import BoxPrompt, MaskPrompt, rerun, track


def on(session, start, stop):
    session.settings = replace(session.settings, frames=(start, stop))
    return session


def near(session, frames=range(N)):
    labels = session.result.labels
    return all(((labels[t] == i) & (LABELS[t] == i)).any() for t in frames for i in (1, 2))


def test_a_later_range_extends_the_same_result_in_one_step(tmp_path):
    session = session_of(tmp_path, frames=(0, 3))
    session.run()
    place, before = session.path, told(session.path)
    on(session, 3, N).run()
    assert session.path == place and session.result.attrs["frames"] == [0, N] and session.result.complete
    assert near(session) and session.history == ("the run", "the run")
    after = told(place)
    session.undo()
    assert told(place) == before
    session.redo()
    assert told(place) == after
    assert opened(place.parent, place.name).settings.frames == (3, N)
    track(IMAGES, TWO, out=tmp_path / "x" / place.name, model=FakeSegmenter(), config=QUICK, frames=(0, 3))
    rerun(tmp_path / "x" / place.name, IMAGES, TWO, frames=(3, N), model=FakeSegmenter())
    assert told(tmp_path / "x" / place.name) == after


def test_fewer_frames_change_alone_and_marks_on_others_wait(session):
    before = np.asarray(session.result.labels[:])
    box = BoxPrompt(2, 3, (38, 34, 50, 46))
    session.mark(box, MaskPrompt.from_frame(1, 5, LABELS[5] == 3))
    on(session, 2, 5).run()
    after = np.asarray(session.result.labels[:])
    assert np.array_equal(after[5:], before[5:]) and np.array_equal(after[:2], before[:2])
    assert session.result.record(2, 3).prompted and len(session.result.prompts) == 3
    assert len(session.prompts) == 4
    with pytest.raises(ValueError, match="nothing is new on frames 2 to 4; mark or paint something there, or follow"):
        session.run()
    n, place = len(session.history), session.path
    session.run(anew=True)
    assert session.path == place and len(session.history) == n + 1
    on(session, 0, N).run()
    assert session.result.record(1, 5).prompted


def test_an_object_that_is_marked_on_other_frames_does_not_keep_a_range_from_running(session):
    session.mark(MaskPrompt.from_frame(3, 0, LABELS[0] == 3), BoxPrompt(2, 3, (38, 34, 50, 46)))
    on(session, 2, 5).run()
    assert session.result.object_ids == (1, 2)
    on(session, 0, N).run()
    assert session.result.object_ids == (1, 2, 3)


@pytest.mark.parametrize("why", ["machine", "lock", "paint", "mark"])
def test_a_half_run_that_cannot_go_on_to_the_same_bytes_goes_on_from_its_last_frame(tmp_path, monkeypatch, why):
    session = session_of(tmp_path)
    session.run(progress=lambda result, done, total: session.stop() if done == 3 else None)
    place, seen = session.path, []
    if why == "machine":
        monkeypatch.setattr(platform, "machine", lambda: "another")
        with pytest.raises(ValueError, match="was begun with other values of: machine"):
            session.resume()
    elif why == "lock":
        session.lock(1, 1)
    elif why == "paint":
        stroke(session, 1, SQUARE, 1)
    else:
        session.mark(BoxPrompt(2, 4, (38, 34, 50, 46)))
    session.run(progress=lambda result, *_: seen.append(result.t))
    assert session.path == place and session.result.complete and near(session, range(2, N))
    assert seen[-3:] == [3, 4, 5] or why == "mark"
    assert why != "paint" or (session.result.labels[1][SQUARE] == 1).all()
    session.undo()
    assert not session.result.complete


def test_an_extension_that_is_stopped_stays_and_the_next_run_goes_on(tmp_path):
    session = session_of(tmp_path, frames=(0, 2))
    session.run()
    seen = []
    on(session, 0, N).run(progress=lambda result, *_: session.stop() if result.t == 3 else None)
    assert not session.result.complete and near(session, range(4)) and len(session.history) == 2
    with pytest.raises(ValueError, match=r"changed after it had been stopped; run\(\) goes on from its last frame"):
        session.resume()
    session.run(progress=lambda result, *_: seen.append(result.t))
    assert seen == [3, 4, 5] and session.result.complete and near(session)


def test_some_objects_are_followed_on_fewer_frames_and_not_on_more(session):
    session.mark(BoxPrompt(2, 3, (38, 34, 50, 46)), BoxPrompt(1, 3, (18, 18, 26, 28)))
    on(session, 2, 5).run([2])
    assert session.result.record(2, 3).prompted and not session.result.record(1, 3).prompted
