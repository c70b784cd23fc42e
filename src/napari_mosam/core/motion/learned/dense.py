"""Dense motion encoder: from SAM 2's features of two frames and the last mask to the motion of every pixel.

MoSAM's dense encoder finds the optical flow of the masked object (arXiv 2505.00739, section 3.1); its form is not
published, this one is ours. The features of the frame before are brought to the place of the window on the coming
frame, moved by the motion that is expected. What is left is found by correlation within a small radius, first at
stride 8, then, after warping by the answer, at stride 4; small convolutional networks weigh the correlations.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, pad

from napari_mosam.core.model.protocol import ImageFeatures
from napari_mosam.core.windows.sampling import NO_LOGIT, Mode, Padding, read_places, read_windows
from napari_mosam.core.windows.window import Window

FIELD = 0.5
"""Share of the window's side, around its middle, in which motion is found: the object and its surroundings. The
shipped encoder was trained so; others were not compared."""

LOG_SCALE_RANGE = (-3.0, 3.0)
"""Range of the log of the expected error: .05 to 20 cells of the grid, no surer and no less sure; not measured."""

MASK_SCALE = 4.0
"""Logits are divided by this and squashed before they are read; the shipped encoder was trained so."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseFlow:
    """Motion beyond what was expected, on the stride-4 grid of the middle of the window on the coming frame.

    Attributes
    ----------
    flow : Tensor, shape (B, 2, s, s)
        (dy, dx) in grid cells: what lies here moved by this much more than expected since the frame before.
    log_scale : Tensor, shape (B, 1, s, s)
        Log of the mean absolute error of each component.
    mask : Tensor, shape (B, 1, s, s)
        The last mask's logits, warped to where they are now.
    coarse : Tensor, shape (B, 2, s / 2, s / 2)
        The flow of the first step, in cells of its own grid.
    """

    flow: Tensor
    log_scale: Tensor
    mask: Tensor
    coarse: Tensor

    @property
    def sigma(self) -> Tensor:
        """Expected absolute error of each component inside the mask, as a fraction of the window's side, (B,)."""
        inside = self.mask.sigmoid()
        mean = (self.log_scale.exp() * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1e-6)
        return mean * FIELD / self.flow.shape[-1]


def placement(before: Window, after: Window, shift_yx: tuple[float, float]) -> tuple[float, float, float, float]:
    """Where the window on the coming frame, moved back by the expected motion, lies in the one before.

    Returns
    -------
    tuple of float
        Scale (y, x) and offset (y, x): a place u in [-1, 1] of the former is at ``scale * u + offset`` in the latter.
    """
    scale = [b / a for a, b in zip(before.size_yx, after.size_yx, strict=True)]
    offset = [
        2 * (b - s - a) / side
        for a, b, s, side in zip(before.center_yx, after.center_yx, shift_yx, before.size_yx, strict=True)
    ]
    return scale[0], scale[1], offset[0], offset[1]


