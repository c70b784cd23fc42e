"""Weights of memory pixels: 1 changes nothing, 0 is as if the token were not there, None is sam2's own call."""

from types import SimpleNamespace

import pytest
import torch
from sam2.modeling.sam import transformer

from napari_mosam.core.model import memory_attention as attention
from napari_mosam.core.model.configs import build_official
from napari_mosam.core.model.memory_attention import attend_with_bias, cross_attention_with_bias, key_bias
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter

SIDE = 16
LENGTH = 30


def official_tiny():
    torch.manual_seed(0)
    return Sam2Segmenter(build_official("sam2.1_hiera_t.yaml", SIDE * 16), "tiny")


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu", dtype="float32").computed_by("plain")


@pytest.fixture(scope="module", params=["nano", "tiny"])
def model(request):
    return request.getfixturevalue("nano") if request.param == "nano" else official_tiny()


@pytest.fixture(scope="module")
def features(model):
    return model.encode_image(noise(3, 256, 256))


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def recall(model, n_frames=3, n_pointers=3, weights=(), seed=0):
    """A prompted frame, the latest tracked ones, and pointers to some of them."""
    generator = torch.Generator().manual_seed(seed)

    def frame(t):
        spatial = torch.randn(model.network.mem_dim, SIDE, SIDE, generator=generator)
        return MemoryFrame(t, spatial, torch.randn(model.network.hidden_dim, generator=generator), 0.9, 4.0, 50.0)

    frames = [frame(t) for t in range(n_frames)]
    slots = [0, *range(model.num_maskmem - n_frames + 1, model.num_maskmem)]
    pointers = tuple((n_frames - f.t, f) for f in frames[:n_pointers])
    return MemorySelection(tuple(zip(slots, frames, strict=True)), pointers, weights)


def weighted(read, *weights):
    return MemorySelection(read.frames, read.pointers, weights)


