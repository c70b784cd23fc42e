import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom
from tests.core.motion.test_drift import moved, texture

from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.interest import choose_points
from napari_mosam.core.motion.keypoints import (
    HALF_POINT,
    HALF_WHOLE,
    REACH_POINT,
    REACH_WHOLE,
    KeypointConfig,
    SparseMotion,
    track_keypoints,
)
from napari_mosam.core.motion.matching import MIN_OVERLAP, Patches, box_sums, correlations, match
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.core.windows.canvas import Canvas
from napari_mosam.core.windows.pyramid import CanvasPyramid, Pyramid

STILL = (0.0, 0.0)


def disk(center_yx, diameter):
    radius = diameter / 2
    y, x = np.indices((int(diameter) + 2,) * 2) - radius
    origin = tuple(round(c - radius) for c in center_yx)
    return Region.from_mask(y**2 + x**2 <= radius**2, origin)


def track(before, after, regions, shifts=None, config=None):
    frames = (Pyramid(torch.from_numpy(np.ascontiguousarray(frame))) for frame in (before, after))
    return track_keypoints(*frames, regions, shifts or [STILL] * len(regions), config)


def assert_found(motion, shift, accuracy=0.3):
    assert motion.shift_yx == pytest.approx(shift, abs=accuracy)
    assert motion.confidence > 0.5 and motion.n_kept == len(motion.points_yx) > 0


@settings(max_examples=15, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(10, 60), st.integers(0, 99))
def test_key_points_of_a_moved_image_move_with_it(dy, dx, diameter, seed):
    shift = tuple(round(s * min(1, diameter / 20)) for s in (dy, dx))
    (motion,) = track(*moved(*shift, seed=seed), [disk((80, 80), diameter)])
    assert_found(motion, shift)


@pytest.mark.parametrize("expected", [(37, -28), (41.4, -31.6)])
def test_the_search_starts_at_the_expected_motion(expected):
    (motion,) = track(*moved(40, -30), [disk((70, 80), 30)], [expected])
    assert_found(motion, (40, -30))


def test_half_a_pixel_is_seen():
    fine = texture((480, 480), sigma=9)
    before, after = fine[6:-6:3, 6:-6:3], fine[5:-7:3, 8:-4:3]
    (motion,) = track(before, after, [disk((80, 80), 30)])
    assert_found(motion, (1 / 3, -2 / 3), 0.1)


@pytest.mark.parametrize("center", [(8, 80), (152, 9), (80, 156)])
def test_objects_cut_by_the_frame_are_followed(center):
    (motion,) = track(*moved(2, -3), [disk(center, 32)])
    assert_found(motion, (2, -3))
    assert (motion.points_yx >= -0.5).all() and (motion.points_yx < 159.5).all()


def test_an_object_of_eight_pixels_is_followed():
    (motion,) = track(*moved(3, -2), [disk((80, 80), 8)])
    assert_found(motion, (3, -2))


def test_many_objects_of_all_sizes_give_what_they_give_alone():
    frames = moved(4, 3)
    regions = [disk((30, 30), 12), disk((80, 90), 70), disk((130, 40), 24), disk((12, 140), 20)]
    together = track(*frames, regions, config=KeypointConfig(chunk_mib=4))
    for region, motion in zip(regions, together, strict=True):
        (alone,) = track(*frames, [region])
        assert_found(motion, (4, 3))
        assert np.allclose(motion.points_yx, alone.points_yx, atol=1e-2)


@settings(max_examples=6, deadline=None)
@given(st.integers(-6, 6), st.integers(-6, 6), st.sampled_from([2, 3]))
def test_the_answer_scales_with_the_picture(dy, dx, scale):
    small = moved(dy, dx)
    large = [zoom(frame, scale, order=1, mode="nearest", grid_mode=True) for frame in small]
    (one,) = track(*small, [disk((80, 80), 30)])
    (other,) = track(*large, [disk((80 * scale, 80 * scale), 30 * scale)])
    assert np.allclose(np.array(other.shift_yx) / scale, one.shift_yx, atol=0.3)


def test_points_lie_where_the_object_went():
    (motion,) = track(*moved(5, -7), [disk((80, 80), 40)])
    away = np.hypot(*(motion.points_yx - [85, 73]).T)
    assert away[0] < 2 and away.max() < 20
    assert 4 <= motion.n_kept <= 8 and motion.points_yx.dtype == np.float32


def test_an_object_that_is_gone_has_no_confidence():
    before, after = moved(0, 0)[0].copy(), texture((160, 160), seed=7)
    (motion,) = track(before, after, [disk((80, 80), 30)])
    assert motion.confidence < 0.3


