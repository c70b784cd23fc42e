"""How far each pixel of a remembered mask can be trusted: pure functions from logits to weights of memory tokens.

The confidence of a pixel is c = |2p - 1|, 0 where the mask is undecided and 1 where it is certain; the weight of a
memory token follows from the mean confidence of the pixels under it. An independent form of MoSAM's spatial memory
selection (arXiv 2505.00739); the constants are ours.
"""

from typing import TYPE_CHECKING

from torch.nn.functional import avg_pool2d

from napari_mosam.core.model.protocol import LOGIT_STRIDE, MEMORY_STRIDE

if TYPE_CHECKING:
    from torch import Tensor


def pixel_confidence(mask_logits: "Tensor") -> "Tensor":
    """Mean confidence of a mask in each cell of the memory grid.

    Parameters
    ----------
    mask_logits : Tensor, shape (B, 1, S, S) or (B, S/4, S/4)
        Logits at the model's input size, or as they are decoded; S a multiple of 16.

    Returns
    -------
    Tensor of float32, shape (B, S/16, S/16)
        |2p - 1| with p = sigmoid(logit), averaged; in [0, 1].

    Raises
    ------
    ValueError
        If the shape is another one.
    """
    decoded = mask_logits.ndim == 3
    cell = MEMORY_STRIDE // LOGIT_STRIDE if decoded else MEMORY_STRIDE
    full = mask_logits[:, None] if decoded else mask_logits
    if full.ndim != 4 or full.shape[1] != 1 or full.shape[2] % cell or full.shape[3] % cell:
        raise ValueError(
            f"mask logits of shape {tuple(mask_logits.shape)} have no memory grid; give (B, 1, S, S) or "
            f"(B, S/{LOGIT_STRIDE}, S/{LOGIT_STRIDE}) with S a multiple of {MEMORY_STRIDE}"
        )
    # |2 sigmoid(x) - 1| = tanh(|x| / 2), which loses no digits near 1
    return avg_pool2d((full.float().abs() / 2).tanh(), cell)[:, 0]


def weight(confidence: "Tensor", low: float, high: float) -> "Tensor":
    """Weight of memory tokens: 0 up to the confidence `low`, 1 from `high` on, linear between.

    Parameters
    ----------
    confidence : Tensor, shape (..., h, w)
        In [0, 1].
    low, high : float
        0 <= low < high <= 1.

    Returns
    -------
    Tensor, shape of `confidence`
        clip((c - low) / (high - low), 0, 1).
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"confidence limits {low} and {high} are not possible; give 0 <= low < high <= 1")
    return ((confidence - low) / (high - low)).clamp(0, 1)


def filtered(features: "Tensor", weight: "Tensor") -> "Tensor":
    """Memory features (M, h, w) scaled by the weight (h, w) of their pixels.

    The literal reading of 'filtering memory features', for comparison. The tokens stay among the keys and draw
    attention through their position codes, so a zeroed pixel is not a pixel that was left out: on remembered real
    cells the result lies further from true removal than that of no filter at all.
    """
    return features * weight.to(features)
