import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_mosam.core.masks.region import Region, mask_diameter

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
