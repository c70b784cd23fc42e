"""How tests look at the truth of a simulated movie."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion


def warped(mask: NDArray[np.bool_], flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the matter of `mask` lands: every pixel is moved as 16 parts of itself."""
    y, x = np.nonzero(mask)
    parts = np.linspace(-0.375, 0.375, 4)
    dy, dx = (a.ravel() for a in np.meshgrid(parts, parts))
    to_y = np.rint((y + flow[0, y, x])[:, None] + dy).astype(int).ravel()
    to_x = np.rint((x + flow[1, y, x])[:, None] + dx).astype(int).ravel()
    inside = (to_y >= 0) & (to_y < mask.shape[0]) & (to_x >= 0) & (to_x < mask.shape[1])
    hits = np.zeros(mask.shape, int)
    np.add.at(hits, (to_y[inside], to_x[inside]), 1)
    return hits >= 8


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Overlap of two masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def iou_but_for_the_rim(moved: NDArray[np.bool_], there: NDArray[np.bool_]) -> float:
    """Overlap of two masks, leaving out the pixels on either side of the second one's outline."""
    rim = binary_dilation(there) & ~binary_erosion(there)
    return iou(moved & ~rim, there & ~rim)


def stands_free(labels: NDArray[np.integer], cell: int) -> bool:
    """Whether a cell touches neither another nor the border."""
    mask = labels == cell
    ring = binary_dilation(mask, iterations=2) & ~mask
    border = np.ones_like(mask)
    border[1:-1, 1:-1] = False
    return bool(mask.any() and not (labels[ring] > 0).any() and not (mask & border).any())
