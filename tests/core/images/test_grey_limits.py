"""Grey limits that outliers cannot move, and light that fades."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_mosam.core.api import segment
from napari_mosam.core.images.grey.frame_samples import spread
from napari_mosam.core.images.grey.limits import (
    Brightness,
    GreyLimits,
    find_limits,
    smoothed,
    trend,
)
from napari_mosam.core.images.grey.statistics import FrameSample, without_data
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import BoxPrompt, Prompts
from napari_mosam.core.simulation import STRESS_CASES, SimulationConfig, simulate

CELLS = simulate(SimulationConfig(seed=1, n_frames=16, n_cells=6, diameter=20.0, shape=(128, 160)))
IMAGES = CELLS.images.astype(np.uint16) + 500
CLEAN = Movie.open(IMAGES).grey_limits
SPAN = CLEAN.high - CLEAN.low


def limits(images) -> GreyLimits:
    return Movie.open(images, axes="TYX").grey_limits


def near(found: GreyLimits, wanted: GreyLimits = CLEAN, part: float = 0.05) -> bool:
    return max(abs(found.low - wanted.low), abs(found.high - wanted.high)) < part * (wanted.high - wanted.low)


def with_frame(value, *frames: int):
    images = IMAGES.copy()
    images[list(frames)] = value
    return images


def with_disk(value, radius: float = 7, images=IMAGES):
    y, x = np.mgrid[: images.shape[1], : images.shape[2]]
    return np.where(np.hypot(y - 15, x - 140) < radius, value, images).astype(images.dtype)


# --- clean movies ----------------------------------------------------------------------------------------------------


def test_a_clean_movie_keeps_the_percentiles_of_its_pixels_and_there_is_nothing_to_say():
    wanted = np.percentile(IMAGES, (0.5, 99.8))
    np.testing.assert_allclose((CLEAN.low, CLEAN.high), wanted, atol=0.01 * SPAN)
    assert CLEAN.note() == "" and CLEAN.brightness is None and CLEAN.origin == "automatic"


@pytest.mark.parametrize("case", ["bleaching", "division_movie", "long_occlusion"])
def test_cells_that_divide_enter_leave_or_hide_change_no_brightness(case):
    found = Movie.open(STRESS_CASES[case](0).images).grey_limits
    assert found.brightness is None and found.note() == ""


@pytest.mark.parametrize(
    "name", ["dic_hela_01", "fluo_hela_01", "sim_n2dh_01", "c2c12_phase", "ptk1_edge", "microglia_z_a", "unl_mitosis"]
)
def test_real_movies_look_as_they_did(mosam_data, name):
    images = tifffile.imread(mosam_data / "timelapse" / name / "images.tif")
    found = limits(images)
    low, high = np.percentile(images, (0.5, 99.8))
    assert max(abs(found.low - low), abs(found.high - high)) < 0.02 * (high - low)
    assert found.note() == ""


# --- frames that take no part ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "frames"),
    [
        (with_frame(65535, 8), "frame 8"),
        (with_frame(65535, 0), "frame 0"),
        (with_frame(0, 3, 9), "frames 3, 9"),
        (with_frame(0, 5, 6, 7), "frames 5, 6, 7"),
        (with_frame(np.random.default_rng(0).normal(500, 4, IMAGES.shape[1:]), 15), "frame 15"),
        (with_frame((IMAGES[8] * 12.0 + 20000).clip(0, 65535), 8), "frame 8"),
    ],
    ids=["saturated", "first saturated", "black", "three black", "shutter closed", "over-exposed"],
)
def test_a_frame_unlike_all_others_takes_no_part_and_is_named(images, frames):
    found = limits(images)
    assert near(found, part=0.02)
    assert found.note() == f"grey limits: {frames} took no part (unlike all others)"


def test_debris_hides_no_over_exposed_frame():
    images = with_disk(60000)
    images[8] = np.clip(images[8] * 12.0 + 20000, 0, 65535)
    found = limits(images)
    assert found.left_out == (8,) and near(found) and "saturated" in found.note()


def test_of_two_frames_the_black_one_takes_no_part():
    found = limits(with_frame(0, 1)[:2])
    assert found.left_out == (1,) and near(found, limits(IMAGES[:1]), 0.01)


def test_frames_that_differ_from_one_another_all_take_part():
    images = IMAGES.copy()
    images[::2] //= 10
    assert limits(images).left_out == ()


def test_a_movie_with_cells_in_its_last_third_only_is_scaled_by_them():
    images = IMAGES.copy()
    images[:10] = np.random.default_rng(0).normal(IMAGES[0].min() + 30, 8, images[:10].shape)
    assert limits(images).high > CLEAN.low + 0.6 * SPAN


# --- pixels that take no part ----------------------------------------------------------------------------------------


def moving_rims(images, value=0):
    images = images.copy()
    for t, frame in enumerate(images):
        frame[: t // 2] = value
        frame[:, frame.shape[1] - t :] = value
    return images


def with_hot_pixels(images, same: bool):
    rng = np.random.default_rng(0)
    where = np.broadcast_to(rng.random(images.shape[1:]) < 0.004, images.shape)
    where = where if same else rng.random(images.shape) < 0.004
    return np.where(where, rng.integers(30000, 65000, images.shape), images).astype(images.dtype)


def with_rows(images, value):
    images = images.copy()
    images[:, [20, 90]] = value
    return images


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (with_disk(65535), "saturated"),
        (with_disk(4095, 7, np.minimum(IMAGES // 3, 4095)) * 3, "saturated"),
        (with_disk(np.random.default_rng(0).integers(40000, 60000, IMAGES.shape[1:])), "far beyond"),
        (with_hot_pixels(IMAGES, True), "far beyond"),
        (with_hot_pixels(IMAGES, False), "far beyond"),
        (with_rows(IMAGES, 65535), "saturated"),
        (with_rows(IMAGES.astype(float), -60000.0), "far beyond"),
        (moving_rims(IMAGES), "zeros without data"),
        (with_rows(IMAGES, 0), "zeros without data"),
    ],
    ids=["saturated debris", "12 bit", "debris", "hot", "moving hot", "hot rows", "low rows", "rims", "dead rows"],
)
def test_pixels_without_a_picture_take_no_part_and_are_named(images, why):
    found = limits(images)
    assert near(found, part=0.1), found
    assert why in found.note() and "% of the pixels took no part" in found.note()
    assert not found.left_out


def test_float_pixels_may_be_negative_missing_and_infinite():
    images = moving_rims((IMAGES - CLEAN.low) / SPAN * 2 - 1.5, np.nan)
    images[3, 50, 50:60] = np.inf, -np.inf, *[1e30] * 4, *[-1e30] * 4
    images[7] = np.nan
    found = limits(images)
    assert near(found, GreyLimits(-1.5, 0.5), 0.1) and found.left_out == (7,)


def test_zeros_between_cells_are_data():
    masked = np.where(CELLS.labels > 0, IMAGES, 0)
    assert limits(masked).low == 0 and limits(masked).note() == ""


@pytest.mark.parametrize("images", [np.full((2, 9, 9), 7, np.uint8), np.full((2, 9, 9), np.nan)], ids=["even", "NaN"])
def test_a_movie_without_contrast_is_told_of(images, caplog):
    assert "there is no contrast and masks mean nothing; is this the right file" in limits(images).note()
    (said,) = caplog.records
    assert said.levelname == "WARNING" and "grey limits: all pixels have the value" in said.message


def test_saturated_cells_are_no_spike_where_nothing_else_shows():
    binary = np.where(CELLS.labels > 0, 255, 0).astype(np.uint8)
    found = limits(binary)
    assert (found.low, found.high, found.note()) == (0, 255, "")


def test_only_zeros_on_a_straight_way_to_the_border_hold_no_data():
    frame = np.ones((6, 7))
    frame[0] = frame[:, -1] = frame[2, 3] = frame[4, :2] = 0
    empty = without_data(frame)
    assert empty[0].all() and empty[:, -1].all() and empty[4, :2].all() and not empty[2, 3]
    assert empty.sum() == (frame == 0).sum() - 1
    assert not without_data(np.zeros((5, 5))).any()


def test_a_few_bright_cells_on_a_wide_noisy_field_leave_the_noise_dark():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:400, :400]
    cell = 2000 * np.exp(-((y - 200) ** 2 + (x - 100) ** 2) / 2 / 3**2)
    images = (100 + cell + rng.normal(0, 8, (6, 400, 400))).astype(np.uint16)
    found = limits(images)
    assert np.percentile(images, 99.8) < 1000 < found.high < 2150
    assert Movie.open(images)[0][:100].max() < 0.1


# --- light that fades ------------------------------------------------------------------------------------------------


def camera(gains, offset: float = 100):
    rng = np.random.default_rng(0)
    signal = (IMAGES - 500.0) * np.asarray(gains)[:, None, None]
    return (offset + rng.poisson(signal) + rng.normal(0, 3, signal.shape)).clip(0, 65535).astype(np.uint16)


FADED = camera(0.12 ** (np.arange(16) / 15))


@pytest.mark.parametrize("images", [FADED, FADED[::-1]], ids=["fades", "grows"])
def test_frames_of_a_movie_whose_light_fades_are_brought_to_one_brightness(images):
    movie = Movie.open(images)
    even = [np.percentile(frame, 99) - np.percentile(frame, 5) for frame in movie]
    assert max(even) < 1.6 * min(even)
    assert "every frame is brought to one brightness" in movie.grey_limits.note()
    assert movie.limits == max(
        zip(movie.grey_limits.brightness.lows, movie.grey_limits.brightness.highs, strict=True),
        key=lambda pair: pair[1] - pair[0],
    )
    np.testing.assert_array_equal(movie.raw(9), images[9])


def test_a_black_frame_in_a_movie_that_fades_has_the_brightness_of_its_neighbours():
    images = FADED.copy()
    images[9] = 0
    found = limits(images)
    assert found.left_out == (9,)
    (_, before), (_, here), (_, after) = (found.at(t) for t in (8, 9, 10))
    assert after < here < before


@pytest.mark.parametrize(
    "gains",
    [np.ones(16), np.random.default_rng(1).uniform(0.65, 1.35, 16), np.linspace(1, 0.65, 16)],
    ids=["even", "flickers", "fades a little"],
)
def test_light_that_stays_or_flickers_is_left_alone(gains):
    assert limits(camera(gains)).brightness is None


def test_frames_between_samples_get_limits_between():
    light = Brightness((0, 10, 20), (100.0, 100.0, 90.0), (1100.0, 600.0, 290.0))
    assert light.at(5) == (100, 850) and light.at(15) == (95, 445) and light.at(25) == light.at(20)
    assert light.change == 0.2


def test_a_long_movie_that_fades_is_even_on_frames_that_were_not_sampled():
    images = np.repeat(camera(0.2 ** (np.arange(16) / 15)), 10, axis=0)
    movie = Movie.open(images)
    assert len(movie.grey_limits.brightness.frames) == 64
    tops = [np.percentile(movie[t], 99) for t in range(0, 160, 7)]
    assert max(tops) < 1.6 * min(tops)


# --- exact, given, stored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [IMAGES, with_frame(65535, 8), with_hot_pixels(IMAGES, False), moving_rims(IMAGES)])
def test_exact_limits_are_the_percentiles_of_all_pixels_that_take_part(images):
    found = Movie.open(images, limits="exact").grey_limits
    assert found.origin == "exact" and found.left_out == limits(images).left_out
    kept = np.delete(images, found.left_out, axis=0)
    kept = kept[(kept > 0) & (kept < 20000)]
    assert (found.low, found.high) == tuple(np.percentile(kept, (0.5, 99.8), method="nearest"))


@pytest.mark.parametrize("value", [0, 7.5, np.nan])
def test_exact_limits_of_an_even_movie(value):
    movie = Movie.open(np.full((3, 8, 9), value), limits="exact")
    assert movie.limits == ((0, 0) if np.isnan(value) else (value, value)) and not movie[0].any()


def test_exact_limits_of_real_numbers_and_of_a_movie_that_fades():
    reals = Movie.open(IMAGES / 7.3 - 200, limits="exact").grey_limits
    wanted = np.percentile(IMAGES / 7.3 - 200, (0.5, 99.8), method="nearest")
    np.testing.assert_allclose((reals.low, reals.high), wanted, atol=1e-3 * (wanted[1] - wanted[0]))
    exact, sampled = Movie.open(FADED, limits="exact").grey_limits, limits(FADED)
    np.testing.assert_allclose(exact.brightness.highs, sampled.brightness.highs, rtol=0.02)


def test_exact_limits_leave_out_odd_frames_that_were_not_sampled():
    images = np.repeat(IMAGES, 8, axis=0)
    odd = next(t for t in range(60, 128) if t not in spread(128, 64))
    images[odd] = 65535
    assert limits(images).left_out == ()
    found = Movie.open(images, limits="exact").grey_limits
    assert found.left_out == (odd,) and near(found, part=0.01)


def test_limits_survive_json():
    for found in (limits(FADED), limits(with_frame(0, 3)), limits(with_disk(65535)), GreyLimits(1, 2, "given")):
        assert GreyLimits.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_frame_that_is_asked_first_does_not_matter():
    ends = [Movie.open(FADED) for _ in range(2)]
    first, last = ends[0][0], ends[1][15]
    np.testing.assert_array_equal(ends[1][0], first)
    np.testing.assert_array_equal(ends[0][15], last)


# --- properties ------------------------------------------------------------------------------------------------------


@st.composite
def movies(draw, least: int = 1):
    """Blobs on a noisy background, in any units, all positive."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, size = draw(st.integers(least, 12)), draw(st.integers(24, 48))
    y, x = np.mgrid[:size, :size]
    images = rng.normal(1000, draw(st.floats(0, 30)), (n, size, size))
    for _ in range(draw(st.integers(0, 6))):
        at, radius = rng.uniform(0, size, 2), rng.uniform(2, 8)
        images += rng.uniform(50, 900) * (np.hypot(y - at[0], x - at[1]) < radius)
    return images


