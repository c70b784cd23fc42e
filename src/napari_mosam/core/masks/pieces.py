"""A cell's mask is one piece: who holds which pixel of a frame once every object has kept a single piece.

What an object wins can be cut in two by another that lies across it, so pieces are dropped after the contest; the
dropped pixels go to the next best object, which may cut others, and so on until nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.masks.label_frames import strays_of
from napari_mosam.core.masks.logit_codes import coded
from napari_mosam.core.masks.overlap import SUPPRESSED, FixedMask, PixelOwnership, resolve_overlaps
from napari_mosam.core.masks.raster import rasterise
from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.sparse import SparseImage

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, eq=False)
class Shares:
    """What each object holds of a frame.

    Attributes
    ----------
    whole : PixelOwnership
        Before any piece was dropped: what is remembered. Memory without the dropped pieces was tried; cells that were
        hard to follow were followed worse (mean J of DIC cells -.009, of faint simulated ones -.020).
    contest : PixelOwnership
    object_ids : list of int
        Per row.
    dtype : numpy dtype or None
        Of the labels; None: the smallest that fits.
    regions : list of Region or None
        Per row; None where it holds nothing.
    """

    whole: PixelOwnership
    contest: PixelOwnership
    object_ids: list[int]
    dtype: "DTypeLike | None"
    regions: list[Region | None]

    @cached_property
    def label_image(self) -> SparseImage:
        """Ids of who holds what, 0 elsewhere."""
        return self.contest.label_image(self.object_ids, self.dtype)

    @cached_property
    def labels(self) -> "NDArray[np.unsignedinteger[Any]]":
        """The same as an array, shape (Y, X), uint16 or uint32."""
        return self.label_image.full()


def share_out(
    claims: Sequence[FixedMask],
    shape_yx: tuple[int, int],
    dtype: "DTypeLike | None" = None,
    *,
    held: "NDArray[np.bool_] | None" = None,
    prune: bool = True,
    whole: PixelOwnership | None = None,
) -> Shares:
    """Hold the contest again and again, each time without the pieces that an object may not keep.

    A pure function of the claims: those that are stored give the same frame again.

    Parameters
    ----------
    claims : sequence of FixedMask
        Of all objects on the frame, with the logits that are stored.
    shape_yx : tuple of int
        Shape of the frame.
    dtype : optional
        Of the labels; the smallest that fits by default.
    held : ndarray of bool, shape (Y, X), optional
        Pixels that nobody gets.
    prune : bool
        Whether masks that nobody painted are one piece; without it there is one contest.
    whole : PixelOwnership, optional
        What is to be told as the first contest.
    """
    ids, windows = [claim.object_id for claim in claims], [claim.window for claim in claims]
    denied: dict[int, NDArray[np.bool_]] = {}
    if held is not None:
        denied = {row: held[window.pixels(shape_yx)].copy() for row, window in enumerate(windows)}
    while True:
        contest = resolve_overlaps([claim.logits for claim in claims], windows, shape_yx, denied)
        whole = whole or contest
        regions = contest.regions(windows)
        dropped = {
            row: strays
            for row, (claim, region) in enumerate(zip(claims, regions, strict=True))
            if prune and not claim.painted and (strays := strays_of(region, claim.expected)) is not None
        }
        if not dropped:
            return Shares(whole, contest, ids, dtype, regions)
        del contest  # its arrays would stay while the next one is held
        for row, strays in dropped.items():
            rows, columns = windows[row].pixels(shape_yx)
            mine = denied.setdefault(row, np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool))
            y0, x0, y1, x1 = strays.box
            mine[y0 - rows.start : y1 - rows.start + 1, x0 - columns.start : x1 - columns.start + 1] |= strays.mask


def settle(
    claims: Sequence[FixedMask],
    others: Sequence[FixedMask],
    shape_yx: tuple[int, int],
    dtype: "DTypeLike | None" = None,
    *,
    prune: bool = True,
) -> "tuple[list[Tensor], Shares]":
    """Share out a frame among objects whose logits are not stored yet, and take out of these what they may not keep.

    Of the pieces of a mask the one that covers most of where the object is expected stays, else the largest. What is
    returned is shared out from the new logits alone, as it will be when they are read from storage.

    Parameters
    ----------
    claims : sequence of FixedMask
        Of the objects that are followed; any logits.
    others : sequence of FixedMask
        Of those that are not, as they are stored.
    shape_yx, dtype, prune
        See :func:`share_out`.

    Returns
    -------
    logits : list of Tensor
        Of `claims`, at most -10 where pieces were dropped.
    shares : Shares
        Rows are `claims`, then `others`.
    """
    shares = share_out([*_stored(claims), *others], shape_yx, dtype, prune=prune)
    whole, denied = shares.whole, shares.contest.denied
    if not denied:
        return [claim.logits for claim in claims], shares
    del shares  # as in the contests before
    cut = [
        replace(claim, logits=_without(claim, denied.get(row), shape_yx), expected=None)
        for row, claim in enumerate(claims)
    ]
    again = share_out([*_stored(cut), *others], shape_yx, dtype, prune=prune, whole=whole)
    return [claim.logits for claim in cut], again


def _stored(claims: Sequence[FixedMask]) -> list[FixedMask]:
    logits = coded([claim.logits for claim in claims])
    return [replace(claim, logits=own) for claim, own in zip(claims, logits, strict=True)]


def _without(claim: FixedMask, denied: "NDArray[np.bool_] | None", shape_yx: tuple[int, int]) -> "Tensor":
    """The logits of a claim, suppressed where most of what they stand for was denied."""
    rows, columns = claim.window.pixels(shape_yx)
    region = Region.from_mask(denied, (rows.start, columns.start)) if denied is not None else None
    logits = claim.logits
    if region is None:
        return logits
    inside = rasterise(region, claim.window, logits.shape[-1])[0].to(logits.device) > 0.5
    return torch.where(inside, logits.clamp(max=SUPPRESSED), logits)