@pytest.mark.parametrize("value", [0.0, 0.7])
@pytest.mark.parametrize("contrast", [0, 1])
def test_an_object_without_detail_is_not_followed(value, contrast):
    frame = contrast * texture((160, 160))
    frame[40:120, 40:120] = value
    (motion,) = track(frame, frame, [disk((80, 80), 20)], [(1.0, 2.0)])
    assert motion.confidence == motion.n_kept == 0 and motion.shift_yx == (1, 2)
    assert motion.points_yx.shape == (0, 2)


def test_specks_and_objects_outside_the_frame_are_not_followed():
    regions = [disk((80, 80), 2), disk((-90, 40), 30), disk((80, 80), 30)]
    speck, outside, gone = track(*moved(0, 0), regions, [STILL, STILL, (300.0, 0.0)])
    assert speck.confidence == outside.confidence == gone.confidence == 0
    assert gone.shift_yx == (300, 0)


def test_no_objects_give_no_answers():
    assert track(*moved(0, 0), []) == []


def test_wrong_input_is_refused():
    frame = Pyramid(torch.zeros(20, 20))
    with pytest.raises(ValueError, match=r"2 shifts given for 1 regions; give one per region"):
        track_keypoints(frame, frame, [disk((9, 9), 8)], [STILL, STILL])
    with pytest.raises(ValueError, match=r"\(20, 20\) and \(3, 20\) given; both must have the same shape"):
        track_keypoints(frame, Pyramid(torch.zeros(3, 20)), [], [])
    with pytest.raises(ValueError, match="n_points = 0 is not possible; allowed: 1 to 64"):
        KeypointConfig(n_points=0)
    with pytest.raises(ValueError, match="patch = 0 is not possible; allowed: above 0"):
        KeypointConfig(patch=0)


@pytest.mark.parametrize("modality", ["fluorescence", "phase", "dic"])
def test_simulated_cells_are_followed_and_the_confidence_tells_how_well(modality):
    movie = simulate(
        SimulationConfig(seed=2, n_frames=2, shape=(256, 256), n_cells=12, diameter=32, speed=6, modality=modality)
    )
    cells = [movie.labels[0] == i for i in range(1, 13)]
    answers = track(*Movie.open(movie.images), [Region.from_mask(cell) for cell in cells])
    truth = [np.median(movie.flow[0][:, cell], axis=1) for cell in cells]
    errors = np.array([np.hypot(*(a.shift_yx - t)) for a, t in zip(answers, truth, strict=True)])
    assert np.median(errors) < 0.4
    assert all(error < 1.5 for error, a in zip(errors, answers, strict=True) if a.confidence > 0.5)


