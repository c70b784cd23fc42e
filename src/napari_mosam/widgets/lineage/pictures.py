"""Small pictures of a division: the mother on the frame before, and her daughters on theirs, with outlines."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.source import image_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.lineage.proposals import DivisionProposal
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.layers.source import MovieSource

SIDE = 96
"""Of a picture, px of the screen."""

MARGIN = 0.35
"""Of the cells' extent, at each side."""

DAUGHTERS = ((255, 176, 0), (0, 214, 255))
"""Outlines of daughters that have no number yet: told apart by eyes that lack a cone."""

MOTHER = (255, 255, 255)
"""Outline of a mother: seen on any cell."""

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A square part of a frame: its first pixel (may lie outside the frame), and its side, px."""

    y: int
    x: int
    side: int


def division_pictures(
    source: "MovieSource", result: "Result", proposal: "DivisionProposal"
) -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """The mother on the frame before, and the daughters, each (SIDE, SIDE, 3), in the contrast of the image layer."""
    before, frame = max(proposal.frame - 1, 0), proposal.frame
    mother = np.asarray(result.labels[before]) == proposal.mother
    boxes = np.array([region.box for region in proposal.daughters])
    if mother.any():
        (rows, columns) = (np.flatnonzero(mother.any(axis)) for axis in (1, 0))
        boxes = np.vstack([boxes, [rows[0], columns[0], rows[-1], columns[-1]]])
    place = place_around((*boxes[:, :2].min(0), *boxes[:, 2:].max(0)))
    crops = [outlined(crop_of(source, before, place), [(cut(mother, place), MOTHER)])]
    masks = [cut(_mask(region, mother.shape), place) for region in proposal.daughters]
    crops.append(outlined(crop_of(source, frame, place), list(zip(masks, DAUGHTERS, strict=True))))
    return crops[0], crops[1]


def place_around(box: tuple[int, ...]) -> Place:
    """A square around an inclusive box (y0, x0, y1, x1), with a margin."""
    y0, x0, y1, x1 = (int(value) for value in box)
    side = round(max(y1 - y0 + 1, x1 - x0 + 1) * (1 + 2 * MARGIN)) + 2
    return Place((y0 + y1 + 1 - side) // 2, (x0 + x1 + 1 - side) // 2, side)


def cut(frame: "NDArray[Any]", place: Place) -> "NDArray[Any]":
    """That part of a frame (Y, X, ...); what lies outside the frame is 0."""
    inside, at = _inside(frame.shape, place)
    found = np.zeros((place.side, place.side, *frame.shape[2:]), frame.dtype)
    found[at] = np.asarray(frame[inside])
    return found


def crop_of(source: "MovieSource", t: int, place: Place) -> "NDArray[np.float64]":
    """That part of a frame of an image layer, in [0, 1] between its contrast limits; only this part is read."""
    image = source.image
    frame = image_array(image)[source.corner(t)[:-2]]
    grey = cut(frame, place).astype(float)
    if grey.ndim == 3:
        return np.asarray(grey[..., :3].mean(-1) / (255 if grey.max() > 1 else 1))
    low, high = image.contrast_limits
    return np.asarray(np.clip((grey - low) / max(high - low, 1e-9), 0, 1))


def outlined(grey: "NDArray[np.float64]", masks: "list[tuple[NDArray[np.bool_], Rgb]]") -> "NDArray[np.uint8]":
    """A picture (SIDE, SIDE, 3) of a part of a frame, with the outlines of masks on it."""
    from scipy.ndimage import binary_erosion, zoom

    sharp = np.clip(zoom(grey, SIDE / len(grey), order=1, grid_mode=True, mode="nearest"), 0, 1)
    picture = np.repeat((sharp[:SIDE, :SIDE, None] * 255).astype(np.uint8), 3, 2)
    at = (np.arange(SIDE) * len(grey) / SIDE).astype(int)
    for mask, color in masks:
        large = mask[np.ix_(at, at)]
        picture[large & ~binary_erosion(large, iterations=2)] = color
    return picture


def _inside(shape: tuple[int, ...], place: Place) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a frame, and of the place, that hold the same pixels."""
    ranges = []
    for start, n in zip((place.y, place.x), shape, strict=False):
        first, last = min(max(start, 0), n), max(min(start + place.side, n), 0)
        ranges.append((slice(first, max(last, first)), slice(first - start, max(last, first) - start)))
    (rows, top), (columns, left) = ranges
    return (rows, columns), (top, left)


def _mask(region: Any, shape: tuple[int, ...]) -> "NDArray[np.bool_]":
    from napari_mosam.core.lineage.proposals import mask_of

    return mask_of(region, (shape[0], shape[1]))
