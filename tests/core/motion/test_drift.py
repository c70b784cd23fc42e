from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_mosam.core.images.movie import Movie
from napari_mosam.core.motion.drift import (
    COARSE_SIGMA_PX,
    FINE_SIGMA_PX,
    BandPassed,
    correlation,
    estimate_drift,
    overlapping,
)
from napari_mosam.core.simulation import stage_jumps
from napari_mosam.core.windows.canvas import shrink


def texture(shape, seed=0, sigma=3.0):
    """Smooth random grain in [0, 1]."""
    grain = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return ((grain - grain.min()) / np.ptp(grain)).astype(np.float32)


def moved(dy, dx, size=160, seed=0):
    """Two views of one scene, the content of the second moved by (dy, dx)."""
    scene, m = texture((size + 120, size + 120), seed), 60
    return scene[m : m + size, m : m + size], scene[m - dy : m - dy + size, m - dx : m - dx + size]


def drift(before, after):
    return estimate_drift(BandPassed.of(before), BandPassed.of(after))


@pytest.mark.parametrize("shift", [(4, 0), (-7, 9), (22, -31), (-40, 12)])
def test_a_jump_is_found_to_a_pixel(shift):
    assert drift(*moved(*shift)) == pytest.approx(shift, abs=1)


@pytest.mark.parametrize("seed", range(6))
def test_the_stage_of_simulated_cells_is_followed(seed):
    movie = stage_jumps(seed)
    frames = [BandPassed.of(frame) for frame in Movie.open(movie.images)]
    found = [estimate_drift(before, after) for before, after in pairwise(frames)]
    assert np.abs(np.array(found) - movie.drift[1:]).max() <= 3


@pytest.mark.parametrize("shift", [(0, 0), (2, 0), (-3, 3)])
def test_a_shift_too_small_to_matter_is_left_alone(shift):
    assert drift(*moved(*shift)) == (0, 0)


def test_a_jump_is_found_on_a_frame_that_is_shrunk():
    before, after = moved(-31, 52, size=1100)
    assert BandPassed.of(before).step == 3
    assert drift(before, after) == pytest.approx((-31, 52), abs=2)


@pytest.mark.parametrize("seed", range(5))
def test_unrelated_frames_have_no_drift(seed):
    noise = np.random.default_rng(seed).random((2, 128, 128), np.float32)
    assert drift(*noise) == (0, 0)


def test_one_cell_that_moves_is_no_drift():
    before, _ = moved(0, 0)
    after = before.copy()
    after[40:60, 50:70] = before[40:60, 38:58]
    assert drift(before, after) == (0, 0)


@pytest.mark.parametrize("shape", [(40, 300), (130, 97), (5, 5)])
def test_detail_lies_between_two_gaussians(shape):
    frame = np.random.default_rng(1).random(shape, np.float32)
    expected = gaussian_filter(frame, FINE_SIGMA_PX) - gaussian_filter(frame, COARSE_SIGMA_PX)
    assert np.allclose(BandPassed.of(frame).image, expected, atol=2e-6)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_even_frames_have_no_drift(value):
    even = np.full((64, 80), value, np.float32)
    assert drift(even, even) == (0, 0)
    assert drift(even, texture((64, 80))) == (0, 0)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5))
def test_shrink_averages_whole_blocks(height, width, step):
    image = np.arange(height * width, dtype=np.float32).reshape(height, width)
    small = shrink(image, step)
    assert small.shape == (height // step, width // step)
    if small.size:
        assert small[-1, -1] == pytest.approx(
            image[(height // step - 1) * step :][:step, (width // step - 1) * step :][:, :step].mean()
        )


@given(st.integers(-20, 20), st.integers(-24, 24))
def test_overlapping_pairs_the_pixels_of_a_shift(dy, dx):
    scene = np.arange(20 * 24, dtype=np.float32).reshape(20, 24)
    before, after = overlapping(scene, np.roll(scene, (dy, dx), (0, 1)), (dy, dx))
    assert before.shape == after.shape == (max(0, 20 - abs(dy)), max(0, 24 - abs(dx)))
    assert np.array_equal(before, after)


def test_correlation_is_one_for_the_true_shift_and_zero_for_even_or_tiny_overlaps():
    before, after = moved(9, -13)
    assert correlation(before, after, (9, -13)) == pytest.approx(1, abs=1e-4)
    assert correlation(before, after, (0, 0)) < 0.5
    assert correlation(np.ones((20, 20), np.float32), np.ones((20, 20), np.float32), (0, 0)) == 0
    assert correlation(before, after, (159, 159)) == 0
