"""A binary mask kept as the crop around it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The pixels of one object on one frame.

    Attributes
    ----------
    origin_yx : tuple of int
        Frame position of the crop's first pixel; may be negative after a shift.
    mask : ndarray of bool, shape (h, w)
        Tight crop: the first and last row and column hold at least one pixel.
    """

    origin_yx: tuple[int, int]
    mask: NDArray[np.bool_]

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], origin_yx: tuple[int, int] = (0, 0)) -> "Region | None":
        """The region of the true pixels of `mask`, whose first pixel lies at `origin_yx`; None if there are none."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if rows.size == 0:
            return None
        crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls((int(origin_yx[0] + rows[0]), int(origin_yx[1] + columns[0])), np.array(crop, bool))

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def box(self) -> Box:
        """(y0, x0, y1, x1), inclusive."""
        (y, x), (height, width) = self.origin_yx, self.mask.shape
        return y, x, y + height - 1, x + width - 1

    @property
    def center_yx(self) -> tuple[float, float]:
        """Centre of the box."""
        y0, x0, y1, x1 = self.box
        return (y0 + y1) / 2, (x0 + x1) / 2

    @property
    def diameter(self) -> float:
        """See :func:`mask_diameter`."""
        return mask_diameter(self.area, self.box)

    def holds(self, yx: tuple[float, float]) -> bool:
        """Whether a place (y, x) lies in the region."""
        row, column = (round(place) - start for place, start in zip(yx, self.origin_yx, strict=True))
        height, width = self.mask.shape
        return 0 <= row < height and 0 <= column < width and bool(self.mask[row, column])

    def shifted(self, shift_yx: tuple[float, float]) -> "Region":
        """The region moved by whole pixels."""
        dy, dx = (round(s) for s in shift_yx)
        return Region((self.origin_yx[0] + dy, self.origin_yx[1] + dx), self.mask)

    def common(self, other: "Region") -> NDArray[np.bool_]:
        """Pixels of this crop that are in both regions, shape (h, w)."""
        both = np.zeros_like(self.mask)
        (a0, b0, a1, b1), (c0, d0, c1, d1) = self.box, other.box
        y0, x0, y1, x1 = max(a0, c0), max(b0, d0), min(a1, c1), min(b1, d1)
        if y0 <= y1 and x0 <= x1:
            here = slice(y0 - a0, y1 - a0 + 1), slice(x0 - b0, x1 - b0 + 1)
            both[here] = self.mask[here] & other.mask[y0 - c0 : y1 - c0 + 1, x0 - d0 : x1 - d0 + 1]
        return both

    def overlap(self, other: "Region") -> int:
        """Number of pixels in both."""
        (a0, b0, a1, b1), (c0, d0, c1, d1) = self.box, other.box
        y0, x0, y1, x1 = max(a0, c0), max(b0, d0), min(a1, c1), min(b1, d1)
        if y0 > y1 or x0 > x1:
            return 0
        mine = self.mask[y0 - a0 : y1 - a0 + 1, x0 - b0 : x1 - b0 + 1]
        return int((mine & other.mask[y0 - c0 : y1 - c0 + 1, x0 - d0 : x1 - d0 + 1]).sum())

    def iou(self, other: "Region") -> float:
        """Intersection over union."""
        both = self.overlap(other)
        return both / (self.area + other.area - both) if both else 0.0


def meeting(regions: "Sequence[Region | None]") -> NDArray[np.bool_]:
    """Whether the boxes of two of N regions share a pixel, (N, N); None meets none."""
    nowhere = (0, 0, -1, -1)
    boxes = np.array([nowhere if region is None else region.box for region in regions]).reshape(-1, 4)
    reached = (boxes[:, None, :2] <= boxes[None, :, 2:]).all(2)
    there = np.array([region is not None for region in regions], bool)
    return np.asarray(reached & reached.T & there & there[:, None])


def mask_diameter(area: float, box: Box) -> float:
    """Size of an object that sets its window, px.

    The diameter of the disk of the same area; for long objects at least 0.7 of the longer side of the box, so that
    the window still holds them whole.
    """
    y0, x0, y1, x1 = box
    return max(2 * float(np.sqrt(area / np.pi)), 0.7 * max(y1 - y0 + 1, x1 - x0 + 1))
