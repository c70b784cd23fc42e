"""Of masks that stand for the same cell the surest is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.masks.region import Region

MOST_IOU = 0.4
"""IoU above which two masks are the same cell; below a half, since cells do not overlap."""

MOST_INSIDE = 0.5
"""Share of the smaller of two masks inside the other above which one of them is a part, or a clump. With .7 precision
was .82, .92 and .87 on three sets of stills of nuclei, with .5 .85, .96 and .94, and recall the same."""

SIZE_POWER = 0.25
"""How much a larger mask is preferred to one that is as sure, as where a click has no size: a part of a cell often
looks whole. Precision with 0, .25, .5 and 1 on the same: .80, .82, .83, .82; .90, .92, .93, .93; .84, .87, .88, .89."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A mask that may be a cell.

    Attributes
    ----------
    region : Region
    score : float
        In [0, 1].
    """

    region: Region
    score: float


def strongest(candidates: Iterable[Found], known: Sequence[Region] = ()) -> list[Found]:
    """Candidates that are neither a known region nor a stronger candidate once more, the strongest first."""
    ranked = sorted(candidates, key=lambda one: -one.score * one.region.diameter**SIZE_POWER)
    regions = [*known, *(one.region for one in ranked)]
    boxes = np.array([region.box for region in regions]).reshape(-1, 4)
    stands = np.ones(len(regions), bool)
    for row in range(len(known), len(regions)):
        near = np.flatnonzero(_meeting(boxes[row], boxes[:row]) & stands[:row])
        stands[row] = not any(same_cell(regions[row], regions[k]) for k in near)
    return [one for one, kept in zip(ranked, stands[len(known) :], strict=True) if kept]


def _meeting(box: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of inclusive boxes (N, 4) share a pixel with one (4,)."""
    low, high = boxes[:, :2] <= box[2:], boxes[:, 2:] >= box[:2]
    return np.asarray(low.all(1) & high.all(1))


def same_cell(one: Region, other: Region) -> bool:
    """Whether two masks overlap so much that only one of them can be a cell."""
    both = one.overlap(other)
    smaller, union = min(one.area, other.area), one.area + other.area - both
    return both > MOST_IOU * union or both > MOST_INSIDE * smaller
