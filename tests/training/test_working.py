"""Networks of several sizes and precisions are one network; attention written out is attention."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, scaled_dot_product_attention
from training.config import ModelConfig
from training.nano.networks import description_of, new_network
from training.nano.working import WorkingNetworks, WrittenOutAttention

from napari_mosam.core.model.protocol import PointPrompts
from napari_mosam.core.model.sam2_parts import MemoryBatch, Sam2Parts

SMOKE = ModelConfig(network="smoke.yaml")
SIZES = (64, 96)
ATTENTION = ((2, 1, 64, 64, 32), (3, 8, 7, 40, 8), (1, 4, 16, 64, 48))
"""Batch, heads, queries, keys, channels."""


def working(dtype: torch.dtype) -> tuple[torch.nn.Module, WorkingNetworks]:
    description = description_of(SMOKE)
    network = new_network(SMOKE, description, 1)
    return network, WorkingNetworks(network, description, SIZES, dtype)


def answers(parts: Sam2Parts) -> tuple[torch.Tensor, ...]:
    """A prompted window and one that remembers it: logits, IoUs, scores and memories, in float32."""
    rng = torch.Generator().manual_seed(3)
    size = parts.network.image_size
    images = torch.rand(2, size, size, generator=rng)
    features = parts.encode_image(images)
    points = PointPrompts(torch.full((2, 1, 2), size / 2), torch.ones(2, 1, dtype=torch.int32))
    first = parts.decode_masks(features, parts.without_memory(features), points=points)
    logits = torch.nn.functional.interpolate(first.logits[:, :1], (size, size), mode="bilinear")
    memory = parts.encode_memory(features.vision, logits, first.object_score, from_points=True)
    pointers = parts.object_pointers(first.mask_tokens[:, 0], first.object_score)
    batch = MemoryBatch(
        memory[:, None], torch.zeros(2, 1, dtype=torch.int64), pointers[:, None], torch.ones(2, 1, dtype=torch.int64)
    )
    second = parts.decode_masks(features, parts.attend(features, batch, 8).float(), mask_logits=first.logits[:, :1])
    return memory, first.logits, first.predicted_iou, first.object_score, second.logits, second.predicted_iou


def loss(parts: Sam2Parts) -> torch.Tensor:
    return torch.stack([answer.float().square().mean() for answer in answers(parts)]).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sizes_hold_the_same_weights_and_follow_the_optimiser(dtype):
    network, networks = working(dtype)
    small, large = (networks.parts(size) for size in SIZES)
    assert [parts.network.image_size for parts in (small, large)] == list(SIZES)
    ours = dict(small.network.named_parameters())
    assert all(ours[name] is parameter for name, parameter in large.network.named_parameters())
    before = [answers(parts)[0].detach() for parts in (small, large)]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.1)
    networks.refresh()
    for name, parameter in network.named_parameters():
        assert torch.equal(ours[name], parameter.to(dtype))
    assert all(not torch.equal(old, answers(parts)[0]) for old, parts in zip(before, (small, large), strict=True))


def test_rounded_weights_answer_as_those_they_are_made_of():
    exact, rounded = (working(dtype)[1].parts(96) for dtype in (torch.float32, torch.bfloat16))
    for theirs, ours in zip(answers(exact), answers(rounded), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)


@pytest.mark.slow
def test_gradients_of_rounded_weights_reach_those_that_are_kept():
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network, networks = working(dtype)
        for size in SIZES:
            loss(networks.parts(size)).backward()
            networks.collect()
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 100
    exact, rounded = (torch.cat([g.flatten() for g in gradients]) for gradients in found)
    assert rounded.dtype == torch.float32
    assert float(cosine_similarity(exact, rounded, 0)) > 0.99


def test_what_was_collected_is_not_collected_again():
    network, networks = working(torch.bfloat16)
    loss(networks.parts(64)).backward()
    networks.collect()
    before = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    networks.collect()
    for old, parameter in zip(before, network.parameters(), strict=True):
        assert (old is None and parameter.grad is None) or torch.equal(old, parameter.grad)


@pytest.mark.parametrize("shape", ATTENTION)
def test_attention_written_out_is_attention(shape):
    n, heads, queries, keys, channels = shape
    rng = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(n, heads, length, channels, generator=rng, dtype=torch.float64, requires_grad=True)
        for length in (queries, keys, keys)
    )
    fused = scaled_dot_product_attention(q, k, v)
    with WrittenOutAttention():
        ours = scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(ours, fused)
    weights = torch.randn(fused.shape, generator=rng, dtype=torch.float64)
    theirs = torch.autograd.grad(fused, (q, k, v), weights)
    for mine, other in zip(torch.autograd.grad(ours, (q, k, v), weights), theirs, strict=True):
        torch.testing.assert_close(mine, other)
