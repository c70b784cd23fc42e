import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_mosam.core.config.engine import MemoryConfig
from napari_mosam.core.memory.reliability import filtered, pixel_confidence, weight

LOGITS = arrays("float32", (2, 8, 12), elements=st.floats(-60, 60, width=32)).map(torch.from_numpy)
CONFIDENCES = arrays("float32", (3, 4), elements=st.floats(0, 1, width=32)).map(torch.from_numpy)
LIMITS = st.tuples(st.integers(0, 20), st.integers(0, 20)).filter(lambda p: p[0] != p[1]).map(sorted)


@given(LOGITS)
def test_confidence_is_a_mean_of_numbers_between_zero_and_one(logits):
    confidence = pixel_confidence(logits)
    p = logits.double().sigmoid()
    assert confidence.shape == (2, 2, 3)
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    expected = (2 * p - 1).abs().reshape(2, 2, 4, 3, 4).mean((2, 4))
    assert torch.allclose(confidence.double(), expected, atol=1e-6)


@given(LOGITS, st.floats(1, 10))
def test_confidence_ignores_the_side_and_grows_with_the_logit(logits, factor):
    confidence = pixel_confidence(logits)
    assert torch.equal(confidence, pixel_confidence(-logits))
    assert (pixel_confidence(logits * factor) >= confidence - 1e-6).all()


@given(LOGITS)
def test_full_size_and_decoded_logits_give_the_same_grid(logits):
    full = logits.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None]
    assert torch.allclose(pixel_confidence(full), pixel_confidence(logits), atol=1e-6)


def test_a_cell_takes_only_the_pixels_under_it():
    logits = torch.zeros(1, 1, 32, 32)
    logits[..., :16, 16:24] = -100
    assert pixel_confidence(logits).tolist() == [[[0, 0.5], [0, 0]]]


def test_logits_of_half_precision_are_averaged_in_full():
    assert pixel_confidence(torch.full((1, 1, 16, 16), 3.0, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (32, 32), (1, 1, 40, 32), (1, 6, 8)])
def test_logits_without_a_memory_grid_are_refused(shape):
    with pytest.raises(ValueError, match="no memory grid"):
        pixel_confidence(torch.zeros(shape))


@given(CONFIDENCES, CONFIDENCES, LIMITS)
def test_weights_are_bounded_and_never_fall_as_confidence_grows(one, other, limits):
    low, high = (limit / 20 for limit in limits)
    less, more = (weight(c, low, high) for c in (torch.minimum(one, other), torch.maximum(one, other)))
    assert less.min() >= 0
    assert more.max() <= 1
    assert (less <= more).all()


@given(CONFIDENCES, LIMITS)
def test_weights_are_zero_below_the_limits_and_one_above(confidence, limits):
    low, high = (limit / 20 for limit in limits)
    weights = weight(confidence, low, high)
    assert (weights[confidence <= low] == 0).all()
    assert (weights[confidence >= high + 1e-6] == 1).all()
    assert (weights[(confidence > low + 1e-6) & (confidence < high - 1e-6)] % 1 != 0).all()


def test_the_default_ramp_runs_from_a_fifth_to_three_fifths():
    weights = weight(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.6, 1.0]), *MemoryConfig().pixel_range)
    assert torch.allclose(weights, torch.tensor([0, 0, 0.25, 0.5, 1, 1]), atol=1e-6)


@pytest.mark.parametrize("limits", [(0.6, 0.2), (0.4, 0.4), (-0.1, 0.5), (0.5, 1.1)])
def test_impossible_limits_are_refused(limits):
    with pytest.raises(ValueError, match="give 0 <= low < high <= 1"):
        weight(torch.zeros(2, 2), *limits)


def test_features_are_scaled_pixel_by_pixel():
    features = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    scaled = filtered(features, torch.tensor([[0.0, 1.0], [0.5, 0.25]]))
    assert scaled.dtype == features.dtype
    assert torch.equal(scaled[:, 0, 0], torch.zeros(5).bfloat16())
    assert torch.equal(scaled[:, 0, 1], features[:, 0, 1])
    assert torch.equal(scaled[:, 1], features[:, 1] * torch.tensor([0.5, 0.25]).bfloat16())
