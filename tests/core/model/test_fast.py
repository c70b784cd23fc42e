"""The fast path is sam2's network: the same numbers from the same weights, in every way in which the engine asks."""

from statistics import geometric_mean

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from napari_mosam.core.config.run import ComputeConfig
from napari_mosam.core.model.compute import fixed_threads, resolve
from napari_mosam.core.model.configs import build_official
from napari_mosam.core.model.device import choose_fast
from napari_mosam.core.model.fast import layers
from napari_mosam.core.model.fast.layers import Packer
from napari_mosam.core.model.fast.order import nested, windows_of
from napari_mosam.core.model.fast.parts import FastParts
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection, PointPrompts
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.simulation import sample_movie

TOLERANCE = 1e-4
"""Of the norm of the numbers, in float32; found are at most 2e-6."""

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    with fixed_threads(1):
        yield


def random_official(name, size):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Sam2Segmenter(build_official(f"sam2.1_hiera_{name}.yaml", size), name)


def noise(n, side):
    return torch.rand(n, side, side, generator=torch.Generator().manual_seed(0))


def answers(model, images, shown=None):
    """All that a network says of windows, by name; `shown` are masks to remember, by default its own."""
    side, n = images.shape[-1], len(images)
    middle = PointPrompts(torch.full((n, 1, 2), side / 2), torch.ones(n, 1, dtype=torch.int32))
    features = model.encode_image(images)
    first = model.decode_masks(features, model.without_memory(features), points=middle)
    shown = interpolate(first.logits[:, :1], size=(side, side)) if shown is None else shown
    score = torch.linspace(-1, 1, n)  # the first one is absent
    memories = model.encode_memory(features, shown, score)
    pointers = model.object_pointers(first.mask_tokens[:, 0], score)
    frames = [MemoryFrame(t, *both, 0.9, 4.0, 50.0) for t, both in enumerate(zip(memories, pointers, strict=True))]
    slots = tuple((slot, frames[slot % n]) for slot in (0, 6, 5))
    weights = tuple(torch.linspace(0, 1, side * side // 256).view(side // 16, -1) for _ in slots)
    plain, weighted = MemorySelection(slots, slots[1:]), MemorySelection(slots, slots[1:], weights)
    attended = model.attend_memory(features, [plain] * n, 30)
    then = model.decode_masks(features, attended)
    single = model.decode_masks(features, attended, mask_logits=first.logits[:, :1], multimask=False)
    return {
        "features": features.vision,
        "stride 4": features.high_res[0],
        "stride 8": features.high_res[1],
        "click": first.logits,
        "memory": memories,
        "memory of a prompt": model.encode_memory(features, shown, score, from_points=True),
        "pointers": pointers,
        "pointers of masks": model.object_pointers_of_masks(features, (shown > 0).float()),
        "attended": attended,
        "weighted": model.attend_memory(features, [weighted] * n, 30),
        "logits": then.logits,
        "predicted IoU": then.predicted_iou,
        "object score": then.object_score,
        "tokens": then.mask_tokens,
        "single mask": single.logits,
        "its token": single.mask_tokens,
    }, shown


def distances(found, expected):
    """Of two sets of answers, relative, by name."""
    assert {name: x.shape for name, x in found.items()} == {name: x.shape for name, x in expected.items()}
    return {name: float((found[name] - x).norm() / x.norm()) for name, x in expected.items()}


def compared(plain, images):
    expected, shown = answers(plain.computed_by("plain"), images)
    return distances(answers(plain.computed_by("fast"), images, shown)[0], expected)


# ---- the same numbers


@pytest.mark.parametrize("side", [128, 192, 256])
def test_nano_is_the_same(side):
    """At 192 px the windows of 8 tokens do not fill the grid of 12: some are gathered, and filled up."""
    nano = load_model("nano", device="cpu", dtype="float32", image_size=side)
    assert max(compared(nano, noise(2, side)).values()) < TOLERANCE


SIZES = ["t", *(pytest.param(name, marks=pytest.mark.slow) for name in ("s", "b+", "l"))]


@pytest.mark.parametrize("name", SIZES)
def test_official_networks_are_the_same(name):
    assert max(compared(random_official(name, 512), noise(1, 512)).values()) < TOLERANCE


@pytest.mark.slow
def test_tiny_is_the_same_at_the_size_it_was_trained_for():
    assert max(compared(random_official("t", 1024), noise(1, 1024)).values()) < TOLERANCE


def cells(n, side):
    """Windows on simulated cells, (n, side, side)."""
    frame = torch.from_numpy(np.asarray(sample_movie(0, n_frames=1, vanish=[]).images[0], np.float32))
    whole = (frame - frame.min()) / (frame.max() - frame.min())
    cuts = [whole[None, None, 16 * k : 16 * k + 96, 16 * k : 16 * k + 96] for k in range(n)]
    return torch.cat([interpolate(cut, size=(side, side), mode="bilinear") for cut in cuts])[:, 0]


IMAGES = "features", "stride 4", "stride 8", "click", "memory", "attended", "weighted", "logits", "single mask"
"""Answers that have many numbers and no steps: an object score near 0 makes one pointer or another."""


def test_bfloat16_is_as_near_to_float32_as_autocast_is():
    exact = load_model("nano", device="cpu", dtype="float32").computed_by("plain")
    low = load_model("nano", device="cpu", dtype="bfloat16")
    images = cells(4, 256)
    expected, shown = answers(exact, images)
    ours, theirs = (
        distances(answers(low.computed_by(network), images, shown)[0], expected) for network in ("fast", "plain")
    )
    ratios = {name: ours[name] / theirs[name] for name in IMAGES}
    assert geometric_mean(ratios.values()) < 1.05, ratios


@pytest.mark.parametrize("width", [16, 6])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("heads", [(), (4,)])
@pytest.mark.parametrize("products", [False, True])
def test_attention_is_the_same_by_products_and_fused(width, biased, heads, products, monkeypatch):
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, *heads, *of, generator=draw) for of in ((20, 16), (30, 16), (30, width)))
    bias = torch.randn(3, *(1 for _ in heads), 1, 30, generator=draw) if biased else None
    expected = (q @ k.mT + (bias if biased else 0)).softmax(-1) @ v
    monkeypatch.setattr(layers, "_two_products", lambda *given: products)
    assert torch.allclose(layers.mixed(q, k, v, bias), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "width", "n", "matrix_unit", "expected"),
    [
        ("bfloat16", 16, 64, False, True),
        ("bfloat16", 16, 64, True, False),
        ("float32", 16, 64, False, False),
        ("float32", 8, 64, False, True),
        ("bfloat16", 16, 2048, False, False),
    ],
)
def test_products_are_taken_where_they_are_faster(dtype, width, n, matrix_unit, expected, monkeypatch):
    monkeypatch.setattr(layers, "has_matrix_unit", lambda: matrix_unit)
    q, k, v = (torch.empty(1, n, of, dtype=getattr(torch, dtype)) for of in (16, 16, width))
    assert layers._two_products(q, k, v) is expected


