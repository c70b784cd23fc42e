"""Between regions of the frame and grids over a window."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.devices import rows_on
from napari_mosam.core.windows.sampling import paste_alike, read_each
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rasterise(region: Region, window: Window, size: int) -> Tensor:
    """Coverage of each model pixel by a region, (1, size, size) in [0, 1]."""
    return rasterise_all([region], [window], size)


def rasterise_all(regions: "Sequence[Region | None]", windows: Sequence[Window], size: int) -> Tensor:
    """Coverage of each model pixel of B windows by the region that goes with it, (B, size, size) in [0, 1].

    None covers nothing. Regions of like size are sampled at once; each answer is that of its region alone but for the
    rounding of single precision.
    """
    coverage = torch.zeros(len(regions), size, size)
    alike: dict[int, list[int]] = defaultdict(list)
    for row, (region, window) in enumerate(zip(regions, windows, strict=True)):
        if region is not None:
            alike[max(1, int(min(window.size_yx) / size))].append(row)
    for shrunk, rows in alike.items():
        there = [(region, windows[row]) for row in rows if (region := regions[row]) is not None]
        fine = read_each(
            [region.mask for region, _ in there],
            [window.seen_from(region.origin_yx) for region, window in there],
            size * shrunk,
        )
        coverage[rows] = avg_pool2d(fine, shrunk)
    return coverage


def densest(coverage: Tensor) -> Tensor:
    """Coverage (B, size, size) by regions that are too thin for it, brought to 1 where each covers most."""
    return coverage / coverage.amax((-2, -1), keepdim=True).clamp(min=torch.finfo(coverage.dtype).tiny)


def region_of_logits(logits: Tensor, window: Window, shape_yx: tuple[int, int]) -> Region | None:
    """Frame pixels where the logits over a window are positive; None if there are none."""
    return regions_of_logits(logits[None], [window], shape_yx)[0]


def regions_of_logits(logits: Tensor, windows: Sequence[Window], shape_yx: tuple[int, int]) -> list[Region | None]:
    """Frame pixels where logits (B, h, w) over B windows are positive; None where there are none."""
    found: list[Region | None] = [None] * len(windows)
    positive = (logits > 0).cpu().numpy()
    reaches = {
        row: _reach(positive[row], windows[row], shape_yx) for row in np.flatnonzero(positive.any((1, 2))).tolist()
    }
    wanted = {row: part for row, part in reaches.items() if all(span.stop > span.start for span in part)}
    rows = list(wanted)
    if not rows:
        return found
    chosen = logits[rows_on(logits.device, rows)]
    for some, values in paste_alike(chosen, [windows[row] for row in rows], list(wanted.values())):
        for k, mask in zip(some, (values > 0).cpu().numpy(), strict=True):
            y, x = wanted[rows[k]]
            own = mask[: y.stop - y.start, : x.stop - x.start]
            found[rows[k]] = Region.from_mask(own, (y.start, x.start))
    return found


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
