"""Parts of frames: the pixels of the whole frame, from chunks that are decoded once while there is room for them."""

import itertools

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_mosam.core.images import reading
from napari_mosam.core.images.movie import Movie, MovieError

SIZES = {"T": 7, "Z": 2, "C": 2, "Y": 150, "X": 140, "S": 3}


@pytest.mark.parametrize("ram_share", [0.0, 1e-6, 1.0])
@pytest.mark.parametrize(
    ("axes", "chunks"),
    [("TYX", (1, 40, 50)), ("TYX", (3, 64, 70)), ("XTY", (50, 2, 40)), ("TCZYXS", (2, 1, 2, 9, 140, 3))],
)
def test_a_part_has_the_pixels_of_the_frame(tmp_path, monkeypatch, axes, chunks, ram_share):
    monkeypatch.setattr(reading, "FREE_SHARE", ram_share)
    pixels = np.random.default_rng(0).integers(0, 999, [SIZES[a] for a in axes]).astype(np.uint16)
    array = zarr.create_array(str(tmp_path / "a.zarr"), data=pixels, chunks=chunks)
    options = {"axes": axes, "channel": 1 if "C" in axes else None, "z": "max" if "Z" in axes else None}
    movie, whole = (Movie.open(given, limits=(0, 999), **options) for given in (array, pixels))
    for t, rows, columns in (
        (0, (0, 150), (0, 140)),
        (4, (3, 4), (7, 130)),
        (6, (60, 150), (0, 1)),
        (3, (0, 70), (2, 9)),
    ):
        part = movie.part(t, slice(*rows), slice(*columns))
        assert np.array_equal(part, whole[t][slice(*rows), slice(*columns)])
    assert np.array_equal(movie[5], whole[5])


def lazy(shape, chunks, computed, fails=None):
    """A dask array of numbers of frames, which notes the place of every block that is computed."""

    def block(block_info=None):
        place, where = block_info[None]["chunk-location"], block_info[None]["array-location"]
        computed.append(place)
        if place == fails:
            raise ZeroDivisionError("mine")
        frames = np.arange(*where[0], dtype=np.uint16)[:, None, None]
        return frames + np.zeros([b - a for a, b in where], np.uint16)

    meta = np.empty((0, 0, 0), np.uint16)
    sides = [tuple(np.diff([*range(0, n, c), n]).tolist()) for n, c in zip(shape, chunks, strict=True)]
    return da.map_blocks(block, chunks=sides, dtype=np.uint16, meta=meta)


def test_a_chunk_of_many_frames_is_decoded_once_whoever_asks():
    computed = []
    movie = Movie.open(lazy((12, 130, 130), (4, 65, 130), computed))
    for t in (*range(12), *range(11, -1, -1)):
        assert movie.part(t, slice(5, 9), slice(0, 20)).shape == (4, 20)
        assert (movie.raw(t) == t).all()
    assert sorted(computed) == list(itertools.product(range(3), range(2), range(1)))


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    cache = reading.BlockCache(1000)
    for t, y in itertools.product(range(4), range(3)):
        cache.keep((t, y, 0, 0), np.zeros(400, np.uint8))
    kept = [key for key in itertools.product(range(4), range(3), (0,), (0,)) if cache.get(key) is not None]
    assert kept == [(3, 0, 0, 0), (3, 1, 0, 0)]


def test_a_part_is_read_from_the_chunks_it_lies_in_alone():
    computed = []
    movie = Movie.open(lazy((5, 400, 400), (1, 100, 100), computed), limits=(0, 9))
    movie.part(2, slice(110, 190), slice(195, 205))
    assert sorted(computed) == [(2, 1, 1), (2, 1, 2)]
    assert movie.grid().block[1:] == (100, 100)


def test_strips_of_a_row_are_read_together():
    movie = Movie.open(lazy((2, 400, 300), (1, 1, 300), []), limits=(0, 9))
    assert movie.grid().block[1:] == (64, 300)


def multiscale(path, shapes):
    group = zarr.create_group(str(path))
    axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    datasets = [{"path": str(k)} for k in range(len(shapes))]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    for k, shape in enumerate(shapes):
        array = group.create_array(str(k), shape=shape, chunks=(1, *shape[1:]), dtype=np.uint16)
        array[:] = k
    return path


