"""The size of a typical cell of a frame, where nobody said it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.engine import WindowConfig
from napari_mosam.core.find.seeds import Points, blobs
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.queries import ask
from napari_mosam.core.prompts.kinds import POSITIVE
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.scale_search import FINE_SIDES_PX, best_scale, ladder, stability
from napari_mosam.core.windows.pyramid import Pyramid

SMALLEST_PX, SIZE_STEP = 6.0, 2**0.5
"""Blobs that are looked at: the smallest, and the ratio of one size to the one before, up to half of the frame."""

MOST_BLOBS = 300
"""Blobs among which the places are chosen, the most prominent ones: telling more of them apart takes seconds."""

N_PLACES = 10
"""Blobs at which the model is asked for the size of what is there, on ten scales each: 3 s of one core in all, and the
estimate of 31 real images lay between .8 and 1.5 of the true median in most of those with nuclei."""


def estimate_diameter(
    model: Segmenter, pyramid: Pyramid, image: NDArray[np.float32], config: WindowConfig
) -> float | None:
    """Diameter of a typical cell, px; None where nothing is found.

    The model is asked on several scales at the most prominent blobs of all sizes; of its answers the median counts,
    the surer the more, and the larger the more, since a cell is full of small blobs.

    Parameters
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame.
    image : ndarray of float32, shape (Y, X)
        The same.
    config : WindowConfig
    """
    sizes, weights = np.array([*_sizes(model, pyramid, _prominent(image), config)]).reshape(-1, 2).T
    if not len(sizes):
        return None
    order = np.argsort(sizes)
    reached = np.cumsum((weights**2 * np.sqrt(sizes))[order])
    return float(sizes[order][np.searchsorted(reached, reached[-1] / 2)])


def _sizes(model: Segmenter, pyramid: Pyramid, places: Points, config: WindowConfig) -> Iterator[tuple[float, float]]:
    """Diameter and score of what the model sees at each place."""
    for y, x in places.tolist():
        click = FramePrompts(0, ((y, x, POSITIVE),), None, None, None)
        answers = ask(model, pyramid, ladder(pyramid.shape_yx, click, config, FINE_SIDES_PX))
        window, logits = best_scale(answers, None)
        region = region_of_logits(logits, window, pyramid.shape_yx)
        if region is not None:
            answer = next(answer for answer in answers if answer.window == window)
            sure = max(float(q) * stability(own) for own, q in zip(answer.logits, answer.predicted_iou, strict=True))
            yield 2 * float(np.sqrt(region.area / np.pi)), sure


def _prominent(image: NDArray[np.float32]) -> Points:
    """Blobs of all sizes that do not lie on each other: evenly many from the most prominent to the median."""
    found = [(s, y, x, size) for size in _scales(image.shape) for (y, x), s in zip(*_listed(image, size), strict=True)]
    kept: list[tuple[float, float, float, float]] = []
    for one in sorted(found, reverse=True)[:MOST_BLOBS]:
        if all(np.hypot(one[1] - y, one[2] - x) > max(one[3], size) / 2 for _, y, x, size in kept):
            kept.append(one)
    strong = kept[: max(N_PLACES, len(kept) // 2)]
    chosen = np.linspace(0, len(strong) - 1, min(N_PLACES, len(strong))).astype(int)
    return np.array([strong[k][1:3] for k in chosen]).reshape(-1, 2)


def _listed(image: NDArray[np.float32], size: float) -> tuple[list[list[float]], list[float]]:
    centres, strengths = blobs(image, size)
    return centres.tolist(), strengths.tolist()


def _scales(shape_yx: tuple[int, ...]) -> Iterator[float]:
    size = SMALLEST_PX
    while size <= max(shape_yx) / 2:
        yield size
        size *= SIZE_STEP
