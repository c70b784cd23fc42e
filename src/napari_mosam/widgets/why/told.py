"""What the page shows of an object on a frame, gathered in the thread of edits: words, pictures, lines."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.picture.heat import LEFT_OUT, encoded
from napari_mosam.widgets.why.words import cue_lines, memory_lines, memory_sentence, why

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.inspection.findings import Inspection, MemoryInspection
    from napari_mosam.core.masks.region import Region
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.windows.window import Window

PICTURE_PX = 160
"""Px of a crop, at most: it is shown smaller."""

WINDOW, EXPECTED, BOX, POINT = range(4)
"""What a line is part of."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A remembered frame.

    Attributes
    ----------
    t : int
    grey : ndarray of uint8, shape (h, w)
        The movie under the window; empty where the window is not known any more.
    heat : ndarray of uint8, shape (h, w)
        How sure each pixel of the memory is, as values of a layer.
    outline : list of ndarray of float, shape (n, 2)
        The remembered mask, (y, x), px of the crop.
    words, tip : str
    """

    t: int
    grey: "NDArray[np.uint8]"
    heat: "NDArray[np.uint8]"
    outline: "list[NDArray[np.float64]]"
    words: str
    tip: str


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines on the frame.

    Attributes
    ----------
    vectors : ndarray of float, shape (N, 2, 2)
        Start (y, x), and the way to the end, px.
    kinds : ndarray of int, shape (N,)
        WINDOW, EXPECTED, BOX or POINT.
    """

    vectors: "NDArray[np.float64]"
    kinds: "NDArray[np.int64]"


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """All of it."""

    inspection: "Inspection"
    sentences: list[str]
    cues: list[tuple[str, str, str]]
    memory: str
    pictures: list[Picture]
    lines: Lines
    filters: bool
    lowest: float


def told_of(session: "Session", object_id: int, frame: int) -> Told:
    """What there is to tell; ValueError where the object was not followed there. Reads the remembered frames."""
    told = session.inspect(object_id, frame)
    lowest = lowest_of(told)
    record = None if session.result is None else session.result.record(object_id, frame)
    return Told(
        told,
        why(told, None if record is None else record.state),
        cue_lines(told.cues),
        memory_sentence(told.memory),
        [_picture(session, read, lowest) for read in told.memory],
        lines_of(told),
        any(read.filtered is not None and bool(read.filtered.any()) for read in told.memory),
        lowest,
    )


def lowest_of(told: "Inspection") -> float:
    """The least sure pixel of all memory that was read, in tenths: the lower end of the colours."""
    least = [float(read.reliability.min()) for read in told.memory if read.reliability is not None]
    return min(0.9, np.floor(10 * min(least, default=0.0)) / 10)


# ---- pictures


def _picture(session: "Session", read: "MemoryInspection", lowest: float) -> Picture:
    words = memory_lines(read)
    if read.window is None:
        return Picture(read.t, np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), [], *words)
    from napari_mosam.core.tracking.frames import open_frame

    shape = session.movie.frame_shape
    rows, columns = near(read, shape)
    step = max(1, -(-max(rows.stop - rows.start, columns.stop - columns.start) // PICTURE_PX))
    crop = np.asarray(open_frame(session.movie, read.t)[rows, columns])[::step, ::step]
    low, high = np.percentile(crop, (0.5, 99.5))
    grey = np.clip((crop - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    heat = on_frame(read, shape, lowest)[rows, columns][::step, ::step]
    start = np.array([rows.start, columns.start])
    outline = [(path - start) / step for path in contours(read.mask)]
    return Picture(read.t, grey, heat, outline, *words)


def near(read: "MemoryInspection", shape_yx: tuple[int, int]) -> tuple[slice, slice]:
    """The pixels round a remembered mask, half as far again as it is wide; all under the window without one."""
    assert read.window is not None
    inside = read.window.pixels(shape_yx)
    if read.mask is None:
        return inside
    box, margin = read.mask.box, max(read.mask.mask.shape) // 2 + 1
    rows, columns = (
        slice(max(part.start, first - margin), min(part.stop, last + 1 + margin))
        for part, first, last in zip(inside, box[:2], box[2:], strict=True)
    )
    return rows, columns


def on_frame(read: "MemoryInspection", shape_yx: tuple[int, int], lowest: float = 0.0) -> "NDArray[np.uint8]":
    """How sure each pixel of a memory is, near the cell, as values of a layer (Y, X).

    What the pixel filter left out has a value of its own, wherever it lies.
    """
    values = np.zeros(shape_yx, np.uint8)
    if read.window is not None:
        place = near(read, shape_yx)
        values[place] = encoded(read.on_frame(shape_yx)[place], lowest)
    if read.filtered is not None and read.window is not None and read.filtered.any():
        rows, columns = read.window.pixels(shape_yx)
        yx = [np.arange(part.start, part.stop) for part in (rows, columns)]
        cells = [
            np.clip(((at - start) / size * n).astype(int), 0, n - 1)
            for at, start, size, n in zip(
                yx, read.window.start_yx, read.window.size_yx, read.filtered.shape, strict=True
            )
        ]
        part = values[rows, columns]
        part[read.filtered[np.ix_(*cells)]] = LEFT_OUT
    return values


# ---- lines


def lines_of(told: "Inspection") -> Lines:
    """Window, and where motion expected the object, with the prompts that follow from it."""
    paths = [(WINDOW, _rectangle(*_corners(told.window)))]
    if told.expected is not None:
        y0, x0, y1, x1 = told.expected.box
        paths += [(EXPECTED, path) for path in contours(told.expected.mask)]
        paths += [(BOX, _rectangle((y0 - 0.5, x0 - 0.5), (y1 + 0.5, x1 + 0.5)))]
        arm = max(1.0, 0.06 * max(y1 - y0, x1 - x0))
        paths += [(POINT, cross) for point in told.expected.points for cross in _cross(point, arm)]
    parts = [np.stack([path[:-1], np.diff(path, axis=0)], 1) for _, path in paths]
    kinds = [np.full(len(part), kind) for (kind, _), part in zip(paths, parts, strict=True)]
    return Lines(np.concatenate(parts), np.concatenate(kinds))


def _corners(window: "Window") -> tuple[tuple[float, float], tuple[float, float]]:
    """First and last corner, in coordinates in which a pixel's middle is a whole number."""
    (y, x), (height, width) = window.start_yx, window.size_yx
    return (y, x), (y + height, x + width)


def _rectangle(first: tuple[float, float], last: tuple[float, float]) -> "NDArray[np.float64]":
    (y0, x0), (y1, x1) = first, last
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0), (y0, x0)], float)


def _cross(point: tuple[float, float], arm: float) -> "list[NDArray[np.float64]]":
    y, x = point
    return [np.array([(y - arm, x), (y + arm, x)]), np.array([(y, x - arm), (y, x + arm)])]


def contours(region: "Region | None") -> "list[NDArray[np.float64]]":
    """The outline of a mask, closed paths of (y, x) on the frame."""
    if region is None:
        return []
    from skimage.measure import find_contours

    padded: NDArray[Any] = np.pad(region.mask, 1).astype(float)
    return [path - 1 + np.array(region.origin_yx) for path in find_contours(padded, 0.5)]
