"""What is read of a movie before its grey limits are known."""

import math

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.images.axes import plan_frames
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.grey.frame_samples import BUDGET, MAX_PIXELS, SamplePlan, read_frames, spread
from napari_mosam.core.images.reading import BlockCache, FrameReader
from napari_mosam.core.images.sources import open_source


class Imagined:
    """An array that is too large to exist and counts what would be decoded of it."""

    def __init__(self, shape, dtype, chunks=None):
        self.shape, self.dtype, self.chunks, self.decoded = shape, np.dtype(dtype), chunks, 0

    def __getitem__(self, index):
        chunks = self.chunks or (1,) * len(self.shape)
        sizes, decoded = [], []
        for i, n, c in zip(index, self.shape, chunks, strict=True):
            low, high, _ = (i, i + 1, 1) if isinstance(i, int) else i.indices(n)
            decoded.append(min(-(-high // c) * c, n) - low // c * c)
            sizes += [] if isinstance(i, int) else [high - low]
        self.decoded += math.prod(decoded) * self.dtype.itemsize
        return np.zeros(sizes, self.dtype)


def reader(source, plan):
    return FrameReader(source, plan, BlockCache(BUDGET))


def sample(array, axes="TYX", is_file=False, **choice):
    source = Source("imagined", "array", array, axes, array.chunks, is_file)
    choice = {"channel": None, "z": None, **choice}
    plan = plan_frames("imagined", array.shape, array.dtype, given=axes, found=None, **choice)
    made = SamplePlan.of(source, plan)
    return made, [(t, frame.shape) for t, frame in read_frames(reader(source, plan), made)]


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks", "is_file", "least"),
    [
        ((10_000, 2048, 2048), "u2", None, False, 32),
        ((10_000, 2048, 2048), "u2", (1, 2048, 2048), True, 32),
        ((10_000, 2048, 2048), "u2", (1, 256, 256), True, 32),
        ((10_000, 512, 512), "u2", (1, 512, 512), True, 64),
        ((10_000, 512, 512), "u2", (64, 512, 512), True, 64),
        ((10_000, 2048, 2048), "u2", (64, 256, 256), True, 32),
        ((300, 8192, 8192), "u2", (1, 512, 512), True, 8),
        ((300, 8192, 8192), "u2", (1, 8192, 8192), True, 2),
        ((300, 8192, 8192), "f4", None, False, 8),
        ((20, 64, 64), "f8", None, False, 20),
    ],
)
def test_enough_frames_are_read_and_no_more_than_the_budget(shape, dtype, chunks, is_file, least):
    array = Imagined(shape, dtype, chunks)
    _, read = sample(array, is_file=is_file)
    assert len(read) >= least
    assert array.decoded <= BUDGET
    frames = [t for t, _ in read]
    assert frames == sorted(set(frames)) and frames[-1] - frames[0] > 0.8 * (shape[0] - 1)


def test_channels_in_one_chunk_count():
    array = Imagined((500, 4, 1024, 1024), "u2", (1, 4, 1024, 1024))
    _, read = sample(array, "TCYX", is_file=True, channel=2)
    assert array.decoded <= BUDGET and len(read) == 32


def test_a_chunk_of_many_frames_is_decoded_once():
    counted = []

    def block(block_info=None):
        counted.append(block_info[None]["chunk-location"])
        return np.zeros((16, 32, 32), np.uint16)

    meta = np.empty((0, 0, 0), np.uint16)
    lazy = da.map_blocks(block, chunks=((16,) * 12, (32,), (32,)), dtype=np.uint16, meta=meta)
    source = open_source(lazy)
    plan = plan_frames("lazy", lazy.shape, lazy.dtype, given="TYX", found=None, channel=None, z=None)
    assert len(list(read_frames(reader(source, plan), SamplePlan.of(source, plan)))) == 64
    assert len(counted) == len(set(counted)) == 12


@pytest.mark.parametrize(
    ("axes", "chunks"),
    [("TYX", (5, 8, 9)), ("TYX", (1, 3, 4)), ("XTY", (9, 4, 8)), ("TZYX", (6, 1, 8, 9)), ("TCYXS", (2, 1, 8, 9, 3))],
)
def test_a_sampled_frame_is_the_frame(tmp_path, axes, chunks):
    sizes = {"T": 17, "Z": 2, "C": 2, "Y": 8, "X": 9, "S": 3}
    pixels = np.random.default_rng(0).integers(0, 999, [sizes[a] for a in axes]).astype(np.uint16)
    array = zarr.create_array(str(tmp_path / "a.zarr"), data=pixels, chunks=chunks)
    choice = {"channel": 1 if "C" in axes else None, "z": "max" if "Z" in axes else None}
    source = open_source(array)
    plan = plan_frames("a", pixels.shape, pixels.dtype, given=axes, found=None, **choice)
    read = dict(read_frames(reader(source, plan), SamplePlan.of(source, plan)))
    assert sorted(read) == list(range(17))
    for t, frame in read.items():
        np.testing.assert_array_equal(frame, plan.flatten(pixels[plan.index(t)]))


@given(
    st.tuples(st.integers(1, 10**5), st.integers(1, 10**4), st.integers(1, 10**4)),
    st.sampled_from(["u1", "u2", "f4", "f8"]),
    st.sampled_from([1, 1, 7, 64]),
    st.sampled_from([None, 64, 10**9]),
)
def test_plans_stay_inside_the_movie_and_the_memory(shape, dtype, depth, tile):
    chunks = None if tile is None else (min(depth, shape[0]), min(tile, shape[1]), min(tile, shape[2]))
    array = Imagined(shape, dtype, chunks)
    source = Source("imagined", "array", array, "TYX", chunks)
    made = SamplePlan.of(source, plan_frames("i", shape, array.dtype, given="TYX", found=None, channel=None, z=None))
    frames = [t for slab in made.slabs for t in slab.frames]
    assert frames and all(0 <= t < shape[0] for t in frames)
    assert all(t in slab.span and slab.span.stop <= shape[0] for slab in made.slabs for t in slab.frames)
    rows = sum(band.stop - band.start for band in made.bands)
    assert 0 < rows <= shape[1] and made.bands[-1].stop <= shape[1]
    assert len(frames) * -(-rows // made.step) * -(-shape[2] // made.step) <= 1.5 * MAX_PIXELS + 10**5


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_spread_numbers_hold_both_ends(n, wanted):
    found = spread(n, wanted)
    assert found == sorted(set(found)) and len(found) == min(n, wanted)
    assert found[0] == 0 and (wanted == 1 or found[-1] == n - 1)