def sampled(images) -> GreyLimits:
    return find_limits([FrameSample.of(t, frame) for t, frame in enumerate(images)])


@settings(deadline=None, max_examples=30)
@given(movies(), st.floats(1e-3, 1e3), st.floats(-0.5, 1e3))
def test_limits_follow_the_units_of_the_pixels(images, scale, offset):
    before, after = sampled(images), sampled((images + 1000 * offset) * scale)
    wanted = [(value + 1000 * offset) * scale for value in (before.low, before.high)]
    np.testing.assert_allclose((after.low, after.high), wanted, rtol=1e-6)
    assert after.left_out == before.left_out and (after.brightness is None) == (before.brightness is None)


@settings(deadline=None, max_examples=30)
@given(movies(), st.randoms(use_true_random=False))
def test_the_order_of_the_frames_does_not_matter_but_for_the_light(images, random):
    order = list(range(len(images)))
    random.shuffle(order)
    before, after = sampled(images), sampled(images[order])
    if before.brightness is None and after.brightness is None:
        assert (before.low, before.high) == (after.low, after.high)
        assert {order[t] for t in after.left_out} == set(before.left_out)


@settings(deadline=None, max_examples=30)
@given(movies(least=8), st.sampled_from([0.0, -1e6, 1e6, 65535.0]), st.floats(30, 1e4), st.integers(0, 8))
def test_one_wild_frame_among_eight_moves_nothing(images, level, factor, at):
    wild = (images[0] - 1000) * factor + level
    before, after = sampled(images), sampled(np.insert(images, at, wild, axis=0))
    span = before.high - before.low
    assume(span > 0)  # of even frames and one with a picture, the picture counts
    np.testing.assert_allclose((after.low, after.high), (before.low, before.high), atol=0.01 * span + 1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 6),
    st.integers(1, 20),
    st.integers(1, 20),
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_limits_are_finite_and_in_order_whatever_the_pixels(n, height, width, values, random):
    images = np.array([random.choice(values) for _ in range(n * height * width)]).reshape(n, height, width)
    found = sampled(images)
    assert np.isfinite((found.low, found.high)).all() and found.low <= found.high
    kept = np.isfinite(images) & (np.abs(images) < 1e30)
    if found.low == found.high and kept.all() and n == 1 and not (images == 0).any():
        assert images.min() == images.max()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_a_smoothed_series_stays_between_its_extremes_and_a_rising_one_is_kept(values):
    found = smoothed(np.array(values))
    assert min(values) <= found.min() and found.max() <= max(values)
    np.testing.assert_array_equal(smoothed(np.sort(values)), np.sort(values))


