"""Simulated movies of cells, with the truth: ids, motion of every pixel, stage and parents.

A movie is built in two steps: a scene (paths and shapes of all cells, small) and the drawing of single frames, each
with its own random numbers. So long movies need not be held in memory: see :class:`Simulator`.

Drawing is plain numpy and scipy; `training/simulator.py` in the repository draws the same scenes by the batch in torch.
Cells are opaque and lie at fixed depths, or share borders in a sheet, so that labels are the visible pixels.

Constants that are 'a choice' make cells look like cells; they were not fitted to real movies. Movies that exist depend
on them to the bit, so another value is a setting with the old one as its default.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from napari_mosam.core.simulation.cases import (
    bleaching,
    case,
    crowd,
    division_movie,
    faint,
    hopping,
    long_occlusion,
    stage_leaps,
    twins_cross,
    under_bar,
)
from napari_mosam.core.simulation.config import CellShape, Modality, SimulationConfig
from napari_mosam.core.simulation.movie import SimulatedMovie, Simulator, simulate
from napari_mosam.core.simulation.optics import Camera, Optics

__all__ = [
    "CASES",
    "STRESS_CASES",
    "Camera",
    "CellShape",
    "Modality",
    "Optics",
    "SimulatedMovie",
    "SimulationConfig",
    "Simulator",
    "bleaching",
    "crowd",
    "disk_divides",
    "disk_moves",
    "disk_vanishes",
    "division_movie",
    "faint",
    "hopping",
    "long_occlusion",
    "sample_movie",
    "simulate",
    "stage_jumps",
    "stage_leaps",
    "touching_cells",
    "twins_cross",
    "two_disks_cross",
    "under_bar",
]


def disk_moves(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """One disk wanders for 10 frames of 96 x 96; `changes` replace settings of :class:`SimulationConfig`."""
    settings = {"shape": (96, 96), "n_cells": 1, "cell_shape": "round", "diameter_spread": 0.0, "speed": 2.5}
    return case(seed, changes, **settings)


def disk_vanishes(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """One disk of 12 frames is out of sight on frames 5, 6 and 7, and returns."""
    settings = {"shape": (96, 96), "n_frames": 12, "n_cells": 1, "cell_shape": "round", "vanish": [(1, 5, 7)]}
    return case(seed, changes, **settings)


def two_disks_cross(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Two disks pass each other on straight lines, one partly over the other, in 16 frames."""
    x = np.linspace(24, 103, 16)
    tracks = np.stack([np.stack([np.full(16, 42.0), x], axis=1), np.stack([np.full(16, 54.0), x[::-1]], axis=1)])
    settings = {"shape": (96, 128), "n_frames": 16, "cell_shape": "round", "diameter_spread": 0.0, "tracks": tracks}
    return case(seed, changes, **settings)


def disk_divides(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Disk 1 is last seen on frame 4; from frame 5 to 9 there are its daughters 2 and 3."""
    settings = {"shape": (96, 96), "n_cells": 1, "cell_shape": "round", "speed": 1.0, "divisions": [(1, 5)]}
    return case(seed, changes, **settings)


def touching_cells(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Five lobed cells in one cluster for 10 frames."""
    settings = {"n_cells": 5, "touching": True, "speed": 1.0, "repulsion": 0.3}
    return case(seed, changes, **settings)


def stage_jumps(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Four cells for 10 frames; the picture jumps by (18, -25) px at frame 3 and back at frame 7."""
    settings = {"n_cells": 4, "speed": 1.0, "stage_jumps": [(3, 18, -25), (7, -18, 25)]}
    return case(seed, changes, **settings)


def sample_movie(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Eight cells for 30 frames of 256 x 256 that move and touch; cell 3 is out of sight on frames 12 to 15."""
    settings = {
        "shape": (256, 256),
        "n_frames": 30,
        "n_cells": 8,
        "diameter": 40.0,
        "speed": 2.5,
        "persistence": 0.9,
        "repulsion": 0.4,
        "vanish": [(3, 12, 15)],
    }
    return case(seed, changes, **settings)


STRESS_CASES: dict[str, Callable[..., SimulatedMovie]] = {
    hard.__name__: hard
    for hard in (
        long_occlusion,
        under_bar,
        two_disks_cross,
        twins_cross,
        crowd,
        stage_leaps,
        hopping,
        division_movie,
        bleaching,
        faint,
    )
}
"""Movies that are hard to follow; see `benchmarks/stress.py` and `benchmarks/accuracy.py`."""

CASES: dict[str, Callable[..., SimulatedMovie]] = {
    named.__name__: named
    for named in (
        disk_moves,
        disk_vanishes,
        disk_divides,
        touching_cells,
        stage_jumps,
        sample_movie,
    )
} | STRESS_CASES
