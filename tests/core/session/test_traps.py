"""Traps of running and correcting that bit other programs, each by its name."""

import numpy as np
import pytest
from tests.core.session.test_session import IMAGES, LABELS, THIRD, N, session_of, told

from napari_mosam import MaskPrompt


@pytest.mark.parametrize("n_frames", [1, 2])
def test_movies_of_one_frame_and_of_two(tmp_path, n_frames):
    session = session_of(tmp_path, IMAGES[:n_frames])
    session.run()
    assert session.result.complete and all(np.asarray(session.result.labels[t]).any() for t in range(n_frames))
    session.correct(2, n_frames - 1, None)
    session.run(frames=(0, n_frames))
    assert not (np.asarray(session.result.labels[n_frames - 1]) == 2).any()


def test_marks_on_the_last_frame_alone(tmp_path):
    marks = [MaskPrompt.from_frame(i, N - 1, LABELS[N - 1] == i) for i in (1, 2)]
    session = session_of(tmp_path, prompts=marks)
    session.run()
    assert all((np.asarray(session.result.labels[t]) == i).any() for t in range(N) for i in (1, 2))


def test_a_new_object_midway_changes_no_other(session):
    names = ("predicted_iou", "object_score", "area", "state")
    before = {name: getattr(session.result, name).copy() for name in names}
    records = [session.result.record(i, t) for i in (1, 2) for t in range(N)]
    session.mark(THIRD)
    session.run()
    after = [session.result.record(i, t) for i in (1, 2) for t in range(N)]
    assert all(
        np.array_equal(a.logits, b.logits) and repr(a.scores) == repr(b.scores)
        for a, b in zip(records, after, strict=True)
    )
    for name in ("predicted_iou", "object_score", "state"):
        np.testing.assert_array_equal(getattr(session.result, name)[:, :2], before[name])
    assert (session.result.area[2:, 2] > 0).all()


def test_no_write_permission_where_results_lie(tmp_path):
    (tmp_path / "recent").write_text("a file where the folder should be")
    session = session_of(tmp_path)
    with pytest.raises(OSError, match="recent"):
        session.run()
    assert session.result is None and session.busy == "" and len(session.prompts) == 2
    (tmp_path / "recent").unlink()
    session.run()
    assert session.result.complete


def test_cancel_during_the_first_frame_keeps_it_and_goes_on_to_the_same_bytes(tmp_path):
    one, other = session_of(tmp_path), session_of(tmp_path)
    waits = one._models.given
    encode = waits.encode_image

    def stopping(images):
        one.stop()
        return encode(images)

    waits.encode_image = stopping
    one.run()
    assert one.result.progress.frames == (0,) and not one.result.complete
    waits.encode_image = encode
    one.run()
    other.run()
    assert told(one.path).keys() == told(other.path).keys()
    np.testing.assert_array_equal(one.result.labels[:], other.result.labels[:])