def test_a_trend_is_not_moved_by_a_quarter_of_its_values():
    frames = np.arange(20)
    values = 3.0 - 0.1 * frames
    values[[2, 7, 11, 15, 19]] += 50
    change, scatter = trend(frames, values)
    assert change == pytest.approx(-1.9) and scatter < 1e-9


# --- what it is worth ------------------------------------------------------------------------------------------------


def mean_iou(images, truth, ids, skip=()):
    """Of objects that are followed forward by the shipped model from boxes on the first frame."""
    boxes = []
    for i in ids:
        y, x = np.nonzero(truth[0] == i)
        boxes.append(BoxPrompt(int(i), 0, (y.min() - 1.0, x.min() - 1.0, y.max() + 1.0, x.max() + 1.0)))
    scores = []
    for result in segment(images, Prompts(boxes), direction="forward"):
        for i in ids if result.t not in skip else ():
            mask, wanted = result.labels == i, truth[result.t] == i
            if wanted.any():
                scores.append((mask & wanted).sum() / (mask | wanted).sum())
    return np.mean(scores)


def test_cells_are_followed_through_debris_and_an_over_exposed_frame():
    images = with_disk(60000)[:6]
    images[3] = np.clip(images[3] * 12.0 + 20000, 0, 65535)
    ids = [i for i in range(1, 7) if (CELLS.labels[0] == i).sum() > 100][:2]
    before = Movie.open(images, limits=tuple(np.percentile(images, (0.5, 99.8))))
    old, new = (mean_iou(movie, CELLS.labels, ids, (3,)) for movie in (before, images))
    assert new > old + 0.05
    assert new > 0.85


