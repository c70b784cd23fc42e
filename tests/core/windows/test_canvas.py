"""Frames of which only parts are read: the same pixels as those of the whole frame, each tile read once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_mosam.core.windows.canvas import Canvas, shrink, shrink_in_strips
from napari_mosam.core.windows.pyramid import Pyramid, halve
from napari_mosam.core.windows.tiles import rectangles
from napari_mosam.core.windows.window import Window

CPU = torch.device("cpu")


def noise(shape):
    return np.random.default_rng(0).random(shape, np.float32)


def lazy(frame, tile, reads):
    def read(rows, columns):
        reads.append((rows, columns))
        return frame[rows, columns]

    return Canvas(frame.shape, tile, read)


def covered(shape, parts):
    count = np.zeros(shape, int)
    for part in parts:
        count[part] += 1
    return count


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_rectangles_cover_what_is_true_once_and_nothing_else(mask):
    assert np.array_equal(covered(mask.shape, rectangles(mask)), mask)


def test_only_the_tiles_that_are_looked_at_are_read_and_each_once():
    frame, reads = noise((50, 70)), []
    canvas = lazy(frame, (16, 16), reads)
    assert np.array_equal(canvas[10:20, 30:33], frame[10:20, 30:33])
    assert np.array_equal(covered(frame.shape, reads), np.pad(np.ones((32, 32), int), ((0, 18), (16, 22)))[:50, :70])
    assert np.array_equal(canvas[:, 60:], frame[:, 60:])
    assert covered(frame.shape, reads).max() == 1
    assert np.array_equal(np.asarray(canvas), frame)
    assert (covered(frame.shape, reads) == 1).all()


def test_what_cannot_be_read_is_asked_for_again():
    def broken(rows, columns):
        raise OSError("gone")

    canvas = Canvas((8, 8), (4, 4), broken)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            canvas.need([(slice(0, 2), slice(0, 2))])


@pytest.mark.parametrize("shape", [(64, 64), (301, 257), (5, 3), (1, 9)])
def test_halved_copies_have_the_bits_of_those_of_torch(shape):
    frame, whole = noise(shape), torch.from_numpy(noise(shape))[None, None]
    canvas = lazy(frame, (7, 5), [])
    for depth in range(1, 5):
        if min(whole.shape[-2:]) > 1:
            whole = halve(whole)
        level, _ = canvas.level(depth)
        assert np.array_equal(level[:, :], whole[0, 0].numpy())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-60, 360), st.floats(-60, 300), st.floats(4, 500)), min_size=1, max_size=6))
def test_windows_have_the_bits_of_the_whole_frame(given):
    frame = noise((301, 257))
    windows = [Window.square((y, x), side) for y, x, side in given]
    lazily = Pyramid.of(lazy(frame, (32, 32), []), CPU).crop(windows, 32)
    assert torch.equal(lazily, Pyramid(torch.from_numpy(frame)).crop(windows, 32))


def test_a_window_reads_little_more_than_it_covers():
    frame, reads = noise((512, 512)), []
    Pyramid.of(lazy(frame, (32, 32), reads), CPU).crop([Window.square((200.0, 300.0), 60.0)], 64)
    assert covered(frame.shape, reads).sum() == (3 * 32) ** 2


def test_the_shrunk_frame_comes_from_a_level_where_one_is_fine_enough():
    frame = noise((64, 48))
    canvas = Canvas(
        (64, 48), (64, 48), lambda r, c: frame[r, c], lambda step: (shrink(frame, 2), 2) if step >= 2 else None
    )
    for wanted, step in ((1, 1), (2, 2), (5, 4)):
        image, found = canvas.shrunk(wanted)
        assert found == step
        assert image == pytest.approx(shrink(frame, step), abs=1e-6)


def test_halved_copies_are_read_where_they_are_stored_and_asked_of_the_next_frame_too():
    frame, reads, asked = noise((64, 48)), [], []
    quarter = shrink(frame, 4) + 1

    def stored(step):
        return lazy(quarter, (8, 8), reads) if step == 4 else None

    canvas, following = (Canvas(frame.shape, (16, 16), lambda r, c: frame[r, c], stored=stored) for _ in range(2))
    canvas.asked = asked.append
    part = (slice(3, 5), slice(9, 12))
    level, scale = canvas.level(2)
    assert scale == 4 and np.array_equal(level[part], quarter[part])
    assert covered(quarter.shape, reads).sum() == 8 * 4 and not canvas.pixels.any()
    assert canvas.level(1)[0][:2, :2] == pytest.approx(shrink(frame, 2)[:2, :2])
    assert canvas.level(3)[0][:2, :2] == pytest.approx(shrink(quarter, 2)[:2, :2])
    asked[0](following)
    assert np.array_equal(following.level(2)[0].pixels[part], quarter[part]) and not following.pixels.any()


@pytest.mark.parametrize(("shape", "step"), [((200, 131), 3), ((64, 64), 8), ((70, 9), 4), ((130, 300), 2)])
def test_a_frame_shrunk_in_strips_is_the_frame_shrunk_and_is_read_once(shape, step):
    frame, reads = noise(shape), []

    def read(rows, columns):
        reads.append((rows, columns))
        return frame[rows, columns]

    small = shrink_in_strips(read, shape, step)
    height, width = (side // step for side in shape)
    blocks = frame[: height * step, : width * step].reshape(height, step, width, step)
    assert small.dtype == np.float32 and small.shape == (height, width)
    assert small == pytest.approx(blocks.astype(float).mean((1, 3)), abs=1e-6)
    assert np.array_equal(small, shrink(frame, step))
    assert covered(shape, reads).max() == 1
