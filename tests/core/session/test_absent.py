"""'Not here' on a frame: the mask goes, the object is followed again from there, and nothing else is touched."""

import numpy as np
import pytest
from tests.core.session.test_session import IMAGES, QUICK, TWO, N, session_of
from tests.support.fake_model import FakeSegmenter

from napari_mosam import MaskPrompt, replay, rerun, track


def areas(result, object_id):
    return [int((np.asarray(result.labels[t]) == object_id).sum()) for t in range(N)]


def followed(call):
    """Frames on which objects were followed by a call with `progress`."""
    seen = []
    call(lambda result, done, total: seen.append((result.t, *(o.object_id for o in result.objects))))
    return seen


def test_a_correction_to_empty_clears_the_old_mask_and_follows_the_object_from_there(session):
    other = np.asarray(session.result.labels[:]) == 1
    seen = []
    session.events.frame.connect(lambda result, *_: seen.append((result.t, *(o.object_id for o in result.objects))))
    session.correct(2, 3, None)
    assert areas(session.result, 2)[3] == 0 and all(areas(session.result, 2)[t] for t in (0, 1, 2, 4, 5))
    assert {i for _, *ids in seen for i in ids} == {2} and [t for t, *_ in seen][1:] == [3, 4, 5]
    np.testing.assert_array_equal(np.asarray(session.result.labels[:]) == 1, other)
    assert session.result.locked(3) == (2,) and session.result.record(2, 3).state == "lost"
    assert followed(lambda told: session.run(progress=told)) == []
    session.undo()
    assert all(areas(session.result, 2))


def test_where_it_was_said_without_following_the_next_run_follows(session):
    session.correct(2, 3, None, follow=False)
    assert [t for t, *_ in followed(lambda told: session.run(progress=told))] == [2, 3, 4, 5]
    assert followed(lambda told: session.run(progress=told)) == []


def test_between_two_marks_it_is_followed_from_both_sides_and_beyond_them_nothing_changes(tmp_path):
    marks = [*TWO, MaskPrompt.from_frame(2, 5, np.asarray(TWO[1].to_frame((64, 64))))]
    session = session_of(tmp_path, prompts=marks)
    session.run()
    session.correct(2, 2, None, follow=False)
    seen = followed(lambda told: session.run(progress=told))
    assert [t for t, *_ in seen] == [1, 2, 3, 4, 3, 2, 1] and {i for _, *ids in seen for i in ids} == {2}
    assert session.changed().keys() <= {2} and areas(session.result, 2)[2] == 0


def test_a_frame_on_which_it_is_absent_is_never_remembered(session):
    kept = {}
    session.events.frame.connect(lambda result, *_: kept.update({result.t: result.objects[0].remembered}))
    session.correct(2, 1, None)
    assert not kept[1] and all(kept[t] for t in range(2, N))


@pytest.mark.slow
def test_it_is_done_again_to_the_same_bytes(tmp_path):
    out = tmp_path / "cells.zarr"
    track(IMAGES, TWO, out=out, model=FakeSegmenter(), config=QUICK).correct(2, 3, None)
    after = rerun(out, IMAGES, TWO, model=FakeSegmenter())
    again = replay(out, tmp_path / "again.zarr", movie=IMAGES, model=FakeSegmenter())
    np.testing.assert_array_equal(again.labels[:], after.labels[:])
    np.testing.assert_array_equal(again.predicted_iou, after.predicted_iou)