@pytest.fixture(scope="module")
def hela(mosam_data):
    """Nuclei over a small camera offset, and their truth."""
    part = np.s_[:16, 130:386, 200:520]
    images, truth = (
        tifffile.imread(mosam_data / "timelapse/fluo_hela_01" / f"{n}.tif")[part] for n in ("images", "masks")
    )
    return np.clip(images.astype(int) - 32900, 0, None), truth


def flash(images):
    images[8] = images[8] * 12 + 30000
    return images


def saturated(images):
    images[8] = 65535
    return images


def debris(images):
    y, x = np.mgrid[:256, :320]
    images[:, np.hypot(y - 235, x - 300) < 12] = 60000
    return images


def rims(images):
    return moving_rims(images + 32900)


def bleach(images):
    rng = np.random.default_rng(1)
    signal = np.clip(images - 120.0, 0, None) * 0.12 ** (np.arange(16) / 15)[:, None, None]
    return 100 + rng.poisson(signal) + rng.normal(0, 3, signal.shape)


def flicker(images):
    gains = np.random.default_rng(1).uniform(0.65, 1.35, (16, 1, 1))
    return 100 + gains * (np.clip(images - 120.0, 0, None) + 60)


def shading(images):
    y, x = np.mgrid[:256, :320]
    field = 1 + 2 * np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 2 / 120**2)
    return 100 + (np.clip(images - 120.0, 0, None) + 80) * field / 2


SPOILT = [
    *((flash, (8,), 0.88), (saturated, (8,), 0.88), (debris, (), 0.88), (rims, (), 0.88), (bleach, (), 0.88)),
    *((flicker, (), 0.89), (shading, (), 0.9)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "skip", "least"), SPOILT)
def test_spoilt_nuclei_are_followed_as_clean_ones(hela, spoil, skip, least):
    images, truth = hela
    spoilt = np.clip(spoil(images.copy()), 0, 65535).astype(np.uint16)
    assert mean_iou(spoilt, truth, (1, 27, 28, 31, 38), skip) >= least
