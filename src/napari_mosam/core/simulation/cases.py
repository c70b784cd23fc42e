"""Named movies that are hard to follow: what they stress is in their names, and the truth is exact."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation.config import SimulationConfig
from napari_mosam.core.simulation.movie import SimulatedMovie, simulate
from napari_mosam.core.simulation.scene import build_scene

Floats = NDArray[np.float64]

_BAR_WIDTH = 80
"""Of the bar that hides cells, px: nearly three of their diameters, 28 px."""

_LEAP_PX, _LEAP_REACH = 100.0, 105.0
"""How far the stage leaps, and how far it may be from where it began, px; so cells stay in the frame."""


def case(seed: int, changes: Mapping[str, Any], **settings: Any) -> SimulatedMovie:
    """A movie of these settings, some of them changed."""
    return simulate(SimulationConfig(**{"seed": seed, **settings, **changes}))


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 4])


def long_occlusion(seed: int = 0, n_absent: int = 20, **changes: Any) -> SimulatedMovie:
    """Eight cells for 70 frames of 256 x 256, three of which go out of sight while they move on, and come back.

    Cell 1 is absent for about half of `n_absent` frames, cell 2 for `n_absent` and cell 3 for twice as many, none for
    more than 40; `n_absent` is 1 to 40. Cells 4 to 8 stay in sight.
    """
    if not 1 <= n_absent <= 40:
        raise ValueError(f"n_absent = {n_absent} is not possible; allowed: 1 to 40 frames")
    lengths = [-(-n_absent // 2), n_absent, min(2 * n_absent, 40)]
    starts = _rng(seed).integers(8, 18, 3)
    vanish = [(k + 1, int(t), int(t) + n - 1) for k, (t, n) in enumerate(zip(starts, lengths, strict=True))]
    settings = {"shape": (256, 256), "n_frames": 70, "n_cells": 8, "diameter": 30.0, "vanish": vanish}
    return case(seed, changes, **settings, speed=2.0, persistence=0.9)


def under_bar(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Three of five cells pass under an opaque bar and are wholly hidden for about 12, 18 and 26 of 76 frames."""
    rng, n_frames, side, diameter = _rng(seed), 76, 256, 28.0
    rows = rng.permutation(np.linspace(26, side - 27, 5))
    ways = rng.choice([-1, 1], 5)
    middle = (side - 1) / 2
    tracks = []
    for row, way, hidden in zip(rows, ways, (12, 18, 26, 0, 0), strict=True):
        step = (_BAR_WIDTH - diameter) / hidden if hidden else 0.0
        along = np.minimum(step * np.maximum(np.arange(n_frames) - rng.integers(3, 5), 0), 2 * 70.0)
        x = middle + way * (along - 70.0)
        tracks.append(np.stack([np.full(n_frames, row), x], axis=1) + _wobble(rng, n_frames))
    left = round(middle - _BAR_WIDTH / 2)
    settings = {
        "shape": (side, side),
        "n_frames": n_frames,
        "diameter": diameter,
        "diameter_spread": 0.05,
        "tracks": tracks,
        "occluders": [(0, left, side - 1, left + _BAR_WIDTH - 1)],
    }
    return case(seed, changes, **settings)


def _wobble(rng: np.random.Generator, n_frames: int) -> Floats:
    """A smooth, bounded wandering (n_frames, 2) of a px or two."""
    phase, period = rng.uniform(0, 2 * np.pi, 2), rng.uniform(20, 40, 2)
    return np.asarray(1.5 * np.sin(2 * np.pi * np.arange(n_frames)[:, None] / period + phase))


