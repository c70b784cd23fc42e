"""Who lives when in a simulated movie, how large, and what changes shape of its own accord."""

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation.config import SimulationConfig

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_DYING_FRAMES = 3
"""Frames over which a cell shrinks before it is gone; a choice."""

_N_SPIKES = 5
"""Processes that a cell may have at once; a choice."""

_BUD_SIZES = (0.25, 0.8)
"""Radius of a bud when it appears and when it leaves, as a share of its own; a choice."""

_BUD_FRAMES = 12
"""Frames over which a bud grows at most; a choice."""


def alive(config: SimulationConfig, *, with_buds: bool) -> Bools:
    """Whether each cell lives on each frame (T, N); a bud counts before it is a cell of its own `with_buds`."""
    lives = np.zeros((config.n_frames, config.n_total), bool)
    lives[:, : config.n_cells] = True
    for (mother, t), daughters in config.daughters.items():
        lives[t:, mother - 1] = False
        lives[t:, np.array(daughters) - 1] = True
    for daughter, (_, first, division) in config.budding.items():
        lives[first if with_buds else division :, daughter - 1] = True
    for cell, t in config.deaths:
        lives[t:, cell - 1] = False
    for daughter, (mother, _, division) in config.budding.items():
        lives[:division, daughter - 1] &= lives[:division, mother - 1]
    return lives


def vanished(config: SimulationConfig) -> Bools:
    """Whether each cell is out of sight on each frame (T, N); an attached bud shares its mother's fate."""
    gone = np.zeros((config.n_frames, config.n_total), bool)
    for cell, first, last in config.absences:
        gone[first : last + 1, cell - 1] = True
    for daughter, (mother, _, division) in config.budding.items():
        gone[:division, daughter - 1] |= gone[:division, mother - 1]
    return gone


def owners(config: SimulationConfig) -> NDArray[np.intp]:
    """The id that each row is labelled with on each frame (T, N): a bud belongs to its mother."""
    owner = np.tile(np.arange(1, config.n_total + 1), (config.n_frames, 1))
    for daughter, (mother, _, division) in config.budding.items():
        owner[:division, daughter - 1] = mother
    return owner


def sizes(config: SimulationConfig) -> Floats:
    """Radius of each cell on each frame as a multiple of its own (T, N)."""
    size = np.ones((config.n_frames, config.n_total))
    frames = np.arange(config.n_frames)
    for cell, t in config.deaths:
        size[:, cell - 1] = np.clip(0.4 + 0.6 * (t - frames) / _DYING_FRAMES, 0.4, 1)
    for daughter, (_, first, division) in config.budding.items():
        small, large = _BUD_SIZES
        growth = (large - small) * (frames - first) / min(division - first, _BUD_FRAMES)
        size[:, daughter - 1] *= np.clip(small + growth, small, 1)
    return size


def bends(config: SimulationConfig, half_length: Floats) -> Floats:
    """Curvature of each cell on each frame (T, N), 1/px: it sways around a lasting bend."""
    if not config.bend:
        return np.zeros((config.n_frames, config.n_total))
    rng = np.random.default_rng([config.seed, 5])
    lasting = rng.standard_normal(config.n_total)
    sway = 0.3 * np.sin(rng.uniform(0, 2 * np.pi, config.n_total) + 0.3 * np.arange(config.n_frames)[:, None])
    return np.asarray(config.bend * np.clip(lasting + sway, -2, 2) / half_length)


def spikes(config: SimulationConfig) -> tuple[Floats, Floats]:
    """Lengths (multiples of the radius) and directions (rad, in the cell's frame) of processes, each (T, N, J)."""
    shape = (config.n_frames, config.n_total, _N_SPIKES if config.spikes else 0)
    if not config.spikes:
        return np.zeros(shape), np.zeros(shape)
    rng = np.random.default_rng([config.seed, 6])
    frames = np.arange(config.n_frames)[:, None, None]
    period, phase = rng.uniform(6, 25, shape[1:]), rng.uniform(0, 2 * np.pi, shape[1:])
    length = config.spikes * rng.uniform(-0.3, 1, shape[1:]) * (1 + 0.5 * np.sin(2 * np.pi * frames / period + phase))
    length[:, :, :2] = config.spikes * (0.7 + 0.3 * np.sin(2 * np.pi * frames / period + phase)[:, :, :2])
    angle = rng.uniform(0, 2 * np.pi, shape[1:])
    angle[:, :2] = rng.normal([0, np.pi], 0.3, (shape[1], 2))
    turn = np.cumsum(0.04 * rng.standard_normal(shape), axis=0)
    return np.maximum(length, 0), angle + turn


def flicker(config: SimulationConfig) -> Floats:
    """Brightness of each frame, around 1 (T,)."""
    drawn = np.random.default_rng([config.seed, 7]).standard_normal(config.n_frames)
    return np.maximum(1 + config.camera.flicker * drawn, 0.1)


def focus(config: SimulationConfig) -> Floats:
    """Extra blur of each frame while the focus wanders, px (T,)."""
    period, phase = np.random.default_rng([config.seed, 8]).uniform([8, 0], [30, 2 * np.pi])
    return np.asarray(config.optics.defocus * np.abs(np.sin(np.pi * np.arange(config.n_frames) / period + phase)))