class DenseMotionEncoder(nn.Module):
    """See the module.

    Parameters
    ----------
    widths : tuple of int
        Channels of the model's features at stride 4, 8 and 16.
    width : int
        Channels that are correlated.
    hidden : tuple of int
        Channels of the convolutions of both steps.
    radius : tuple of int
        Farthest motion of both steps, cells.
    """

    def __init__(
        self,
        widths: tuple[int, int, int] = (16, 32, 128),
        width: int = 32,
        hidden: tuple[int, int] = (56, 40),
        radius: tuple[int, int] = (4, 3),
    ) -> None:
        super().__init__()
        fine, middle, top = widths
        self.top = nn.Conv2d(top, width, 1)
        self.middle = nn.Conv2d(middle, width, 1)
        self.fine = nn.Conv2d(fine, width, 1)
        self.down = nn.Conv2d(width, width, 1)
        self.first = _Match(radius[0], 2, hidden[0])
        self.second = _Match(radius[1], 5, hidden[1])
        self.parameters_json: dict[str, Any] = {
            "widths": list(widths),
            "width": width,
            "hidden": list(hidden),
            "radius": list(radius),
        }

    def forward(self, before: ImageFeatures, after: ImageFeatures, mask: Tensor, placements: Tensor) -> DenseFlow:
        """Find the motion of a batch.

        Parameters
        ----------
        before, after : ImageFeatures
            Of the windows on both frames.
        mask : Tensor, shape (B, 1, s, s)
            Logits of the last mask over the window before.
        placements : Tensor, shape (B, 4)
            See :func:`placement`.
        """
        a8, a4 = self._embedded(before)
        b8, b4 = (middle(level) for level in self._embedded(after))
        side = b4.shape[-1]
        there8, there4 = _there(a8, placements, side // 2), _there(a4, placements, side)
        a8, a4 = _read(a8, placements, side // 2, "zeros"), _read(a4, placements, side, "zeros")
        placed = _read(mask.float().clamp(min=NO_LOGIT), placements, side, "border")
        small = interpolate(placed, size=a8.shape[-2:], mode="area")
        rough, unsure = self.first(a8, b8, torch.cat([_squashed(small), there8], 1))
        flow = 2 * _doubled(rough)
        warped = torch.cat([_squashed(warp(placed, flow)), there4, flow / 8, _doubled(unsure)], 1)
        finer, log_scale = self.second(warp(a4, flow), b4, warped)
        flow = flow + finer
        return DenseFlow(flow, log_scale.clamp(*LOG_SCALE_RANGE), warp(placed, flow), rough)

    def _embedded(self, features: ImageFeatures) -> tuple[Tensor, Tensor]:
        """Unit vectors at stride 8 and 4."""
        fine, middle = (_standard(level) for level in features.high_res)
        both = self.middle(middle) + _doubled(self.top(_standard(features.vision)))
        return normalize(both, dim=1), normalize(self.fine(fine) + _doubled(self.down(both)), dim=1)


class _Match(nn.Module):
    """Correlation within a radius, and what a small network makes of it: flow (B, 2, h, w), log scale of its error."""

    def __init__(self, radius: int, n_more: int, hidden: int) -> None:
        super().__init__()
        self.radius = radius
        self.sharpness = nn.Parameter(torch.tensor(2.0))
        self.network = nn.Sequential(
            nn.Conv2d((2 * radius + 1) ** 2 + 2 + n_more, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=2, dilation=2),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, 3, 1),
        )

    def forward(self, before: Tensor, after: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        surface = correlations(before, after, self.radius)
        steps = torch.arange(-self.radius, self.radius + 1, device=surface.device, dtype=surface.dtype)
        places = torch.stack(torch.meshgrid(steps, steps, indexing="ij")).flatten(1)
        likely = (surface * self.sharpness.exp()).softmax(1)
        peak = torch.einsum("bkhw,ck->bchw", likely, places)
        out = self.network(torch.cat([surface, peak / self.radius, more], 1))
        return peak + out[:, :2], out[:, 2:]


def correlations(before: Tensor, after: Tensor, radius: int) -> Tensor:
    """Products of `after` with `before` moved by every whole motion within a radius, (B, (2 radius + 1)², h, w)."""
    height, width = after.shape[-2:]
    around, span = pad(before, (radius,) * 4), range(2 * radius, -1, -1)
    return torch.stack([(after * around[..., i : i + height, j : j + width]).sum(1) for i in span for j in span], 1)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Images (B, C, h, w) moved along a flow (B, 2, h, w) in cells that is given where things end up."""
    height, width = image.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] - flow[:, 0]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) - flow[:, 1]
    return read_places(image, y, x)


def middle(image: Tensor) -> Tensor:
    """The part of images (B, C, h, w) over a window in which motion is found."""
    margin = round(image.shape[-1] * (1 - FIELD) / 2)
    return image[..., margin : image.shape[-2] - margin, margin : image.shape[-1] - margin]


def _read(image: Tensor, placements: Tensor, side: int, padding: Padding, mode: Mode = "bilinear") -> Tensor:
    """The middle of windows placed in those of images (B, C, h, h), (B, C, side, side)."""
    n, scale, offset = image.shape[-1], placements[:, :2], placements[:, 2:]
    centers = (offset + 1) * (n / 2) - 0.5
    return read_windows(image, centers, scale * (FIELD * n), side, padding=padding, mode=mode)


def _there(image: Tensor, placements: Tensor, side: int) -> Tensor:
    """1 where the middle of placed windows lies in the images, 0 elsewhere, (B, 1, side, side)."""
    return _read(torch.ones_like(image[:, :1]), placements, side, "zeros", "nearest")


def _doubled(image: Tensor) -> Tensor:
    return interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


def _squashed(logits: Tensor) -> Tensor:
    return (logits / MASK_SCALE).tanh()


def _standard(features: Tensor) -> Tensor:
    """Every pixel's channels with mean 0 and variance 1."""
    features = features.float()
    return (features - features.mean(1, keepdim=True)) / (features.var(1, keepdim=True) + 1e-6).sqrt()
