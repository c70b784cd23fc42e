"""The loss of one decode: masks, predicted IoU and object score.

Masks are judged by their raw logits, whether the model thinks the object is there or not, and only the best of
several candidates is taught (Ravi et al. 2024, arXiv 2408.00714, appendix). A focal loss in place of the
cross-entropies collapses to empty masks on small objects; the balanced term, whose weight falls, does not.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, softplus

from napari_mosam.core.masks.iou import mask_iou
from napari_mosam.core.masks.overlap import upsample
from napari_mosam.core.model.protocol import MaskCandidates
from training.config import LossConfig

SLIVER = 0.05
"""An object of which less than this share of its first area is seen is neither there nor away: it is not judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Parts of a loss, each a weighted mean over objects."""

    mask: Tensor
    iou: Tensor
    score: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.mask + self.iou + self.score

    def __add__(self, other: "Losses") -> "Losses":
        return Losses(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, factor: float) -> "Losses":
        return Losses(*(getattr(self, f.name) * factor for f in fields(self)))

    @classmethod
    def nothing(cls, device: torch.device) -> "Losses":
        """Zero."""
        zero = torch.zeros((), device=device)
        return cls(zero, zero, zero)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What N objects look like on a frame, at the resolution of the loss.

    Attributes
    ----------
    masks : Tensor, shape (N, H, H)
        Coverage of each pixel, in [0, 1].
    present, absent : Tensor of bool, shape (N,)
        Whether the object is surely seen, and surely not.
    """

    masks: Tensor
    present: Tensor
    absent: Tensor

    @classmethod
    def of(cls, masks: Tensor, first_area: Tensor) -> "Target":
        """Target of binary masks (N, S, S) at half their resolution; `first_area` (N,) is that of the first frame."""
        area = masks.flatten(1).sum(1)
        return cls(avg_pool2d(masks[:, None].float(), 2)[:, 0], area > SLIVER * first_area, area == 0)

    def take(self, rows: Tensor) -> "Target":
        """The rows of some objects."""
        return Target(self.masks[rows], self.present[rows], self.absent[rows])


@dataclass(frozen=True, slots=True)
class EntropyWeights:
    """Weights of the plain and of the balanced cross-entropy at some point of a run."""

    bce: float
    balanced: float

    @classmethod
    def at(cls, progress: float, config: LossConfig) -> "EntropyWeights":
        """Linear in the share of the run that is done, until they have settled."""
        share = min(1.0, progress / config.settled) if config.settled > 0 else 1.0
        (bce, late_bce), (balanced, late_balanced) = config.bce, config.balanced
        return cls(bce + (late_bce - bce) * share, balanced + (late_balanced - balanced) * share)


def decode_losses(decoded: MaskCandidates, target: Target, config: LossConfig, weights: EntropyWeights) -> Losses:
    """Loss of candidates (N, K, …) against the truth.

    Parameters
    ----------
    decoded : MaskCandidates
        Straight from the decoder, logits not gated by the object score.
    target : Target
    config : LossConfig
    weights : EntropyWeights
    """
    logits = enlarged(decoded.logits, target.masks.shape[-1])
    each = mask_losses(logits, target.masks[:, None], config, weights)
    wrong = (decoded.predicted_iou - true_ious(logits, target.masks)).abs().mean(1)
    score = binary_cross_entropy_with_logits(decoded.object_score, target.present.float(), reduction="none")
    ious = mean_over(wrong, target.present) + config.absent_iou * mean_over(wrong, target.absent)
    return Losses(
        mean_over(each.amin(1), target.present),
        config.iou * ious,
        config.score * mean_over(score, target.present | target.absent),
    )


def mask_losses(logits: Tensor, masks: Tensor, config: LossConfig, weights: EntropyWeights) -> Tensor:
    """Loss of each mask: logits (N, K, H, H) against coverage (N, 1 or K, H, H), (N, K)."""
    entropy = softplus(logits) - logits * masks
    pixels = weights.bce * entropy.mean((-2, -1)) + weights.balanced * balanced_entropy(entropy, masks)
    return pixels + config.dice * dice(logits, masks)


def balanced_entropy(entropy: Tensor, masks: Tensor) -> Tensor:
    """Mean of the entropies' means inside and outside the mask, over the last two axes."""
    inside = (entropy * masks).sum((-2, -1)) / (masks.sum((-2, -1)) + 1)
    outside = (entropy * (1 - masks)).sum((-2, -1)) / ((1 - masks).sum((-2, -1)) + 1)
    return 0.5 * (inside + outside)


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice coefficient of probabilities and masks, over the last two axes; both are added one pixel."""
    found = logits.sigmoid()
    both = (found * masks).sum((-2, -1))
    return 1 - (2 * both + 1) / (found.sum((-2, -1)) + masks.sum((-2, -1)) + 1)


@torch.no_grad()
def true_ious(logits: Tensor, masks: Tensor) -> Tensor:
    """IoU of each candidate (N, K, H, H) with the mask (N, H, H), (N, K)."""
    return mask_iou(logits > 0, masks[:, None] > 0.5)


def enlarged(logits: Tensor, size: int) -> Tensor:
    """Logits (N, K, h, w) at a side of `size`, bilinear."""
    return upsample(logits.flatten(0, 1), size).view(*logits.shape[:2], size, size)


def mean_over(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of the values of some rows; 0 if there are none."""
    weights = rows.float()
    return (values * weights).sum() / weights.sum().clamp(min=1)
