"""What the table of a result says of a mask and of its track since a person last said where the object is.

A mask is hardly ever better than the worst one on the way to it: an object that was lost on the way is another one now.
"""

from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.results.columns import STATES
from napari_mosam.core.results.frame import ObjectState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Table = Mapping[str, NDArray[np.float32]]
    Floats = NDArray[np.float64]

COLUMNS = ("state", "predicted_iou", "consistency", "accepted", "locked")
"""Of the table: what is read of it."""

FEATURES = ("predicted_iou", "worst_predicted_iou", "consistency")
"""What the expected IoU is made of: logits of the network's prediction, of the least one on the way to the mask, and of
the IoU with the mask before, moved. Nothing else that a table holds, nor the mask's own logits, told enough more."""

_PRESENT = STATES.index(ObjectState.PRESENT)
_LOGIT_LIMIT = 0.001
"""Shares are clipped to this and 1 less it: as near to 0 and 1 as the network's own prediction comes."""

_USUAL_CONSISTENCY = 0.88
"""In place of a consistency that is not known: the median of those that are, in `benchmarks.calibration`."""


def evidence(table: "Table", prompted: "NDArray[np.bool_]", painted: "NDArray[np.bool_]", direction: str) -> "Floats":
    """The features of every mask, shape (T, N, F) in the order of `FEATURES`; NaN where no object was seen.

    Parameters
    ----------
    table : mapping of str to ndarray of float32, shape (T, N)
        `COLUMNS` of a result.
    prompted, painted : ndarray of bool, shape (T, N)
        Where a person marked an object in any way, and where its mask is theirs.
    direction : {'both', 'forward', 'backward'}
        In which objects were followed.
    """
    seen = table["state"] == _PRESENT
    iou = np.where(seen, np.where(painted, 1.0, table["predicted_iou"]), np.nan)
    same = np.where(seen, table["consistency"], np.nan)
    found = np.full((*seen.shape, len(FEATURES)), np.nan)
    known = anchors(seen, prompted | painted)
    for column in range(seen.shape[1]):
        for way in ways(known[:, column], direction):
            q, c = iou[way, column], same[way, column]
            shares = q, np.fmin.accumulate(q), np.where(np.isnan(c), _USUAL_CONSISTENCY, c)
            found[way, column] = np.stack([_logit(share) for share in shares], 1)
    return np.where(seen[..., None], found, np.nan)


def anchors(seen: "NDArray[np.bool_]", marked: "NDArray[np.bool_]") -> "NDArray[np.bool_]":
    """Where an object is known to be: a person marked it there, and it was seen; shape (T, N).

    An object that nobody marked, such as one of an imported result, is known on the first frame on which it is seen.
    """
    first = np.zeros_like(seen)
    first[seen.argmax(axis=0), np.arange(seen.shape[1])] = True
    known = seen & marked
    return np.where(known.any(axis=0), known, seen & first)


def ways(known: "NDArray[np.bool_]", direction: str) -> "Iterator[NDArray[np.intp]]":
    """The frames of one object from each frame on which it is known, that one first, as far as no other is nearer.

    Parameters
    ----------
    known : ndarray of bool, shape (T,)
    direction : {'both', 'forward', 'backward'}
        In which it was followed.
    """
    at, n = np.flatnonzero(known), len(known)
    middles = (at[1:] + at[:-1] + 1) // 2
    starts, stops = np.append(0, middles), np.append(middles, n)
    if direction == "forward":
        starts, stops = np.append(0, at[1:]), np.append(at[1:], n)
    if direction == "backward":
        starts, stops = np.append(0, at[:-1] + 1), np.append(at[:-1] + 1, n)
    for t, start, stop in zip(at.tolist(), starts.tolist(), stops.tolist(), strict=False):
        yield np.arange(t, start - 1, -1)
        yield np.arange(t, stop)


def _logit(share: "Floats") -> "Floats":
    within = np.clip(share, _LOGIT_LIMIT, 1 - _LOGIT_LIMIT)
    return np.asarray(np.log(within) - np.log1p(-within))
