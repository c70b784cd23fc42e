"""What is known of the masks of marked objects, by what was asked: an answer counts only for the marks it was given."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_erosion

from napari_mosam.core.prompts.collection import MaskPrompt, Prompt, Prompts, only_negative

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from napari_mosam.core.results.frame import FrameResult

KEPT = 512
"""Answers that are kept, so that undo and earlier frames are shown at once: a few frames of a hundred cells. Crops of
cells of 100 px are 10 kB each. Not measured."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of an object on a frame; the answer to an equal one is the same.

    Attributes
    ----------
    object_id, frame : int
    marks : Prompts
        Of that object on all frames: those elsewhere tell its size.
    how : object
        What else the answer depends on: settings, grey limits.
    """

    object_id: int
    frame: int
    marks: Prompts
    how: Any

    @property
    def here(self) -> tuple[Prompt, ...]:
        """The marks on the frame."""
        return tuple(self.marks.of(self.object_id)[self.frame])

    @property
    def only_negative(self) -> bool:
        """Whether nothing says where the object is."""
        return all(map(only_negative, self.here))


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The mask of an object on a frame, maybe without a pixel, and how well it fits by the network's own estimate."""

    mask: MaskPrompt
    predicted_iou: float

    @classmethod
    def of(cls, result: "FrameResult", object_id: int) -> "Outline":
        """That of one object of a preview."""
        item = next(item for item in result.objects if item.object_id == object_id)
        if item.box is None:  # not known, or there is no pixel
            return cls(MaskPrompt.from_frame(object_id, result.t, result.labels == object_id), item.predicted_iou)
        y0, x0, y1, x1 = item.box
        mask = result.labels[y0 : y1 + 1, x0 : x1 + 1] == object_id
        shape = result.labels.shape[0], result.labels.shape[1]
        return cls(MaskPrompt(object_id, result.t, mask, (y0, x0), shape), item.predicted_iou)

    @property
    def found(self) -> bool:
        """Whether there is any pixel."""
        return bool(self.mask.mask.size)


def asked_on(marks: Prompts, frame: int, how: Any) -> list[Asked]:
    """What can be asked on a frame: of every object with a mark there, the one that was marked last at the end."""
    ids = dict.fromkeys(p.object_id for p in reversed(marks.items) if p.frame == frame)
    of = {i: Prompts([p for frames in marks.of(i).values() for p in frames]) for i in ids}
    return [Asked(i, frame, of[i], how) for i in reversed(ids)]


class Outlines:
    """Answers by what was asked; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[Asked, Outline] = OrderedDict()

    def __contains__(self, asked: Asked) -> bool:
        return asked in self._known

    def __len__(self) -> int:
        return len(self._known)

    def put(self, asked: Asked, outline: Outline) -> None:
        """Keep an answer."""
        self._known[asked] = outline
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()

    def among(self, asked: Iterable[Asked]) -> Iterator[Outline]:
        """The answers that are known."""
        return (self._known[one] for one in asked if one in self._known)


def label_frame_of(
    outlines: Iterable[Outline], shape_yx: tuple[int, int], dtype: "DTypeLike" = np.int32, *, width: int | None = None
) -> "NDArray[Any]":
    """Ids of objects on a frame of shape (Y, X), the later ones on top; with a `width`, of their outer pixels alone."""
    frame = np.zeros(shape_yx, dtype)
    for outline in (one for one in outlines if one.found):
        mask, (top, left) = outline.mask.mask, outline.mask.origin
        drawn = mask if width is None else mask & ~binary_erosion(mask, iterations=width)
        frame[top : top + mask.shape[0], left : left + mask.shape[1]][drawn] = outline.mask.object_id
    return frame
