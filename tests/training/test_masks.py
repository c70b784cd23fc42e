"""Pixels and measures of masks."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from training.data.masks import around, extents, extents_of_ids, innermost, pick

from napari_mosam.core.masks.region import Region

MASKS = arrays(bool, (3, 16, 24))
SQUARES = arrays(bool, (2, 32, 32))


@given(MASKS, st.lists(st.floats(0, 1, exclude_max=True), min_size=3, max_size=3))
def test_a_picked_pixel_lies_in_its_mask(masks, u):
    xy, found = pick(torch.from_numpy(masks), torch.tensor(u))
    assert found.tolist() == masks.any((1, 2)).tolist()
    for mask, (x, y), inside in zip(masks, xy.long().tolist(), found.tolist(), strict=True):
        assert mask[y, x] or not inside


def test_every_pixel_is_picked_equally_often():
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[0, 1, 1:4] = mask[0, 4, 5] = True
    u = (torch.arange(400) + 0.5) / 400
    xy, _ = pick(mask.expand(400, -1, -1), u)
    counts = torch.bincount((xy[:, 1] * 6 + xy[:, 0]).long(), minlength=36)
    assert counts[counts > 0].tolist() == [100, 100, 100, 100]


@given(SQUARES, st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2))
@settings(max_examples=40)
def test_the_innermost_pixel_lies_in_its_mask(masks, u):
    for mask, (x, y) in zip(masks, innermost(torch.from_numpy(masks), torch.tensor(u)).long().tolist(), strict=True):
        assert mask[y, x] or not mask.any()


def test_the_innermost_pixel_of_a_disk_is_near_its_centre():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disk = ((y - 30) ** 2 + (x - 34) ** 2).sqrt() < 18
    tail = (y - 30).abs().lt(2) & (x < 34)
    xy = innermost((disk | tail)[None], torch.tensor([0.3]))[0]
    assert float((xy - torch.tensor([34.0, 30.0])).norm()) < 6


@given(MASKS)
def test_extents_are_those_of_regions(masks):
    found = extents(torch.from_numpy(masks))
    for k, mask in enumerate(masks):
        region = Region.from_mask(mask)
        assert found.area[k] == mask.sum()
        if region is not None:
            assert tuple(found.box[k].tolist()) == region.box
            assert tuple(found.center_yx[k].tolist()) == region.center_yx
            assert np.isclose(float(found.diameter[k]), region.diameter, atol=1e-4)


@given(arrays(np.int32, (2, 12, 9), elements=st.integers(0, 5)))
def test_extents_of_ids_are_those_of_their_masks(labels):
    given_labels = torch.from_numpy(labels)
    together = extents_of_ids(given_labels)
    for i in range(together.area.shape[1]):
        own = extents(given_labels == i)
        assert torch.equal(together.area[:, i], own.area)
        assert torch.equal(together.box[:, i], own.box)


def test_around_is_a_ring():
    mask = torch.zeros(1, 11, 11, dtype=torch.bool)
    mask[0, 5, 5] = True
    ring = around(mask, 2)[0]
    assert ring.sum() == 24
    assert not ring[5, 5]
