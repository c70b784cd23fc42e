"""The three kinds of prompt: a point with a sign, a box, a mask.

Frames count from 0. Coordinates are (y, x) in pixels; an integer coordinate is the centre of a pixel, so a frame of
shape (Y, X) reaches from -0.5 to Y - 0.5 and X - 0.5. Boxes are inclusive. Object ids are at least 1 and become label
values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mosam.core.config.checks import Refused, whole_number
from napari_mosam.core.images.label_images.labels import LabelError, as_ids, as_mask

POSITIVE, NEGATIVE, BOX_START, BOX_END = 1, 0, 2, 3
"""Labels of points as the model's prompt encoder knows them."""

Point = tuple[float, float, int]
"""(y, x, label) in frame coordinates."""


class PromptError(ValueError):
    """A prompt that cannot be used; the message says which one, why, and what is allowed."""


@contextmanager
def as_prompt_error() -> Iterator[None]:
    """Turn the refusal of labels, or of what else is read, into that of a prompt."""
    try:
        yield
    except (LabelError, Refused) as error:
        raise PromptError(str(error)) from error


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """A click on an object or, negative, beside it.

    Parameters
    ----------
    object_id : int
        Object the click speaks about, at least 1.
    frame : int
        Frame index, from 0.
    yx : tuple of float
        Position, px.
    positive : bool
        True: belongs to the object. False: does not.

    Raises
    ------
    PromptError
        For an id or a frame that is no whole number, and coordinates that are not two finite numbers.
    """

    object_id: int
    frame: int
    yx: tuple[float, float]
    positive: bool = True

    def __post_init__(self) -> None:
        _keep_whole(self, "object_id", "frame")
        object.__setattr__(self, "yx", _finite(self, "point", self.yx, "[y, x]", 2))


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A box around an object.

    Parameters
    ----------
    object_id : int
        Object inside the box, at least 1.
    frame : int
        Frame index, from 0.
    box : tuple of float
        (y0, x0, y1, x1), px, inclusive: both corners belong to the box.

    Raises
    ------
    PromptError
        For an id or a frame that is no whole number, coordinates that are not four finite numbers, or corners in the
        wrong order.
    """

    object_id: int
    frame: int
    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        _keep_whole(self, "object_id", "frame")
        object.__setattr__(self, "box", _finite(self, "box", self.box, "[y0, x0, y1, x1]", 4))
        y0, x0, y1, x1 = self.box
        if y1 < y0 or x1 < x0:
            raise PromptError(
                f"{where(self)}: box {numbers(self.box)} is turned round; "
                "give [y0, x0, y1, x1] with y0 <= y1 and x0 <= x1"
            )


@dataclass(frozen=True, slots=True, eq=False)
class MaskPrompt:
    """A painted or drawn mask, kept as the crop that holds it.

    Parameters
    ----------
    object_id : int
        Object that is masked, at least 1.
    frame : int
        Frame index, from 0.
    mask : ndarray of bool, shape (h, w)
        True inside the object; of numbers, those that are neither 0 nor NaN are inside.
    origin : tuple of int
        (y, x) of the crop's first pixel in the frame.
    frame_shape : tuple of int or None
        (Y, X) of the frame the crop was cut from, to find out masks made for another movie; None if not known.

    Raises
    ------
    PromptError
        For an id or a frame that is no whole number, and a mask that is not 2-D or holds fractions, negative or
        infinite numbers.
    """

    object_id: int
    frame: int
    mask: NDArray[np.bool_]
    origin: tuple[int, int]
    frame_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _keep_whole(self, "object_id", "frame")
        object.__setattr__(self, "mask", _as_mask(self.mask, self.object_id, self.frame))
        if self.mask.ndim != 2:
            raise PromptError(f"{where(self)}: the mask has shape {self.mask.shape}; give one 2-D mask (Y, X)")

    @classmethod
    def from_frame(cls, object_id: int, frame: int, mask_hw: ArrayLike) -> Self:
        """Cut the smallest crop out of a mask of the whole frame; non-zero is inside, NaN is not."""
        mask = _as_mask(mask_hw, object_id, frame)
        if mask.ndim != 2:
            raise PromptError(
                f"object {object_id} on frame {frame}: the mask has shape {mask.shape}; give one 2-D mask (Y, X)"
            )
        rows, columns = _extents(mask)
        shape = (mask.shape[0], mask.shape[1])
        return cls(object_id, frame, mask[rows, columns].copy(), (rows.start, columns.start), shape)

    def __eq__(self, other: object) -> bool:
        """Whether the same pixels of the same frame are said to be the same object, however they were cut out."""
        if not isinstance(other, MaskPrompt):
            return NotImplemented
        if (self.object_id, self.frame) != (other.object_id, other.frame):
            return False
        (mine, mask), (theirs, mask_there) = self.tight, other.tight
        return mine == theirs and np.array_equal(mask, mask_there)

    def __hash__(self) -> int:
        return hash((self.object_id, self.frame))

    @property
    def tight(self) -> tuple[tuple[int, int], NDArray[np.bool_]]:
        """Origin (y, x) and mask of bool without empty rows and columns around it; shape (0, 0) without any pixel."""
        rows, columns = _extents(self.mask)
        mask = self.mask[rows, columns].astype(bool, copy=False)
        return (self.origin[0] + rows.start, self.origin[1] + columns.start), mask

    def to_frame(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask in a frame of that shape (Y, X); what lies outside is cut off."""
        frame = np.zeros(shape, bool)
        (top, left), (height, width) = self.origin, self.mask.shape
        y0, x0 = max(top, 0), max(left, 0)
        inside = frame[y0 : max(top + height, 0), x0 : max(left + width, 0)]
        inside[...] = self.mask[y0 - top :, x0 - left :][: inside.shape[0], : inside.shape[1]]
        return frame


