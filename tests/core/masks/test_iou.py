"""Overlap of masks that are tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_mosam.core.masks.iou import box_iou, mask_iou
from napari_mosam.core.masks.region import Region

MASKS = arrays(bool, (3, 7, 9), elements=st.booleans())


@given(MASKS, MASKS)
def test_it_is_that_of_regions(a, b):
    found = mask_iou(torch.from_numpy(a), torch.from_numpy(b))
    for k, iou in enumerate(found.tolist()):
        one, other = Region.from_mask(a[k]), Region.from_mask(b[k])
        assert iou == pytest.approx(one.iou(other) if one and other else 0.0)


def test_masks_broadcast_and_may_be_covered_in_part():
    candidates = torch.tensor([[[1.0, 0.5, 0.0]], [[0.0, 0.0, 0.0]]])
    assert mask_iou(candidates, torch.tensor([[1.0, 1.0, 0.0]])).tolist() == [0.75, 0.0]
    assert mask_iou(candidates > 0.4, torch.tensor([[True, True, True]])).tolist() == pytest.approx([2 / 3, 0.0])


@given(MASKS, MASKS)
def test_boxes_are_those_of_regions(a, b):
    found = box_iou(torch.from_numpy(a), torch.from_numpy(b))
    for k, iou in enumerate(found.tolist()):
        one, other = Region.from_mask(a[k]), Region.from_mask(b[k])
        expected = filled(one).iou(filled(other)) if one and other else 0.0
        assert iou == pytest.approx(expected)


def filled(region):
    return Region(region.origin_yx, np.ones_like(region.mask))
