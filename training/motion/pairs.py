"""Examples for the dense motion encoder: windows of simulated cells on two frames, seen by a frozen SAM 2."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mosam.core.masks.raster import rasterise
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import ImageFeatures
from napari_mosam.core.model.queries import encode_windows
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.motion.learned.dense import middle, placement
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window
from training.motion.movies import Errors, MotionScene, scenes

log = logging.getLogger("training.motion")
N_FRAMES, CELLS_PER_MOVIE = 5, 4
RATIO = 5.0
LOGIT = 8.0
"""Logits of a last mask reach from minus to plus this."""

FARTHEST = 9.0
"""Motion beyond the expected one, in cells of the stride-4 grid, that is still asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Windows of cells on frames, and which two make an example.

    Attributes
    ----------
    levels : tuple of Tensor
        Features (N, C, h, w) of every window at stride 4, 8 and 16, half precision.
    rows : Tensor of int64, shape (M, 2)
        Windows before and after.
    placements : Tensor, shape (M, 4)
    masks : Tensor, shape (M, 1, S / 4, S / 4)
        Logits of the last mask, half precision.
    flows : Tensor, shape (M, 3, s, s)
        Motion (dy, dx) beyond the expected one on the middle of the window after, cells, and the weight of each cell.
    targets : Tensor, shape (M, 1, s, s)
        Coverage by the true next mask.
    """

    levels: tuple[Tensor, Tensor, Tensor]
    rows: Tensor
    placements: Tensor
    masks: Tensor
    flows: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, some: Tensor) -> "Pairs":
        """Some examples, with all windows."""
        columns = (getattr(self, name)[some] for name in ("rows", "placements", "masks", "flows", "targets"))
        return Pairs(self.levels, *columns)

    def features(self, which: int) -> ImageFeatures:
        """Of the windows before (0) or after (1)."""
        fine, middle, top = (level[self.rows[:, which]].float() for level in self.levels)
        return ImageFeatures(top, (fine, middle))


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A cell in a window: its true mask, and the mask that is taken for it."""

    window: Window
    truth: Region
    taken: Region


def place(region: Region, rng: np.random.Generator, errors: Errors) -> Placed:
    """A window around a cell that was expected a little elsewhere, sometimes far off."""
    sigma = 0.3 if rng.random() < 0.2 else 0.07
    off = rng.normal(0, sigma * region.diameter, 2)
    side = RATIO * region.diameter * float(np.exp(rng.normal(0, 0.12)))
    y, x = np.add(region.center_yx, off)
    return Placed(Window.square((y, x), side), region, errors.apply(region, rng))


def scatter_flow(
    flow: NDArray[np.float32],
    labels: tuple[NDArray[np.integer], NDArray[np.integer]],
    after: Window,
    shift: tuple[float, float],
    object_id: int,
    size: int,
) -> NDArray[np.float32]:
    """Motion beyond `shift` and weights on the grid of the window after, (3, size, size), in cells.

    Parameters
    ----------
    flow : ndarray, shape (2, Y, X)
        Where every pixel of the frame before goes, px.
    labels : two ndarrays, shape (Y, X)
        Of both frames; what lands on another label is hidden and does not count.
    """
    shape, grid = labels[0].shape, np.zeros((3, size, size), np.float32)
    y, x = np.indices(shape)
    there = np.stack([y + flow[0], x + flow[1]])
    ry, rx = (np.clip(np.rint(axis).astype(int), 0, side - 1) for axis, side in zip(there, shape, strict=True))
    cell = after.to_model(there.reshape(2, -1).T, size).T.reshape(2, *shape)
    inside = ((cell > -0.5) & (cell < size - 0.5)).all(0) & (labels[1][ry, rx] == labels[0])
    per_px = size / after.size_yx[0]
    moved = [(flow[k] - shift[k])[inside] * per_px for k in (0, 1)]
    at = np.ravel_multi_index(tuple(np.rint(cell[:, inside]).astype(int)), (size, size))
    weight = np.where(labels[0][inside] == object_id, 1.0, 0.05)
    total = np.bincount(at, weight, size * size)
    known = total > 0
    for k in (0, 1):
        grid[k].flat[known] = np.bincount(at, weight * moved[k], size * size)[known] / total[known]
    near = np.abs(grid[:2]).max(0).ravel() <= FARTHEST
    grid[2].flat[known & near] = np.minimum(total / np.maximum(np.bincount(at, minlength=size * size), 1), 1)[
        known & near
    ]
    return grid


