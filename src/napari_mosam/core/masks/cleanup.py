"""Masks by themselves: their stray pieces, their holes, and how nearly each has fallen into two; of a frame at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mosam.core.masks.overlap import SUPPRESSED
from napari_mosam.core.windows.devices import put

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FILLED = 1.0
"""Logit given to the holes of a mask: cells have none, but a rival that sits in one keeps it; not measured."""

SIDES = np.zeros((3, 3, 3), bool)
"""Pixels of a stack (B, h, w) touch at their sides, and never those of another mask."""

SIDES[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def prune(logits: "Tensor", expected: "Tensor", exempt: Sequence[bool] | None = None) -> "tuple[Tensor, list[float]]":
    """Drop the pieces of masks that do not continue the last one, and fill holes; tell which have fallen into two.

    A cell is connected, so a separate piece that lies where the object was not is a neighbour. The piece that covers
    most of the expected mask stays, and every piece that lies mostly inside it; where nothing is expected, or no
    piece meets it, the largest piece stays.

    Parameters
    ----------
    logits : Tensor, shape (B, h, w)
        Mask logits, each over its window.
    expected : Tensor, shape (B, h, w)
        Coverage of the same windows by the last masks, moved by the estimated motion, in [0, 1]; 0 after an object
        was lost.
    exempt : sequence of B bool, optional
        Masks that stay as they are.

    Returns
    -------
    logits : Tensor, shape (B, h, w)
        At most -10 on dropped pieces and 1 in holes.
    division : list of float
        How nearly a mask has fallen into two equal pieces where the object was, in [0, 1]: the area of the second
        largest piece that meets the expected mask over that of the largest; 0 for a single piece, and where nothing
        is expected.
    """
    pieces = _Pieces.of((logits > 0).cpu().numpy(), (expected > 0.5).cpu().numpy())
    kept = pieces.kept()
    changing = np.ones(len(logits), bool) if exempt is None else ~np.asarray(exempt, bool)
    dropped = (pieces.numbers > 0) & ~kept
    holes = _holes(kept) & ~dropped
    dropped[~changing], holes[~changing] = False, False
    if dropped.any():
        logits = torch.where(put(dropped, logits.device), logits.clamp(max=SUPPRESSED), logits)
    if holes.any():
        logits = logits.masked_fill(put(holes, logits.device), FILLED)
    return logits, pieces.division()


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """The connected pieces of a stack of masks, numbered from 1 through the stack (B, h, w).

    The other arrays have one entry a piece: the mask it is of, its area and how much of that is expected, px.
    """

    numbers: "NDArray[np.int32]"
    rows: "NDArray[np.intp]"
    areas: "NDArray[np.intp]"
    expected: "NDArray[np.intp]"

    @classmethod
    def of(cls, masks: "NDArray[np.bool_]", inside: "NDArray[np.bool_]") -> "_Pieces":
        from scipy.ndimage import label

        numbers, n = label(masks, SIDES)
        areas, covered = (np.bincount(numbers[where], minlength=n + 1)[1:] for where in (masks, inside & masks))
        rows = np.zeros(n + 1, np.intp)
        rows[numbers[masks]] = np.nonzero(masks)[0]
        return cls(numbers, rows[1:], areas, covered)

    def kept(self) -> "NDArray[np.bool_]":
        """Pixels (B, h, w) of the pieces that stay."""
        stays = self.expected > 0.5 * self.areas
        continued = np.isin(self.rows, self.rows[self.expected > 0])
        stays[self._first(np.where(continued, self.expected, self.areas))] = True
        return np.array([False, *stays])[self.numbers]

    def division(self) -> list[float]:
        """The second largest piece of each mask that meets what is expected, as a part of the largest."""
        found, met = np.zeros(len(self.numbers)), np.flatnonzero(self.expected)
        for row in np.flatnonzero(np.bincount(self.rows[met], minlength=1) > 1):
            *_, second, largest = np.sort(self.areas[met[self.rows[met] == row]])
            found[row] = second / largest
        return found.tolist()

    def _first(self, values: "NDArray[np.intp]") -> "NDArray[np.intp]":
        """The piece of each mask with the largest value; of equal ones the first."""
        order = np.lexsort((np.arange(len(values)), -values, self.rows))
        _, first = np.unique(self.rows[order], return_index=True)
        return np.asarray(order[first])


def _holes(masks: "NDArray[np.bool_]") -> "NDArray[np.bool_]":
    """Background (B, h, w) that a mask encloses."""
    from scipy.ndimage import label

    outside = np.pad(~masks, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    numbers, _ = label(outside, SIDES)
    return np.asarray((outside & (numbers != numbers[:, :1, :1]))[:, 1:-1, 1:-1])
