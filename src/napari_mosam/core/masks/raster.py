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


def rasterise(region: Region, window: Window, size: int) -> "Tensor":
    """Coverage of each model pixel by a region, (1, size, size) in [0, 1]."""
    crop = torch.from_numpy(np.pad(region.mask, 1).astype(np.float32))
    y, x = region.origin_yx
    local = Window((window.center_yx[0] - y + 1, window.center_yx[1] - x + 1), window.size_yx)
    shrunk = max(1, int(min(window.size_yx) / size))
    fine = sample(crop[None, None], local, size * shrunk, padding="zeros")
    return torch.nn.functional.avg_pool2d(fine, shrunk)


def region_of_logits(logits: "Tensor", window: Window, shape_yx: tuple[int, int]) -> Region | None:
    """Frame pixels where the logits over a window are positive; None if there are none."""
    (rows, columns), values = paste(logits, window, shape_yx)
    if values.numel() == 0:
        return None
    return Region.from_mask((values > 0).cpu().numpy(), (rows.start, columns.start))


def innermost_point(region: Region) -> tuple[float, float]:
    """The pixel of a region farthest from its edge, frame (y, x)."""
    from scipy.ndimage import distance_transform_edt

    depth: NDArray[np.float64] = distance_transform_edt(np.pad(region.mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(y) + region.origin_yx[0], float(x) + region.origin_yx[1]
