"""Memory attention that trusts some memory tokens less than others.

Memory tokens cannot be left out: sam2 rotates the keys by repeating the position table of a whole token grid, so
every frame has to bring all of its tokens. What a pixel of the past may contribute is therefore set where keys are
weighed: with q, k, v of the cross-attention to memory, and w in [0, 1] per key,

    attention = softmax(q k^T / sqrt(d) + log(w + 1e-6)) v,

so that w multiplies a key's share: 1 leaves it as it was, 0 takes it away. The modules are sam2's own, in their own
order (Ravi et al. 2024, arXiv 2408.00714, section 4); only the sum of logits differs, and nothing in them is changed.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection

if TYPE_CHECKING:
    from sam2.modeling.memory_attention import MemoryAttention
    from sam2.modeling.sam.transformer import RoPEAttention

EPSILON = 1e-6
"""A key of weight 0 keeps this share; a row without any key would have no softmax."""


def key_bias(recalls: Sequence[MemorySelection], n_pointer_tokens: int) -> Tensor | None:
    """What is added to the attention logits of each memory token.

    Parameters
    ----------
    recalls : sequence of MemorySelection, length B
        All with the same number of frames.
    n_pointer_tokens : int
        Tokens of object pointers, which follow the spatial ones and get no bias.

    Returns
    -------
    Tensor of float32, shape (B, K), or None
        K = tokens of all frames + pointer tokens; on the device of the memories. None if no frame has a weight.

    Raises
    ------
    ValueError
        If a weight does not have the shape of its frame's memory grid.
    """
    if all(weight is None for recall in recalls for weight in recall.weights):
        return None
    spatial = torch.stack([torch.cat([_frame_bias(f, w) for f, w in _weighted(recall)]) for recall in recalls])
    return torch.nn.functional.pad(spatial, (0, n_pointer_tokens))


def attend_with_bias(
    attention: "MemoryAttention",
    image: Tensor,
    image_positions: Tensor,
    memory: Tensor,
    memory_positions: Tensor,
    n_pointer_tokens: int,
    bias: Tensor,
) -> Tensor:
    """What ``attention`` computes, with `bias` on the memory keys of every layer.

    Parameters
    ----------
    attention : MemoryAttention
        In evaluation mode; read, never changed.
    image, image_positions : Tensor, shape (B, N, C)
        Tokens of the current frame; N is a square number.
    memory, memory_positions : Tensor, shape (B, K, M)
        Spatial tokens of whole grids, then pointer tokens.
    n_pointer_tokens : int
        How many of the last tokens are pointers, which are not rotated.
    bias : Tensor, shape (B, K)
        Added to the logits; may be -inf, though not on all keys of a row.

    Returns
    -------
    Tensor, shape (B, N, C)
    """
    tokens = image + 0.1 * image_positions if attention.pos_enc_at_input else image
    for layer in attention.layers:
        tokens = layer._forward_sa(tokens, image_positions)
        queries = layer.norm2(tokens)
        tokens = tokens + cross_attention_with_bias(
            layer.cross_attn_image,
            queries + image_positions if layer.pos_enc_at_cross_attn_queries else queries,
            memory + memory_positions if layer.pos_enc_at_cross_attn_keys else memory,
            memory,
            n_pointer_tokens,
            bias,
        )
        tokens = tokens + layer.linear2(layer.activation(layer.linear1(layer.norm3(tokens))))
    return torch.as_tensor(attention.norm(tokens))


def cross_attention_with_bias(
    module: "RoPEAttention", queries: Tensor, keys: Tensor, values: Tensor, n_unrotated: int, bias: Tensor
) -> Tensor:
    """One rotary attention with `bias` (B, K) added to its logits, for all heads and queries alike.

    Parameters
    ----------
    module : RoPEAttention
        Its projections, heads and position table are used.
    queries : Tensor, shape (B, N, C)
    keys, values : Tensor, shape (B, K, M)
        The last `n_unrotated` keys have no place in the image.
    n_unrotated : int
    bias : Tensor, shape (B, K)

    Returns
    -------
    Tensor, shape (B, N, C)
    """
    q, k, v = projected(module, queries, keys, values, n_unrotated)
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None, None].to(q.dtype))
    return torch.as_tensor(module.out_proj(module._recombine_heads(mixed)))


def projected(
    module: "RoPEAttention", queries: Tensor, keys: Tensor, values: Tensor, n_unrotated: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as `module` compares them, (B, heads, tokens, channels): projected and rotated."""
    from napari_mosam.core.model.sam2_blocks import apply_rotary_enc

    given = ((module.q_proj, queries), (module.k_proj, keys), (module.v_proj, values))
    q, k, v = (module._separate_heads(project(tokens), module.num_heads) for project, tokens in given)
    n_rotated = k.shape[-2] - n_unrotated
    q, placed = apply_rotary_enc(
        q, k[:, :, :n_rotated], freqs_cis=_position_table(module, q), repeat_freqs_k=module.rope_k_repeat
    )
    return q, torch.cat([placed, k[:, :, n_rotated:]], 2), v


def _position_table(module: Any, q: Tensor) -> Tensor:
    table: Tensor = module.freqs_cis
    if table.shape[0] != q.shape[-2]:
        side = math.isqrt(q.shape[-2])
        table = module.compute_cis(end_x=side, end_y=side)
    return table.to(q.device)


def _weighted(recall: MemorySelection) -> list[tuple[MemoryFrame, Tensor | None]]:
    weights = recall.weights or (None,) * len(recall.frames)
    return [(frame, weight) for (_, frame), weight in zip(recall.frames, weights, strict=True)]


def _frame_bias(frame: MemoryFrame, weight: Tensor | None) -> Tensor:
    grid = frame.features.shape[-2:]
    if weight is None:
        return torch.zeros(grid.numel(), device=frame.features.device)
    if weight.shape != grid:
        raise ValueError(
            f"the weights of memory frame {frame.t} have shape {tuple(weight.shape)}; they must have that of its "
            f"memory grid, {tuple(grid)}"
        )
    return (weight.to(frame.features.device).float() + EPSILON).log().flatten()
