"""Reviews of a session: accepting locks, an audit is kept in the result, and all of it is undone in order."""

import numpy as np
import pytest
from tests.core.session.test_session import IMAGES, LABELS, QUICK, TWO, session_of, stroke, told
from tests.support.fake_model import FakeSegmenter

from napari_mosam import Result, Session, replay, track
from napari_mosam.core.results.columns import read_table
from napari_mosam.core.store.layout import open_group


@pytest.fixture
def session(tmp_path):
    """Object 2 is not there on frames 2 and 3."""
    images = IMAGES.copy()
    images[2:4][LABELS[2:4] == 2] = 0
    np.save(tmp_path / "movie.npy", images)
    track(tmp_path / "movie.npy", TWO, out=tmp_path / "cells.zarr", model=FakeSegmenter(), config=QUICK)
    return reopened(tmp_path)


def reopened(folder):
    return Session.open(folder / "cells.zarr", model=FakeSegmenter(), recent=folder / "recent")


def accepted(result):
    shape = result.predicted_iou.shape
    (found,) = read_table(open_group(result.path, "r")["table"], shape, ("accepted",)).values()
    return [(result.object_ids[row], int(t)) for t, row in np.argwhere(np.nan_to_num(found) > 0)]


def test_accepting_locks_takes_off_the_queue_and_is_one_entry_of_the_history(session):
    before = told(session.path)
    (item,) = session.queue()
    session.approve(item.object_id, item.start, item.stop)
    assert session.queue() == () and accepted(session.result) == [(2, 2), (2, 3)]
    assert session.result.locked(2) == (2,) and session.result.locked(4) == ()
    assert session.history == ("accepting object 2 on frames 2 to 3",)
    after = told(session.path)
    session.undo()
    assert told(session.path) == before and len(session.queue()) == 1
    session.redo()
    assert told(session.path) == after


def test_what_is_accepted_stays_when_all_is_followed_anew(session):
    session.approve(1, 1)
    session.approve(2, 2, 4)
    pixels = np.array(session.result.labels[1] == 1)
    session.run(frames=(0, 6))
    assert (np.asarray(session.result.labels[1] == 1) == pixels).all()
    assert session.queue() == () and len(accepted(session.result)) == 3


def test_what_is_released_is_not_accepted_any_more(session):
    session.approve(2, 2, 4)
    session.release(2, 2)
    assert accepted(session.result) == [(2, 3)]
    assert [(item.start, item.stop) for item in session.queue()] == [(2, 3)]


@pytest.mark.parametrize("all_at_once", [False, True])
def test_a_replay_accepts_too(session, tmp_path, all_at_once):
    session.approve(2, 2, 4)
    session.lock(1, 5)
    made = replay(session.path, tmp_path / "again.zarr", all_at_once=all_at_once, model=FakeSegmenter())
    assert accepted(made) == [(2, 2), (2, 3)] and made.locked(5) == (1,)


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (lambda s: s.approve(7, 0), ValueError, "there is no object 7"),
        (lambda s: s.approve(1, 3, 3), ValueError, "give a stop after the start"),
        (lambda s: s.approve(1, 99), IndexError, "there is no frame 99"),
        (lambda s: s.judge(1, 0, "right"), ValueError, "draw an audit first"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(session, act, kind, said):
    before = told(session.path)
    with pytest.raises(kind, match=said):
        act(session)
    assert told(session.path) == before and session.history == ()


def test_an_audit_survives_reopening_and_every_judgement_can_be_undone(session, tmp_path):
    audit = session.draw_audit(4, seed=5)
    assert audit.n_masks == 10 and session.audit == audit
    for place in audit.places[:2]:
        session.judge(*place, "right")
    session.judge(*audit.places[2], "wrong")
    said = session.audit.sentence()
    assert said.startswith("Of 3 masks drawn at random from 10, 2 were judged correct")
    assert session.history[0] == "drawing an audit of 4 masks" and session.history[-1].endswith("wrong")
    assert Result.open(session.path).history[-1].words.startswith("the judgement of object")
    session.close()
    again = reopened(tmp_path)
    assert again.audit.sentence() == said and not again.audit_is_past
    again.undo()
    assert again.audit.n_judged == 2
    again.undo(), again.undo(), again.undo()
    assert again.audit is None
    again.redo()
    assert again.audit == audit


def test_an_audit_is_of_the_past_once_masks_may_have_changed(session):
    session.draw_audit(3)
    session.approve(2, 2, 4)
    session.rename(1, "left cell")
    assert not session.audit_is_past
    stroke(session, 5, LABELS[5] == 1, 2)
    assert session.audit_is_past
    session.undo()
    assert not session.audit_is_past


def test_a_session_without_a_result_has_nothing_to_review(tmp_path):
    session = session_of(tmp_path)
    assert session.audit is None and not session.audit_is_past
    with pytest.raises(ValueError, match="there is no result yet"):
        session.queue()
