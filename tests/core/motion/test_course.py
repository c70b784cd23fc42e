"""What the motion encoder reads of an object."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.history import CANDIDATES, N_FRAMES, SIGHT_WIDTH, TrackHistory, describe, key_points
from napari_mosam.core.results.frame import Cue

Y, X = np.indices((80, 80))


def disk(y, x, radius=8):
    return Region.from_mask(np.hypot(Y - y, X - x) <= radius)


def test_key_points_are_the_middles_of_the_mask_and_its_quarters():
    points = key_points(Region.from_mask(np.ones((8, 12), bool), (10, 20)))
    assert points.tolist() == [[13.5, 25.5], [11.5, 22.5], [11.5, 28.5], [15.5, 22.5], [15.5, 28.5]]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(-40, 40), st.integers(-40, 40))
def test_key_points_move_with_the_mask(height, width, seed, dy, dx):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    region = Region.from_mask(mask)
    if region is not None:
        assert key_points(region.shifted((dy, dx))) == pytest.approx(np.add(key_points(region), (dy, dx)), abs=1e-4)


def test_a_course_tells_frames_apart_and_takes_the_stage_out():
    course = TrackHistory()
    course = course.seen(disk(20, 20), 0.9)
    course = course.advanced((0.0, 10.0))
    course = course.seen(disk(22, 30), 0.8)
    rows = course.rows((22.0, 30.0), 16.0)
    assert rows.shape == (N_FRAMES, SIGHT_WIDTH)
    assert np.isnan(rows[:-2]).all()
    assert rows[-1, :2].tolist() == [0, 0]
    assert rows[-2, :2] == pytest.approx([-2 / 16, 0])
    assert course.velocity() == (2.0, 0.0)


def test_missing_frames_stay_missing():
    course = TrackHistory()
    course = course.seen(disk(20, 20), 0.9)
    course = course.advanced((0.0, 0.0))
    course = course.advanced((0.0, 0.0))
    assert course.last is None
    assert course.velocity() is None
    assert describe(course, FrameMotion(), []) is None
    course = course.seen(disk(26, 20), 0.9)
    assert course.velocity() is None
    assert np.isnan(course.rows((26.0, 20.0), 16.0)[:, 0]).tolist() == [True] * 5 + [False, True, False]


def test_only_the_latest_frames_are_kept():
    course = TrackHistory()
    for t in range(3 * N_FRAMES):
        course = course.advanced((0.0, 0.0))
        course = course.seen(disk(20 + t, 20), 0.9)
    rows = course.rows(course.last.center_yx, 16.0)
    assert rows[:, 0] * 16 == pytest.approx(np.arange(1 - N_FRAMES, 1))


def test_motions_are_told_without_that_of_the_frame():
    course = TrackHistory()
    course = course.seen(disk(30, 30), 0.9)
    motion = FrameMotion(drift_yx=(4.0, 0.0))
    _, candidates = describe(course, motion, [Cue("flow", (4.0, 8.0), 0.5), None])
    diameter = course.last.diameter
    by_name = dict(zip(CANDIDATES, candidates, strict=True))
    assert by_name["still"][:2].tolist() == [0, 0]
    assert by_name["flow"][:3] == pytest.approx([0, 8 / diameter, 0.5])
    assert np.isnan(by_name["velocity"]).all()
    assert np.isnan(by_name["keypoints"]).all()
