"""Windows and clips: the engine's coordinates, objects that stay in sight, truth that fits the picture."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.core_movies import CoreMovies
from training.config import StageConfig, WindowConfig
from training.data.clips import NOBODY, ClipBatch, choose_objects, cut_clips, read_labels
from training.data.framing import held, motion, squares, window_sides
from training.data.masks import extents
from training.data.movies import MovieBatch
from training.randomness import generator

from napari_mosam.core.simulation import disk_divides, disk_vanishes, touching_cells
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

CPU = torch.device("cpu")
SIZE = 64
STEADY = WindowConfig(wide=0, ratio_spread=0, click_centred=0, jitter=0, lag=0, absent=0, scale_walk=0)

PLACES = st.floats(-20, 120)
SIDES = st.floats(10, 300)


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(90, 70, generator=torch.Generator().manual_seed(seed))


@given(st.lists(st.tuples(PLACES, PLACES, SIDES), min_size=1, max_size=4))
@settings(max_examples=30)
def test_windows_are_laid_in_the_engines_coordinates(given_windows):
    frame = image()
    numbers = torch.tensor(given_windows)
    centers, sizes = squares(numbers[:, :2], numbers[:, 2]).split(2, 1)
    ours = Pyramid(frame.expand(len(given_windows), -1, -1)).read(centers, sizes, 32)
    theirs = Pyramid(frame).crop([Window.square((y, x), side) for y, x, side in given_windows], 32)
    assert torch.allclose(ours, theirs, atol=2e-4)


def test_labels_keep_their_ids_and_end_at_the_frame():
    labels = torch.zeros(1, 40, 40, dtype=torch.int32)
    labels[0, 10:20, 30:40] = 70000
    window = read_labels(labels, torch.tensor([[15.0, 40.0]]), torch.tensor([[40.0, 40.0]]), 40)
    assert set(window.unique().tolist()) == {0, 70000}
    assert not (window[0, :, 20:] > 0).any()


def clips(
    config: WindowConfig, case=touching_cells, seed: str = "s", n: int = 4, **settings
) -> tuple[ClipBatch, MovieBatch]:
    movies = CoreMovies(case, **settings).movies(seed, n, 8, 128, CPU)
    return cut_clips(movies, StageConfig(clips=n, objects=3, frames=8), config, SIZE, seed), movies


def test_the_window_follows_its_object():
    clip, _ = clips(STEADY)
    for t in range(8):
        center = extents(clip.masks(t).unflatten(0, (4, 3))[:, 0]).center_yx
        assert float((center - (SIZE - 1) / 2).abs().max()) < 1.5
    diameter = extents(clip.masks(0).unflatten(0, (4, 3))[:, 0]).diameter
    assert torch.allclose(diameter, torch.full((4,), SIZE / 5), rtol=0.2)


def test_a_window_that_lags_shows_the_object_moved_against_it():
    lagging = WindowConfig(wide=0, ratio_spread=0, click_centred=0, jitter=0, lag=1.0, absent=0, scale_walk=0)
    behind, steady = (clips(c, speed=5.0)[0] for c in (lagging, STEADY))
    assert not torch.allclose(behind.windows, steady.windows, atol=0.5)


def test_clicked_windows_are_centred_on_a_pixel_of_the_object():
    config = WindowConfig(wide=0, click_centred=1.0, absent=0)
    clip, _ = clips(config)
    assert clip.clicked.all()
    middle = clip.masks(0).unflatten(0, (4, 3))[:, 0, SIZE // 2 - 2 : SIZE // 2 + 2, SIZE // 2 - 2 : SIZE // 2 + 2]
    assert middle.flatten(1).any(1).all()


def test_windows_that_look_away_do_not_show_the_object():
    config = WindowConfig(wide=0, click_centred=0, absent=1.0)
    clip, movies = clips(config, n=6)
    own = torch.stack([clip.masks(t).unflatten(0, (6, 3))[:, 0].flatten(1).any(1) for t in range(8)], 1)
    there = (movies.labels == clip.ids[:, :1, None, None]).flatten(2).any(2)
    assert own[:, 0].all()
    assert (there & ~own).any(1).all()


def test_sides_lie_where_they_should():
    ones = torch.ones(400, 1)
    rng = generator("sides")
    sides = window_sides(10 * ones, ones.bool(), WindowConfig(), rng)[:, 0] / 10
    assert 2 <= float(sides.min()) < 3
    assert 10 < float(sides.max()) <= 15
    assert 0.45 < float(((sides > 3.8) & (sides < 6.6)).float().mean()) < 0.9


def test_the_same_seed_cuts_the_same_clips():
    (one, _), (same, _), (other, _) = (clips(WindowConfig(), seed=s) for s in ("a", "a", "b"))
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.windows, other.windows)


def test_objects_are_different_and_the_nearest():
    clip, movies = clips(STEADY)
    for ids, labels in zip(clip.ids.tolist(), movies.labels[:, 0], strict=True):
        assert len(set(ids)) == 3
        assert set(ids) <= set(labels.unique().tolist()) - {0}


def test_too_few_objects_are_filled_up_with_the_first():
    labels = torch.zeros(2, 30, 30, dtype=torch.int32)
    labels[0, 5:15, 5:15] = 2
    assert choose_objects(labels, 3, generator(0)).tolist() == [[2, 2, 2], [NOBODY] * 3]


def test_an_empty_movie_makes_finite_windows():
    movies = MovieBatch(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32, dtype=torch.int32))
    clip = cut_clips(movies, StageConfig(clips=1, objects=2, frames=3), WindowConfig(), SIZE, "empty")
    assert torch.isfinite(clip.images).all()
    assert not clip.masks(0).any()


def test_what_vanishes_and_what_divides_is_absent():
    for case, gone in ((disk_vanishes, (5, 6, 7)), (disk_divides, (5, 6, 7))):
        clip, movies = clips(STEADY, case=case, n=2)
        for t in range(8):
            own = clip.masks(t).unflatten(0, (2, 3))[:, 0].flatten(1).any(1)
            assert own.any() == (t not in gone)
        assert int(movies.labels.max()) == (3 if case is disk_divides else 1)


def test_motion_is_that_of_the_centres_and_unknown_where_the_object_is_not_seen():
    centers = torch.tensor([[0.0, 0], [1, 2], [9, 9], [4, 4]])[None]
    seen = torch.tensor([[True, True, False, True]])
    known = held(centers, seen)
    assert known[0, 2].tolist() == [1, 2]
    assert motion(known, seen)[0].tolist() == [[0, 0], [1, 2], [0, 0], [0, 0]]


@pytest.mark.parametrize("t", [1, 4])
def test_shifts_bring_an_object_from_frame_to_frame(t):
    clip, movies = clips(STEADY)
    for row, ids in enumerate(clip.ids.tolist()):
        for k, i in enumerate(ids):
            before, now = (extents(movies.labels[row, s] == i) for s in (t - 1, t))
            moved = before.center_yx + clip.shifts[row, k, t]
            assert float((moved - now.center_yx).abs().max()) < 1e-4
