"""The boundary measure F of two masks."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.masks.region import Region

TOLERANCE = 0.008
"""How far contours may lie apart, in diagonals of the frame, as in the measure of DAVIS."""


def boundary_f(mask: Any, truth: Any, tolerance_px: float | None = None) -> float:
    """Boundary measure F: how well two contours lie on each other.

    Precision is the share of the mask's contour that lies within the tolerance of the truth's contour, recall the
    share of the truth's contour within the tolerance of the mask's; F is their harmonic mean. A contour is made of
    the mask's pixels with a 4-neighbour outside the mask; the edge of the frame is no contour.

    Parameters
    ----------
    mask, truth : array_like of bool, shape (Y, X)
    tolerance_px : float, optional
        Largest Euclidean distance, px; 0.8 % of the frame's diagonal, rounded up, by default.

    Returns
    -------
    float
        In [0, 1]; symmetric. 1 for two empty masks, 0 if one is empty, or if only one covers the whole frame.

    Raises
    ------
    ValueError
        For masks of unequal or other shape, and for a negative tolerance.

    References
    ----------
    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016.
    """
    first, second = np.asarray(mask, bool), np.asarray(truth, bool)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"masks have the shapes {first.shape} and {second.shape}; allowed: twice the same (Y, X)")
    return region_f(Region.from_mask(first), Region.from_mask(second), first.shape, tolerance_px)


def region_f(
    mask: Region | None, truth: Region | None, shape_yx: tuple[int, ...], tolerance_px: float | None = None
) -> float:
    """:func:`boundary_f` of two regions of a frame; None is an empty mask. Costs grow with the contours only."""
    reach = _tolerance(shape_yx, tolerance_px)
    if mask is None or truth is None:
        return float(mask is truth)
    mine, true = contour_points(mask, shape_yx), contour_points(truth, shape_yx)
    if not len(mine) or not len(true):
        return float(len(mine) == len(true))
    precision, recall = _share_near(mine, true, reach), _share_near(true, mine, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour_points(region: Region, shape_yx: tuple[int, ...]) -> NDArray[np.intp]:
    """Pixels of a region with a 4-neighbour in the frame that is not in it: (n, 2), (y, x) in px."""
    padded = np.pad(region.mask, 1)
    y0, x0, y1, x1 = region.box
    padded[0] |= y0 == 0
    padded[-1] |= y1 == shape_yx[0] - 1
    padded[:, 0] |= x0 == 0
    padded[:, -1] |= x1 == shape_yx[1] - 1
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    points: NDArray[np.intp] = np.argwhere(region.mask & ~inside) + np.array(region.origin_yx)
    return points


def _tolerance(shape_yx: tuple[int, ...], tolerance_px: float | None) -> float:
    if tolerance_px is None:
        return float(math.ceil(TOLERANCE * math.hypot(*shape_yx)))
    if not tolerance_px >= 0:
        raise ValueError(f"tolerance_px={tolerance_px} is not possible; allowed: 0 or more px")
    return float(tolerance_px)


def _share_near(points: NDArray[np.intp], others: NDArray[np.intp], reach: float) -> float:
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(others).query(points)
    return float((distance <= reach).mean())
