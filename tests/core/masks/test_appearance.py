"""How much an object stands out."""

import pytest
import torch

from napari_mosam.core.masks.contrast import contrasts

Y, X = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
DISK = ((Y - 64) ** 2 + (X - 64) ** 2).sqrt() < 24


def masks():
    return torch.where(DISK, 5.0, -5.0)[None, 2::4, 2::4]


@pytest.mark.parametrize("height", [0.4, -0.3, 0.0])
def test_contrast_is_what_the_inside_has_over_its_ring(height):
    image = torch.where(DISK, 0.5 + height, 0.5)[None]
    contrast, spread = contrasts(image, masks())
    assert float(contrast) == pytest.approx(height, abs=0.02)
    assert float(spread) < 0.05


def test_an_empty_mask_has_no_contrast():
    contrast, _ = contrasts(torch.rand(1, 128, 128), torch.full((1, 32, 32), -5.0))
    assert contrast.isnan().all()


def test_what_lies_far_away_does_not_count():
    image = torch.where(DISK, 0.9, 0.5)
    image[:10] = 0.0
    contrast, _ = contrasts(image[None], masks())
    assert float(contrast) == pytest.approx(0.4, abs=0.02)