Prompt = PointPrompt | BoxPrompt | MaskPrompt


def polygon_mask(vertices_yx: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a polygon: True where a pixel's centre lies inside.

    Parameters
    ----------
    vertices_yx : array_like of float, shape (N, 2)
        Corners in order, px; the polygon is closed from the last to the first.
    shape : tuple of int
        (Y, X) of the frame; what lies outside is cut off.

    Raises
    ------
    PromptError
        For fewer than three corners or corners that are not finite.
    """
    from skimage.draw import polygon2mask

    vertices = np.asarray(vertices_yx, float)
    if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3 or not np.isfinite(vertices).all():
        raise PromptError(f"a polygon needs at least 3 finite corners (y, x); given: shape {vertices.shape}")
    return np.asarray(polygon2mask(shape, vertices), bool)


def label_masks(labels_yx: NDArray[Any], frame: int) -> list[MaskPrompt]:
    """One mask per id of a label image (Y, X); PromptError for values that are no ids."""
    from scipy.ndimage import find_objects

    ids, ranks = _ranked(_as_ids(labels_yx, frame))
    shape = (labels_yx.shape[0], labels_yx.shape[1])
    return [
        MaskPrompt(object_id, frame, ranks[place] == rank, (place[0].start, place[1].start), shape)
        for rank, (object_id, place) in enumerate(zip(ids, find_objects(ranks), strict=True), 1)
    ]


def _ranked(labels: NDArray[Any]) -> tuple[list[int], NDArray[np.integer[Any]]]:
    """Ids of an image, ascending, and the image with their rank, from 1, in place of each.

    Sorted are runs of equal pixels, of which there are few, instead of pixels.
    """
    flat = labels.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    ids, ranks = np.unique(flat[starts], return_inverse=True)
    ranks = ranks.astype(np.int32) + np.int32(ids[0] != 0)
    image = np.repeat(ranks, np.diff(starts, append=flat.size)).reshape(labels.shape)
    return [int(i) for i in ids if i], image


def _as_ids(labels: NDArray[Any], frame: int) -> NDArray[Any]:
    with as_prompt_error():
        return as_ids(labels, f"frame {frame} of the labels")


def _as_mask(pixels: ArrayLike, object_id: int, frame: int) -> NDArray[np.bool_]:
    with as_prompt_error():
        return as_mask(pixels, f"the mask of object {object_id} on frame {frame}")


def _keep_whole(prompt: Prompt, *names: str) -> None:
    """Keep attributes as numbers of Python; PromptError for what is no whole number."""
    for name in names:
        with as_prompt_error():
            object.__setattr__(prompt, name, whole_number(getattr(prompt, name), name))


def _finite(prompt: Prompt, name: str, given: Any, form: str, n: int) -> tuple[float, ...]:
    """Coordinates as numbers of Python."""
    values = list(given) if isinstance(given, Sequence | np.ndarray) else []
    if len(values) != n or not all(map(_is_finite, values)):
        raise PromptError(f"{where(prompt)}: {name} {given!r:.80} is not possible; give {n} finite numbers {form}")
    return tuple(v.item() if isinstance(v, np.generic) else v for v in values)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and type(value) is not bool and isfinite(value)


def where(prompt: Prompt) -> str:
    """Name a prompt in a message."""
    return f"object {prompt.object_id} on frame {prompt.frame}"


def numbers(values: Sequence[float]) -> str:
    """Write coordinates in a message."""
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"


def _extents(mask: NDArray[Any]) -> tuple[slice, slice]:
    """Rows and columns from the first to the last that hold anything."""
    rows, columns = (np.logical_or.reduce(mask, axis).nonzero()[0] for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
