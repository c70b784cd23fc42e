"""What is taken of the decoder's candidates, and what of it goes back to the model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mosam.core.model.protocol import MaskCandidates
from napari_mosam.core.model.queries import LARGEST_PROMPT_LOGIT
from napari_mosam.core.windows.sampling import NO_LOGIT


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What was taken for N objects: mask logits (N, s, s), their pointers (N, C), object scores and predicted IoUs."""

    logits: Tensor
    tokens: Tensor
    object_score: Tensor
    predicted_iou: Tensor


def best_of(decoded: MaskCandidates) -> Chosen:
    """The candidate with the largest predicted IoU of each row."""
    rows = torch.arange(len(decoded.object_score), device=decoded.object_score.device)
    best = decoded.predicted_iou.argmax(1)
    logits, tokens, ious = (getattr(decoded, n)[rows, best] for n in ("logits", "mask_tokens", "predicted_iou"))
    return Chosen(logits, tokens, decoded.object_score, ious)


def replaced(answer: Chosen, rows: Tensor, other: Chosen) -> Chosen:
    """An answer with those of `rows` exchanged where the other one has a larger predicted IoU; scores stay."""
    taken = (other.predicted_iou > answer.predicted_iou[rows]).nonzero()[:, 0]
    better = rows[taken]
    logits, tokens, ious = (
        getattr(answer, n).index_copy(0, better, getattr(other, n)[taken])
        for n in ("logits", "tokens", "predicted_iou")
    )
    return Chosen(logits, tokens, answer.object_score, ious)


def as_prompt(logits: Tensor) -> Tensor:
    """Mask logits (N, s, s) as they are given back to the model, (N, 1, s, s)."""
    return logits.detach().clamp(-LARGEST_PROMPT_LOGIT, LARGEST_PROMPT_LOGIT)[:, None]


def rivals(logits: Tensor, ids: Tensor) -> Tensor:
    """The strongest logit of any other object of the same clip at each pixel.

    Parameters
    ----------
    logits : Tensor, shape (B O, S, S)
    ids : Tensor, shape (B, O)
        Rows with equal ids are one object.
    """
    n_clips, n_objects = ids.shape
    by_clip = logits.detach().clamp(min=NO_LOGIT).view(n_clips, n_objects, *logits.shape[1:])
    strongest = []
    for k in range(n_objects):
        same = (ids == ids[:, k, None])[..., None, None]
        strongest.append(torch.where(same, NO_LOGIT, by_clip).amax(1))
    return torch.stack(strongest, 1).flatten(0, 1)
