"""Two directions into one result, and all results of a frame into its labels: pure functions."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.masks.pieces import share_out
from napari_mosam.core.results.frame import ObjectResult
from napari_mosam.core.store.records import as_stored, region_of
from napari_mosam.core.windows.sparse import SparseImage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from napari_mosam.core.masks.region import Region
    from napari_mosam.core.store.records import LabelShape

CONFIDENCE_MAX = 255
"""A confidence of 1, as it is stored in a byte."""

CONTRADICTION = 0.5
"""Disagreement from which on two masks are taken for different things; not measured."""


def merge_directions(
    one: ObjectResult, other: ObjectResult, shape_yx: tuple[int, int], distances: "Mapping[str, int] | None" = None
) -> ObjectResult:
    """What is believed of an object that was followed to a frame from both sides.

    A prompted frame beats everything, an object that was seen beats one that was not. Of two masks of the same thing
    the one with the larger predicted IoU is taken; of two that contradict each other, the one that was followed from
    the nearer prompt: errors grow with the way. `one` wins where all is equal.

    Parameters
    ----------
    one, other : ObjectResult
        Of the same object and frame.
    shape_yx : tuple of int
        Shape of the frame.
    distances : mapping of str to int, optional
        Frames since the last prompt on the way of each direction, 'forward' and 'backward'.

    Returns
    -------
    ObjectResult
        `one` or `other`, with their disagreement.
    """
    differ = disagreement(one, other, shape_yx)
    way = distances if distances is not None and differ > CONTRADICTION else {}
    best = other if _strength(other, way) > _strength(one, way) else one
    return replace(best, scores=replace(best.scores, disagreement=differ))


def _strength(result: ObjectResult, way: "Mapping[str, int]") -> tuple[bool, bool, int, float]:
    return result.prompted, result.present, -way.get(result.direction, 0), result.predicted_iou


def way_since_prompt(prompted: "Collection[int]", t: int) -> dict[str, int]:
    """Frames to the last prompt behind `t`, forward and backward; a direction without one is left out."""
    behind, ahead = [p for p in prompted if p <= t], [p for p in prompted if p >= t]
    found = {}
    if behind:
        found["forward"] = t - max(behind)
    if ahead:
        found["backward"] = min(ahead) - t
    return found


def disagreement(one: ObjectResult, other: ObjectResult, shape_yx: tuple[int, int]) -> float:
    """1 - IoU of two masks before competition; 1 if exactly one is empty, 0 if both are."""
    mine, theirs = region_of(one, shape_yx), region_of(other, shape_yx)
    if mine is None or theirs is None:
        return float(mine is not theirs)
    return 1 - mine.iou(theirs)


def agreement(mine: "Region | None", theirs: "Region | None") -> float:
    """IoU of two masks; 0 where one or both are empty, which tells nothing of where an object will be seen next."""
    return 0.0 if mine is None or theirs is None else mine.iou(theirs)


def touches(region: "Region | None", others: "Iterable[Region | None]") -> bool:
    """Whether a region overlaps another or lies right beside it."""
    if region is None:
        return False
    beside = [region.shifted(shift) for shift in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))]
    return any(moved.overlap(other) for other in others if other is not None for moved in beside)


@dataclass(frozen=True, slots=True, eq=False)
class Locked:
    """Objects of a frame whose pixels are fixed.

    Attributes
    ----------
    object_ids : tuple of int
    labels : ndarray of int, shape (Y, X)
        The present label frame.
    confidence : ndarray of uint8, shape (Y, X)
    """

    object_ids: tuple[int, ...]
    labels: "NDArray[Any]"
    confidence: "NDArray[np.uint8]"


def compose(
    results: "Iterable[ObjectResult]",
    shape_yx: tuple[int, int],
    dtype: "type[np.unsignedinteger[Any]]",
    locked: Locked | None = None,
    *,
    prune: bool = True,
) -> "tuple[NDArray[Any], NDArray[np.uint8]]":
    """The label frame of stored results: every pixel goes to the largest logit, if that is positive.

    An object that nobody painted on the frame keeps one piece (8-connected) of what it wins: the largest, since those
    of a run hold no other piece, and the last mask is not at hand where those of both directions meet.

    Parameters
    ----------
    results : iterable of ObjectResult
        Of all objects on the frame.
    shape_yx : tuple of int
        Shape of the frame.
    dtype : type
        Of the labels.
    locked : Locked, optional
        These keep exactly their present pixels, which nobody else gets.
    prune : bool
        Whether masks are one piece, see :class:`EngineConfig`.

    Returns
    -------
    labels : ndarray of `dtype`, shape (Y, X)
    confidence : ndarray of uint8, shape (Y, X)
        255 x (probability of the winner times its predicted IoU), rounded up.
    """
    labels, confidence = composed(results, shape_yx, dtype, locked, prune=prune)
    return labels.full(), confidence.full()


def composed(
    results: "Iterable[ObjectResult]",
    shape_yx: tuple[int, int],
    dtype: "type[np.unsignedinteger[Any]]",
    locked: Locked | None = None,
    *,
    prune: bool = True,
) -> tuple[SparseImage, SparseImage]:
    """As :func:`compose`, of the parts of the frame alone where something may be."""
    fixed = set(locked.object_ids) if locked is not None else set()
    free = sorted((r for r in results if r.object_id not in fixed), key=lambda r: r.object_id)
    claims = [as_stored(result) for result in free]
    held = np.isin(locked.labels, list(fixed)) if locked is not None and fixed else None
    shares = share_out(claims, shape_yx, dtype, held=held, prune=prune)
    labels, sure = shares.label_image, shares.contest.confidence_image([claim.predicted_iou for claim in claims])
    confidence = sure.mapped(as_bytes, np.uint8)
    if locked is None or held is None:
        return labels, confidence
    now = np.where(held, locked.labels, labels.full()).astype(dtype)
    return SparseImage.of(now), SparseImage.of(np.where(held, locked.confidence, confidence.full()))


def as_bytes(confidence: "NDArray[np.float32]") -> "NDArray[np.uint8]":
    """Confidence in [0, 1] as 0 … 255, rounded up, so that no pixel of an object has 0."""
    return np.ceil(confidence * CONFIDENCE_MAX).astype(np.uint8)


def shapes_of(labels: "NDArray[Any] | SparseImage") -> "dict[int, LabelShape]":
    """Number of pixels of each id in a label frame, and their centre (y, x)."""
    found = [np.zeros((3, 0), np.int64)]
    for (rows, columns), pixels in SparseImage.of(labels).parts:
        y, x = np.nonzero(pixels)
        found.append(np.array([y + rows.start, x + columns.start, pixels[y, x]]))
    y, x, own = np.hstack(found)
    ids, at, counts = np.unique(own, return_inverse=True, return_counts=True)
    middle_y, middle_x = (np.bincount(at, axis, len(ids)) / np.maximum(counts, 1) for axis in (y, x))
    shapes = zip(counts.tolist(), middle_y.tolist(), middle_x.tolist(), strict=True)
    return dict(zip(ids.tolist(), shapes, strict=True))
