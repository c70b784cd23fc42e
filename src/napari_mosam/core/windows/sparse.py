"""Images of a frame of which only some rectangles hold anything: what they take does not grow with the frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_mosam.core.windows.tiles import Part


@dataclass(frozen=True, slots=True, eq=False)
class SparseImage:
    """An image that is 0 outside of some rectangles.

    Attributes
    ----------
    shape_yx : tuple of int
        Shape of the image, px.
    dtype : numpy dtype
        Of its pixels.
    parts : tuple of (Part, ndarray)
        Rectangles, of which no two share a pixel, and what they hold.
    """

    shape_yx: tuple[int, int]
    dtype: DTypeLike
    parts: tuple[tuple[Part, NDArray[Any]], ...] = ()

    @classmethod
    def of(cls, image: "NDArray[Any] | SparseImage") -> "SparseImage":
        """An image (Y, X) that is an array, as one rectangle; a SparseImage is returned as it is."""
        if isinstance(image, SparseImage):
            return image
        height, width = image.shape
        return cls((height, width), image.dtype, (((slice(0, height), slice(0, width)), image),))

    def full(self) -> NDArray[Any]:
        """The image as an array, shape (Y, X); that of its one rectangle where this covers all of it."""
        if len(self.parts) == 1 and self.parts[0][1].shape == self.shape_yx:
            return self.parts[0][1]
        image = np.zeros(self.shape_yx, self.dtype)
        for part, pixels in self.parts:
            image[part] = pixels
        return image

    def mapped(self, change: Callable[[NDArray[Any]], NDArray[Any]], dtype: DTypeLike) -> "SparseImage":
        """What a function that leaves 0 as it is makes of every pixel."""
        return SparseImage(self.shape_yx, dtype, tuple((part, change(pixels)) for part, pixels in self.parts))


def disjoint_boxes(parts: Sequence[Part]) -> list[Part]:
    """The rectangles around all groups of parts that share pixels, until no two share any; by their first pixel.

    Whatever the order of the parts, the same rectangles come of them.
    """
    boxes = np.zeros((0, 4), int)
    for rows, columns in parts:
        box = np.array([rows.start, columns.start, rows.stop, columns.stop])
        if (box[2:] <= box[:2]).any():
            continue
        while (met := _meet(boxes, box)).any():
            both = np.vstack([boxes[met], box])
            box = np.hstack([both[:, :2].min(0), both[:, 2:].max(0)])
            boxes = boxes[~met]
        boxes = np.vstack([boxes, box])
    return [(slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in sorted(boxes.tolist())]


def _meet(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of some boxes share a pixel with another."""
    return np.asarray(((boxes[:, :2] < box[2:]) & (box[:2] < boxes[:, 2:])).all(1))


def inside(part: Part, box: Part) -> bool:
    """Whether all of a part lies in a rectangle."""
    return all(whole.start <= own.start and own.stop <= whole.stop for own, whole in zip(part, box, strict=True))


def moved(part: Part, box: Part) -> Part:
    """A part as seen from the first pixel of a rectangle."""
    rows, columns = (
        slice(own.start - whole.start, own.stop - whole.start) for own, whole in zip(part, box, strict=True)
    )
    return rows, columns
