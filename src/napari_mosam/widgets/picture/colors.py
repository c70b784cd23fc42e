"""Colours of objects: those of neighbours can be told apart, on black and by eyes that lack a cone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

PALETTE = (
    *("#db495b", "#6dedff", "#4937ed", "#ffff00", "#dbffdb", "#5b92a4", "#80b6a4", "#ff8012", "#246d00", "#5b5b6d"),
    *("#6d80ff", "#00db80", "#5bb6ed", "#12926d", "#edffff", "#ffffa4", "#0080b6", "#a4b6c8", "#375b92", "#a43749"),
)
"""Each the farthest from those before it among a grid of colours that are lighter than 38 (CIELAB): two of them are at
least 9.9 apart (CIEDE2000) as normal, deuteranopic and protanopic eyes see them. With more they would be nearer."""

NEAREST = 8
"""Cells that are kept apart from a cell on a frame: about six touch one in a dense layer; not measured."""

FRAMES = 256
"""Frames that are looked at, spread over the movie, so that long ones take seconds at most; not measured."""

MOST = len(PALETTE) * 3000
"""Ids that may have another colour than their own: napari's maps hold 65,535 colours."""

COLORS = "napari-mosam colors"
"""In a session and in layers of marks: objects that have another colour than their own, and its index."""


def own_color(object_id: int) -> int:
    """Index of the colour that an object has unless a neighbour has it."""
    return (object_id - 1) % len(PALETTE)


def object_color(object_id: int, others: Mapping[int, int] | None = None) -> "NDArray[np.float32]":
    """RGBA of an object; `others` are those that do not have their own colour."""
    color = PALETTE[(others or {}).get(object_id, own_color(object_id))]
    return np.array([*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1], np.float32)


def kept(view: Mapping[str, Any]) -> dict[int, int]:
    """What a session keeps of :func:`told_apart`; nothing where that is damaged."""
    try:
        return {int(i): int(color) % len(PALETTE) for i, color in view.get(COLORS, {}).items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def told_apart(
    object_ids: Sequence[int], places: "NDArray[np.floating[Any]]", before: Mapping[int, int]
) -> dict[int, int]:
    """Objects that cannot have their own colour, and the index of the one they have.

    Every object keeps the colour that it has, unless one that is near it on some frame has it: then the object with
    the larger id takes another, which nobody near it has, or on the fewest frames.

    Parameters
    ----------
    object_ids : sequence of int
    places : ndarray of float, shape (T, N, 2)
        Their middles, px; NaN where they are not.
    before : mapping
        What was returned last.
    """
    near = neighbours(places)
    index = np.array([before.get(i, own_color(i)) for i in object_ids], int)
    for row in np.argsort(object_ids)[::-1]:
        shared = np.bincount(index, near[row], len(PALETTE))
        if shared[index[row]]:
            index[row] = np.lexsort((np.bincount(index, minlength=len(PALETTE)), shared))[0]
    found = zip(object_ids, index.tolist(), strict=True)
    return {i: color for i, color in found if color != own_color(i) and i <= MOST}


def neighbours(places: "NDArray[np.floating[Any]]") -> "NDArray[np.int64]":
    """On how many frames each of N objects is among those nearest to another: (N, N), symmetric; `places` (T, N, 2)."""
    from scipy.spatial import cKDTree

    near = np.zeros((places.shape[1],) * 2, np.int64)
    for frame in places[:: max(1, len(places) // FRAMES)]:
        rows = np.flatnonzero(np.isfinite(frame).all(1))
        if len(rows) > 1:
            _, found = cKDTree(frame[rows]).query(frame[rows], k=min(NEAREST + 1, len(rows)))
            near[rows[:, None], rows[found]] += 1
    np.fill_diagonal(near, 0)
    return near + near.T


def label_colors(others: Mapping[int, int]) -> Any:
    """The colours of all ids as a map for napari's Labels layers."""
    from napari.utils.colormaps import CyclicLabelColormap

    n = len(PALETTE) * -(-max(others, default=1) // len(PALETTE))
    colors = np.array([np.zeros(4), *(object_color(i, others) for i in range(1, n + 1))], np.float32)
    return CyclicLabelColormap(colors=colors, controls=np.linspace(0, 1, n + 2), interpolation="zero")


def value_colors(*colors: str) -> Any:
    """Colours of the values 1, 2, …, of which there are no others, as a map for napari's Labels layers; 0 is clear.

    napari has a map for just that, which compiles code for seconds when it is first used.
    """
    from napari.utils.colormaps import CyclicLabelColormap
    from napari.utils.colormaps.standardize_color import transform_color

    table = np.concatenate([np.zeros((1, 4)), transform_color(list(colors))]).astype(np.float32)
    return CyclicLabelColormap(colors=table, controls=np.linspace(0, 1, len(colors) + 2), interpolation="zero")


def colors_on(layer: "Layer") -> Mapping[int, int]:
    """Objects that do not have their own colour on a layer of marks."""
    found: Mapping[int, int] = layer.metadata.get(COLORS, {})
    return found
