"""A picture of a result: outlines, translucent masks and ids over the movie, as an animation or a montage."""

import colorsys
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_mosam.core.config.whole_files import whole_file

WIDTH, MAX_ENLARGEMENT = 800, 4
"""Width of a picture, px, and how many times a small movie is enlarged to it; not measured."""

MAX_GIF_FRAMES, MONTAGE_FRAMES = 120, 6
"""Frames of an animation and of a montage, chosen evenly; they bound the size of the file."""

MASK_OPACITY = 0.25
"""Share of the colour of a mask in its pixels; not measured."""

FRAME_MS = 150
"""Time of a frame of an animation, ms; not measured."""

TEXT_PX = 10
"""Height of an id, px; not measured."""

_GOLDEN = (math.sqrt(5) - 1) / 2
"""Step of the hue from one id to the next: any number of them lie far apart."""

RGB = NDArray[np.uint8]


def write_overlay(path: Path, movie: Any, labels: Any, frames: Sequence[int]) -> Path:
    """Draw a result over its movie.

    Parameters
    ----------
    path : Path
        ``.gif``: an animation of up to 120 frames. ``.png``: a montage of up to 6 frames. Folders are made.
    movie : indexable by frame
        ``movie[t]`` is (Y, X) in [0, 1].
    labels : indexable by frame
        ``labels[t]`` is (Y, X) of object ids, 0 = background.
    frames : sequence of int
        Frames to choose from, evenly.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For another suffix, or no frames.
    """
    suffix = path.suffix.lower()
    if suffix not in (".gif", ".png") or not frames:
        raise ValueError(f"cannot draw {len(frames)} frames as '{suffix}'; give at least one frame and .gif or .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        if suffix == ".gif":
            _write_gif(part, _pictures(movie, labels, pick_evenly(frames, MAX_GIF_FRAMES)))
        else:
            pictures = list(_pictures(movie, labels, pick_evenly(frames, MONTAGE_FRAMES)))
            Image.fromarray(montage(pictures)).save(part)
    return path


def draw_frame(image: NDArray[Any], labels: NDArray[Any], t: int) -> RGB:
    """Draw one frame.

    Parameters
    ----------
    image : ndarray of float, shape (Y, X)
        In [0, 1].
    labels : ndarray of int, shape (Y, X)
        Object ids, 0 = background.
    t : int
        Frame number, written into the corner.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)
        Reduced, or enlarged at most four times, to a width of 800 px.
    """
    from skimage.segmentation import find_boundaries

    grey, ids = _resize(image, labels)
    base = np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
    present, rows = np.unique(ids, return_inverse=True)
    colours = np.array([colour_of(int(i)) for i in present])[rows.reshape(ids.shape)]
    opacity = np.where(ids > 0, MASK_OPACITY, 0.0)
    opacity[find_boundaries(ids, mode="inner") & (ids > 0)] = 1
    blended = base * (1 - opacity[..., None]) + colours * opacity[..., None]
    return _write_text((blended * 255).round().astype(np.uint8), ids, t)


def colour_of(object_id: int) -> tuple[float, float, float]:
    """A bright colour (r, g, b) in [0, 1] that an id always gets; neighbouring ids differ clearly."""
    return colorsys.hsv_to_rgb(object_id * _GOLDEN % 1, 0.75, 1.0)


def pick_evenly(frames: Sequence[int], n: int) -> list[int]:
    """Up to `n` of the frames, evenly spread, the first and the last among them."""
    places = np.unique(np.linspace(0, len(frames) - 1, min(n, len(frames))).round().astype(int))
    return [int(frames[i]) for i in places]


def montage(pictures: Sequence[RGB]) -> RGB:
    """Pictures of one size, row by row, in a grid that is about as high as wide."""
    height, width, _ = pictures[0].shape
    n_columns = max(1, min(len(pictures), round(math.sqrt(len(pictures) * height / width))))
    n_rows = math.ceil(len(pictures) / n_columns)
    canvas = np.zeros((n_rows * height, n_columns * width, 3), np.uint8)
    for i, picture in enumerate(pictures):
        row, column = divmod(i, n_columns)
        canvas[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return canvas


def _pictures(movie: Any, labels: Any, frames: Sequence[int]) -> Iterator[RGB]:
    return (draw_frame(np.asarray(movie[t]), np.asarray(labels[t]), t) for t in frames)


def _write_gif(path: Path, pictures: Iterator[RGB]) -> None:
    images = (Image.fromarray(picture) for picture in pictures)
    next(images).save(path, save_all=True, append_images=images, duration=FRAME_MS, loop=0)


def _resize(image: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    height, width = labels.shape
    factor = min(WIDTH / width, MAX_ENLARGEMENT)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    ids, rows = np.unique(labels, return_inverse=True)
    grey = Image.fromarray(np.asarray(image, np.float32)).resize(size, Image.Resampling.BOX)
    small = Image.fromarray(rows.reshape(labels.shape).astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(grey), ids.astype(np.int64)[np.asarray(small)]


def _write_text(picture: RGB, ids: NDArray[np.int64], t: int) -> RGB:
    from skimage.measure import regionprops

    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(TEXT_PX)
    present, rows = np.unique(ids, return_inverse=True)  # counted from 0 so that a huge id costs nothing
    for region in regionprops(rows.reshape(ids.shape) + 1):
        if object_id := int(present[region.label - 1]):
            top, _, _, right = region.bbox
            corner = min(right, ids.shape[1] - 3 * TEXT_PX), max(top, TEXT_PX)
            draw.text(corner, str(object_id), "white", font, anchor="lb", stroke_width=1, stroke_fill="black")
    draw.text((3, 3), f"frame {t}", "white", font, stroke_width=1, stroke_fill="black")
    return np.asarray(canvas)
