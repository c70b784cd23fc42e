"""Which cell a click or a box is meant for: one far from the cell that is being marked starts the next."""

from collections.abc import Iterable, Iterator
from math import hypot, pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompt, only_negative

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIAMETER = 40.0
"""Px, of a cell of which nothing is known but a click: nuclei and round cells of the movies we have are 20 to 60."""


NEAR = 6.0
"""Px from a click within which it is meant itself: dots are drawn 6 px wide on a frame of 512 px. Not measured."""


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


def object_boxed(box: BoxPrompt, marks: Iterable[Prompt], labels: "NDArray[Any] | None" = None) -> int | None:
    """The object that a box is drawn around; else as :func:`object_meant`.

    Returns
    -------
    int or None
        The object that is being marked, unless it has a box on the frame, or what is known of it there lies mostly
        outside of the new one: then the object without one of which most is shown inside, or None for a new one.
    """
    here = [p for p in marks if p.frame == box.frame]
    taken = {p.object_id for p in here if isinstance(p, BoxPrompt)}
    if box.object_id not in taken:
        own = [_places_of(p) for p in here if p.object_id == box.object_id and not only_negative(p)]
        shown = () if own or labels is None else (np.argwhere(labels == box.object_id),)
        known = np.concatenate([np.zeros((0, 2)), *own, *shown])
        if not len(known) or _share_inside(known, box) > 0.5:
            return box.object_id
    return _most_of(labels, box, taken)


def object_under(place: PointPrompt, marks: Iterable[Prompt], labels: "NDArray[Any] | None" = None) -> int:
    """The object whose mask is shown at a place, or whose box, outline or click of that frame is there; 0 for none."""
    found = _under(labels, place)
    if found:
        return found
    near = [(*_of_mark(mark, place.yx), mark) for mark in marks]
    hit = [(away, width, m.object_id) for away, width, m in near if away <= (NEAR if isinstance(m, PointPrompt) else 0)]
    return min(hit)[2] if hit else 0


def _places_of(mark: Prompt) -> "NDArray[Any]":
    """Where a click or a mask says that an object is, (N, 2)."""
    return (
        np.argwhere(mark.mask) + mark.origin
        if isinstance(mark, MaskPrompt)
        else np.array([getattr(mark, "yx", (0, 0))])
    )


def _share_inside(places: "NDArray[Any]", box: BoxPrompt) -> float:
    (y0, x0, y1, x1), (y, x) = box.box, places.T
    return float(np.mean((y >= y0) & (y <= y1) & (x >= x0) & (x <= x1)))


def _most_of(labels: "NDArray[Any] | None", box: BoxPrompt, taken: set[int]) -> int | None:
    """The object of which most lies in a box, and more than half of it."""
    if labels is None:
        return None
    y0, x0, y1, x1 = (max(0, round(v)) for v in box.box)
    ids, inside = np.unique(labels[y0 : y1 + 1, x0 : x1 + 1], return_counts=True)
    wholes = {int(i): int(n) for i, n in zip(ids, inside, strict=True) if i and int(i) not in taken}
    most = {n: i for i, n in wholes.items() if 2 * n > np.count_nonzero(labels == i)}
    return most[max(most)] if most else None


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
