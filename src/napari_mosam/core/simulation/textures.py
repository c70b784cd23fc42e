"""Matter of a simulated movie: the textures of cells and of what lies between them.

What is drawn at random is apart from what is computed of it, so that every back end can compute it where it likes.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation.config import SimulationConfig

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

TILE = 64
"""Pixels of a side of a cell's texture: one to a pixel of a cell of 50 px."""

TILE_REACH = 1.25
"""Half the side of that square, radii: outlines bulge beyond the unit disk."""

GRAIN_SIZES = (4.5, 1.8)
"""Size of the coarse and of the fine grain, pixels of a tile; a choice."""

GRANULE_SIZES = (1.0, 2.2)
"""Granules are the difference of noise smoothed by the one and by the other, pixels of a tile; a choice."""

_N_SPOTS, _N_DROPLETS = 4, 14
"""Nucleoli and vesicles of a cell at most; a choice."""

_NOWHERE = (0.0, 9.0, 0.1)
"""Direction, distance and size of a nucleolus that a cell lacks: nine radii away."""

_PLAIN = ("fluorescence", "phase", "dic")


@dataclass(frozen=True, slots=True, eq=False)
class CellDraws:
    """Random numbers of the cells' textures; sizes and distances are in radii.

    Attributes
    ----------
    noise : ndarray of float32, shape (N, 2, 64, 64)
        White noise of the coarse and of the fine grain.
    spots, droplets : ndarray of float64, shape (N, J, 3)
        Direction, distance from the centre and size of each nucleolus and vesicle.
    granules : ndarray of float32, shape (N, 2, 64, 64)
        White noise of two fields of granules.
    nucleus : ndarray of float64, shape (N, 3)
        Direction, distance from the centre and radius.
    """

    noise: Floats32
    spots: Floats
    granules: Floats32
    nucleus: Floats
    droplets: Floats


def draw_cells_at_random(config: SimulationConfig) -> CellDraws:
    """Draw what makes each cell's texture its own; no granules where the modality shows none."""
    rng = np.random.default_rng([config.seed, 2])
    n = config.n_total
    noise, spots = np.zeros((n, 2, TILE, TILE), np.float32), np.tile(np.array(_NOWHERE), (n, _N_SPOTS, 1))
    for row in range(n):
        noise[row] = [rng.standard_normal((TILE, TILE), dtype=np.float32) for _ in range(2)]
        for k in range(rng.integers(2, _N_SPOTS + 1)):
            spots[row, k] = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6), rng.uniform(0.08, 0.17)
    if config.identical:
        noise[:], spots[:] = noise[:1], spots[:1]
    if config.modality in _PLAIN:
        return CellDraws(noise, spots, noise[:0], np.zeros((0, 3)), np.zeros((0, 0, 3)))
    rng = np.random.default_rng([config.seed, 10])
    granules = rng.standard_normal((n, 2, TILE, TILE), dtype=np.float32)
    nucleus = rng.uniform([0, 0, 0.36], [2 * np.pi, 0.22, 0.5], (n, 3))
    droplets = rng.uniform([0, 0.5, 0.025], [2 * np.pi, 0.93, 0.06], (n, _N_DROPLETS, 3))
    if config.identical:
        granules[:], nucleus[:], droplets[:] = granules[:1], nucleus[:1], droplets[:1]
    return CellDraws(noise, spots, granules, nucleus, droplets)


def bumps(xp: ModuleType, u: Any, v: Any, places: Any) -> Any:
    """The largest of several round bumps of height 1, over (u, v); `places` (..., J, 3) as in :class:`CellDraws`."""
    angle, far, size = (places[..., k, None, None] for k in range(3))
    square = (u - far * xp.cos(angle)) ** 2 + (v - far * xp.sin(angle)) ** 2
    return xp.amax(xp.exp(-square / (2 * size**2)), -3)


def soft_disk(xp: ModuleType, u: Any, v: Any, places: Any) -> Any:
    """A disk with a soft rim, 1 inside, over (u, v); `places` (..., 3) as in :class:`CellDraws`."""
    angle, far, size = (places[..., k, None, None] for k in range(3))
    distance = xp.hypot(u - far * xp.cos(angle), v - far * xp.sin(angle))
    return 1 / (1 + xp.exp((distance - size) * 20))


def tile_axis() -> Floats:
    """Positions of a tile's pixels, in radii."""
    return np.asarray(np.mgrid[-TILE_REACH : TILE_REACH : TILE * 1j])