def last_logits(region: Region, window: Window, size: int) -> Tensor:
    """Logits of a mask over a window, (1, size, size)."""
    return (rasterise(region, window, size) * 2 - 1) * LOGIT


class Collector:
    """Gathers windows and pairs of them.

    Parameters
    ----------
    model : Sam2Segmenter
    seed : int
    """

    def __init__(self, model: Sam2Segmenter, seed: int) -> None:
        self._model = model
        self._rng = np.random.default_rng([seed, 13])
        self._levels: list[list[Tensor]] = [[], [], []]
        self._n_windows = 0
        self._pairs: list[tuple[Tensor, ...]] = []

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, scene: MotionScene) -> None:
        """Some cells of a movie, on all its frames."""
        rng, first = self._rng, scene.regions(0)
        chosen = rng.permutation(sorted(first))[:CELLS_PER_MOVIE]
        errors = {int(i): Errors.draw(rng) for i in chosen}
        before: dict[int, tuple[int, Placed]] = {}
        for t in range(len(scene.frames)):
            regions = scene.regions(t)
            placed = {i: place(regions[i], rng, errors[i]) for i in errors if i in regions}
            rows = dict(zip(placed, self._encode(scene.frames[t], [p.window for p in placed.values()]), strict=True))
            for i in set(placed) & set(before):
                self._pair(scene, t, i, before[i], (rows[i], placed[i]))
            before = {i: (rows[i], placed[i]) for i in placed}

    def _encode(self, frame: NDArray[np.float32], windows: Sequence[Window]) -> range:
        if windows:
            features = encode_windows(self._model, Pyramid.of(frame, self._model.device), windows)
            for kept, level in zip(self._levels, (*features.high_res, features.vision), strict=True):
                kept.append(level.half())
        first = self._n_windows
        self._n_windows += len(windows)
        return range(first, self._n_windows)

    def _pair(self, scene: MotionScene, t: int, i: int, before: tuple[int, Placed], after: tuple[int, Placed]) -> None:
        (row, past), (next_row, now), movie, size = before, after, scene.truth, self._model.image_size // 4
        shift = (
            now.window.center_yx[0] - past.taken.center_yx[0],
            now.window.center_yx[1] - past.taken.center_yx[1],
        )
        flow = scatter_flow(movie.flow[t - 1], (movie.labels[t - 1], movie.labels[t]), now.window, shift, i, size)
        if (middle(torch.from_numpy(flow))[2] > 0.5).any():
            self._pairs.append(
                (
                    torch.tensor([row, next_row]),
                    torch.tensor(placement(past.window, now.window, shift)),
                    last_logits(past.taken, past.window, size).half(),
                    middle(torch.from_numpy(flow)).half(),
                    middle(rasterise(now.truth, now.window, size)).half(),
                )
            )

    def pairs(self) -> Pairs:
        """What was gathered."""
        levels = (torch.cat(kept) for kept in self._levels)
        return Pairs(tuple(levels), *(torch.stack(column) for column in zip(*self._pairs, strict=True)))  # type: ignore[arg-type]


def make_pairs(model: Sam2Segmenter, seed: int, n_pairs: int, seconds: float, path: Path | None = None) -> Pairs:
    """Examples from random movies; read from `path` where they are there already."""
    if path is not None and path.exists():
        return Pairs(*torch.load(path, weights_only=True))
    collector, end = Collector(model, seed), time.monotonic() + seconds
    for scene in scenes(seed + 50, N_FRAMES):
        collector.add(scene)
        if len(collector) >= n_pairs or time.monotonic() > end:
            break
    pairs = collector.pairs()
    log.info("%d pairs of %d windows", len(pairs), len(pairs.levels[0]))
    if path is not None:
        torch.save([getattr(pairs, name) for name in Pairs.__slots__], path)
    return pairs