def test_the_whole_frame_is_seen_at_the_coarsest_level_that_is_fine_enough(tmp_path):
    shapes = [(2, 101, 82), (2, 51, 41), (2, 26, 21), (2, 5, 4), (1, 13, 11)]
    movie = Movie.open(multiscale(tmp_path / "m.zarr", shapes), limits=(0, 10))
    assert movie.overview(1, 1) is None
    for step, factor, grey in ((2, 2, 0.1), (3, 2, 0.1), (4, 4, 0.2), (16, 4, 0.2), (20, 20, 0.3)):
        image, found = movie.overview(1, step)
        assert found == factor
        assert image == pytest.approx(grey)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_only_levels_that_are_means_and_all_there_stand_for_frames_that_are_halved(tmp_path, dtype):
    frames = (np.random.default_rng(0).random((3, 60, 44)) * 250).astype(dtype)
    path = multiscale(tmp_path / "m.zarr", [(3, 60, 44), (3, 30, 22), (3, 15, 11), (3, 20, 15)])
    full, half, quarter, _ = (
        zarr.open_group(path, mode="r+").create_array(
            str(k), shape=(3, 60 // n, 44 // n + (n == 3)), dtype=dtype, chunks=(1, 60, 44), overwrite=True
        )
        for k, n in enumerate((1, 2, 4, 3))
    )
    full[:] = frames
    means = frames.reshape(3, 30, 2, 22, 2).mean((2, 4))
    half[:] = np.rint(means) if dtype != np.float32 else means
    quarter[:] = frames.reshape(3, 15, 4, 11, 4).mean((2, 4)).astype(dtype)
    movie = Movie.open(path, limits=(0, 250))
    assert movie.halvings == (2, 4) and movie.grid(4).shape == (3, 15, 11)
    assert movie.part(1, slice(2, 9), slice(3, 5), step=2) == pytest.approx(half[1, 2:9, 3:5] / 250)
    shown = "levels  (3, 30, 22), (3, 15, 11), (3, 20, 15); large objects are looked at in 1/2 and 1/4"
    assert shown in movie.describe()
    quarter[:] = frames[:, ::4, ::4]
    assert Movie.open(path).halvings == (2,)
    half[1] = 0
    assert Movie.open(path).halvings == ()


def test_memory_that_is_not_enough_is_refused_with_what_it_takes(tmp_path):
    pixels = np.zeros((2, 64, 64), np.uint16)
    with pytest.raises(
        MovieError, match=r"0\.1 GB of memory are given, and a run on numpy array, \(2, 64, 64\) uint16, takes"
    ):
        Movie.open(pixels, ram="100MB")
    with pytest.raises(MovieError, match="'much' is no size; give bytes, or a number and a unit such as 500MB or 2GB"):
        Movie.open(pixels, ram="much")
    assert Movie.open(pixels, ram="1.5 GB").shape == pixels.shape


def uneven(shape, sides, computed):
    """A dask array of numbers of frames in chunks of any lengths, which notes the place of every one computed."""

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        (first, stop), *rest = block_info[None]["array-location"]
        return np.arange(first, stop, dtype=np.uint16)[:, None, None] + np.zeros([1, *(b - a for a, b in rest)], "u2")

    array = da.map_blocks(block, chunks=sides, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16))
    assert array.shape == shape
    return array


@pytest.mark.parametrize("sides", [((1, 4, 2), (30, 100, 20), (140,)), ((3, 1, 1, 2), (70, 80), (9, 60, 1, 70))])
def test_every_chunk_of_uneven_ones_is_computed_once_whoever_asks(sides):
    computed = []
    movie = Movie.open(uneven((7, 150, 140), sides, computed))
    assert movie.limits and movie.fingerprint
    for t in (*range(7), *range(6, -1, -1)):
        assert (movie.raw(t) == t).all()
        assert movie.part(t, slice(25, 135), slice(3, 11)).shape == (110, 8)
    assert sorted(computed) == sorted(itertools.product(*(range(len(side)) for side in sides)))
    part = Movie.open(uneven((7, 150, 140), sides, computed), limits=(0, 9)).part
    assert part(5, slice(40, 110), slice(0, 140)) == pytest.approx(5 / 9)


class Computed:
    """An array that is made when it is asked for, and notes what of it is."""

    def __init__(self, pixels):
        self.pixels, self.shape, self.dtype, self.asked = pixels, pixels.shape, pixels.dtype, []

    def __getitem__(self, index):
        self.asked.append(index[0])
        return self.pixels[index].copy()


def test_a_frame_of_an_array_that_is_not_in_chunks_is_asked_for_once():
    array = Computed(np.random.default_rng(0).integers(0, 999, (5, 150, 140)).astype(np.uint16))
    movie = Movie.open(array)
    assert movie.limits and movie.fingerprint and movie.grid().block[1:] == (150, 140)
    assert all(np.array_equal(movie.raw(t), array.pixels[t]) for t in range(5))
    assert sorted(array.asked) == [0, 1, 2, 3, 4]