def smooth(noise: Floats32, size: float) -> Floats32:
    """Smooth noise of standard deviation 1 with blobs of about `size` px, seamless at the borders."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(noise, size, mode="wrap")
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-9), dtype=np.float32)


def granular(noise: Floats32) -> Floats32:
    """Noise of standard deviation 1 without its coarse part."""
    fine, coarse = (smooth(noise, size) for size in GRANULE_SIZES)
    field = fine - coarse
    return np.asarray(field / max(float(field.std()), 1e-9), dtype=np.float32)


def cell_tiles(config: SimulationConfig) -> Floats32:
    """Textures of all cells (N, C, 64, 64) over the square around a cell's unit disk.

    C is grain (mean 0, about -1 to 1), nucleoli (0 to 1) and, where the modality shows them, two fields of granules
    (standard deviation 1), the nucleus (0 to 1) and vesicles (0 to 1).
    """
    draws = draw_cells_at_random(config)
    v, u = np.meshgrid(tile_axis(), tile_axis(), indexing="ij")
    tiles = np.zeros((config.n_total, 2 if not len(draws.granules) else 6, TILE, TILE), np.float32)
    for row, tile in enumerate(tiles):
        coarse, fine = (smooth(noise, size) for noise, size in zip(draws.noise[row], GRAIN_SIZES, strict=True))
        tile[0] = np.clip(0.45 * coarse + 0.3 * fine, -1, 1)
        tile[1] = bumps(np, u, v, draws.spots[row])
        if len(tile) > 2:
            tile[2:4] = [granular(noise) for noise in draws.granules[row]]
            tile[4] = soft_disk(np, u, v, draws.nucleus[row])
            tile[5] = bumps(np, u, v, draws.droplets[row])
    return tiles


@dataclass(frozen=True, slots=True, eq=False)
class GroundDraws:
    """Random numbers of what lies between the cells.

    Attributes
    ----------
    noise : ndarray of float32, shape (2, Y, X)
        White noise of clouds and of grain.
    specks : ndarray of int, shape (2, M)
        y and x of specks, px.
    litter : ndarray of float64, shape (K, 4)
        y, x, size (px) and strength of larger debris.
    """

    noise: Floats32
    specks: NDArray[np.int64]
    litter: Floats


def draw_ground_at_random(config: SimulationConfig) -> GroundDraws:
    """Draw the background of a movie."""
    rng = np.random.default_rng([config.seed, 3])
    noise = np.stack([rng.standard_normal(config.shape, dtype=np.float32) for _ in range(2)])
    n_specks = int(np.ceil(config.shape[0] * config.shape[1] / 6000))
    specks = np.stack([rng.integers(0, side, n_specks) for side in config.shape])
    rng = np.random.default_rng([config.seed, 9])
    n_litter = round(config.optics.litter * np.prod(config.shape) / (np.pi / 4 * config.diameter**2))
    size = config.diameter * rng.uniform(0.02, 0.12, n_litter)
    places = [rng.uniform(0, side, n_litter) for side in config.shape]
    return GroundDraws(noise, specks, np.stack([*places, size, rng.uniform(-8, 8, n_litter)], axis=1))


def ground_tile(config: SimulationConfig) -> Floats32:
    """Make what lies between the cells, of the frame's shape and seamless: faint clouds and a few pieces of debris."""
    from scipy.ndimage import gaussian_filter

    draws = draw_ground_at_random(config)
    field = 0.8 * smooth(draws.noise[0], config.diameter / 2) + 0.35 * smooth(draws.noise[1], 1.2)
    specks = np.zeros(config.shape, np.float32)
    specks[tuple(draws.specks)] = 1
    specks = gaussian_filter(specks, 1.0, mode="wrap")
    field = field + 4 * specks / max(float(specks.max()), 1e-9)
    y, x = (np.arange(side, dtype=float) for side in config.shape)
    return np.asarray(field + litter(np, draws.litter, y, x), dtype=np.float32)


def litter(xp: ModuleType, pieces: Any, y: Any, x: Any) -> Any:
    """Sum of round pieces, seamless over axes `y` and `x`: (Y, X); `pieces` as in :class:`GroundDraws`."""
    rows, columns = (
        xp.exp(
            -(((axis - pieces[:, k, None] + len(axis) / 2) % len(axis) - len(axis) / 2) ** 2)
            / (2 * pieces[:, 2, None] ** 2)
        )
        for k, axis in ((0, y), (1, x))
    )
    return xp.einsum("k,ky,kx->yx", pieces[:, 3], rows, columns)
