"""From window logits to one label frame in which objects never overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.masks.region import Region, meeting
from napari_mosam.core.windows.devices import put, rows_on
from napari_mosam.core.windows.sampling import NO_LOGIT, paste_each, sample_each
from napari_mosam.core.windows.sparse import SparseImage, disjoint_boxes, inside, moved
from napari_mosam.core.windows.tiles import Part
from napari_mosam.core.windows.window import Window

NO_OBJECT = -1024.0
"""Logit of every pixel of an absent object, as SAM 2 has it."""

SUPPRESSED = -10.0
"""Logit given to pixels that a rival holds; SAM 2 uses the same value."""

LOOKED_UP_PX = 2**18
"""Of a frame that are weighed at once with the quality of their objects: torch looks up by 8 bytes a pixel. Not
measured."""

CPU = torch.device("cpu")

VECTOR = 64
"""Numbers that torch takes at once at most; it computes the sigmoid of what is left at the end in another way."""

Pixels = TypeVar("Pixels", Tensor, NDArray[Any])

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
class ContestedPart:
    """Who holds each pixel of a rectangle of a frame.

    Attributes
    ----------
    part : Part
        Rows and columns of the frame.
    best, second : Tensor, shape (y, x)
        The two largest logits of any object.
    winner : Tensor of int32, shape (y, x)
        Row of the object with the largest logit; -1 outside every window.
    """

    part: Part
    best: "Tensor"
    second: "Tensor"
    winner: "Tensor"

    def enter(self, part: Part, values: "Tensor", row: int) -> None:
        """Let an object take part with its logits on some pixels of the frame."""
        own = moved(part, self.part)
        best, second, winner = self.best[own], self.second[own], self.winner[own]
        winner.masked_fill_(values > best, row)
        torch.maximum(second, torch.minimum(best, values), out=second)
        torch.maximum(best, values, out=best)


def _probability(logits: "Tensor") -> "Tensor":
    """Sigmoid, whose last bit does not depend on where in the array a pixel lies."""
    n = logits.numel()
    return pad(logits, (0, -n % VECTOR)).sigmoid()[:n]


@dataclass(frozen=True, eq=False)
class PixelOwnership:
    """Who holds each pixel of a frame.

    Attributes
    ----------
    shape_yx : tuple of int
        Shape of the frame.
    boxes : tuple of Part
        Where there are windows: rectangles that share no pixel. Nobody holds anything elsewhere.
    best, second, winner : Tensor, shape (n,)
        Of their pixels, one rectangle after the other, so that all are asked for at once; see :class:`ContestedPart`.
    denied : mapping of int to ndarray of bool
        Pixels on which a row did not take part, over the frame pixels of its window.
    """

    shape_yx: tuple[int, int]
    boxes: tuple[Part, ...]
    best: "Tensor"
    second: "Tensor"
    winner: "Tensor"
    denied: Denied = field(default_factory=dict)

    @classmethod
    def nobodys(
        cls, shape_yx: tuple[int, int], boxes: Sequence[Part], device: torch.device, denied: Denied
    ) -> "PixelOwnership":
        """Before any object took part."""
        n = sum(height * width for height, width in map(_extent, boxes))
        best = torch.full((n,), NO_LOGIT, device=device)
        return cls(shape_yx, tuple(boxes), best, best.clone(), torch.full_like(best, -1, dtype=torch.int32), denied)

    @cached_property
    def parts(self) -> tuple[ContestedPart, ...]:
        """The rectangles, views."""
        columns = zip(*map(self._cut, (self.best, self.second, self.winner)), strict=True)
        return tuple(ContestedPart(box, *column) for box, column in zip(self.boxes, columns, strict=True))

    @cached_property
    def holders(self) -> "list[NDArray[np.int32]]":
        """Of each rectangle the winner where its logit is positive, else -1."""
        return self._cut(torch.where(self.best > 0, self.winner, -1).cpu().numpy())

    def _cut(self, pixels: "Pixels") -> "list[Pixels]":
        """Pixels (n,) as rectangles (y, x)."""
        found, start = [], 0
        for height, width in map(_extent, self.boxes):
            found.append(pixels[start : start + height * width].reshape(height, width))
            start += height * width
        return found

    def over(self, part: Part) -> ContestedPart:
        """The contest for a part of the frame; views where that lies in one rectangle."""
        contest = self.part_around(part)
        if contest is not None:
            own = moved(part, contest.part)
            return ContestedPart(part, contest.best[own], contest.second[own], contest.winner[own])
        (found,) = PixelOwnership.nobodys(self.shape_yx, [part], self.best.device, {}).parts
        for other in self.parts:
            common = _common(part, other.part)
            here, there = moved(common, part), moved(common, other.part)
            found.best[here], found.second[here] = other.best[there], other.second[there]
            found.winner[here] = other.winner[there]
        return found

    def part_around(self, part: Part) -> ContestedPart | None:
        """The rectangle in which all of a part lies; None where there is none."""
        return next((contest for contest in self.parts if inside(part, contest.part)), None)

    def rivals(self, rows: Sequence[int], windows: Sequence[Window], size: int) -> "Tensor":
        """The strongest logit of any *other* object over the window of each row, shape (B, size, size)."""
        parts = [window.pixels(self.shape_yx) for window in windows]
        shapes = list(map(_extent, parts))
        there = [k for k, shape in enumerate(shapes) if min(shape) > 0]
        found = torch.full((len(rows), size, size), NO_LOGIT, device=self.best.device)
        if there:
            seen = (self._without(rows[k], parts[k]) for k in there)
            views = [windows[k].seen_from((parts[k][0].start, parts[k][1].start)) for k in there]
            read = sample_each(seen, [shapes[k] for k in there], views, size, found.device)
            found[rows_on(found.device, there)] = read
        return found

    def _without(self, row: int, part: Part) -> "Tensor":
        """The largest logits (y, x) of a part of the frame as they would be if a row had not taken part."""
        here = self.over(part)
        return torch.where(here.winner == row, here.second, here.best)

    def regions(self, windows: Sequence[Window]) -> list[Region | None]:
        """The pixels that each row holds, given the window of each; None where it has none."""
        found: list[Region | None] = []
        for row, window in enumerate(windows):
            part, region = window.pixels(self.shape_yx), None
            for box, holders in zip(self.boxes, self.holders, strict=True):
                if inside(part, box):
                    region = Region.from_mask(holders[moved(part, box)] == row, (part[0].start, part[1].start))
            found.append(region)
        return found

    def label_image(self, object_ids: Sequence[int], dtype: "DTypeLike | None" = None) -> SparseImage:
        """As :meth:`labels`, of the rectangles alone."""
        lookup = np.array([*object_ids, 0], dtype or label_dtype(max(object_ids, default=0)))
        held = (lookup[holders] for holders in self.holders)
        return SparseImage(self.shape_yx, lookup.dtype, tuple(zip(self.boxes, held, strict=True)))

    def labels(self, object_ids: Sequence[int], dtype: "DTypeLike | None" = None) -> "NDArray[np.unsignedinteger[Any]]":
        """Ids where a logit is positive, 0 elsewhere; shape (Y, X), of the smallest fitting or the given dtype."""
        return self.label_image(object_ids, dtype).full()

    def confidence_image(self, predicted_ious: Sequence[float]) -> SparseImage:
        """As :meth:`confidence`, of the rectangles alone."""
        quality = put(torch.tensor([*predicted_ious, 0.0]), self.best.device)
        sure = _probability(self.best)
        for own, winner in zip(*(torch.split(pixels, LOOKED_UP_PX) for pixels in (sure, self.winner)), strict=True):
            own.mul_(quality[winner])
        found = self._cut(sure.masked_fill_(self.best <= 0, 0.0).cpu().numpy())
        return SparseImage(self.shape_yx, np.dtype(np.float32), tuple(zip(self.boxes, found, strict=True)))

    def confidence(self, predicted_ious: Sequence[float]) -> "NDArray[np.float32]":
        """Probability of the winner times its predicted IoU where its logit is positive, 0 elsewhere."""
        return self.confidence_image(predicted_ious).full()


def _extent(part: Part) -> tuple[int, int]:
    rows, columns = part
    return rows.stop - rows.start, columns.stop - columns.start


def _common(one: Part, other: Part) -> Part:
    """What two parts share; of no rows or columns where they share nothing."""
    rows, columns = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def resolve_overlaps(
    logits: "Sequence[Tensor]", windows: Sequence[Window], shape_yx: tuple[int, int], denied: Denied | None = None
) -> PixelOwnership:
    """Put the logits of all objects on the frame and keep the two largest of each pixel.

    Time and memory are taken for the windows alone, by the rectangles around those that share pixels.

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
    device = logits[0].device if len(logits) else CPU
    taking_part = _taking_part(logits)
    parts = [windows[row].pixels(shape_yx) for row in taking_part]
    owners = PixelOwnership.nobodys(shape_yx, disjoint_boxes(parts), device, denied)
    pasted = paste_each([logits[row] for row in taking_part], [windows[row] for row in taking_part], parts)
    for row, part, values in zip(taking_part, parts, pasted, strict=True):
        contest = owners.part_around(part)
        if contest is not None and values.numel():
            if row in denied:
                values = values.masked_fill(put(denied[row], device), NO_LOGIT)
            contest.enter(part, values.clamp(min=NO_LOGIT), row)
    return owners


def _taking_part(logits: "Sequence[Tensor]") -> list[int]:
    """Rows with a logit that could win or be second anywhere: an object that is not there changes nothing."""
    if not len(logits):
        return []
    largest = torch.stack([own.amax() for own in logits]).tolist()
    return [row for row, logit in enumerate(largest) if logit > NO_LOGIT]


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
    kept: list[int] = []
    losers, meets = set(), meeting(claims)
    for row in sorted(range(len(claims)), key=lambda row: -strengths[row]):
        claim, near = claims[row], [other for other in kept if meets[row, other]]
        if claim is None:
            continue
        if any(other is not None and claim.iou(other) > most_iou for other in map(claims.__getitem__, near)):
            losers.add(row)
        else:
            kept.append(row)
    return losers


def upsample(logits: "Tensor", size: int) -> "Tensor":
    """(B, h, w) logits to (B, size, size), bilinear."""
    return interpolate(logits[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
