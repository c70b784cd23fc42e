"""Dense optical flow of many pairs of frames at once, in torch: for the GPU, or for what is already a tensor."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad, unfold

from napari_mosam.core.windows.pyramid import halve
from napari_mosam.core.windows.sampling import read_places

STIFFNESS = 3e-3
"""Weight of the motion known so far, as a fraction of the mean squared gradient of an image; not measured."""

LEAST_GRADIENT = 1e-4
"""Slope (grey value per px, frames in [0, 1]) below which an image counts as flat: there nothing moves. Not measured;
a step of 8 bits is .004."""

MAX_CORRECTION_PX = 2.0
"""What one least-squares step may add, px of its level; larger corrections lie outside its linear model. Not
measured."""


def lucas_kanade_flow(
    before: Tensor, after: Tensor, *, radius: int = 5, n_warps: int = 4, min_side: int = 24
) -> Tensor:
    """Motion of every pixel between two batches of images.

    From coarse to fine, the later image is warped by the motion known so far and the motion is fitted again over a
    window around every pixel, where each pixel of the window keeps its own share of the motion known so far. That
    makes the steps converge (the iterative scheme of Le Besnerais and Champagnat, "Dense optical flow by iterative
    local window registration", ICIP 2005). Where a window shows no detail, a small weight keeps the motion found on
    the coarser level, and zero where no level shows any; each level ends with a median of 3 x 3 px.

    Parameters
    ----------
    before, after : Tensor, shape (B, Y, X)
        Images, float, in [0, 1].
    radius : int
        Radius of the window, px; the window is a box of 2 * radius + 1.
    n_warps : int
        Fits per level.
    min_side : int
        Shortest side, px, to which a level is shrunk.

    Returns
    -------
    Tensor, shape (B, 2, Y, X)
        (dy, dx) in px: a pixel of `before` moves by this much.

    Raises
    ------
    ValueError
        If the two batches differ in shape or are not (B, Y, X).
    """
    if before.ndim != 3 or before.shape != after.shape:
        given = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"images of shape {given} given; both must have the same shape (B, Y, X)")
    levels = [*zip(_pyramid(before[:, None], min_side), _pyramid(after[:, None], min_side), strict=True)]
    height, width = levels[-1][0].shape[-2:]
    flow = before.new_zeros((before.shape[0], 2, height, width))
    for first, second in reversed(levels):
        flow = _refine(first, second, _grown(flow, first), radius, n_warps)
    return flow


def _pyramid(image: Tensor, min_side: int) -> list[Tensor]:
    levels = [image]
    while min(levels[-1].shape[-2:]) >= 2 * min_side:
        levels.append(halve(_box(levels[-1], 1)))
    return levels


def _grown(flow: Tensor, image: Tensor) -> Tensor:
    """A level's flow on the grid of the next finer `image`; as it is where the grid is the same."""
    height, width = image.shape[-2:]
    if flow.shape[-2:] == image.shape[-2:]:
        return flow
    return 2 * interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)[..., :height, :width]


def _refine(before: Tensor, after: Tensor, flow: Tensor, radius: int, n_warps: int) -> Tensor:
    slope_before = _gradient(before)
    for _ in range(n_warps):
        warped = _warped(after, flow)
        slope = (slope_before + _gradient(warped)) / 2
        fitted = _fit(slope, before - warped, flow, radius)
        flow = flow + (fitted - flow).clamp(-MAX_CORRECTION_PX, MAX_CORRECTION_PX)
    return _median3(flow)


def _fit(slope: Tensor, difference: Tensor, flow: Tensor, radius: int) -> Tensor:
    """The motion that explains the difference best over each window, by the normal equations of two unknowns."""
    gy, gx = slope[:, :1], slope[:, 1:]
    target = (slope * flow).sum(1, keepdim=True) + difference
    sums = _box(torch.cat([gy * gy, gx * gx, gy * gx, gy * target, gx * target], 1), radius)
    yy, xx, yx, ty, tx = (sums[:, k : k + 1] for k in range(5))
    held = STIFFNESS * (yy + xx).mean((1, 2, 3), keepdim=True) + LEAST_GRADIENT**2
    yy, xx, ty, tx = yy + held, xx + held, ty + held * flow[:, :1], tx + held * flow[:, 1:]
    return torch.cat([xx * ty - yx * tx, yy * tx - yx * ty], 1) / (yy * xx - yx * yx)


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    rows = torch.arange(height, device=image.device, dtype=image.dtype)[:, None] + flow[:, 0]
    columns = torch.arange(width, device=image.device, dtype=image.dtype) + flow[:, 1]
    return read_places(image, rows, columns)


def _gradient(image: Tensor) -> Tensor:
    """Central differences (d/dy, d/dx) of images (B, 1, Y, X), shape (B, 2, Y, X)."""
    padded = pad(image, (1, 1, 1, 1), mode="replicate")
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return torch.cat([dy, dx], 1)


def _box(image: Tensor, radius: int) -> Tensor:
    """Mean over the part of a box around each pixel that lies in the image; separable, hence two passes."""
    side = 2 * radius + 1
    rows = avg_pool2d(image, (side, 1), 1, (radius, 0), count_include_pad=False)
    return avg_pool2d(rows, (1, side), 1, (0, radius), count_include_pad=False)


def _median3(flow: Tensor) -> Tensor:
    """Median of 3 x 3 px of each component."""
    batch, channels, height, width = flow.shape
    padded = pad(flow, (1, 1, 1, 1), mode="replicate").reshape(batch * channels, 1, height + 2, width + 2)
    return unfold(padded, 3).median(1).values.reshape(batch, channels, height, width)
