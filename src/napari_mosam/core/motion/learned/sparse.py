"""Sparse motion encoder: from an object's latest boxes and key points to where they are on the coming frame.

MoSAM's sparse encoder reads the key points of past masks (arXiv 2505.00739, section 3.1); its form is not published,
this one is ours. A small transformer reads one token per past frame and one per motion that the image offers for the
coming frame. It weighs those motions against each other, adds a correction, and says how far off it may be.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_mosam.core.motion.history import CANDIDATES, CUE_WIDTH, N_FRAMES, N_POINTS, SIGHT_WIDTH

LOG_VAR_RANGE = (-12.0, 3.0)
"""Range of the log variances: standard deviations of .0025 to 4.5 diameters, no surer and no less sure; not
measured."""

MOST_LIKELY_SHIFT = 3.0
"""Diameters; larger numbers in the input are cut there. The shipped encoder was trained so."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseForecast:
    """Where objects are expected, in units of their diameter on the frame before, beyond the motion of the frame.

    Attributes
    ----------
    shift : Tensor, shape (B, 2)
        Motion (dy, dx) of the box's centre.
    growth : Tensor, shape (B, 2)
        Change of the log height and width of the box.
    points : Tensor, shape (B, N_POINTS, 2)
        Motion of the key points.
    log_var : Tensor, shape (B, 4)
        Log variance of dy, dx, the growth and the points' motion.
    """

    shift: Tensor
    growth: Tensor
    points: Tensor
    log_var: Tensor

    def cpu(self) -> "SparseForecast":
        """The same in main memory."""
        return SparseForecast(self.shift.cpu(), self.growth.cpu(), self.points.cpu(), self.log_var.cpu())

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of the centre along an axis, (B,), diameters."""
        return self.log_var[:, :2].exp().mean(1).sqrt()


class SparseMotionEncoder(nn.Module):
    """See the module.

    Parameters
    ----------
    width : int
        Of the tokens.
    n_layers, n_heads : int
        Of the transformer.
    """

    def __init__(self, width: int = 80, n_layers: int = 2, n_heads: int = 4) -> None:
        super().__init__()
        self.sight = nn.Linear(SIGHT_WIDTH, width)
        self.cue = nn.Linear(CUE_WIDTH, width)
        self.age = nn.Parameter(0.02 * torch.randn(N_FRAMES, width))
        self.kind = nn.Parameter(0.02 * torch.randn(len(CANDIDATES), width))
        layer = nn.TransformerEncoderLayer(
            width, n_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, n_layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.weight = nn.Linear(width, 1)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4 + 2 * N_POINTS + 4))
        self.parameters_json: dict[str, Any] = {"width": width, "n_layers": n_layers, "n_heads": n_heads}

    def forward(self, frames: Tensor, candidates: Tensor) -> SparseForecast:
        """Forecast a batch.

        Parameters
        ----------
        frames : Tensor, shape (B, N_FRAMES, SIGHT_WIDTH)
        candidates : Tensor, shape (B, len(CANDIDATES), CUE_WIDTH)
            See :func:`~napari_mosam.core.motion.history.describe`; NaN marks what is missing, but the first candidate
            is always there.
        """
        missing = torch.cat([frames[..., 0].isnan(), candidates[..., 0].isnan()], 1)
        frames, candidates = _bounded(frames), _bounded(candidates)
        tokens = torch.cat([self.sight(frames) + self.age, self.cue(candidates) + self.kind], 1)
        tokens = self.layers(tokens, src_key_padding_mask=missing)[:, N_FRAMES:]
        logits = self.weight(tokens)[..., 0].masked_fill(missing[:, N_FRAMES:], -torch.inf)
        mixed = (logits.softmax(1)[..., None] * candidates[..., :2]).sum(1)
        out = self.head(tokens[:, 0])
        shift = mixed + out[:, :2]
        points = shift[:, None] + out[:, 4 : 4 + 2 * N_POINTS].unflatten(1, (N_POINTS, 2))
        return SparseForecast(shift, out[:, 2:4], points, out[:, -4:].clamp(*LOG_VAR_RANGE))


def _bounded(numbers: Tensor) -> Tensor:
    return numbers.nan_to_num().clamp(-MOST_LIKELY_SHIFT, MOST_LIKELY_SHIFT)
