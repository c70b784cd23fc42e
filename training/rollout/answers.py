"""What is taken of the decoder's candidates, and what of it goes back to the model."""

import torch
from torch import Tensor

from napari_mosam.core.masks.overlap import upsample
from napari_mosam.core.model.protocol import MaskCandidates
from napari_mosam.core.model.queries import LARGEST_PROMPT_LOGIT
from napari_mosam.core.windows.sampling import NO_LOGIT


def best_of(decoded: MaskCandidates) -> MaskCandidates:
    """The candidate with the largest predicted IoU of each row, (N, 1, …)."""
    return decoded.chosen(decoded.predicted_iou.argmax(1))


def replaced(answer: MaskCandidates, rows: Tensor, other: MaskCandidates) -> MaskCandidates:
    """An answer with those of `rows` exchanged where the other one has a larger predicted IoU; scores stay."""
    taken = (other.predicted_iou > answer.predicted_iou[rows])[:, 0].nonzero()[:, 0]
    logits, ious, tokens = (
        getattr(answer, name).index_copy(0, rows[taken], getattr(other, name)[taken])
        for name in ("logits", "predicted_iou", "mask_tokens")
    )
    return MaskCandidates(logits, ious, answer.object_score, tokens)


def as_prompt(logits: Tensor) -> Tensor:
    """Mask logits (N, 1, s, s) as they are given back to the model."""
    return logits.detach().clamp(-LARGEST_PROMPT_LOGIT, LARGEST_PROMPT_LOGIT)


def rivals(logits: Tensor, ids: Tensor, size: int) -> Tensor:
    """The strongest logit of any other object of the same clip at each pixel; they all lie in one window.

    Parameters
    ----------
    logits : Tensor, shape (B O, s, s)
    ids : Tensor, shape (B, O)
        Rows with equal ids are one object.
    size : int
        Side of the result, px.

    Returns
    -------
    Tensor, shape (B O, size, size)
    """
    by_clip = upsample(logits.detach(), size).clamp(min=NO_LOGIT).unflatten(0, tuple(ids.shape))
    strongest = []
    for k in range(ids.shape[1]):
        same = (ids == ids[:, k, None])[..., None, None]
        strongest.append(torch.where(same, NO_LOGIT, by_clip).amax(1))
    return torch.stack(strongest, 1).flatten(0, 1)