# ---- which network, and which path


def test_a_network_with_other_parts_is_computed_by_sam2(caplog):
    nano = load_model("nano", device="cpu", dtype="float32", image_size=64).computed_by("plain")
    assert FastParts.takes(nano.network)
    nano.network.memory_attention.pos_enc_at_input = False
    assert resolve(ComputeConfig(network="fast"), nano).network == "plain"
    assert "the fast path does not know all parts of 'nano'" in caplog.text
    assert Sam2Segmenter(nano.network, "other", fast=True).computed == "plain"


def test_the_fast_path_is_taken_where_it_was_tried():
    assert load_model("nano", device="cpu", image_size=64).computed == "fast"
    assert [choose_fast(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [True, False, False]


def test_both_paths_of_a_model_share_its_weights():
    fast = load_model("nano", device="cpu", image_size=64)
    plain = fast.computed_by("plain")
    assert (fast.computed, plain.computed) == ("fast", "plain")
    assert fast.network is plain.network and fast.computed_by("fast") is fast


# ---- layers


@pytest.mark.skipif(not Packer(torch.bfloat16, CPU).packs, reason="oneDNN lays nothing out here")
@pytest.mark.parametrize(("activation", "added"), [("none", False), ("gelu", False), ("relu", False), ("none", True)])
def test_a_packed_layer_is_the_layer(activation, added):
    module, x = torch.nn.Linear(48, 96), noise(2, 48) - 0.5
    packed, plain = (Packer(dtype, CPU).of(module, activation) for dtype in (torch.bfloat16, torch.float32))
    onto = torch.ones(2, 48, 96) if added else None
    low = packed(x.bfloat16(), None if onto is None else onto.bfloat16())
    assert torch.allclose(low.float(), plain(x, onto), atol=0.02)


# ---- the order of tokens


@pytest.mark.parametrize("side", [4, 6, 12, 16, 48])
def test_four_tokens_in_a_row_are_a_block_of_the_grid_of_half_the_side(side):
    y, x = np.divmod(nested(side), side)
    quarter = np.stack([y // 2, x // 2]).reshape(2, -1, 4)
    assert (quarter == quarter[..., :1]).all()
    assert (quarter[0, :, 0] * (side // 2) + quarter[1, :, 0] == nested(side // 2)).all()
    assert sorted(nested(side)) == list(range(side * side))


@pytest.mark.parametrize(("side", "window"), [(16, 8), (48, 4), (48, 16), (12, 4)])
def test_windows_that_fill_the_grid_are_runs_of_tokens(side, window):
    windows = windows_of(side, window, pooled=False, device=CPU)
    assert windows.into is None and windows.n_tokens == window**2
    y, x = (np.divmod(nested(side), side)[k].reshape(-1, window**2) // window for k in (0, 1))
    assert (np.ptp(y, axis=1) == 0).all() and (np.ptp(x, axis=1) == 0).all()


@pytest.mark.parametrize(("side", "window", "pooled"), [(12, 8, False), (32, 14, True), (28, 14, False), (6, 14, True)])
def test_other_windows_are_gathered_and_put_back(side, window, pooled):
    windows = windows_of(side, window, pooled=pooled, device=CPU)
    into = windows.into.view(-1, window**2)
    y, x = np.divmod(np.append(nested(side), -1)[into], side)
    real = into.numpy() < side**2
    for places in (y, x):
        of_window = np.ma.masked_where(~real, places // window)
        assert (of_window.max(1) == of_window.min(1)).all()
    values = torch.arange(side**2 + 1)[windows.into]
    if pooled:
        values = values.view(-1, 4)[:, 0] // 4
    assert torch.equal(values[windows.back], torch.arange(side**2 // (4 if pooled else 1)))
