"""Memory attention on tokens: sam2's layers with what does not change from call to call computed once.

The position codes of queries are a constant. Rotary position coding multiplies pairs of channels by cos and sin of an
angle that depends on the token alone (Su et al. 2021, arXiv 2104.09864; in two dimensions Heo et al. 2024, arXiv
2403.13298): rotated(x) = x cos + J x sin, where J swaps the channels of a pair and changes one sign. J is multiplied
into the weights, so that one product gives both x and J x, and two multiplications are all that is left.

What is mixed are the remembered tokens themselves, and their 64 channels become values afterwards: the shares of a row
add up to 1, so that a (W x + b) = W (a x) + b, and one matrix does what the value and the output layer do.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_mosam.core.model.fast.layers import Dense, Norm, Packer, mixed

POSITION_SHARE = 0.1
"""Of the position code, in the input of SAM 2's memory attention."""


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """The angles of the tokens of a grid.

    Attributes
    ----------
    cos, sin : Tensor, shape (N, C)
        Each value twice in a row, for the two channels of a pair.
    """

    cos: Tensor
    sin: Tensor

    @classmethod
    def of(cls, attention: Any, side: int, packer: Packer) -> "Rotation":
        """Of one of sam2's rotary attentions, for a grid of `side` tokens a side."""
        angles = attention.compute_cis(end_x=side, end_y=side)
        cos, sin = (packer.tensor(part.repeat_interleave(2, 1)) for part in (angles.real, angles.imag))
        return cls(cos, sin)

    def __call__(self, both: Tensor, out: Tensor | None = None) -> Tensor:
        """Of (…, N, 2 C), x and J x side by side; (…, N, C), written to `out` where it is given."""
        x, turned = both.chunk(2, -1)
        return torch.addcmul(x * self.cos, turned, self.sin, out=out)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer: attention of the frame to itself, to memory, and a perceptron."""

    before: Norm
    queries_keys: Dense
    out: Dense
    between: Norm
    memory_queries: Dense
    memory_keys: Dense
    pointer_keys: Dense
    memory_out: Dense
    after: Norm
    widen: Dense
    narrow: Dense

    def __call__(self, x: Tensor, memory: "Memory", rotation: Rotation) -> Tensor:
        """Tokens (B, N, C) after one layer."""
        normed = self.before(x)
        queries, keys = self.queries_keys(normed).chunk(2, -1)
        x = self.out(mixed(rotation(queries), rotation(keys), normed), x)
        queries = rotation(self.memory_queries(self.between(x)))
        x = self.memory_out(mixed(queries, self._keys(memory, rotation), memory.values, memory.bias), x)
        return self.narrow(self.widen(self.after(x)), x)

    def _keys(self, memory: "Memory", rotation: Rotation) -> Tensor:
        """Keys of the remembered grids, rotated, and of the pointers, which have no place; (B, K, C)."""
        batch, n_tokens, _ = memory.values.shape
        of_pointers, of_frames = self.pointer_keys(memory.pointers), self.memory_keys(memory.frames)
        keys = of_pointers.new_empty(batch, n_tokens, of_pointers.shape[-1])
        placed = memory.frames.shape[1] * memory.frames.shape[2]
        rotation(of_frames, out=torch.unflatten(keys[:, :placed], 1, memory.frames.shape[1:3]))
        keys[:, placed:] = of_pointers
        return keys


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What is attended to.

    Attributes
    ----------
    frames : Tensor, shape (B, F, N, M)
        Tokens of the remembered grids with their position codes.
    pointers : Tensor, shape (B, P, M)
        Tokens of the object pointers with their codes.
    values : Tensor, shape (B, F N + P, M)
        All of them without.
    bias : Tensor, shape (B, 1, F N + P), or None
        Added to the logits.
    """

    frames: Tensor
    pointers: Tensor
    values: Tensor
    bias: Tensor | None


class MemoryReader:
    """sam2's memory attention.

    Parameters
    ----------
    attention : MemoryAttention
    here : Tensor, shape (1, N, C)
        Position codes of the frame's tokens.
    packer : Packer
    """

    def __init__(self, attention: Any, here: Tensor, packer: Packer) -> None:
        side = math.isqrt(here.shape[1])
        self._here = packer.exact(POSITION_SHARE * here)
        self._layers = [_layer(module, packer) for module in attention.layers]
        self._rotation = Rotation.of(attention.layers[0].self_attn, side, packer)
        self._last = packer.norm(attention.norm)

    def __call__(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Tokens (B, N, C) of the frame after attending to memory."""
        x = tokens + self._here
        for layer in self._layers:
            x = layer(x, memory, self._rotation)
        return self._last(x)


def _with_turned(module: Any, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer that gives x and J x side by side, times `scale`."""
    weight, bias = module.weight.detach() * scale, module.bias.detach() * scale
    return torch.cat([weight, _turned(weight)]), torch.cat([bias, _turned(bias)])


def _turned(rows: Tensor) -> Tensor:
    first, second = torch.unflatten(rows, 0, (-1, 2)).unbind(1)
    return torch.stack([-second, first], 1).flatten(0, 1)


def _layer(module: Any, packer: Packer) -> Layer:
    own, other = module.self_attn, module.cross_attn_image
    queries, keys = _with_turned(own.q_proj, _scale(own)), _with_turned(own.k_proj)
    return Layer(
        before=packer.norm(module.norm1),
        queries_keys=packer.dense(torch.cat([queries[0], keys[0]]), torch.cat([queries[1], keys[1]])),
        out=packer.of_two(own.v_proj, own.out_proj),
        between=packer.norm(module.norm2),
        memory_queries=packer.dense(*_with_turned(other.q_proj, _scale(other))),
        memory_keys=packer.dense(*_with_turned(other.k_proj)),
        pointer_keys=packer.of(other.k_proj),
        memory_out=packer.of_two(other.v_proj, other.out_proj),
        after=packer.norm(module.norm3),
        widen=packer.of(module.linear1, "relu"),
        narrow=packer.of(module.linear2),
    )


def _scale(attention: Any) -> float:
    return 1.0 / math.sqrt(attention.q_proj.out_features)
