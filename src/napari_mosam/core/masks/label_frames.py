"""Label frames in numpy alone: their type, the pixels of each object, and the pieces of its mask."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray


EIGHT = np.ones((3, 3), bool)
"""Pixels that meet at a corner belong together."""


def label_dtype(max_id: int) -> type[np.unsignedinteger[Any]]:
    """uint16 where every id fits, else uint32."""
    if max_id > np.iinfo(np.uint32).max:
        raise Refused(f"object id {max_id} is too large for a label image; use ids up to 4294967295")
    return np.uint16 if max_id <= np.iinfo(np.uint16).max else np.uint32


def regions_of(labels: "NDArray[Any]", object_ids: Sequence[int], windows: Sequence[Window]) -> list[Region | None]:
    """The pixels of each object in a label frame; None where it has none."""
    found = []
    for object_id, window in zip(object_ids, windows, strict=True):
        rows, columns = window.pixels((labels.shape[0], labels.shape[1]))
        found.append(Region.from_mask(labels[rows, columns] == object_id, (rows.start, columns.start)))
    return found


def strays_of(region: Region | None, expected: Region | None = None) -> Region | None:
    """The pixels of a mask outside the piece that it keeps; None for a mask of one piece."""
    from scipy.ndimage import label

    if region is None:
        return None
    pieces, n_pieces = label(region.mask, EIGHT)
    if n_pieces == 1:
        return None
    sizes = np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:]
    inside = region.common(expected) if expected is not None else np.zeros_like(region.mask)
    covered = np.bincount(pieces[inside], minlength=n_pieces + 1)[1:]
    kept = 1 + max(range(n_pieces), key=lambda k: (covered[k], sizes[k]))
    return Region.from_mask((pieces > 0) & (pieces != kept), region.origin_yx)


def in_one_piece(labels: "NDArray[Any]", object_ids: Collection[int]) -> "NDArray[Any]":
    """A label frame in which each of some objects keeps its largest piece (8-connected) alone.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
    object_ids : collection of int
        The objects; those that are not there, and 0, count for nothing.

    Returns
    -------
    ndarray, shape (Y, X), dtype of `labels`
        A copy; dropped pixels are 0, all others as they were.
    """
    from scipy.ndimage import find_objects

    kept = labels.copy()
    ids = np.array(sorted({int(i) for i in object_ids} - {0}), np.int64)
    if not ids.size:
        return kept
    rows = np.searchsorted(ids, labels).clip(max=len(ids) - 1)
    for i, box in zip(ids, find_objects(np.where(ids[rows] == labels, rows + 1, 0), len(ids)), strict=True):
        strays = strays_of(Region.from_mask(labels[box] == i)) if box is not None else None
        if box is not None and strays is not None:
            y, x = (part.start + start for part, start in zip(box, strays.origin_yx, strict=True))
            height, width = strays.mask.shape
            kept[y : y + height, x : x + width][strays.mask] = 0
    return kept
