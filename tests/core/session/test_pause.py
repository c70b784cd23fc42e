"""A run that stops to ask keeps what it did, says why, and goes on: the same from a session, a function, a command."""

from dataclasses import replace

import numpy as np
import pytest
from tests.core.session.test_session import QUICK, TWO, session_of, told
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam import Result, rerun, track
from napari_mosam.core.results.doubts import Pause

N = 9
GONE = range(3, 7)
IMAGES, LABELS = disks(
    [[(20, 20 + t), None if t in GONE else (44, 40)] for t in range(N)], shape=(64, 64), radius=6
)  # the second cannot be seen on four frames


def test_a_run_stops_to_ask_and_goes_on_to_the_same_bytes(tmp_path):
    one, other = session_of(tmp_path, IMAGES), session_of(tmp_path, IMAGES)
    other.run()
    one.settings = replace(one.settings, stop_after_unsure=2)
    half = one.run()
    assert half.progress.paused == Pause(4, (2,), 2) and not half.complete
    assert str(half.progress) == "stopped to ask: object 2 was unsure for 2 frames at frame 4"
    assert half.progress.frames == (0, 1, 2, 3, 4) and one.history == ("the run",)
    whole = one.run()
    assert whole.complete and whole.progress.paused is None
    np.testing.assert_array_equal(whole.labels[:], other.result.labels[:])
    assert told(one.path).keys() == told(other.path).keys()


def test_after_a_correction_it_goes_on_from_the_last_frame_and_may_ask_again(tmp_path):
    session = session_of(tmp_path, IMAGES)
    session.settings = replace(session.settings, stop_after_unsure=2)
    session.run()
    session.correct(2, 4, None, follow=False)
    frames = []
    session.run(progress=lambda result, done, total: frames.append(result.t))
    assert min(frames) == 2  # its last mask, where its memory is
    assert session.result.progress.paused == Pause(6, (2,), 2)
    session.run()
    assert session.result.complete and session.result.progress.paused is None
    assert (np.asarray(session.result.labels[N - 1]) == 2).any()


def test_what_it_was_to_replace_stays_until_it_comes_to_its_end(tmp_path):
    options = {"out": tmp_path / "cells.zarr", "model": FakeSegmenter(), "config": QUICK, "stop_after_unsure": 2}
    track(IMAGES, TWO, **{**options, "stop_after_unsure": None, "frames": (0, 2)})
    half = track(IMAGES, TWO, overwrite=True, **options)
    assert half.progress.paused and Result.open(options["out"]).attrs["frames"] == [0, 2]
    assert track(IMAGES, TWO, resume=True, **options).attrs["frames"] == [0, N]


def test_an_extension_stops_to_ask_and_a_correction_inside_does_not(tmp_path):
    out = tmp_path / "cells.zarr"
    track(IMAGES, TWO, out=out, model=FakeSegmenter(), config=QUICK, frames=(0, 3))
    half = rerun(out, IMAGES, TWO, frames=(0, N), model=FakeSegmenter(), stop_after_unsure=3)
    assert half.progress.paused == Pause(5, (2,), 3)
    whole = rerun(out, IMAGES, TWO, frames=(0, N), model=FakeSegmenter(), stop_after_unsure=3)
    assert whole.complete
    again = rerun(out, IMAGES, TWO, changed_frames={2: [1]}, model=FakeSegmenter(), stop_after_unsure=1)
    assert again.complete and again.progress.paused is None


@pytest.mark.parametrize("wrong", [0, -1, 1.5])
def test_a_number_of_frames_that_cannot_be_is_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match="stop_after_unsure"):
        track(IMAGES, TWO, out=tmp_path / "x.zarr", stop_after_unsure=wrong)


def test_a_run_on_its_own_frames_does_what_is_new_there_or_else_all_anew(tmp_path):
    session = session_of(tmp_path, IMAGES)
    session.run(frames=(0, 4))
    assert session.result.attrs["frames"] == [0, 4] and session.settings.frames is None
    session.run(frames=(3, 7))
    assert session.result.attrs["frames"] == [0, 7] and session.result.complete
    place, before = session.path, np.asarray(session.result.labels[:])
    seen = []
    session.run(frames=(2, 5), progress=lambda result, done, total: seen.append(result.t))
    assert set(seen) <= {1, 2, 3, 4} and seen and session.path == place
    np.testing.assert_array_equal(np.asarray(session.result.labels[:2]), before[:2])


def test_one_object_is_followed_again_on_the_frames_that_are_named(tmp_path):
    session = session_of(tmp_path, IMAGES)
    session.run()
    others = np.asarray(session.result.labels[:]) == 2
    seen = []
    session.run(
        [1], frames=(4, 7), progress=lambda result, done, total: seen.extend(o.object_id for o in result.objects)
    )
    assert set(seen) == {1} and session.history == ("the run", "the run")
    np.testing.assert_array_equal(np.asarray(session.result.labels[:]) == 2, others)
