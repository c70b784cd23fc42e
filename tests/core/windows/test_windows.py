import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mosam.core.windows.pyramid import Pyramid, halve
from napari_mosam.core.windows.sampling import (
    move_logits,
    paste,
    paste_alike,
    placed,
    read_each,
    read_logits,
    read_places,
    read_windows,
    sample,
)
from napari_mosam.core.windows.window import Window

COORDINATE = st.floats(-200, 400)
SIDE = st.floats(0.5, 900)
WINDOWS = st.builds(Window, st.tuples(COORDINATE, COORDINATE), st.tuples(SIDE, SIDE))
SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def ramp(shape, dy=0.5, dx=-0.25):
    """Linear in both directions: bilinear resampling away from the edges reproduces it exactly."""
    y, x = np.indices(shape)
    return torch.from_numpy((dy * y + dx * x).astype(np.float32))


@given(WINDOWS, st.integers(1, 1024), st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5))
def test_to_model_and_to_frame_are_inverse(window, size, points):
    points = np.array(points)
    scale = size / np.array(window.size_yx)
    assert window.to_frame(window.to_model(points, size), size) == pytest.approx(points, abs=1e-6)
    assert window.to_model(window.to_frame(points, size), size) == pytest.approx(points, abs=1e-6 * max(1, *scale))


def test_model_pixels_cover_the_window_edge_to_edge():
    window = Window((10.0, 20.0), (8.0, 4.0))
    corners = window.to_frame(np.array([[-0.5, -0.5], [63.5, 63.5]]), 64)
    assert corners.tolist() == [[6.0, 18.0], [14.0, 22.0]]
    assert window.to_model(np.array([[10.0, 20.0]]), 64).tolist() == [[31.5, 31.5]]


@given(SHAPES)
def test_the_full_window_covers_the_frame(shape):
    window = Window.full(shape)
    assert window.start_yx == (-0.5, -0.5)
    assert window.pixels(shape) == (slice(0, shape[0]), slice(0, shape[1]))


@given(WINDOWS, SHAPES)
def test_pixels_are_those_whose_centre_lies_inside(window, shape):
    for axis, span in enumerate(window.pixels(shape)):
        start, side = window.start_yx[axis], window.size_yx[axis]
        inside = [k for k in range(shape[axis]) if start <= k < start + side]
        assert list(range(span.start, span.stop)) == inside


@pytest.mark.parametrize("shape", [(32, 32), (31, 45)])
def test_a_window_of_the_models_size_is_the_frame_itself(shape):
    frame = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    window = Window((15.5, 17.5), (16.0, 16.0))
    crop = Pyramid(frame).crop([window], 16)
    assert crop.shape == (1, 16, 16)
    assert torch.allclose(crop[0], frame[8:24, 10:26], atol=1e-5)


@settings(max_examples=40)
@given(st.floats(12, 40), st.floats(12, 40), st.floats(9, 20), st.sampled_from([16, 31, 64]))
def test_cropping_a_ramp_reads_it_at_the_model_pixels(y, x, side, size):
    window = Window.square((y, x), side)
    crop = Pyramid(ramp((53, 53))).crop([window], size)[0]
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).reshape(-1, 2)
    expected = window.to_frame(grid, size) @ [0.5, -0.25]
    assert crop.numpy().ravel() == pytest.approx(expected, abs=2e-3)


@settings(max_examples=40)
@given(
    st.floats(20, 30), st.floats(20, 30), st.floats(14, 40), st.floats(14, 40), st.sampled_from([(50, 50), (51, 47)])
)
def test_crop_then_paste_gives_a_smooth_image_back(y, x, height, width, shape):
    window = Window((y, x), (height, width))
    rows, columns = np.indices(shape)
    smooth = torch.from_numpy((np.sin(rows / 9) + np.cos(columns / 11)).astype(np.float32))
    region, values = paste(sample(smooth[None, None], window, 64)[0], window, shape)
    assert region == window.pixels(shape)
    inner = (slice(2, -2), slice(2, -2))
    assert torch.allclose(values[inner], smooth[region][inner], atol=0.03)


