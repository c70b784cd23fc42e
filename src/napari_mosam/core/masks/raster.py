"""Between regions of the frame and grids over a window."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.sampling import paste, sample
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rasterise(region: Region, window: Window, size: int) -> Tensor:
    """Coverage of each model pixel by a region, (1, size, size) in [0, 1]."""
    crop = torch.from_numpy(np.pad(region.mask, 1).astype(np.float32))
    y, x = region.origin_yx
    local = Window((window.center_yx[0] - y + 1, window.center_yx[1] - x + 1), window.size_yx)
    shrunk = max(1, int(min(window.size_yx) / size))
    fine = sample(crop[None, None], local, size * shrunk, padding="zeros")
    return torch.nn.functional.avg_pool2d(fine, shrunk)


def region_of_logits(logits: Tensor, window: Window, shape_yx: tuple[int, int]) -> Region | None:
    """Frame pixels where the logits over a window are positive; None if there are none."""
    positive = (logits > 0).cpu().numpy()
    if not positive.any():
        return None
    (rows, columns), values = paste(logits, window, shape_yx, _reach(positive, window, shape_yx))
    if values.numel() == 0:
        return None
    return Region.from_mask((values > 0).cpu().numpy(), (rows.start, columns.start))


def _reach(positive: "NDArray[np.bool_]", window: Window, shape_yx: tuple[int, int]) -> tuple[slice, slice]:
    """Frame pixels of a window outside of which no interpolated logit is positive."""
    spans = []
    parts = window.start_yx, window.size_yx, positive.shape, window.pixels(shape_yx), (1, 0)
    for start, side, n, pixels, other in zip(*parts, strict=True):
        there, step = np.flatnonzero(positive.any(other)), side / n
        low = max(pixels.start, int(np.floor(start + (there[0] - 1) * step)))
        high = min(pixels.stop, int(np.ceil(start + (there[-1] + 2) * step)))
        spans.append(slice(low, max(low, high)))
    return spans[0], spans[1]


def inner_points(region: Region, n: int = 1) -> list[tuple[float, float]]:
    """Up to `n` points well inside a region and far from each other, the innermost first, frame (y, x)."""
    inside = inner_depth(region.mask)
    y, x = np.nonzero(inside >= 0.5 * inside.max())
    chosen, distance = [int(inside[y, x].argmax())], np.full(len(y), np.inf)
    while len(chosen) < min(n, len(y)):
        last = chosen[-1]
        distance = np.minimum(distance, np.hypot(y - y[last], x - x[last]))
        chosen.append(int(distance.argmax()))
    oy, ox = region.origin_yx
    return [(float(y[k] + oy), float(x[k] + ox)) for k in chosen]


def inner_depth(mask: "NDArray[np.bool_]") -> "NDArray[np.float64]":
    """Distance of each pixel of a mask (Y, X) to the nearest one outside it, px; beyond the array all is outside."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1])
