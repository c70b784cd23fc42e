import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn.functional import avg_pool2d

from napari_mosam.core.masks.raster import rasterise, rasterise_all, regions_of_logits
from napari_mosam.core.masks.region import Region, mask_diameter, meeting
from napari_mosam.core.windows.sampling import paste, sample
from napari_mosam.core.windows.window import Window

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
ORIGINS = st.tuples(st.integers(-6, 12), st.integers(-6, 12))


def painted(region):
    """The region on a canvas that reaches from -20 to 40."""
    canvas = np.zeros((60, 60), bool)
    y, x = region.origin_yx
    canvas[y + 20 : y + 20 + region.mask.shape[0], x + 20 : x + 20 + region.mask.shape[1]] = region.mask
    return canvas


def on_canvas(mask, origin):
    return painted(Region(origin, mask))


@given(MASKS, ORIGINS)
def test_a_region_is_the_tight_crop_of_a_mask(mask, origin):
    region = Region.from_mask(mask, origin)
    assert (region is None) == (not mask.any())
    if region is None:
        return
    assert np.array_equal(painted(region), on_canvas(mask, origin))
    assert region.area == mask.sum()
    for edge in (region.mask[0], region.mask[-1], region.mask[:, 0], region.mask[:, -1]):
        assert edge.any()
    ys, xs = np.nonzero(mask)
    assert region.box == (ys.min() + origin[0], xs.min() + origin[1], ys.max() + origin[0], xs.max() + origin[1])


@given(MASKS, ORIGINS, MASKS, ORIGINS)
def test_overlap_and_iou_are_those_of_the_painted_masks(mask_a, origin_a, mask_b, origin_b):
    assume(mask_a.any() and mask_b.any())
    a, b = Region.from_mask(mask_a, origin_a), Region.from_mask(mask_b, origin_b)
    both, either = painted(a) & painted(b), painted(a) | painted(b)
    assert a.overlap(b) == b.overlap(a) == both.sum()
    assert a.iou(b) == pytest.approx(both.sum() / either.sum())
    assert a.iou(a) == 1


@given(MASKS, st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
def test_a_shift_there_and_back_changes_nothing(mask, shift):
    assume(mask.any())
    region = Region.from_mask(mask, (3, 4))
    moved = region.shifted(shift)
    assert moved.center_yx == (region.center_yx[0] + shift[0], region.center_yx[1] + shift[1])
    assert moved.shifted((-shift[0], -shift[1])).iou(region) == 1


def test_a_region_does_not_share_memory_with_its_mask():
    mask = np.ones((3, 3), bool)
    region = Region.from_mask(mask)
    mask[:] = False
    assert region.area == 9


def test_diameter_of_a_disk_and_of_a_long_object():
    y, x = np.indices((41, 41))
    disk = Region.from_mask(np.hypot(y - 20, x - 20) <= 15)
    assert disk.diameter == pytest.approx(30, abs=1)
    assert Region.from_mask(np.ones((2, 60), bool)).diameter == pytest.approx(0.7 * 60)
    assert mask_diameter(100 * np.pi, (0, 0, 19, 19)) == pytest.approx(20)


@given(st.lists(st.none() | st.tuples(MASKS, ORIGINS), max_size=6))
def test_regions_meet_where_their_boxes_share_a_pixel(given_masks):
    regions = [None if one is None else Region.from_mask(*one) for one in given_masks]
    boxes = [None if region is None else painted(Region(region.origin_yx, region.mask | True)) for region in regions]
    expected = [[a is not None and b is not None and bool((a & b).any()) for b in boxes] for a in boxes]
    assert meeting(regions).tolist() == expected


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_the_regions_of_a_batch_are_those_of_each_mask_pasted_alone(n, seed):
    rng = np.random.default_rng(seed)
    windows = [Window.square(tuple(rng.uniform(-20, 70, 2)), rng.uniform(4, 90)) for _ in range(n)]
    logits = torch.from_numpy(rng.normal(-2, 4, (n, 8, 8)).astype(np.float32))
    for window, own, found in zip(windows, logits, regions_of_logits(logits, windows, (40, 50)), strict=True):
        (rows, columns), values = paste(own, window, (40, 50))
        alone = Region.from_mask((values > 0).numpy(), (rows.start, columns.start)) if values.numel() else None
        assert (alone is None) == (found is None)
        if alone is not None:
            assert found.origin_yx == alone.origin_yx and np.array_equal(found.mask, alone.mask)


@given(st.lists(st.none() | st.tuples(MASKS, ORIGINS), min_size=1, max_size=6), st.floats(3, 60), st.integers(1, 9))
def test_coverage_of_many_windows_is_that_of_each(given_masks, side, size):
    regions = [None if one is None else Region.from_mask(*one) for one in given_masks]
    windows = [Window.square((3.3 * k, 5.1), side) for k in range(len(regions))]
    together = rasterise_all(regions, windows, size)
    for region, window, coverage in zip(regions, windows, together, strict=True):
        expected = torch.zeros(size, size) if region is None else rasterise(region, window, size)[0]
        assert torch.equal(coverage, expected)
        if region is not None:
            finest = size * max(1, int(side / size))
            alone = sample(torch.from_numpy(painted(region).astype(np.float32))[None, None], on(window), finest)
            assert torch.allclose(avg_pool2d(alone, finest // size)[0], coverage, atol=1e-3)


def on(window):
    """A window in the coordinates of :func:`painted`."""
    return Window((window.center_yx[0] + 20, window.center_yx[1] + 20), window.size_yx)
