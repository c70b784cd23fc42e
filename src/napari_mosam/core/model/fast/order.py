"""In which order the tokens of a grid stand, so that its windows and its 2 x 2 blocks are parts of it without a copy.

A grid is cut in square tiles whose side is the largest power of two that divides its own; within a tile tokens follow
a Z-curve (Morton order). Four tokens in a row are then a 2 x 2 block, and the block is the token of the same number on
the grid of half the side. A window whose side is a power of two is a run of tokens wherever such windows fill the
grid; others are gathered.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def nested(side: int) -> NDArray[np.int64]:
    """For each token its index in the raster, shape (side * side,)."""
    tile = side & -side
    y, x = np.divmod(np.arange(side * side), side)
    key = ((y // tile) * (side // tile) + x // tile) * tile * tile
    for bit in range(tile.bit_length() - 1):
        key += ((x >> bit & 1) << 2 * bit) + ((y >> bit & 1) << 2 * bit + 1)
    return np.argsort(key).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """How the tokens of a grid are put together in windows.

    Attributes
    ----------
    n_tokens : int
        Tokens of a window.
    into : Tensor of int64, shape (windows * n_tokens,), or None
        Where each token of the windows stands in the grid; the number past the last is a token of zeros, which fills
        windows that leave the grid. None: the windows follow each other already.
    back : Tensor of int64, shape (tokens after pooling,), or None
        Where each token of the grid, halved if the windows are pooled, stands in the windows.
    """

    n_tokens: int
    into: Tensor | None = None
    back: Tensor | None = None


def windows_of(side: int, window: int, *, pooled: bool, device: torch.device) -> Windows:
    """Windows of `window` tokens a side on a grid in nested order; 0 is one window over everything."""
    if window == 0 or window == side:
        return Windows(side * side)
    if side % window == 0 and window & (window - 1) == 0 and (side & -side) >= window:
        return Windows(window * window)
    into, back = _gathered(side, window), _gathered(side // 2, window // 2) if pooled else _gathered(side, window)
    n_back = (side // 2) ** 2 if pooled else side * side
    return Windows(
        window * window, torch.from_numpy(into).to(device), torch.from_numpy(_inverse(back, n_back)).to(device)
    )


def _gathered(side: int, window: int) -> NDArray[np.int64]:
    """Which token of a grid stands where in windows that cover it; tokens of a window are in nested order too."""
    per_side = -(-side // window)
    place = np.full((per_side * window,) * 2, side * side)
    rank = np.empty(side * side, np.int64)
    rank[nested(side)] = np.arange(side * side)
    place[:side, :side] = rank.reshape(side, side)
    tiles = place.reshape(per_side, window, per_side, window).swapaxes(1, 2).reshape(-1, window * window)
    return np.ascontiguousarray(tiles[:, nested(window)]).ravel()


def _inverse(into: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Where each of `n` tokens stands."""
    back = np.empty(n + 1, np.int64)
    back[into] = np.arange(len(into))
    return back[:n]
