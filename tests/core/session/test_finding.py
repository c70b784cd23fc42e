"""Cells that a session finds: proposals become marks when a person accepts them, and only what is new is proposed."""

import numpy as np
import pytest
from tests.core.session.test_session import LABELS, session_of

SIZE = {"diameter": 13.0}


def test_accepted_proposals_are_marks_and_one_step_of_the_history(tmp_path):
    session = session_of(tmp_path, prompts=())
    proposals = session.find(2, **SIZE)
    assert len(proposals) == 3
    assert len(session.prompts) == 0
    new = session.accept(proposals, [1, 3])
    assert session.prompts.object_ids == new == (1, 2)
    assert session.prompts.frames == (2,)
    assert session.history == ("2 found cells on frame 2",)
    session.undo()
    assert len(session.prompts) == 0


def test_what_is_marked_with_a_mask_there_is_not_proposed_unless_everything_is_asked_for(tmp_path):
    session = session_of(tmp_path)
    (third,) = session.accept(session.find(0, **SIZE))
    assert third == 3
    mask = session.prompts.of(3)[0][0].to_frame((64, 64))
    assert (mask & (LABELS[0] == 3)).sum() > 80
    assert len(session.find(0, everything=True, **SIZE)) == 3


def test_on_a_later_frame_only_what_the_result_does_not_cover_is_proposed(session):
    proposals = session.find(4, **SIZE)
    assert len(proposals) == 1
    assert not (proposals.labels[np.asarray(session.result.labels[4]) > 0]).any()
    assert session.accept(proposals) == (3,)
    session.run()
    assert session.result.object_ids == (1, 2, 3)


def test_a_search_that_is_stopped_gives_what_was_found_until_then(tmp_path):
    session = session_of(tmp_path, movie=np.tile(LABELS[:1], (1, 6, 6)) > 0, prompts=())
    proposals = session.find(0, progress=lambda done, total: session.stop(), **SIZE)
    assert not proposals.complete
    assert 0 < len(proposals) < 3 * 36


def test_proposals_of_another_movie_are_refused(tmp_path, session):
    other = session_of(tmp_path / "other", movie=np.zeros((1, 32, 32), np.uint8), prompts=())
    with pytest.raises(ValueError, match="this movie has"):
        other.accept(session.find(0, everything=True, **SIZE))
