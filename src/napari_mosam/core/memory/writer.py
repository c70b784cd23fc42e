"""The one place where masks are written to memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from napari_mosam.core.masks.overlap import suppress, upsample
from napari_mosam.core.model.protocol import ImageFeatures, Segmenter
from napari_mosam.core.windows.devices import put

if TYPE_CHECKING:
    from torch import Tensor


def own_logits(logits: "Tensor", rivals: "Tensor | None", size: int) -> "Tensor":
    """Mask logits as they are remembered: at the model's input size, without the pixels that rivals hold.

    Parameters
    ----------
    logits : Tensor, shape (B, s, s)
    rivals : Tensor, shape (B, size, size), or None
        The strongest logit of any other object, see :meth:`PixelOwnership.rivals`; None: nobody competes.
    size : int
        The model's input side, px.

    Returns
    -------
    Tensor, shape (B, size, size)
    """
    full = upsample(logits, size)
    return full if rivals is None else suppress(full, rivals)


def encode_memory(
    model: Segmenter, features: ImageFeatures, own: "Tensor", object_scores: Sequence[float], *, from_points: bool
) -> "Tensor":
    """Memory features of masks, as SAM 2 writes them (arXiv 2408.00714, section 4).

    Parameters
    ----------
    model : Segmenter
    features : ImageFeatures, length B
        Of the windows the masks lie in.
    own : Tensor, shape (B, S, S)
        See :func:`own_logits`.
    object_scores : sequence of float, length B
    from_points : bool
        Whether the user's prompts made the masks: such masks are binarised where the model was trained so.

    Returns
    -------
    Tensor, shape (B, M, h, w)
    """
    scores = put(torch.tensor(list(object_scores)), own.device)
    return model.encode_memory(features, own[:, None], scores, from_points=from_points)