@given(WINDOWS, SHAPES)
@settings(max_examples=60)
def test_paste_fills_exactly_the_pixels_of_the_window(window, shape):
    region, values = paste(torch.full((8, 8), 2.5), window, shape)
    assert region == window.pixels(shape)
    assert torch.zeros(shape)[region].shape == values.shape
    assert values.numel() == 0 or torch.allclose(values, torch.tensor(2.5))


def test_paste_puts_a_blob_where_it_was_cropped():
    frame = torch.zeros(60, 80)
    frame[41:44, 61:64] = 1
    window = Window.square((45, 60), 32)
    region, values = paste(Pyramid(frame).crop([window], 64)[0], window, (60, 80))
    back = torch.zeros(60, 80)
    back[region] = values
    assert np.unravel_index(int(back.argmax()), back.shape) == (42, 62)
    assert float(back.sum()) == pytest.approx(9, rel=0.05)


@pytest.mark.parametrize("center", [(-500.0, 10.0), (10.0, 900.0)])
def test_a_window_outside_the_frame_pastes_nothing_and_repeats_the_edge(center):
    frame = ramp((20, 30))
    window = Window.square(center, 16)
    _, values = paste(torch.ones(8, 8), window, (20, 30))
    assert values.numel() == 0
    assert torch.isfinite(Pyramid(frame).crop([window], 16)).all()
    nearest = frame[0] if center[0] < 0 else frame[:, -1]
    assert Pyramid(frame).crop([window], 16).unique().numel() <= nearest.unique().numel() * 16


def test_the_frames_edge_is_repeated():
    frame = torch.zeros(20, 20)
    frame[0] = 1
    crop = Pyramid(frame).crop([Window.square((0, 10), 16)], 16)[0]
    assert torch.allclose(crop[:8], torch.tensor(1.0))


@pytest.mark.parametrize("shape", [(512, 512), (509, 511)])
def test_large_windows_are_averaged_not_aliased(shape):
    y, x = np.indices(shape)
    chequered = torch.from_numpy(((y + x) % 2).astype(np.float32))
    crop = Pyramid(chequered).crop([Window.full(shape)], 64)[0]
    assert torch.allclose(crop[1:-1, 1:-1], torch.tensor(0.5), atol=0.02)


def test_pyramid_levels_keep_the_position():
    shape = (400, 400)
    window = Window.square((199.5, 199.5), 320)
    crop = Pyramid(ramp(shape)).crop([window], 32)[0]
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), -1).reshape(-1, 2)
    assert crop.numpy().ravel() == pytest.approx(window.to_frame(grid, 32) @ [0.5, -0.25], abs=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 5)])
def test_tiny_frames_can_be_cropped(shape):
    crop = Pyramid(torch.ones(shape)).crop([Window.square((0, 0), 500), Window.full(shape)], 32)
    assert crop.shape == (2, 32, 32)
    assert torch.allclose(crop, torch.tensor(1.0))


def test_windows_of_a_batch_do_not_depend_on_each_other():
    frame = torch.rand(90, 70, generator=torch.Generator().manual_seed(1))
    windows = [Window.square((20, 20), 30), Window.square((60, 40), 150), Window.full((90, 70))]
    batch = Pyramid(frame).crop(windows, 32)
    for row, window in enumerate(windows):
        assert torch.equal(Pyramid(frame).crop([window], 32)[0], batch[row])


@given(st.integers(1, 7), st.integers(1, 7), st.integers(-3, 9), st.integers(-3, 9))
def test_reading_at_whole_pixels_gives_them_and_repeats_the_edge(height, width, y, x):
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    value = read_places(image, torch.tensor([[[float(y)]]]), torch.tensor([[[float(x)]]]))
    assert value.item() == pytest.approx(
        image[0, 0, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)].item(), abs=1e-3
    )


def test_halving_averages_blocks_and_repeats_an_odd_edge():
    assert halve(torch.tensor([[[[0.0, 2.0, 8.0]]]])).tolist() == [[[[1.0, 8.0]]]]


