"""From window logits to one label frame in which objects never overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.sampling import NO_LOGIT, paste, sample
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

NO_OBJECT = -1024.0
"""Logit of every pixel of an absent object, as SAM 2 has it."""

SUPPRESSED = -10.0
"""Logit given to pixels that a rival holds; SAM 2 uses the same value."""

LOOKED_UP_ROWS = 256
"""Of a frame that are weighed at once with the quality of their objects: torch looks up by 8 bytes a pixel. Not
measured."""

Denied = Mapping[int, "NDArray[np.bool_]"]
"""By row, pixels that an object may not have whatever its logit; shape of the frame pixels of its window."""


@dataclass(frozen=True, slots=True, eq=False)
class FixedMask:
    """What an object brings to the contest for the pixels of a frame.

    Attributes
    ----------
    object_id : int
    window : Window
    logits : Tensor, shape (h, w)
        Over the window, any resolution.
    predicted_iou : float
        In [0, 1].
    painted : bool
        Whether a person painted the mask: it is taken as it is, in however many pieces.
    expected : Region or None
        Where the object is expected; None where nothing tells.
    """

    object_id: int
    window: Window
    logits: "Tensor"
    predicted_iou: float
    painted: bool = False
    expected: Region | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PixelOwnership:
    """Who holds each pixel of a frame.

    Attributes
    ----------
    best, second : Tensor, shape (Y, X)
        The two largest logits of any object.
    winner : Tensor of int32, shape (Y, X)
        Row of the object with the largest logit; -1 outside every window.
    denied : mapping of int to ndarray of bool
        Pixels on which a row did not take part, over the frame pixels of its window.
    """

    best: "Tensor"
    second: "Tensor"
    winner: "Tensor"
    denied: Denied = field(default_factory=dict)

    def rivals(self, row: int, window: Window, size: int) -> "Tensor":
        """The strongest logit of any *other* object over the window of `row`, shape (size, size)."""
        rows, columns = window.pixels((self.best.shape[0], self.best.shape[1]))
        if rows.start == rows.stop or columns.start == columns.stop:
            return torch.full((size, size), NO_LOGIT, device=self.best.device)
        mine = self.winner[rows, columns] == row
        rival = torch.where(mine, self.second[rows, columns], self.best[rows, columns])
        local = Window((window.center_yx[0] - rows.start, window.center_yx[1] - columns.start), window.size_yx)
        return sample(rival[None, None], local, size)[0]

    def labels(self, object_ids: Sequence[int], dtype: "DTypeLike | None" = None) -> "NDArray[np.unsignedinteger[Any]]":
        """Ids where a logit is positive, 0 elsewhere; shape (Y, X), of the smallest fitting or the given dtype."""
        lookup = np.array([*object_ids, 0], dtype or label_dtype(max(object_ids, default=0)))
        labels: NDArray[np.unsignedinteger[Any]] = lookup[self.winner.cpu().numpy()]
        labels[(self.best <= 0).cpu().numpy()] = 0
        return labels

    def confidence(self, predicted_ious: Sequence[float]) -> "NDArray[np.float32]":
        """Probability of the winner times its predicted IoU where its logit is positive, 0 elsewhere."""
        quality = torch.tensor([*predicted_ious, 0.0], device=self.best.device)
        confidence = self.best.sigmoid()
        for first in range(0, len(confidence), LOOKED_UP_ROWS):
            rows = slice(first, first + LOOKED_UP_ROWS)
            confidence[rows].mul_(quality[self.winner[rows]])
        return np.asarray(confidence.masked_fill_(self.best <= 0, 0.0).cpu().numpy(), np.float32)


def resolve_overlaps(
    logits: "Sequence[Tensor]", windows: Sequence[Window], shape_yx: tuple[int, int], denied: Denied | None = None
) -> PixelOwnership:
    """Put the logits of all objects on the frame and keep the two largest of each pixel.

    Parameters
    ----------
    logits : sequence of Tensor, shape (h, w)
        Over each object's window.
    windows : sequence of Window
    shape_yx : tuple of int
        Shape of the frame.
    denied : mapping of int to ndarray of bool, optional
        By row, pixels of its window that an object may not have.
    """
    denied = denied or {}
    device = logits[0].device if len(logits) else torch.device("cpu")
    best = torch.full(shape_yx, NO_LOGIT, device=device)
    second = best.clone()
    winner = torch.full(shape_yx, -1, dtype=torch.int32, device=device)
    for row, (own, window) in enumerate(zip(logits, windows, strict=True)):
        region, values = paste(own, window, shape_yx)
        if values.numel():
            if row in denied:
                values = values.masked_fill(torch.from_numpy(denied[row]).to(device), NO_LOGIT)
            _enter(best[region], second[region], winner[region], values.clamp(min=NO_LOGIT), row)
    return PixelOwnership(best, second, winner, denied)


def _enter(best: "Tensor", second: "Tensor", winner: "Tensor", values: "Tensor", row: int) -> None:
    wins = values > best
    second.copy_(torch.where(wins, best, torch.maximum(second, values)))
    best.copy_(torch.where(wins, values, best))
    winner[wins] = row


def suppress(logits: "Tensor", rivals: "Tensor") -> "Tensor":
    """Logits of one object with the pixels that a rival holds pushed to background."""
    return torch.where(rivals > logits, logits.clamp(max=SUPPRESSED), logits)


def suppress_duplicates(claims: Sequence[Region | None], strengths: Sequence[float], most_iou: float) -> set[int]:
    """Rows whose mask is another object's: it overlaps a stronger claim by more than an IoU.

    Two look-alike cells that meet are easily taken for one; without this rule both objects would share its pixels.

    Parameters
    ----------
    claims : sequence of Region or None
        Each object's mask before competition.
    strengths : sequence of float
        The larger keeps its mask; equal ones are decided by the order of the rows.
    most_iou : float
        The largest that two objects may have, in [0, 1].
    """
    kept: list[Region] = []
    losers = set()
    for row in sorted(range(len(claims)), key=lambda row: -strengths[row]):
        claim = claims[row]
        if claim is None:
            continue
        if any(claim.iou(other) > most_iou for other in kept):
            losers.add(row)
        else:
            kept.append(claim)
    return losers


def upsample(logits: "Tensor", size: int) -> "Tensor":
    """(B, h, w) logits to (B, size, size), bilinear."""
    return interpolate(logits[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