def half():
    """Weight 0 on the left, 1 on the right of the grid."""
    return (torch.arange(SIDE) >= SIDE // 2).float().expand(SIDE, SIDE)


def relative(one, other):
    return float((one - other).norm() / other.norm())


def without_keys(monkeypatch, kept):
    """Make sam2 itself attend, in double precision, to the kept memory keys (K,) alone."""

    def attend(q, k, v, dropout_p=0.0):
        if k.shape[-2] == len(kept):
            k, v = k[:, :, kept], v[:, :, kept]
        q, k, v = q.double(), k.double(), v.double()
        return ((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v).float()

    monkeypatch.setattr(transformer, "F", SimpleNamespace(scaled_dot_product_attention=attend))


def cross_inputs(module, n_frames=2, n_pointer_tokens=8, batch=2):
    n_keys = n_frames * SIDE**2 + n_pointer_tokens
    queries = noise(batch, SIDE**2, module.embedding_dim) - 0.5
    keys, values = (noise(batch, n_keys, module.kv_in_dim, seed=seed) - 0.5 for seed in (1, 2))
    return queries, 4 * keys, values, n_pointer_tokens


def rotary(n_heads, feat_sizes=(SIDE, SIDE)):
    torch.manual_seed(1)
    return transformer.RoPEAttention(
        64, n_heads, downsample_rate=1, kv_in_dim=32, rope_k_repeat=True, feat_sizes=feat_sizes
    ).eval()


# ---- one attention


@pytest.mark.parametrize("n_heads", [1, 4])
@pytest.mark.parametrize("n_pointer_tokens", [0, 8])
@torch.no_grad()
def test_a_bias_of_minus_infinity_removes_keys(n_heads, n_pointer_tokens, monkeypatch):
    module = rotary(n_heads)
    inputs = cross_inputs(module, n_pointer_tokens=n_pointer_tokens)
    kept = noise(inputs[1].shape[1], seed=3) > 0.6
    bias = torch.zeros(2, len(kept)).masked_fill(~kept, -torch.inf)
    ours = cross_attention_with_bias(module, *inputs, bias)
    untouched = module(*inputs)
    without_keys(monkeypatch, kept)
    removed = module(*inputs)
    assert torch.allclose(ours, removed, atol=1e-5)
    assert relative(untouched, removed) > 0.05


@pytest.mark.parametrize("feat_sizes", [(SIDE, SIDE), (64, 64)])
@torch.no_grad()
def test_no_bias_is_the_module_itself_whatever_grid_its_table_is_for(feat_sizes):
    module = rotary(2, feat_sizes)
    inputs = cross_inputs(module)
    ours = cross_attention_with_bias(module, *inputs, torch.zeros(2, inputs[1].shape[1]))
    assert module.freqs_cis.shape[0] == feat_sizes[0] * feat_sizes[1]
    assert torch.allclose(ours, module(*inputs), atol=1e-6)


@torch.no_grad()
def test_a_weight_multiplies_the_share_of_a_key(monkeypatch):
    """A key of weight 1/2 counts as half of itself: two such copies make one."""
    module = rotary(1)
    queries, keys, values, _ = cross_inputs(module, n_frames=1, n_pointer_tokens=4)
    once = cross_attention_with_bias(module, queries, keys, values, 4, torch.zeros(2, keys.shape[1]))
    twice = [torch.cat([tokens, tokens[:, -4:]], 1) for tokens in (keys, values)]
    bias = torch.tensor([0.0] * SIDE**2 + [0.5] * 8)
    bias[-8:] = bias[-8:].log()
    assert torch.allclose(once, cross_attention_with_bias(module, queries, *twice, 8, bias.expand(2, -1)), atol=1e-6)


# ---- the whole memory attention


@torch.no_grad()
def test_a_network_with_keys_biased_away_is_one_without_them(model, features, monkeypatch):
    read = recall(model)
    network, top = model.network, features.vision[:1].flatten(2).transpose(1, 2)
    batch = model.batched([read])
    memory, positions = model.parts.spatial_tokens(batch)
    pointers, pointer_positions = model.parts.pointer_tokens(batch, LENGTH)
    memory, positions = torch.cat([memory, pointers], 1), torch.cat([positions, pointer_positions], 1)
    here, n_pointers = model.parts.image_positions.transpose(0, 1), pointers.shape[1]
    kept = noise(memory.shape[1], seed=5) > 0.7
    bias = torch.zeros(1, len(kept)).masked_fill(~kept, -torch.inf)
    ours = attend_with_bias(network.memory_attention, top, here, memory, positions, n_pointers, bias)
    without_keys(monkeypatch, kept)
    given = [tokens.transpose(0, 1) for tokens in (top, memory, here, positions)]
    assert torch.allclose(ours, network.memory_attention(*given, n_pointers).transpose(0, 1), atol=1e-4)


def test_pixels_of_weight_zero_are_as_if_they_were_not_there(model, features, monkeypatch):
    read, one = recall(model), features.take([0])
    weights = (torch.zeros(SIDE, SIDE), None, half())
    ours = model.attend_memory(one, [weighted(read, *weights)], LENGTH)
    monkeypatch.setattr(attention, "EPSILON", 1e-30)
    exact = model.attend_memory(one, [weighted(read, *weights)], LENGTH)
    unweighted = model.attend_memory(one, [read], LENGTH)
    n_pointer_tokens = model.parts.pointer_tokens(model.batched([read]), LENGTH)[0].shape[1]
    spatial = torch.cat([torch.ones(SIDE**2) if w is None else w.flatten() for w in weights])
    without_keys(monkeypatch, torch.cat([spatial, torch.ones(n_pointer_tokens)]) > 0)
    removed = model.attend_memory(one, [read], LENGTH)
    assert torch.allclose(exact, removed, atol=1e-4)
    assert relative(ours, removed) < 0.02 * relative(unweighted, removed)


def test_weights_of_one_change_nothing(model, features):
    ones = torch.ones(SIDE, SIDE)
    read = [recall(model, seed=seed) for seed in range(3)]
    plain = model.attend_memory(features, read, LENGTH)
    assert torch.allclose(
        model.attend_memory(features, [weighted(r, *[ones] * 3) for r in read], LENGTH), plain, atol=1e-5
    )


@pytest.mark.parametrize("weights", [(), (None, None, None)])
def test_without_weights_it_is_exactly_sam2s_own_attention(model, features, weights, monkeypatch):
    """sam2's own conditioning on the same memory, bit for bit."""
    monkeypatch.delattr(attention, "scaled_dot_product_attention")
    read = recall(model, weights=weights)
    positions = model.network.memory_encoder.position_encoding(torch.zeros(1, model.network.mem_dim, SIDE, SIDE))
    stored = {
        f.t: {"maskmem_features": f.features[None], "maskmem_pos_enc": [positions], "obj_ptr": f.pointer[None]}
        for _, f in read.frames
    }
    with torch.no_grad():
        theirs = model.network._prepare_memory_conditioned_features(
            frame_idx=3,
            is_init_cond_frame=False,
            current_vision_feats=[features.vision[:1].flatten(2).permute(2, 0, 1)],
            current_vision_pos_embeds=[model.parts.image_positions],
            feat_sizes=[(SIDE, SIDE)],
            output_dict={"cond_frame_outputs": {0: stored.pop(0)}, "non_cond_frame_outputs": stored},
            num_frames=LENGTH,
        )
    nearest_first = MemorySelection(read.frames, (read.pointers[0], *reversed(read.pointers[1:])), weights)
    assert torch.equal(model.attend_memory(features.take([0]), [nearest_first], LENGTH), theirs)


def test_objects_with_and_without_weights_share_a_batch(model, features):
    plain = [recall(model, seed=seed) for seed in range(3)]
    some = [plain[0], weighted(plain[1], half(), None, half()), weighted(plain[2], None, None, None)]
    together = model.attend_memory(features, some, LENGTH)
    unweighted = model.attend_memory(features, plain, LENGTH)
    alone = model.attend_memory(features.take([1]), [some[1]], LENGTH)
    assert torch.allclose(together[[0, 2]], unweighted[[0, 2]], atol=1e-5)
    assert torch.allclose(together[1], alone[0], atol=1e-5)
    assert relative(together[1], unweighted[1]) > 1e-3


def test_objects_with_few_memories_are_not_biased_by_those_with_many(nano):
    two = nano.encode_image(noise(2, 256, 256))
    short, long = recall(nano, 1, 0), recall(nano, 5, 4)
    together = nano.attend_memory(two, [short, weighted(long, *[half()] * 5)], LENGTH)
    assert torch.equal(together[:1], nano.attend_memory(two.take([0]), [short], LENGTH))


def test_pointers_keep_their_weight(model):
    read = recall(model, 2, 2, (torch.zeros(SIDE, SIDE), torch.ones(SIDE, SIDE)))
    bias = key_bias([read], 8)
    assert bias.shape == (1, 2 * SIDE**2 + 8)
    assert torch.allclose(bias[0, : SIDE**2].exp(), torch.tensor(1e-6))
    assert bias[0, SIDE**2 :].abs().max() < 1e-5
    assert torch.equal(bias[0, -8:], torch.zeros(8))


def test_bfloat16_weighs_as_float32_does(nano):
    low = load_model("nano", device="cpu", dtype="bfloat16").computed_by("plain")
    two = nano.encode_image(noise(2, 256, 256))
    read = [weighted(recall(nano, seed=seed), half(), None, half()) for seed in range(2)]
    unweighted = nano.attend_memory(two, [MemorySelection(r.frames, r.pointers) for r in read], LENGTH)
    full = nano.attend_memory(two, read, LENGTH)
    assert relative(low.attend_memory(two, read, LENGTH), full) < 0.25 * relative(unweighted, full)


def test_a_weighted_call_leaves_the_network_as_it_was(nano):
    network, one = nano.network, nano.encode_image(noise(1, 256, 256))
    modules, state = list(network.modules()), {k: v.clone() for k, v in network.state_dict().items()}
    plain = nano.attend_memory(one, [recall(nano)], LENGTH)
    nano.attend_memory(one, [weighted(recall(nano), half(), half(), half())], LENGTH)
    assert all(a is b for a, b in zip(modules, network.modules(), strict=True))
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert torch.equal(nano.attend_memory(one, [recall(nano)], LENGTH), plain)


# ---- what is refused


def test_a_weight_for_each_frame_or_none_at_all(nano):
    with pytest.raises(ValueError, match="a recall of 3 frames got 2 weights"):
        recall(nano, 3, 3, (None, half()))


def test_a_weight_of_another_grid_is_refused(nano):
    read = recall(nano, 1, 1, (torch.ones(SIDE, SIDE + 1),))
    with pytest.raises(ValueError, match=r"memory frame 0 have shape \(16, 17\).*\(16, 16\)"):
        nano.attend_memory(nano.encode_image(noise(1, 256, 256)), [read], LENGTH)
