"""Measures and pixels of batches of masks."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """Where masks lie; all of a batch's leading shape (…). Empty masks have area 0 and a box of size 0.

    Attributes
    ----------
    area : Tensor, shape (…)
    box : Tensor, shape (…, 4)
        (y0, x0, y1, x1), inclusive.
    """

    area: Tensor
    box: Tensor

    @property
    def center_yx(self) -> Tensor:
        """Centres of the boxes, (…, 2)."""
        return (self.box[..., :2] + self.box[..., 2:]) / 2

    @property
    def diameter(self) -> Tensor:
        """Size that sets an object's window, as :func:`napari_mosam.core.masks.region.mask_diameter`."""
        longest = (self.box[..., 2:] - self.box[..., :2]).amax(-1) + 1
        return torch.maximum(2 * (self.area / torch.pi).sqrt(), 0.7 * longest)


def extents(masks: Tensor) -> Extents:
    """Area and box of each mask (…, Y, X)."""
    y0, y1 = _ends(masks.any(-1))
    x0, x1 = _ends(masks.any(-2))
    return Extents(masks.sum((-2, -1)).float(), torch.stack([y0, x0, y1, x1], -1).float())


def extents_of_ids(labels: Tensor) -> Extents:
    """Area and box of every id of label frames (B, Y, X), from 0 to the largest, (B, largest id + 1)."""
    n, height, width = labels.shape
    n_ids = int(labels.max()) + 1
    index = (labels.long() + n_ids * torch.arange(n, device=labels.device)[:, None, None]).flatten()
    area = torch.bincount(index, minlength=n * n_ids)
    rows, columns = (
        torch.arange(k, device=labels.device).view(shape).expand(n, height, width).flatten()
        for k, shape in ((height, (1, -1, 1)), (width, (1, 1, -1)))
    )
    nowhere = torch.zeros_like(area)
    low = [(nowhere + side).scatter_reduce(0, index, at, "amin") for at, side in ((rows, height), (columns, width))]
    high = [(nowhere - 1).scatter_reduce(0, index, at, "amax") for at in (rows, columns)]
    box = torch.stack([*low, *high], -1) * (area > 0)[:, None]
    return Extents(area.view(n, n_ids).float(), box.view(n, n_ids, 4).float())


def _ends(line: Tensor) -> tuple[Tensor, Tensor]:
    """First and last true index along the last axis; 0 and 0 where there is none."""
    n = line.shape[-1]
    index = torch.arange(n, device=line.device)
    any_ = line.any(-1)
    first = torch.where(line, index, n).amin(-1)
    last = torch.where(line, index, -1).amax(-1)
    return torch.where(any_, first, 0), torch.where(any_, last, 0)


def pick(masks: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One pixel of each mask.

    Parameters
    ----------
    masks : Tensor of bool, shape (N, Y, X)
    u : Tensor, shape (N,)
        In [0, 1): which of the mask's pixels, in reading order.

    Returns
    -------
    xy : Tensor, shape (N, 2)
        Pixel indices; the last pixel of the image where the mask is empty.
    found : Tensor of bool, shape (N,)
    """
    counts = masks.flatten(1).cumsum(1, dtype=torch.int32)
    total = counts[:, -1]
    rank = (u.to(masks.device) * total).floor().int().clamp(max=total - 1) + 1
    index = torch.searchsorted(counts, rank[:, None].clamp(min=1))[:, 0].clamp(max=counts.shape[1] - 1)
    width = masks.shape[-1]
    return torch.stack([index % width, index // width], -1).float(), total > 0


def innermost(masks: Tensor, u: Tensor) -> Tensor:
    """A pixel of each mask (N, S, S) that is far from its edge, (N, 2) as (x, y).

    Found on a grid four times coarser by peeling off pixels; `u` chooses among the last to go. A mask that is too
    thin for that grid gives any of its pixels.
    """
    size = masks.shape[-1]
    left = (torch.nn.functional.avg_pool2d(masks[:, None].float(), 4) > 0.5).float()
    core = left
    for _ in range(size // 8):
        if not left.any():
            break
        core = torch.where(left.flatten(1).any(1)[:, None, None, None], left, core)
        left = 1 - max_pool2d(1 - torch.nn.functional.pad(left, (1, 1, 1, 1)), 3, stride=1)
    fine = core[:, 0].bool().repeat_interleave(4, 1).repeat_interleave(4, 2) & masks
    thin = ~fine.flatten(1).any(1)
    return pick(torch.where(thin[:, None, None], masks, fine), u)[0]


def around(masks: Tensor, width: int) -> Tensor:
    """The pixels within `width` of each mask (N, Y, X) that are not its own."""
    grown = max_pool2d(masks[:, None].float(), 2 * width + 1, stride=1, padding=width)[:, 0] > 0
    return grown & ~masks