def test_a_stack_of_frames_gives_each_window_its_own_frame():
    frames = torch.rand(3, 90, 70, generator=torch.Generator().manual_seed(2))
    windows = [Window.square((20, 20), 30), Window.square((60, 40), 150), Window.full((90, 70))]
    together = Pyramid(frames).read(*placed(windows), 32)
    for row, window in enumerate(windows):
        assert torch.equal(Pyramid(frames[row]).crop([window], 32)[0], together[row])


def test_windows_have_all_channels_of_their_images():
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(3))
    centers, sizes = placed([Window((4.5, 9.5), (10.0, 20.0)), Window((14.5, 19.5), (10.0, 20.0))])
    found = read_windows(images, centers, sizes, 10)
    assert torch.allclose(found[0], images[0, :, :10].unflatten(-1, (-1, 2)).mean(-1)[:, :, :10], atol=1e-5)
    assert torch.allclose(found[1], images[1, :, 10:].unflatten(-1, (-1, 2)).mean(-1)[:, :, 5:], atol=1e-5)


@pytest.mark.parametrize(
    ("padding", "beyond"), [("border", [1.0, 1.0]), ("zeros", [0.0, 0.0]), ("reflection", [1.0, 2.0])]
)
def test_what_lies_beyond_an_image_is_chosen(padding, beyond):
    image = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
    columns = torch.tensor([[[-1.0, -2.0]]])
    found = read_places(image, torch.zeros_like(columns), columns, padding=padding)
    assert found.flatten().tolist() == pytest.approx(beyond, abs=1e-5)


def test_the_nearest_pixel_can_be_read():
    centers, sizes = placed([Window.full((2, 2))])
    ids = torch.tensor([[[[5.0, 9.0], [70000.0, 3.0]]]])
    found = read_windows(ids, centers, sizes, 6, padding="zeros", mode="nearest")[0, 0]
    assert found.tolist() == ids[0, 0].repeat_interleave(3, 0).repeat_interleave(3, 1).tolist()


@given(st.lists(st.tuples(COORDINATE, COORDINATE, st.floats(5, 300)), min_size=2, max_size=5))
def test_logits_move_in_a_batch_as_they_do_alone(given_windows):
    windows = [Window.square((y, x), side) for y, x, side in given_windows]
    wanted = windows[1:] + windows[:1]
    logits = 8 * torch.randn(len(windows), 16, 16, generator=torch.Generator().manual_seed(1))
    together = move_logits(logits, placed(windows), placed(wanted), 12)
    for row, own in enumerate(logits):
        assert torch.equal(read_logits(own, windows[row], wanted[row], 12)[0], together[row])


def test_logits_that_move_with_their_window_stay():
    logits = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1)).clamp(-30, 30)
    window = placed([Window.square((50, 60), 40)])
    assert torch.allclose(move_logits(logits, window, window, 16), logits, atol=1e-4)


@given(st.lists(WINDOWS, min_size=1, max_size=6), SHAPES, st.integers(0, 99))
@settings(max_examples=60)
def test_windows_are_pasted_in_a_batch_as_they_are_alone(windows, shape, seed):
    there = [window for window in windows if paste(torch.zeros(1, 1), window, shape)[1].numel()]
    logits = torch.randn(len(there), 8, 8, generator=torch.Generator().manual_seed(seed))
    parts, seen = [window.pixels(shape) for window in there], []
    for rows, values in paste_alike(logits, there, parts) if there else ():
        for row, own in zip(rows, values, strict=True):
            _, alone = paste(logits[row], there[row], shape)
            assert torch.equal(own[: alone.shape[0], : alone.shape[1]], alone)
            seen.append(row)
    assert sorted(seen) == list(range(len(there)))


@given(st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70), WINDOWS), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=60)
def test_small_images_are_read_together_as_they_are_alone(given_images, seed):
    rng = torch.Generator().manual_seed(seed)
    images, windows = (
        [torch.rand(h, w, generator=rng).numpy() for h, w, _ in given_images],
        [w for *_, w in given_images],
    )
    together = read_each(images, windows, 12)
    for row, (image, window) in enumerate(zip(images, windows, strict=True)):
        assert torch.equal(read_each([image], [window], 12)[0], together[row])
        assert torch.allclose(
            sample(torch.from_numpy(image)[None, None], window, 12, padding="zeros")[0], together[row], atol=1e-3
        )
