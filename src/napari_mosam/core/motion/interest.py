"""Which points inside a mask are worth following."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from napari_mosam.core.masks.raster import inner_depth
from napari_mosam.core.windows.devices import put

EROSION = 0.1
"""Least depth of a point inside the mask, as a fraction of the object's diameter; not measured."""


def choose_points(
    values: Tensor, masks: NDArray[np.bool_], samples: int, n_points: int, spacing: float
) -> tuple[Tensor, Tensor]:
    """The innermost point of each mask, then its most telling ones.

    Parameters
    ----------
    values : Tensor, shape (N, P, P)
        Grey values around each object.
    masks : ndarray of bool, shape (N, P, P)
        The objects' pixels on the same samples.
    samples : int
        Samples along the diameter of an object.
    n_points : int
        Points per object at most.
    spacing : float
        Least distance between points, samples.

    Returns
    -------
    owners : Tensor of int64, shape (K,)
        Object of each point, ascending; in main memory.
    places : Tensor of int64, shape (K, 2)
        (row, column) of each point; the innermost one of each object first. In main memory, too.
    """
    depth = put(np.stack([inner_depth(mask) for mask in masks]).astype(np.float32), values.device)
    deepest = depth.amax((1, 2), keepdim=True)
    score = (1 + cornerness(values)) * (depth >= deepest.clamp_max(EROSION * samples)) * (depth > 0)
    picked = _spread(score.masked_fill((depth == deepest) & (depth > 0), float("inf")), n_points, spacing).cpu()
    owners, ranks = (picked[..., 0] >= 0).nonzero(as_tuple=True)
    return owners, picked[owners, ranks]


def cornerness(values: Tensor) -> Tensor:
    """How well each place of a patch can be told from all its neighbours.

    The smaller eigenvalue of the structure tensor (Shi and Tomasi, "Good features to track", CVPR 1994).

    Parameters
    ----------
    values : Tensor, shape (N, P, P)
        Grey values.

    Returns
    -------
    Tensor, shape (N, P, P)
        In [0, 1], as a fraction of the largest in its patch.
    """
    dy, dx = torch.gradient(values, dim=(1, 2))
    yy, xx, yx = avg_pool2d(torch.stack([dy * dy, dx * dx, dy * dx]), 5, 1, 2)
    smaller: Tensor = ((yy + xx) / 2 - (((yy - xx) / 2) ** 2 + yx**2).sqrt()).clamp_min(0)
    return smaller.div(smaller.amax((1, 2), keepdim=True).clamp_min(1e-12))


def _spread(score: Tensor, n_points: int, spacing: float) -> Tensor:
    """Best places (N, n_points, 2) of maps (N, P, P), none closer than `spacing`; -1 where no place above 0 is left."""
    n, side, _ = score.shape
    axis = torch.arange(side, device=score.device)
    picked = []
    for _ in range(n_points):
        best, place = score.reshape(n, -1).max(1)
        row, column = place.div(side, rounding_mode="floor"), place % side
        far = (axis - row[:, None])[:, :, None] ** 2 + (axis - column[:, None])[:, None] ** 2 >= max(1, spacing) ** 2
        score = score.where(far, 0)
        picked.append(torch.stack([row, column], 1).where(best[:, None] > 0, -1))
    return torch.stack(picked, 1)