def twins_cross(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Two identical disks cross on straight lines in 24 frames of 192 x 192.

    The seed draws the angle between their ways (70 to 180 degrees), their speed (2 to 6.5 px per frame) and by how much
    their centres miss each other (0.15 to 0.5 diameters): one partly covers the other.
    """
    rng, n_frames, side, diameter = _rng(seed), 24, 192, 28.0
    angle, heading = rng.uniform(np.deg2rad(70), np.pi), rng.uniform(0, 2 * np.pi)
    speed = rng.uniform(4, 7.5) / (2 * np.sin(angle / 2))
    ways = [np.array([np.sin(a), np.cos(a)]) for a in (heading, heading + angle)]
    apart = (ways[0] - ways[1]) / np.linalg.norm(ways[0] - ways[1])
    miss = rng.uniform(0.15, 0.5) * diameter * np.array([-apart[1], apart[0]]) / 2
    times = np.arange(n_frames)[:, None] - (n_frames - 1) / 2
    tracks = [(side - 1) / 2 + sign * miss + speed * times * way for sign, way in zip((1, -1), ways, strict=True)]
    settings = {
        "shape": (side, side),
        "n_frames": n_frames,
        "diameter": diameter,
        "diameter_spread": 0.0,
        "cell_shape": "round",
        "rotation": 0.0,
        "identical": True,
        "tracks": tracks,
    }
    return case(seed, changes, **settings)


def crowd(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Fourteen identical round nuclei that touch and shuffle slowly for 40 frames of 200 x 200."""
    settings = {
        "shape": (200, 200),
        "n_frames": 40,
        "n_cells": 14,
        "diameter": 30.0,
        "diameter_spread": 0.0,
        "cell_shape": "round",
        "identical": True,
        "touching": True,
        "speed": 0.8,
        "repulsion": 0.7,
    }
    return case(seed, changes, **settings)


def stage_leaps(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Eight cells for 12 frames of 448 x 448; the stage leaps by 100 px before each of frames 2 to 9.

    The directions are random, within what keeps every cell in the frame.
    """
    side, walked = 448, 220
    walk = build_scene(SimulationConfig(seed=seed, n_frames=12, shape=(walked, walked), n_cells=8, speed=1.0))
    tracks = np.moveaxis(walk.centres, 1, 0) + (side - walked) / 2
    settings = {"shape": (side, side), "n_frames": 12, "tracks": tracks, "stage_jumps": _leaps(_rng(seed))}
    return case(seed, changes, **settings)


def _leaps(rng: np.random.Generator) -> list[tuple[int, float, float]]:
    jumps, stage = [], np.zeros(2)
    for t in range(2, 10):
        angles = rng.uniform(0, 2 * np.pi, 200)
        leaps = _LEAP_PX * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        leap = leaps[np.argmax(np.linalg.norm(stage + leaps, axis=1) <= _LEAP_REACH)]
        stage = stage + leap
        jumps.append((t, float(leap[0]), float(leap[1])))
    return jumps


def hopping(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Twenty nuclei of 14 px that move, turning often, by about 10 px per frame for 12 frames of 160 x 240."""
    settings = {"shape": (160, 240), "n_frames": 12, "n_cells": 20, "diameter": 14.0, "speed": 10.0, "persistence": 0.3}
    return case(seed, changes, **settings)


def division_movie(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Five cells for 40 frames of 256 x 256; cells 1 and 2 divide around frames 14 and 26."""
    rng = _rng(seed)
    divisions = [(1, int(rng.integers(11, 18))), (2, int(rng.integers(23, 30)))]
    settings = {"shape": (256, 256), "n_frames": 40, "n_cells": 5, "diameter": 34.0, "divisions": divisions}
    return case(seed, changes, **settings)


def bleaching(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Six cells lose 70 % of their contrast over 60 frames of 256 x 256, under constant noise."""
    settings = {"shape": (256, 256), "n_frames": 60, "n_cells": 6, "diameter": 30.0, "bleaching": 0.7, "noise": 0.12}
    return case(seed, changes, **settings)


def faint(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Five cells with 2 % of a uint16 camera's range on a strong, uneven background, noise half of that; 40 frames."""
    settings = {"shape": (256, 256), "n_frames": 40, "n_cells": 5, "diameter": 34.0}
    light = {"contrast": 0.02, "background": 0.6, "noise": 0.5}
    return case(seed, changes, **settings, **light)
