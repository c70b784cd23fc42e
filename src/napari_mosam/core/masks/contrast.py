"""How much an object stands out from its surroundings, seen in its own window."""

from typing import TYPE_CHECKING

from torch.nn.functional import adaptive_avg_pool2d, max_pool2d

if TYPE_CHECKING:
    from torch import Tensor


GAP, RING = 1, 3
"""Pixels of the mask grid between a mask and the ring it is compared with, and the width of that ring; not measured."""


def contrasts(images: "Tensor", mask_logits: "Tensor") -> "tuple[Tensor, Tensor]":
    """Mean grey value inside masks less that of a ring around them, and the spread within the ring.

    Parameters
    ----------
    images : Tensor, shape (B, S, S)
        Windows, values in [0, 1].
    mask_logits : Tensor, shape (B, s, s)
        Positive inside; S is a multiple of s.

    Returns
    -------
    contrast, spread : Tensor, shape (B,)
        In units of the movie's range; NaN where a mask or its ring is empty.
    """
    small = adaptive_avg_pool2d(images[:, None], mask_logits.shape[-1])
    inside = (mask_logits > 0).float()[:, None]
    ring = _grown(inside, GAP + RING) - _grown(inside, GAP)
    mean_in, mean_ring = _mean(small, inside), _mean(small, ring)
    spread = _mean((small - mean_ring[:, None, None, None]) ** 2, ring).sqrt()
    return mean_in - mean_ring, spread


def _grown(mask: "Tensor", by: int) -> "Tensor":
    return max_pool2d(mask, 2 * by + 1, stride=1, padding=by)


def _mean(image: "Tensor", weight: "Tensor") -> "Tensor":
    return (image * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
