"""A picture of a whole result: objects x frames, as bright as a mask is expected to be wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_mosam.core.results.doubts import SURE_IOU

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.review.table import ReviewTable

NOT_FOLLOWED, LEFT, RATED, FIXED, MARKED = range(5)
"""What there is of an object on a frame: nothing, it had left, a mask or none with an expected IoU, one that a person
accepted, painted or locked, and one that a person marked."""

KIND_COLORS = {
    NOT_FOLLOWED: (46, 49, 58),
    LEFT: (84, 87, 95),
    FIXED: (125, 185, 245),
    MARKED: (176, 176, 184),
}
"""RGB of what has no expected IoU."""

_VIRIDIS = ((253, 231, 37), (94, 201, 98), (33, 145, 140), (59, 82, 139), (71, 45, 123))
"""RGB at expected IoU 0, .25, .5, .75 and 1: viridis, which eyes that lack a cone can read, bright where wrong."""

_RAMP = np.stack(
    [np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(_VIRIDIS)), column) for column in np.transpose(_VIRIDIS)],
    -1,
).astype(np.uint8)

_NONE = np.float32(2)
"""In place of an expected IoU that there is none of: larger than any, so that a minimum passes over it."""


def ramp(share: "NDArray[np.floating]") -> "NDArray[np.uint8]":
    """RGB of expected IoUs in [0, 1]."""
    return _RAMP[(np.clip(share, 0, 1) * 255).round().astype(np.uint8)]


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Rows of the picture: N objects, T frames.

    Attributes
    ----------
    object_ids : tuple of int
        One per row.
    value : ndarray of float32, shape (N, T)
        Expected IoU where a person has had no say, 0 where the object was not found; 2 everywhere else.
    kind : ndarray of uint8, shape (N, T)
        NOT_FOLLOWED ... MARKED.
    """

    object_ids: tuple[int, ...]
    value: "NDArray[np.float32]"
    kind: "NDArray[np.uint8]"

    @classmethod
    def of(cls, table: "ReviewTable") -> Self:
        """That of what there is to review."""
        rated = table.followed & ~table.ended & ~table.judged
        expected = np.where(table.found, np.nan_to_num(table.expected_iou), 0)
        kind = np.select([table.prompted, table.fixed, rated, table.ended], [MARKED, FIXED, RATED, LEFT], NOT_FOLLOWED)
        value = np.where(rated, expected, _NONE).astype(np.float32)
        return cls(table.object_ids, np.ascontiguousarray(value.T), np.ascontiguousarray(kind.T.astype(np.uint8)))

    @property
    def n_frames(self) -> int:
        """T."""
        return int(self.value.shape[1])

    def only(self, rows: Sequence[int]) -> "Heat":
        """Some of the rows, in their order."""
        return Heat(tuple(self.object_ids[row] for row in rows), self.value[rows], self.kind[rows])

    def unsure(self, sure: float = SURE_IOU) -> "Heat":
        """Objects with a frame that deserves a look."""
        return self.only(np.flatnonzero((self.value < sure).any(1)).tolist())

    def worst_first(self, sure: float = SURE_IOU) -> "Heat":
        """By the expected loss over the frames that deserve a look, the largest first."""
        loss = np.where(self.value < sure, 1 - self.value, 0).sum(1)
        return self.only(np.argsort(-loss, kind="stable").tolist())

    def by_id(self) -> "Heat":
        """By rising id."""
        return self.only(np.argsort(self.object_ids, kind="stable").tolist())

    def painted(self, frames: range, height: int, width: int) -> "NDArray[np.uint8]":
        """RGB (height, width, 3) of some frames; where several share a pixel, the worst of them is shown."""
        rows, columns = _edges(len(self.object_ids), height), _edges(len(frames), width)
        inside = slice(frames.start, frames.stop)
        value = np.minimum.reduceat(np.minimum.reduceat(self.value[:, inside], columns[:-1], 1), rows[:-1], 0)
        kind = np.maximum.reduceat(np.maximum.reduceat(self.kind[:, inside], columns[:-1], 1), rows[:-1], 0)
        colors = ramp(value)
        for which, color in KIND_COLORS.items():
            colors[(value >= _NONE) & (kind == which)] = color
        return colors[_block(height, len(rows) - 1)][:, _block(width, len(columns) - 1)]

    def place(self, y: int, x: int, frames: range, height: int, width: int) -> tuple[int, int] | None:
        """Object and frame that a pixel of the picture shows; None beside it."""
        if not (0 <= y < height and 0 <= x < width and len(self.object_ids) and len(frames)):
            return None
        rows, columns = _edges(len(self.object_ids), height), _edges(len(frames), width)
        row, column = (
            int(_block(size, len(edges) - 1)[at]) for at, size, edges in ((y, height, rows), (x, width, columns))
        )
        first = int(rows[row]), int(columns[column]) + frames.start
        part = self.value[first[0] : rows[row + 1], first[1] : columns[column + 1] + frames.start]
        down, right = np.unravel_index(int(part.argmin()), part.shape)
        return self.object_ids[first[0] + int(down)], first[1] + int(right)


def _edges(n: int, pixels: int) -> "NDArray[np.int64]":
    """Where groups of n rows begin, as many as there are pixels at most, and the end."""
    groups = min(n, max(pixels, 1))
    return np.arange(groups + 1, dtype=np.int64) * n // max(groups, 1)


def _block(pixels: int, n: int) -> "NDArray[np.int64]":
    """The group that each pixel shows."""
    return np.arange(pixels, dtype=np.int64) * n // max(pixels, 1)
