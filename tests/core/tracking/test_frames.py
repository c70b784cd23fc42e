"""What a run reads: only chunks under windows, each once, the next frame ahead, and the same labels as ever."""

import gc
import threading
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr
from tests.core.images.test_reading import Computed, lazy
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam.core.api import segment, track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.images.axes import plan_frames
from napari_mosam.core.images.grey.limits import GreyLimits
from napari_mosam.core.images.movie import Movie, MovieError
from napari_mosam.core.images.sources import open_source
from napari_mosam.core.prompts.collection import MaskPrompt, PointPrompt
from napari_mosam.core.store.result import Result
from napari_mosam.core.tracking.frames import ReadAhead

AHEAD = "mosam-read-ahead"
WITHOUT_MOTION = EngineConfig(motion=MotionConfig.off())


def scene(n=8):
    """Two small disks that walk through frames of 256 x 192 px."""
    images, labels = disks([[(40 + 3 * t, 40 + 2 * t), (200, 150 - 2 * t)] for t in range(n)], (256, 192), 5.0)
    noisy = images + np.random.default_rng(0).integers(0, 90, images.shape).astype(np.uint16)
    prompts = [MaskPrompt.from_frame(1, 0, labels[0] == 1), MaskPrompt.from_frame(2, n - 1, labels[n - 1] == 2)]
    return noisy, prompts


def ahead():
    return [thread for thread in threading.enumerate() if thread.name.startswith(AHEAD)]


def follow(movie, prompts, config=None, **options):
    return list(segment(movie, prompts, model=FakeSegmenter(), config=config, **options))


@pytest.mark.parametrize("kind", ["chunks", "deep chunks", "tiff"])
def test_labels_have_the_bits_of_those_of_an_array(tmp_path, kind):
    images, prompts = scene()
    if kind == "tiff":
        tifffile.imwrite(tmp_path / "m.tif", images, metadata={"axes": "TYX"})
        stored = tmp_path / "m.tif"
    else:
        chunks = (1, 64, 64) if kind == "chunks" else (5, 70, 192)
        stored = zarr.create_array(str(tmp_path / "m.zarr"), data=images, chunks=chunks)
    for one, other in zip(follow(images, prompts), follow(stored, prompts), strict=True):
        assert (one.t, one.direction, one.drift_yx) == (other.t, other.direction, other.drift_yx)
        assert np.array_equal(one.labels, other.labels) and np.array_equal(one.confidence, other.confidence)
        assert (one.flow is None) == (other.flow is None) and (one.flow is None or np.array_equal(one.flow, other.flow))


