"""The simulated movies and, above all, that their truth is true."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, map_coordinates
from tests.support.truth import iou, iou_but_for_the_rim, stands_free, warped

from napari_mosam.core import simulation as sim
from napari_mosam.core.simulation import SimulationConfig, Simulator, simulate

MODALITIES = ("fluorescence", "phase", "dic")
SHAPES = ("round", "ellipse", "lobed", "rod")
LATER_MODALITIES = ("cytoplasm", "membrane", "zernike", "nomarski", "brightfield")
LATER_SHAPES = ("amoeboid", "yeast")

WITH_FIXED_PATHS = (sim.two_disks_cross, sim.twins_cross, sim.stage_leaps, sim.under_bar)

configs = st.builds(
    SimulationConfig,
    seed=st.integers(0, 10_000),
    n_frames=st.integers(1, 5),
    shape=st.tuples(st.integers(48, 80), st.integers(48, 80)),
    n_cells=st.integers(0, 5),
    diameter=st.floats(12, 24),
    speed=st.floats(0, 3),
    cell_shape=st.sampled_from(SHAPES + LATER_SHAPES),
    modality=st.sampled_from(MODALITIES + LATER_MODALITIES),
    bend=st.sampled_from([0.0, 0.2]),
    spikes=st.sampled_from([0.0, 0.8]),
    margin=st.floats(0, 20),
    solid=st.booleans(),
    touching=st.booleans(),
    stage_drift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    bleaching=st.floats(0, 0.8),
    dtype=st.sampled_from(["uint16", "uint8"]),
)


@settings(max_examples=8, deadline=None)
@given(config=configs)
def test_the_same_settings_give_the_same_movie(config: SimulationConfig) -> None:
    a, b = simulate(config), simulate(config)
    assert all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("images", "labels", "flow", "drift"))


def test_another_seed_gives_another_movie() -> None:
    a, b = sim.disk_moves(0), sim.disk_moves(1)
    assert not np.array_equal(a.images, b.images) and not np.array_equal(a.labels, b.labels)


@settings(max_examples=8, deadline=None)
@given(config=configs)
def test_shapes_and_dtypes_are_as_promised(config: SimulationConfig) -> None:
    movie = simulate(config)
    shape = (config.n_frames, *config.shape)
    assert movie.images.shape == movie.labels.shape == shape
    assert movie.images.dtype == config.dtype and movie.labels.dtype == np.uint16
    assert movie.flow.shape == (config.n_frames - 1, 2, *config.shape) and movie.flow.dtype == np.float32
    assert movie.drift.shape == (config.n_frames, 2) and not movie.drift[0].any()
    assert set(np.unique(movie.labels)) <= set(range(config.n_cells + 1))
    assert np.isfinite(movie.flow).all()


@settings(max_examples=12, deadline=None)
@given(config=configs)
def test_flow_warps_every_free_cell_onto_the_next_frame(config: SimulationConfig) -> None:
    movie = simulate(config)
    for t in range(config.n_frames - 1):
        for cell in range(1, config.n_cells + 1):
            if stands_free(movie.labels[t], cell) and stands_free(movie.labels[t + 1], cell):
                moved, there = warped(movie.labels[t] == cell, movie.flow[t]), movie.labels[t + 1] == cell
                assert iou_but_for_the_rim(moved, there) > 0.95
                assert there.sum() < 300 or iou(moved, there) > 0.9


@pytest.mark.parametrize("cell_shape", SHAPES)
def test_flow_carries_the_texture_along(cell_shape: sim.CellShape) -> None:
    movie = sim.disk_moves(3, cell_shape=cell_shape, noise=0.0, rotation=0.1, diameter=36.0)
    for t in range(3):
        inside = binary_erosion(movie.labels[t] == 1, iterations=4)
        y, x = np.nonzero(inside)
        there = [y + movie.flow[t, 0, y, x], x + movie.flow[t, 1, y, x]]
        after = map_coordinates(movie.images[t + 1].astype(float), there, order=1)
        before = movie.images[t][inside].astype(float)
        assert np.corrcoef(before, after)[0, 1] > 0.98
        stayed = movie.images[t + 1][inside]
        assert np.abs(after - before).mean() < 0.5 * np.abs(stayed.astype(float) - before).mean()


@pytest.mark.parametrize("seed", range(3))
def test_matter_near_the_outline_stays_there_while_the_lobes_travel(seed: int) -> None:
    movie = sim.disk_moves(seed, cell_shape="lobed", deformation=0.3, diameter=48.0, n_frames=25, speed=0.5)
    inside = binary_erosion(movie.labels[0] == 1, iterations=2)
    points = np.argwhere(inside & ~binary_erosion(inside)).astype(float).T
    for t in range(24):
        points = points + [map_coordinates(f, points, order=1, mode="nearest") for f in movie.flow[t]]
        y, x = np.rint(points).astype(int)
        assert (movie.labels[t + 1][y, x] == 1).all()
    depth = distance_transform_edt(movie.labels[-1] == 1)[y, x]
    assert np.median(depth) < 5


def test_the_background_moves_with_the_stage() -> None:
    movie = sim.stage_jumps(0, noise=0.0)
    assert movie.drift[3] == pytest.approx([18, -25]) and movie.drift[7] == pytest.approx([-18, 25])
    assert not movie.drift[[1, 2, 4, 5, 6, 8, 9]].any()
    outside = movie.labels[2] == 0
    np.testing.assert_allclose(movie.flow[2][:, outside], np.array([[18], [-25]]) * np.ones(outside.sum()))
    bare = simulate(SimulationConfig(n_cells=0, noise=0, n_frames=2, stage_jumps=[(1, 5, -7)], modality="phase"))
    before, after = bare.images[0].astype(float), bare.images[1].astype(float)
    assert np.corrcoef(before[8:-8, 8:-8].ravel(), after[13:-3, 1:-15].ravel())[0, 1] > 0.9


def test_every_cell_jumps_with_the_stage() -> None:
    movie = sim.stage_jumps(0)
    still = sim.stage_jumps(0, stage_jumps=())
    shifted = np.roll(still.labels[4], (18, -25), (0, 1))
    assert iou(movie.labels[4][20:, :-27] > 0, shifted[20:, :-27] > 0) == 1


def test_a_vanishing_disk_is_absent_on_exactly_three_frames() -> None:
    movie = sim.disk_vanishes()
    assert [t for t in range(12) if not (movie.labels[t] == 1).any()] == [5, 6, 7]
    contrast = [float(np.ptp(frame.astype(float)[2:-2, 2:-2])) for frame in movie.images]
    assert max(contrast[5:8]) < 0.6 * min(contrast[:5] + contrast[8:])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), first=st.integers(0, 5), length=st.integers(0, 4))
def test_absence_is_inclusive_and_only_of_the_cell_named(seed: int, first: int, length: int) -> None:
    last = min(first + length, 5)
    config = SimulationConfig(seed=seed, n_frames=6, n_cells=2, diameter=14, repulsion=1, vanish={2: (first, last)})
    simulator = Simulator(config)
    for t in range(6):
        present = set(np.unique(simulator.labels(t))) - {0}
        assert present == ({1} if first <= t <= last else {1, 2})


def test_a_division_gives_two_daughters_side_by_side_with_their_mother() -> None:
    movie = sim.disk_divides()
    assert movie.parents == {2: 1, 3: 1}
    for t in range(10):
        assert set(np.unique(movie.labels[t])) - {0} == ({1} if t < 5 else {2, 3})
    mother, pair = movie.labels[4] == 1, movie.labels[5] > 0
    assert iou(mother, pair) > 0.65
    assert iou(warped(mother, movie.flow[4]), pair) > max(0.75, iou(mother, pair))
    centres = [np.argwhere(movie.labels[5] == cell).mean(axis=0) for cell in (2, 3)]
    assert np.linalg.norm(centres[0] - centres[1]) == pytest.approx(0.75 * 28, abs=1)


def test_daughters_may_divide_in_turn() -> None:
    config = SimulationConfig(n_cells=2, n_frames=8, divisions=[(3, 6), (2, 2)], speed=0.5)
    movie = simulate(config)
    assert movie.parents == {3: 2, 4: 2, 5: 3, 6: 3}
    assert set(np.unique(movie.labels[7])) - {0} == {1, 4, 5, 6}


def test_crossing_disks_keep_their_ids_and_the_lower_one_is_hidden_in_part() -> None:
    movie = sim.two_disks_cross()
    areas = np.array([[(frame == cell).sum() for cell in (1, 2)] for frame in movie.labels])
    full = np.pi * 14**2
    np.testing.assert_allclose(areas[[0, -1]], full, rtol=0.03)
    top, below = np.argmax(areas[7]), np.argmin(areas[7])
    np.testing.assert_allclose(areas[:, top], full, rtol=0.03)
    assert 0.2 * full < areas[:, below].min() < 0.7 * full
    for cell, ends in ((1, (24, 103)), (2, (103, 24))):
        x = [np.argwhere(movie.labels[t] == cell)[:, 1].mean() for t in (0, -1)]
        assert x == pytest.approx(ends, abs=0.5)


def test_tracks_are_followed_exactly() -> None:
    track = np.stack([np.linspace(30.25, 60.75, 6), np.full(6, 40.5)], axis=1)
    scene = Simulator(SimulationConfig(n_frames=6, tracks=[track], stage_drift=(1, 0))).scene
    np.testing.assert_allclose(scene.centres[:, 0], track + np.arange(6)[:, None] * [1, 0])
    assert scene.config.n_cells == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_cluster_touches_and_stays_mostly_visible(seed: int) -> None:
    movie = sim.touching_cells(seed)
    for frame in movie.labels:
        assert set(np.unique(frame)) == set(range(6))
        assert sum(stands_free(frame, cell) for cell in range(1, 6)) <= 1


@pytest.mark.parametrize("modality", MODALITIES)
def test_cells_stand_out_and_are_textured(modality: sim.Modality) -> None:
    movie = sim.sample_movie(0, modality=modality, n_frames=1, vanish=(), noise=0.0)
    image, labels = movie.images[0].astype(float), movie.labels[0]
    away = ~binary_dilation(labels > 0, iterations=12)
    for cell in range(1, 9):
        inside = binary_erosion(labels == cell, iterations=3)
        assert image[inside].std() > 2 * image[away].std()
    if modality == "fluorescence":
        assert image[labels > 0].mean() > image[away].mean() + 4 * image[away].std()
    if modality == "phase":
        halo = binary_dilation(labels > 0, iterations=3) & ~binary_dilation(labels > 0)
        assert image[labels > 0].mean() < image[away].mean() < image[halo].mean()


def test_bleaching_takes_the_stated_share_of_the_contrast() -> None:
    still = {"n_frames": 5, "speed": 0.0, "rotation": 0.0, "noise": 0.0, "bleaching": 0.6}
    movie = sim.disk_moves(0, **still)
    inside = binary_erosion(movie.labels[0] == 1, iterations=3)
    ground = movie.images[:, 2:10, 2:10].mean(axis=(1, 2))
    above = movie.images[:, inside].mean(axis=1) - ground
    assert above[-1] / above[0] == pytest.approx(0.4, abs=0.03)
    assert all(a > b for a, b in pairwise(above))


def test_noise_has_the_stated_strength() -> None:
    clean, noisy = (sim.disk_moves(0, n_frames=2, noise=n, background=0.3) for n in (0.0, 0.1))
    difference = noisy.images.astype(float) - clean.images
    assert difference.std() == pytest.approx(0.1 * 0.5 * 4095, rel=0.05)
    assert abs(np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1]) < 0.05


def test_frames_come_in_any_order_and_as_in_the_whole_movie() -> None:
    movie = sim.sample_movie(0, n_frames=4, vanish=())
    simulator = Simulator(movie.config)
    for t in (3, 0, 2, 1):
        image, labels = simulator.render(t)
        assert np.array_equal(image, movie.images[t]) and np.array_equal(labels, movie.labels[t])
    assert np.array_equal(simulator.flow(1), movie.flow[1])
    assert len(list(simulator)) == len(simulator) == 4


@pytest.mark.parametrize(("method", "t"), [("render", 10), ("render", -1), ("labels", 10), ("flow", 9)])
def test_frames_outside_the_movie_are_refused(method: str, t: int) -> None:
    with pytest.raises(IndexError, match=f"frame {t} is outside"):
        getattr(Simulator(SimulationConfig()), method)(t)


def test_the_sample_movie_shows_what_it_says() -> None:
    movie = sim.sample_movie()
    assert movie.images.shape == (30, 256, 256)
    assert [t for t in range(30) if not (movie.labels[t] == 3).any()] == [12, 13, 14, 15]
    assert all((movie.labels == cell).any(axis=(1, 2)).sum() == 30 for cell in (1, 2, 4, 5, 6, 7, 8))
    free_of_all = [sum(stands_free(frame, cell) for cell in range(1, 9)) for frame in movie.labels]
    assert free_of_all[0] >= 7 and min(free_of_all) <= 5


def in_sight(movie: sim.SimulatedMovie, cell: int) -> NDArray[np.bool_]:
    """Whether a cell shows on each frame."""
    return (movie.labels == cell).any(axis=(1, 2))


@pytest.mark.parametrize("seed", range(3))
def test_occluded_cells_return_after_the_stated_frames_and_move_meanwhile(seed: int) -> None:
    movie = sim.long_occlusion(seed, n_absent=15)
    absent = [(~in_sight(movie, cell)).sum() for cell in range(1, 9)]
    assert absent == [8, 15, 30, 0, 0, 0, 0, 0]
    assert all(in_sight(movie, cell)[[0, *range(60, 70)]].all() for cell in range(1, 9))
    cell_centres = Simulator(movie.config).scene.centres
    gone = np.flatnonzero(~in_sight(movie, 3))
    assert np.linalg.norm(np.diff(cell_centres[gone, 2], axis=0), axis=1).mean() > 0.5


def test_an_occlusion_longer_than_the_movie_allows_is_refused() -> None:
    with pytest.raises(ValueError, match="n_absent = 41"):
        sim.long_occlusion(0, n_absent=41)


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_hidden_gradually_under_the_bar_and_come_out_on_the_other_side(seed: int) -> None:
    movie = sim.under_bar(seed)
    middle = 127.5
    for cell in (1, 2, 3):
        seen = in_sight(movie, cell)
        hidden = np.flatnonzero(~seen)
        assert 10 <= len(hidden) <= 40 and np.ptp(hidden) + 1 == len(hidden) and seen[-5:].all()
        areas = (movie.labels == cell).sum(axis=(1, 2))
        assert 0 < areas[hidden[0] - 2] < 0.9 * areas[0]
        sides = [np.argwhere(movie.labels[t] == cell)[:, 1].mean() > middle for t in (0, -1)]
        assert sides[0] != sides[1]
    assert all(in_sight(movie, cell).all() for cell in (4, 5))


def test_an_occluder_is_even_belongs_to_no_cell_and_moves_with_the_stage() -> None:
    still = {"n_frames": 3, "noise": 0.0, "blur": 0.0, "tracks": [np.full((3, 2), 40.0)], "shape": (96, 96)}
    bare, covered = (sim.disk_moves(0, **still, stage_drift=(0, 2), occluders=o) for o in ((), [(30, 30, 50, 40)]))
    for t in range(3):
        box = np.zeros((96, 96), bool)
        box[30:51, 30 + 2 * t : 41 + 2 * t] = True
        assert not covered.labels[t][box].any() and bare.labels[t][box].any()
        assert np.array_equal(covered.labels[t][~box], bare.labels[t][~box])
        assert np.array_equal(covered.images[t][~box], bare.images[t][~box])
        assert covered.images[t][box].max() < bare.images[t][~box].min() + 0.2 * 4095


@pytest.mark.parametrize("seed", range(6))
def test_twins_look_the_same_and_one_covers_the_other_in_part(seed: int) -> None:
    movie = sim.twins_cross(seed, noise=0.0)
    areas = np.array([[(frame == cell).sum() for cell in (1, 2)] for frame in movie.labels])
    assert areas.min(axis=1)[[0, -1]].min() > 0.95 * areas.max() and 0 < areas.min() < 0.7 * areas.max()
    centres = [np.argwhere(movie.labels[0] == cell).mean(axis=0) for cell in (1, 2)]
    crops = [movie.images[0][y - 8 : y + 9, x - 8 : x + 9] for y, x in np.rint(centres).astype(int)]
    assert np.corrcoef(*(crop.ravel() for crop in crops))[0, 1] > 0.8
    assert crops[0].mean() == pytest.approx(crops[1].mean(), rel=0.08)
    assert np.linalg.norm(centres[0] - centres[1]) > 40


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_is_one_cluster_of_equals_that_all_stay_in_sight(seed: int) -> None:
    movie = sim.crowd(seed)
    areas = np.array([np.bincount(frame.ravel(), minlength=15)[1:] for frame in movie.labels])
    assert areas.min() > 0.5 * np.pi * 15**2 and np.ptp(areas[0]) < 0.1 * areas[0].mean()
    assert all(sum(stands_free(frame, cell) for cell in range(1, 15)) <= 1 for frame in movie.labels[::8])


@pytest.mark.parametrize("seed", range(6))
def test_the_stage_leaps_a_hundred_px_eight_times_and_no_cell_leaves(seed: int) -> None:
    movie = sim.stage_leaps(seed)
    leaps = np.linalg.norm(movie.drift, axis=1)
    np.testing.assert_allclose(leaps, [0, 0, *[100.0] * 8, 0, 0])
    edge = np.ones(movie.labels.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    assert all(set(np.unique(frame)) == set(range(9)) and not frame[edge].any() for frame in movie.labels)


def test_hopping_nuclei_move_about_as_far_as_they_are_wide() -> None:
    movie = sim.hopping(2)
    moved = np.linalg.norm(movie.flow, axis=1)[movie.labels[:-1] > 0]
    assert set(np.unique(movie.labels[0])) == set(range(21))
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(10, rel=0.15) and moved.max() > 14


def test_both_mothers_of_the_division_movie_divide() -> None:
    movie = sim.division_movie(2)
    assert movie.parents == {6: 1, 7: 1, 8: 2, 9: 2}
    assert in_sight(movie, 1)[:11].all() and not in_sight(movie, 1)[18:].any()
    assert all(in_sight(movie, cell)[-5:].all() for cell in (3, 4, 5, 6, 7, 8, 9))


def contrast(image: NDArray[np.generic], labels: NDArray[np.uint16]) -> float:
    """Mean grey value of the cells above that of a ring around them."""
    ring = binary_dilation(labels > 0, iterations=9) & ~binary_dilation(labels > 0, iterations=3)
    return float(image[labels > 0].mean() - image[ring].mean())


def test_bleaching_leaves_three_tenths_of_the_contrast() -> None:
    movie = sim.bleaching(1)
    first, last = (contrast(movie.images[t], movie.labels[t]) for t in (0, -1))
    assert len(movie.images) == 60 and last / first == pytest.approx(0.3, abs=0.05)


def test_faint_cells_are_no_stronger_than_the_noise_and_weaker_than_the_uneven_light() -> None:
    movie = sim.faint(1)
    away = ~binary_dilation(movie.labels[0] > 0, iterations=9)
    ground = movie.images[0].astype(float)
    noise = np.diff(ground, axis=1)[away[:, 1:] & away[:, :-1]].std() / np.sqrt(2)
    assert 0.3 < noise / contrast(movie.images[0], movie.labels[0]) < 1.5
    assert np.ptp(ground[away].reshape(-1)) > 3 * contrast(movie.images[0], movie.labels[0])


def test_every_named_case_can_be_changed() -> None:
    for case in sim.CASES.values():
        changes = {} if case in WITH_FIXED_PATHS else {"shape": (72, 80), "diameter": 12.0}
        movie = case(5, **changes, modality="dic", dtype="uint8")
        assert movie.images.dtype == np.uint8 and movie.config.seed == 5


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"seed": -1}, "seed = -1"),
        ({"shape": (8, 99)}, "shape"),
        ({"diameter": 500}, "diameter = 500"),
        ({"cell_shape": "square"}, "one of"),
        ({"modality": "sem"}, "modality = 'sem'"),
        ({"dtype": "float32"}, "dtype"),
        ({"vanish": [(9, 1, 2)]}, "vanishing cell = 9"),
        ({"vanish": [(1, 3, 2)]}, "vanishing frames"),
        ({"divisions": [(1, 10)]}, "division frame = 10"),
        ({"divisions": [(1, 2), (1, 5)]}, "dividing cell = 1"),
        ({"stage_jumps": [(0, 1, 1)]}, "stage jump frame = 0"),
        ({"tracks": [[(1, 1)]]}, "length of a track = 1"),
        ({"occluders": [(5, 5, 4, 9)]}, "occluder = "),
        ({"aspect": (2, 1)}, "aspect = "),
        ({"bend": 0.9}, "bend = 0.9"),
        ({"spikes": -1}, "spikes = -1"),
        ({"margin": -1}, "margin = -1"),
        ({"brightness": (0, 1)}, "brightness = "),
        ({"deaths": [(9, 1)]}, "dying cell = 9"),
        ({"deaths": [(1, 10)]}, "frame of death = 10"),
        ({"buds": [(5, 1, 2)]}, "budding cell = 5"),
        ({"buds": [(1, 10, 11)]}, "first frame of a bud = 10"),
        ({"buds": [(1, 3, 3)]}, "divides = 3"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SimulationConfig(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "given", "match"),
    [
        (sim.Optics, {"flatness": 2}, "flatness = 2"),
        (sim.Optics, {"halo_width": 0}, "halo_width = 0"),
        (sim.Optics, {"nucleus": -2}, "nucleus = -2"),
        (sim.Optics, {"litter": 5}, "litter = 5"),
        (sim.Camera, {"photons": 0}, "photons = 0"),
        (sim.Camera, {"stretch": (90, 10)}, "stretch = "),
        (sim.Camera, {"gamma": 9}, "gamma = 9"),
        (sim.Camera, {"grey_range": (0.5, 0.5)}, "grey_range = "),
    ],
)
def test_impossible_optics_and_cameras_are_refused(part: type, given: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        part(**given)


def test_shot_noise_follows_the_light() -> None:
    still = {"n_frames": 1, "noise": 0.0, "background": 0.25}
    clean, noisy = (
        sim.disk_moves(0, **still, camera=sim.Camera(photons=n)).images[0].astype(float) for n in (None, 500)
    )
    dim = clean < 1200
    off = (noisy - clean)[dim].std() / 4095, np.sqrt(clean[dim].mean() / 4095 / 500)
    assert off[0] == pytest.approx(off[1], rel=0.05)
    assert (noisy - clean)[clean > 1.6 * 1024].std() > 1.15 * (noisy - clean)[dim].std()


def test_settings_compare_hash_and_do_not_change_behind_the_back() -> None:
    track = np.full((10, 2), 30.0)
    config = SimulationConfig(tracks=[track], vanish={1: (2, 3)})
    track[:] = 0
    assert config == SimulationConfig(tracks=[np.full((10, 2), 30.0)], vanish=[(1, 2, 3)])
    assert hash(config) == hash(SimulationConfig(tracks=[np.full((10, 2), 30.0)], vanish=[(1, 2, 3)]))
