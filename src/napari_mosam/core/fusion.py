"""Two directions into one record, and all records of a frame into its labels: pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.labels import compete

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.records import Record
    from napari_mosam.core.regions import Region

CONFIDENCE_MAX = 255


def fuse(one: "Record", other: "Record", shape_yx: tuple[int, int]) -> "Record":
    """What is believed of an object that was followed to a frame from both sides.

    A prompted frame beats everything, an object that was seen beats one that was not, and of two masks the one with
    the larger predicted IoU is taken (`one` where they are equal).

    Returns
    -------
    Record
        `one` or `other`, with their disagreement.
    """
    best = other if _strength(other) > _strength(one) else one
    return replace(best, disagreement=disagreement(one, other, shape_yx))


def _strength(record: "Record") -> tuple[bool, bool, float]:
    return record.prompted, record.present, record.predicted_iou


def disagreement(one: "Record", other: "Record", shape_yx: tuple[int, int]) -> float:
    """1 - IoU of two masks before competition; 1 if exactly one is empty, 0 if both are."""
    mine, theirs = one.region(shape_yx), other.region(shape_yx)
    if mine is None or theirs is None:
        return float(mine is not theirs)
    return 1 - mine.iou(theirs)


def agreement(mine: "Region | None", theirs: "Region | None") -> float:
    """IoU of two masks; 0 where one or both are empty, which tells nothing of where an object will be seen next."""
    return 0.0 if mine is None or theirs is None else mine.iou(theirs)


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
    records: "Iterable[Record]",
    shape_yx: tuple[int, int],
    dtype: "type[np.unsignedinteger[Any]]",
    locked: Locked | None = None,
) -> "tuple[NDArray[Any], NDArray[np.uint8]]":
    """The label frame of stored records: every pixel goes to the largest logit, if that is positive.

    Parameters
    ----------
    records : iterable of Record
        Of all objects on the frame.
    shape_yx : tuple of int
        Shape of the frame.
    dtype : type
        Of the labels.
    locked : Locked, optional
        These keep exactly their present pixels, which nobody else gets.

    Returns
    -------
    labels : ndarray of `dtype`, shape (Y, X)
    confidence : ndarray of uint8, shape (Y, X)
        255 x (probability of the winner times its predicted IoU), rounded up.
    """
    fixed = set(locked.object_ids) if locked is not None else set()
    free = sorted((r for r in records if r.object_id not in fixed), key=lambda r: r.object_id)
    claims = [record.claim() for record in free]
    contest = compete([claim.logits for claim in claims], [claim.window for claim in claims], shape_yx)
    labels = contest.labels([claim.object_id for claim in claims], dtype)
    confidence = as_bytes(contest.confidence([claim.predicted_iou for claim in claims]))
    if locked is None or not fixed:
        return labels, confidence
    held = np.isin(locked.labels, list(fixed))
    return np.where(held, locked.labels, labels).astype(dtype), np.where(held, locked.confidence, confidence)


def as_bytes(confidence: "NDArray[np.float32]") -> "NDArray[np.uint8]":
    """Confidence in [0, 1] as 0 … 255, rounded up, so that no pixel of an object has 0."""
    return np.ceil(confidence * CONFIDENCE_MAX).astype(np.uint8)


def areas_of(labels: "NDArray[Any]") -> dict[int, int]:
    """Number of pixels of each id in a label frame."""
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))
