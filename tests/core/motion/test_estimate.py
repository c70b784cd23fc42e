import numpy as np
import pytest
from tests.core.motion.test_drift import moved, texture

from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.cues import FrameMotion, MotionEstimator
from napari_mosam.core.motion.prediction import fuse

Y, X = np.indices((160, 160))


def disk(y, x, radius=14):
    return np.hypot(Y - y, X - x) <= radius


def patch_moves(dy, dx, seed=0):
    """A textured patch moves over a background of finer texture that does not."""
    back = texture((160, 160), seed, sigma=2) * 0.5
    skin = texture((160, 160), seed + 50, sigma=2.5)
    before, after = back.copy(), back.copy()
    before[disk(80, 70)] = 0.3 + 0.7 * skin[disk(80, 70)]
    moved_skin = np.roll(skin, (dy, dx), (0, 1))
    after[disk(80 + dy, 70 + dx)] = 0.3 + 0.7 * moved_skin[disk(80 + dy, 70 + dx)]
    return before, after, Region.from_mask(disk(80, 70))


def shift_of(motion, region):
    """Where an object goes by what is seen of its motion: the verified dense cue, else the drift."""
    cues = [motion.drift] if region is None else [motion.drift, *filter(None, [motion.dense(region)])]
    return fuse(cues, 28)[0]


def second(before, after, **settings):
    estimator = MotionEstimator(MotionConfig(**settings))
    estimator.step(before)
    return estimator.step(after)


@pytest.mark.parametrize("shift", [(6, 0), (0, -6), (4, 5)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_textured_patch_that_moves_is_followed(shift, seed):
    before, after, region = patch_moves(*shift, seed)
    motion = second(before, after)
    assert motion.drift_yx == (0, 0)
    assert shift_of(motion, region) == pytest.approx(shift, abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_noise_moves_nothing(seed):
    noise = np.random.default_rng(seed).random((2, 160, 160), np.float32)
    motion = second(*noise)
    assert shift_of(motion, Region.from_mask(disk(80, 70))) == (0, 0)
    assert motion.drift_yx == (0, 0)


def test_a_stage_jump_moves_every_object_and_the_waiting_too():
    motion = second(*moved(22, -31))
    assert motion.drift_yx == pytest.approx((22, -31), abs=1)
    assert shift_of(motion, None) == motion.drift_yx
    assert shift_of(motion, Region.from_mask(disk(80, 70))) == pytest.approx((22, -31), abs=1.5)


def test_an_object_out_of_sight_does_not_move_by_itself():
    before, after, region = patch_moves(6, 0)
    assert shift_of(second(before, after), None) == (0, 0)
    assert shift_of(second(before, after, flow=False), region) == (0, 0)


def test_what_is_switched_off_is_not_estimated():
    before, after = moved(22, -31)
    off = second(before, after, drift=False, flow=False)
    assert (off.drift_yx, off.flow) == ((0, 0), None)
    assert second(before, after, flow=False).flow is None
    assert second(before, after, drift=False).drift_yx == (0, 0)


def test_the_first_frame_has_no_motion():
    motion = MotionEstimator(MotionConfig()).step(texture((160, 160)))
    assert (motion.drift_yx, motion.flow) == ((0, 0), None)
    assert shift_of(motion, Region.from_mask(disk(80, 70))) == (0, 0)
    assert shift_of(FrameMotion(), None) == (0, 0)


def test_each_frame_is_compared_with_the_one_before():
    scene = texture((300, 300))
    views = [scene[60 + k : 220 + k, 60:220] for k in (0, 30, 10)]
    estimator = MotionEstimator(MotionConfig(flow=False))
    drifts = [estimator.step(view).drift_yx for view in views]
    assert drifts == [(0, 0), pytest.approx((-30, 0), abs=1), pytest.approx((20, 0), abs=1)]
