"""Which cell a click is meant for: one far from the cell that is being marked starts the next."""

from collections.abc import Iterable, Iterator
from math import hypot, pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIAMETER = 40.0
"""Px, of a cell of which nothing is known but a click: nuclei and round cells of the movies we have are 20 to 60."""


def object_meant(
    click: PointPrompt, marks: Iterable[Prompt], labels: "NDArray[Any] | None" = None, diameter: float | None = None
) -> int | None:
    """The object that a positive click is meant for.

    Parameters
    ----------
    click : PointPrompt
        With the id of the object that is being marked.
    marks : iterable of prompts
        That are there already.
    labels : ndarray of int, shape (Y, X), optional
        What is shown on its frame.
    diameter : float, optional
        Of a typical cell, px.

    Returns
    -------
    int or None
        The object that is being marked, unless the click lies farther from all that is known of it on the frame than it
        is wide: then the object whose mask is there, or None for a new one.
    """
    own = [p for p in marks if (p.object_id, p.frame) == (click.object_id, click.frame)]
    known = [*(_of_mark(p, click.yx) for p in own), *_of_labels(labels, click)]
    if not known:
        return click.object_id
    width = max((w for _, w in known if w), default=diameter or DIAMETER)
    if min(distance for distance, _ in known) <= width:
        return click.object_id
    return _under(labels, click) or None


def _of_mark(mark: Prompt, yx: tuple[float, float]) -> tuple[float, float]:
    """Distance of a place from a mark, and the width of the object as far as the mark tells it (0 where not)."""
    if isinstance(mark, PointPrompt):
        return hypot(mark.yx[0] - yx[0], mark.yx[1] - yx[1]), 0.0
    if isinstance(mark, BoxPrompt):
        y0, x0, y1, x1 = mark.box
        away = hypot(max(y0 - yx[0], 0, yx[0] - y1), max(x0 - yx[1], 0, yx[1] - x1))
        return away, (y1 - y0 + x1 - x0) / 2
    return _of_pixels(mark.mask, yx, mark.origin)


def _of_labels(labels: "NDArray[Any] | None", click: PointPrompt) -> Iterator[tuple[float, float]]:
    if labels is not None and (labels == click.object_id).any():
        yield _of_pixels(labels == click.object_id, click.yx)


def _of_pixels(
    mask: "NDArray[np.bool_]", yx: tuple[float, float], origin: tuple[int, int] = (0, 0)
) -> tuple[float, float]:
    places = np.argwhere(mask) + origin
    if not len(places):
        return float("inf"), 0.0
    return float(np.hypot(*(places - yx).T).min()), 2 * sqrt(len(places) / pi)


def _under(labels: "NDArray[Any] | None", click: PointPrompt) -> int:
    """The id at the click; 0 for none."""
    if labels is None:
        return 0
    y, x = (round(v) for v in click.yx)
    inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
    return int(labels[y, x]) if inside else 0