class Chunks:
    """A zarr store's array that notes which chunks are asked for, and by which thread."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.chunks, self.asked = array, array.shape, array.dtype, array.chunks, []
        self.threads = set()

    def __getitem__(self, index):
        t, *part = index
        self.threads.add(threading.current_thread().name)
        rows, columns = (range(p.start // n, -(-p.stop // n)) for p, n in zip(part, self.chunks[1:], strict=True))
        self.asked += [(t, y, x) for y in rows for x in columns]
        return self.array[index]


def test_only_chunks_under_windows_are_read_once_and_the_next_frame_ahead():
    images, prompts = scene()
    chunks = Chunks(zarr.array(images, chunks=(1, 64, 64)))
    results = follow(Movie.open(chunks, axes="TYX", limits=(0, 1100)), prompts, WITHOUT_MOTION)
    touched = set()
    for result in results:
        for o in result.objects:
            rows, columns = o.window.pixels(images.shape[1:])
            spans = [range(p.start // 64, -(-p.stop // 64)) for p in (rows, columns)]
            touched |= {(result.t, y, x) for y in spans[0] for x in spans[1]}
    assert len(chunks.asked) == len(set(chunks.asked))
    assert touched <= set(chunks.asked)
    assert len(chunks.asked) <= 1.2 * len(touched) < 0.8 * images.size / 64**2
    assert any(name.startswith(AHEAD) for name in chunks.threads)
    assert not ahead()


def test_windows_of_large_objects_are_read_from_a_level(tmp_path):
    """The full resolution is read around the mask alone, and the result says which levels took its place."""
    images, labels = disks([[(100 + 3 * t, 130)] for t in range(4)], (512, 512), 60.0)
    group = zarr.create_group(str(tmp_path / "m.zarr"))
    axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": p} for p in "012"]}]}
    for path, n in zip("012", (1, 2, 4), strict=True):
        level = images.reshape(4, 512 // n, n, 512 // n, n).mean((2, 4)).round().astype(np.uint16)
        group.create_array(path, data=level, chunks=(1, 64, 64))
    prompts = [MaskPrompt.from_frame(1, 0, labels[0] == 1)]
    source = open_source(tmp_path / "m.zarr")
    noted = [Chunks(one.pixels) for one in (source, *source.levels)]
    levels = tuple(replace(one, pixels=pixels) for one, pixels in zip(source.levels, noted[1:], strict=True))
    plan = plan_frames("m", source.shape, source.dtype, given="TYX", found=None, channel=None, z=None)
    movie = Movie(replace(source, pixels=noted[0], levels=levels), plan, GreyLimits(0, 1000))
    assert movie.halvings == (2, 4) and movie.fingerprint
    for chunks in noted:
        chunks.asked.clear()
    options = {"model": FakeSegmenter(), "config": WITHOUT_MOTION, "direction": "forward"}
    found, expected = (
        track(given, prompts, out=tmp_path / name, **options)
        for name, given in (("o", movie), ("whole", Movie.open(images, limits=(0, 1000))))
    )
    assert set(noted[0].asked) <= {(1, y, x) for y in range(3) for x in range(4)}  # the fingerprint read the others
    assert not noted[1].asked
    assert noted[2].asked and found.attrs["provenance"]["movie"]["halvings"] == [2, 4]
    assert all(iou(a == 1, b == 1) > 0.99 for a, b in zip(found.labels[:], expected.labels[:], strict=True))


def test_every_chunk_of_dask_is_computed_once_in_a_run_both_ways():
    _, prompts = scene()
    computed = []
    follow(lazy((8, 256, 192), (1, 100, 192), computed), prompts)
    assert len(computed) == len(set(computed)) == 8 * 3


def test_every_frame_of_an_array_that_is_not_in_chunks_is_asked_for_once_in_a_run_both_ways():
    images, prompts = scene()
    array = Computed(images)
    follow(array, prompts)
    assert sorted(array.asked) == list(range(8))


def test_a_frame_that_cannot_be_computed_fails_when_it_is_reached():
    _, prompts = scene()
    movie = Movie.open(lazy((8, 256, 192), (1, 256, 192), [], fails=(3, 0, 0)), limits=(0, 9))
    done = []
    with pytest.raises(MovieError, match=r"frame 3 of dask array cannot be read: mine"):
        for result in segment(movie, prompts[:1], model=FakeSegmenter(), direction="forward"):
            done.append(result.t)
    assert done == [0, 1, 2]
    gc.collect()
    assert not ahead()


def test_no_thread_is_left_of_a_run_that_is_dropped():
    images, prompts = scene()
    run = segment(images, prompts, model=FakeSegmenter())
    next(run)
    assert len(ahead()) == 1
    run.close()
    assert not ahead()


def test_the_next_frame_is_read_ahead_when_an_object_is_followed_again(tmp_path):
    images, prompts = scene()
    more = [*prompts, PointPrompt(1, 3, (49.0, 46.0))]
    chunks = Chunks(zarr.array(images, chunks=(1, 64, 64)))
    for name, movie in (("array", images), ("chunks", Movie.open(chunks, axes="TYX"))):
        track(images, prompts, out=tmp_path / name, model=FakeSegmenter(), config=WITHOUT_MOTION)
        chunks.threads.clear()
        rerun(tmp_path / name, movie, more, model=FakeSegmenter())
    assert any(name.startswith(AHEAD) for name in chunks.threads) and not ahead()
    one, other = (Result.open(tmp_path / name).labels for name in ("array", "chunks"))
    assert np.array_equal(one, other)


def test_what_is_asked_of_a_frame_is_there_on_the_next_one():
    images, _ = scene(2)
    chunks, part = Chunks(zarr.array(images, chunks=(1, 64, 64))), (slice(70, 90), slice(10, 20))
    with ReadAhead(Movie.open(chunks, axes="TYX", limits=(0, 1100)), range(2)) as read:
        assert read(0)[part].any() and read(1)[part].any()
    assert chunks.asked == [(0, 1, 0), (1, 1, 0)]
    assert not ahead()
