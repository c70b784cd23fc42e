"""Divisions that are proposed: nothing changes until a person accepts one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.masks.region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class DivisionProposal:
    """A cell that seems to divide.

    Attributes
    ----------
    mother : int
        Object that seems to end.
    frame : int
        The first frame on which her two daughters are apart.
    daughters : tuple of Region
        The pixels of both there.
    known : tuple of (int or None)
        By daughter, the object that begins there already; None for one that nobody follows.
    score : float
        How sure the model is of the less sure daughter, in [0, 1].
    why : str
        What speaks for it, in words.
    """

    mother: int
    frame: int
    daughters: tuple[Region, Region]
    known: tuple[int | None, int | None]
    score: float
    why: str


def daughters_of(proposal: DivisionProposal, shape_yx: tuple[int, int]) -> "list[int | NDArray[np.bool_]]":
    """Both daughters: the object that begins there, or the pixels (Y, X) of one that nobody follows."""
    pairs = zip(proposal.known, proposal.daughters, strict=True)
    return [mask_of(region, shape_yx) if known is None else known for known, region in pairs]


def mask_of(region: Region, shape_yx: tuple[int, int]) -> "NDArray[np.bool_]":
    """The pixels (Y, X) of a region of a frame."""
    mask = np.zeros(shape_yx, bool)
    y0, x0, y1, x1 = region.box
    mask[y0 : y1 + 1, x0 : x1 + 1] = region.mask
    return mask