@given(st.integers(0, 99), st.booleans(), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_the_correlation_is_that_of_the_pixels_both_frames_show(seed, even, above, beside):
    rng = np.random.default_rng(seed)
    template, search, weights = (torch.from_numpy(rng.random((1, n, n), np.float32)) for n in (5, 9, 5))
    weights = torch.ones_like(weights) if even else weights
    rows, columns = torch.ones(2, 1, 9, dtype=torch.bool)
    rows[:, :above], columns[:, 9 - beside :] = False, False
    surface = correlations(template, weights, search, (rows, columns))[0]
    assert surface.shape == (5, 5)
    for y, x in np.ndindex(5, 5):
        shown = rows[0, y : y + 5, None] & columns[0, x : x + 5]
        w = (weights[0] * shown).flatten().numpy()
        if w.sum() < MIN_OVERLAP * weights.sum():
            assert surface[y, x] == -1
            continue
        f, g = template.flatten().numpy(), search[0, y : y + 5, x : x + 5].flatten().numpy()
        f, g = f - np.average(f, weights=w), g - np.average(g, weights=w)
        told = (w * f * g).sum() / np.sqrt((w * f * f).sum() * (w * g * g).sum())
        assert surface[y, x] == pytest.approx(told, abs=1e-3)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_sums_of_boxes_are_those_of_their_samples(side, more, seed):
    images = torch.from_numpy(np.random.default_rng(seed).random((3, side + more, side + 2 * more)))
    one_by_one = images.unfold(1, side, 1).unfold(2, side, 1).sum((3, 4))
    assert torch.allclose(box_sums(images, side), one_by_one)


@given(st.integers(0, 99), st.sampled_from([5, 7, 21]), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_samples_that_count_alike_correlate_by_every_way_of_summing(seed, side, reach):
    rng = torch.Generator().manual_seed(seed)
    template, search = torch.rand(4, side, side, generator=rng), torch.rand(4, *[side + 2 * reach] * 2, generator=rng)
    everywhere = torch.ones(2, 4, side + 2 * reach, dtype=torch.bool)
    by_boxes = correlations(template, torch.ones_like(template), search, tuple(everywhere))
    by_weights = correlations(template, torch.full_like(template, 2), search, tuple(everywhere))
    beyond = torch.cat([everywhere, torch.zeros(2, 4, 1, dtype=torch.bool)], 2)
    wider = torch.nn.functional.pad(search, (0, 1, 0, 1))
    by_what_is_known = correlations(template, torch.ones_like(template), wider, tuple(beyond))[:, :-1, :-1]
    assert torch.allclose(by_boxes, by_weights, atol=1e-4)
    assert torch.allclose(by_boxes, by_what_is_known, atol=1e-4)


@pytest.mark.parametrize(("half", "reach"), [(HALF_WHOLE, REACH_WHOLE), (HALF_POINT, REACH_POINT)])
def test_a_patch_correlates_among_others_bit_by_bit_as_alone(half, reach):
    rng, side, around = torch.Generator().manual_seed(1), 2 * half + 1, 2 * (half + reach) + 1
    template, search = torch.rand(6, side, side, generator=rng), torch.rand(6, around, around, generator=rng)
    weights, known = torch.ones(6, side, side), torch.ones(2, 6, around, dtype=torch.bool)
    weights[::3, 0] = 0
    known[0, 1::3, :4] = False
    together = correlations(template, weights, search, tuple(known))
    for row in range(6):
        own = slice(row, row + 1)
        assert torch.equal(correlations(template[own], weights[own], search[own], tuple(known[:, own])), together[own])


def test_a_match_that_does_not_lead_back_is_told_by_its_distance():
    before, after = (torch.from_numpy(f.copy()) for f in moved(0, 6))
    after[70:91, 60:75] = before[70:91, 40:55]
    patches = Patches(torch.tensor([[80.0, 80.0]]), torch.ones(1), torch.ones(1, 21, 21), torch.zeros(1, 2))
    found = match(Pyramid(before), Pyramid(after), patches, 9)
    assert found.shifts[0].tolist() == pytest.approx([0, 6], abs=0.1)
    assert found.misses[0] < 0.1
    assert match(Pyramid(before), Pyramid(after), patches, 4).misses[0] > 1


@given(st.integers(1, 12), st.floats(0.5, 6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_points_are_inside_their_mask_and_apart(n_points, spacing, seed):
    values = torch.from_numpy(texture((27, 27), seed)[None])
    y, x = np.indices((27, 27)) - 13
    mask = (y**2 + x**2 <= 144) & (x < 6)
    owners, places = choose_points(values, mask[None], 24, n_points, spacing)
    assert 1 <= len(places) <= n_points and (owners == 0).all()
    assert mask[tuple(places.T.numpy())].all()
    gaps = torch.cdist(places.float(), places.float())[~torch.eye(len(places), dtype=bool)]
    assert (gaps >= spacing - 1e-4).all()
    assert x[tuple(places[0].numpy())] in range(-7, 2)


def test_nothing_is_an_answer_without_confidence():
    nothing = SparseMotion.nothing((3, 4))
    assert nothing.shift_yx == (3, 4) and nothing.confidence == nothing.n_kept == len(nothing.points_yx) == 0


PLACES = st.tuples(st.integers(-10, 410), st.integers(-10, 410))
FAR = st.tuples(st.floats(-60, 60), st.floats(-60, 60))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(PLACES, st.integers(4, 60), FAR), min_size=1, max_size=3), st.booleans(), st.integers(0, 99))
def test_a_frame_is_read_wherever_a_search_may_lead(given_objects, alike, seed):
    """Of frames with nothing in common key points are 'found' anywhere."""
    before, after = texture((400, 400), seed=seed), texture((400, 400), seed=seed if alike else seed + 100)
    regions = [disk(center, diameter) for center, diameter, _ in given_objects]
    shifts = [shift for *_, shift in given_objects]
    config = KeypointConfig(max_return_px=400, max_return=9)
    asked = [
        CanvasPyramid(Canvas((400, 400), (8, 8), lambda y, x, image=image: image[y, x]), torch.device("cpu"))
        for image in (before, after)
    ]
    found = track_keypoints(*asked, regions, shifts, config)
    for one, other in zip(found, track(before, after, regions, shifts, config), strict=True):
        assert one.shift_yx == other.shift_yx and one.confidence == other.confidence
        assert np.array_equal(one.points_yx, other.points_yx)
