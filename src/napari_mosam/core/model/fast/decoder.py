"""The mask decoder on tokens: sam2's two-way transformer, its upscaling and its heads."""

import math
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_mosam.core.model.fast.layers import Dense, Norm, Packer, mixed, through


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Attention with several heads between two sets of tokens."""

    queries: Dense
    keys: Dense
    values: Dense
    out: Dense
    n_heads: int

    @classmethod
    def of(cls, module: Any, packer: Packer) -> "Attention":
        """Of sam2's own."""
        scale = (module.q_proj.out_features // module.num_heads) ** -0.5
        queries = packer.dense(module.q_proj.weight.detach() * scale, module.q_proj.bias.detach() * scale)
        return cls(
            queries, packer.of(module.k_proj), packer.of(module.v_proj), packer.of(module.out_proj), module.num_heads
        )

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, onto: Tensor | None = None) -> Tensor:
        """Of (B, tokens, C), added to `onto` where it is given."""
        q, k, v = self._split(self.queries(queries)), self._split(self.keys(keys)), self._split(self.values(values))
        return self.out(mixed(q, k, v).transpose(1, 2).flatten(2), onto)

    def _split(self, tokens: Tensor) -> Tensor:
        return torch.unflatten(tokens, 2, (self.n_heads, -1)).transpose(1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class TwoWay:
    """One layer: output tokens look at themselves and at the image, and the image at them."""

    among: Attention
    after_among: Norm
    to_image: Attention
    after_image: Norm
    widen: Dense
    narrow: Dense
    after_wide: Norm
    to_tokens: Attention
    after_tokens: Norm
    first: bool

    def __call__(self, tokens: Tensor, image: Tensor, given: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Output tokens (B, T, C) and image tokens (B, N, C) after one layer.

        Parameters
        ----------
        tokens, image : Tensor
        given : Tensor, shape (B, T, C)
            The output tokens as they were at the start: their position codes.
        places : Tensor, shape (1, N, C)
            Position codes of the image.
        """
        if self.first:
            tokens = self.among(tokens, tokens, tokens)
        else:
            tokens = self.among(tokens + given, tokens + given, tokens, tokens)
        tokens = self.after_among(tokens)
        placed = image + places
        tokens = self.after_image(self.to_image(tokens + given, placed, image, tokens))
        tokens = self.after_wide(self.narrow(self.widen(tokens), tokens))
        image = self.after_tokens(self.to_tokens(placed, tokens + given, tokens, image))
        return tokens, image


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """All that the decoder says.

    Attributes
    ----------
    logits : Tensor, shape (B, 4, S / 4, S / 4)
        The single mask, then the three candidates.
    predicted_iou : Tensor, shape (B, 4)
    object_score : Tensor, shape (B,)
    tokens : Tensor, shape (B, 4, C)
    """

    logits: Tensor
    predicted_iou: Tensor
    object_score: Tensor
    tokens: Tensor


class MaskDecoder:
    """sam2's mask decoder.

    Parameters
    ----------
    decoder : sam2's MaskDecoder
    places : Tensor, shape (1, N, C)
        Position codes of the image's tokens.
    packer : Packer
    """

    def __init__(self, decoder: Any, places: Tensor, packer: Packer) -> None:
        self._places = packer.tensor(places)
        own = (decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight)
        self._own = packer.tensor(torch.cat(own)[None])
        transformer = decoder.transformer
        self._layers = [_two_way(layer, packer) for layer in transformer.layers]
        self._last = Attention.of(transformer.final_attn_token_to_image, packer)
        self._after_last = packer.norm(transformer.norm_final_attn)
        first, norm, _, second, _ = decoder.output_upscaling
        self._double, self._again = _doubling(first, packer), _doubling(second, packer)
        self._between = packer.norm(norm)
        self._masks = [packer.perceptron(head) for head in decoder.output_hypernetworks_mlps]
        self._iou = packer.perceptron(decoder.iou_prediction_head)
        self._score = packer.perceptron(decoder.pred_obj_score_head)
        self._probable = bool(decoder.iou_prediction_head.sigmoid_output)

    def placed(self, places: Tensor, packer: Packer) -> "MaskDecoder":
        """The same layers for an image of another size."""
        other = copy(self)
        other._places = packer.tensor(places)
        return other

    def __call__(self, image: Tensor, prompts: Tensor, middle: Tensor, fine: Tensor) -> Decoded:
        """Masks of image tokens.

        Parameters
        ----------
        image : Tensor, shape (B, N, C)
            With the codes of a mask prompt, or of none.
        prompts : Tensor, shape (B, P, C)
            Tokens of points.
        middle, fine : Tensor
            Features of stride 8 and 4, (B, c, H, W).
        """
        given = torch.cat([self._own.expand(len(image), -1, -1), prompts], 1)
        tokens = given
        for layer in self._layers:
            tokens, image = layer(tokens, image, given, self._places)
        tokens = self._after_last(self._last(tokens + given, image + self._places, image, tokens))
        pixels = self._upscaled(image, middle, fine)
        heads = [through(head, tokens[:, 2 + k]) for k, head in enumerate(self._masks)]
        logits = torch.stack(heads, 1) @ pixels.flatten(1, 2).transpose(1, 2)
        iou = through(self._iou, tokens[:, 1]).float()
        return Decoded(
            torch.unflatten(logits.float(), 2, pixels.shape[1:3]),
            iou.sigmoid() if self._probable else iou,
            through(self._score, tokens[:, 0]).float()[:, 0],
            tokens[:, 2 : 2 + len(heads)].float(),
        )

    def _upscaled(self, image: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        """Image tokens at stride 4, (B, H, W, C / 8)."""
        side = math.isqrt(image.shape[1])
        x = _spread(self._double(image), side) + _last_channel(middle)
        x = functional.gelu(self._between(x)).flatten(1, 2)
        return functional.gelu(_spread(self._again(x), 2 * side) + _last_channel(fine))


def _spread(x: Tensor, side: int) -> Tensor:
    """The four children of each token beside each other: (B, side², 4 c) to (B, 2 side, 2 side, c)."""
    children = x.view(len(x), side, side, 2, 2, -1).transpose(2, 3)
    return children.reshape(len(x), 2 * side, 2 * side, -1)


def _last_channel(level: Tensor) -> Tensor:
    return level.permute(0, 2, 3, 1)


def _doubling(module: Any, packer: Packer) -> Dense:
    """A transposed 2 x 2 convolution of stride 2 as a layer that gives the four children of a token."""
    weight = module.weight.detach().permute(2, 3, 1, 0).flatten(0, 2)
    return packer.dense(weight, module.bias.detach().repeat(4))


def _two_way(module: Any, packer: Packer) -> TwoWay:
    widen, narrow = module.mlp.layers
    return TwoWay(
        among=Attention.of(module.self_attn, packer),
        after_among=packer.norm(module.norm1),
        to_image=Attention.of(module.cross_attn_token_to_image, packer),
        after_image=packer.norm(module.norm2),
        widen=packer.of(widen, "relu"),
        narrow=packer.of(narrow),
        after_wide=packer.norm(module.norm3),
        to_tokens=Attention.of(module.cross_attn_image_to_token, packer),
        after_tokens=packer.norm(module.norm4),
        first=bool(module.skip_first_layer_pe),
    )
