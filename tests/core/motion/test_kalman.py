import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mosam.core.motion.kalman import Kalman

places = st.tuples(st.floats(-500, 500), st.floats(-500, 500))
paths = st.lists(places, min_size=1, max_size=8)
D = 30.0


def follow(path, diameter=D):
    """The filter after each frame."""
    steps = [Kalman.start(path[0], diameter)]
    for center in path[1:]:
        steps.append(steps[-1].predict().update(center))
    return steps


def straight(seed, n_frames, speed=0.15, noise=0.03):
    """True and observed centres of an object that goes straight ahead, px."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    true = speed * D * np.arange(n_frames)[:, None] * [np.sin(angle), np.cos(angle)]
    return true, true + noise * D * rng.normal(size=true.shape)


def walk(seed, n_frames=40, speed=0.05, noise=0.03):
    rng = np.random.default_rng(seed)
    true = np.cumsum(speed / np.sqrt(2) * D * rng.normal(size=(n_frames, 2)), axis=0)
    return true + noise * D * rng.normal(size=true.shape)


@given(paths, st.lists(places, min_size=1, max_size=6))
def test_uncertainty_grows_while_the_object_is_unseen(path, shifts):
    steps = [follow(path)[-1]]
    for shift in shifts:
        steps.append(steps[-1].predict(shift))
    assert (np.diff([step.sigma_px for step in steps]) > 0).all()


@given(paths, places)
def test_seeing_the_object_makes_its_place_more_certain(path, center):
    unseen = follow(path)[-1].predict()
    seen = unseen.update(center)
    assert seen.sigma_px < unseen.sigma_px
    assert np.allclose(seen.covariance, seen.covariance.T) and np.linalg.eigvalsh(seen.covariance).min() > 0


@given(paths, st.floats(0.1, 20))
def test_everything_scales_with_the_object(path, scale):
    small, large = follow(path)[-1], follow([(y * scale, x * scale) for y, x in path], D * scale)[-1]
    assert np.allclose(large.mean, scale * small.mean, atol=1e-6 * scale)
    assert large.sigma_px == pytest.approx(scale * small.sigma_px)


@given(paths, places)
def test_a_verified_shift_moves_the_place_and_not_the_velocity(path, shift):
    step = follow(path)[-1]
    plain, shifted = step.predict(), step.predict(shift)
    assert np.allclose(np.subtract(shifted.center_yx, plain.center_yx), shift)
    assert shifted.velocity_yx == plain.velocity_yx and shifted.sigma_px == plain.sigma_px


@settings(max_examples=20)
@given(st.integers(0, 999))
def test_a_straight_mover_is_directed_once_it_was_surely_seen_five_times(seed):
    steps = follow(straight(seed, 6)[1])
    assert [step.directed for step in steps[-2:]] == [False, True]
    unsure = steps[-2].predict().update(straight(seed, 6)[1][-1], sure=False)
    assert not unsure.directed


def test_a_straight_mover_is_found_after_five_unseen_frames():
    errors = []
    for seed in range(60):
        true, seen = straight(seed, 17)
        step = follow(seen[:12])[-1]
        for _ in range(5):
            step = step.predict()
        errors.append(np.hypot(*np.subtract(step.center_yx, true[-1])) / D)
    assert np.max(errors) < 0.15


def test_a_random_walker_is_rarely_directed():
    directed = [step.directed for seed in range(40) for step in follow(walk(seed))]
    assert np.mean(directed) < 0.1


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_an_object_at_rest_is_not_directed_and_stays(noise):
    step = follow(walk(1, speed=0, noise=noise))[-1]
    assert not step.directed
    assert np.hypot(*step.center_yx) < 0.1 * D


def test_an_object_that_creeps_is_not_directed_however_certain():
    assert not follow([(0.015 * D * t, 0) for t in range(200)])[-1].directed


def test_a_step_leaves_the_filter_it_came_from_as_it_was():
    step = Kalman.start((3, 4), D)
    mean, covariance = step.mean.copy(), step.covariance.copy()
    step.predict((5, 5)).update((9, 9))
    assert np.array_equal(step.mean, mean) and np.array_equal(step.covariance, covariance)


@pytest.mark.parametrize("diameter", [0, -1, float("nan")])
def test_an_object_without_size_is_refused(diameter):
    with pytest.raises(ValueError, match="diameter = .* allowed: above 0 px"):
        Kalman.start((0, 0), diameter)
