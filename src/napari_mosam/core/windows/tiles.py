"""Which tiles of an image are there already, and which rectangles have to be fetched for a view of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Part = tuple[slice, slice]
"""Rows and columns of an image, px; start and stop are given and lie in the image."""


class Tiles:
    """A grid over an image, of which each tile is wanted once.

    Parameters
    ----------
    shape_yx : tuple of int
        Shape of the image, px.
    side_yx : tuple of int
        Height and width of a tile, px; those at the end are cut off by the image.
    """

    def __init__(self, shape_yx: tuple[int, int], side_yx: tuple[int, int]) -> None:
        self._shape, self._side = shape_yx, side_yx
        rows, columns = (-(-extent // side) for extent, side in zip(shape_yx, side_yx, strict=True))
        self._missing = np.ones((rows, columns), bool)

    def around(self, first: NDArray[np.int_], last: NDArray[np.int_]) -> list[Part]:
        """The different rectangles of tiles in which boxes lie, given their first and last pixels (N, 2)."""
        n_tiles, side = max(self._missing.shape, default=0) + 1, np.array(self._side)
        tiles = np.hstack([first // side, last // side])
        _, different = np.unique(tiles @ n_tiles ** np.arange(4), return_index=True)
        return [self._pixels((slice(y0, y1 + 1), slice(x0, x1 + 1))) for y0, x0, y1, x1 in tiles[different].tolist()]

    def missing(self, parts: Sequence[Part]) -> list[Part]:
        """Rectangles of tiles that some parts of the image touch and that are not there yet."""
        if not self._missing.any():
            return []
        wanted = [tiles for part in parts if self._missing[tiles := self._tiles(part)].any()]
        if not wanted:
            return []
        touched = np.zeros_like(self._missing)
        for tiles in wanted:
            touched[tiles] = True
        return [self._pixels(tiles) for tiles in rectangles(touched & self._missing)]

    def mark(self, part: Part) -> None:
        """Say that all tiles of a part are there."""
        self._missing[self._tiles(part)] = False

    def _tiles(self, part: Part) -> Part:
        rows, columns = (slice(p.start // n, -(-p.stop // n)) for p, n in zip(part, self._side, strict=True))
        return rows, columns

    def _pixels(self, tiles: Part) -> Part:
        rows, columns = (
            slice(p.start * side, min(p.stop * side, extent))
            for p, side, extent in zip(tiles, self._side, self._shape, strict=True)
        )
        return rows, columns


def rectangles(mask: NDArray[np.bool_]) -> list[Part]:
    """Disjoint rectangles that cover the true places of a mask and nothing else, each as wide, then high, as can be."""
    left, found = mask.copy(), []
    while left.any():
        row, column = divmod(int(left.argmax()), left.shape[1])
        width = _run(left[row, column:])
        height = _run(np.all(left[row:, column : column + width], axis=1))
        part = slice(row, row + height), slice(column, column + width)
        left[part] = False
        found.append(part)
    return found


def _run(values: NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return len(values) if values.all() else int(values.argmin())
