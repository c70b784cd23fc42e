"""Outlines of cells in their own coordinates, and the way there and back.

A cell is a closed form: the distance from its centre to its outline in every direction. `xp` is numpy or torch.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_mosam.core.simulation.scene import Scene

Floats = NDArray[np.float64]
Index = Any  # a frame or row, or an integer array of them that broadcasts against the directions

LOBES = np.array([2, 3, 4, 5])
"""Waves around an outline: one would move the cell; that there are no more than five is a choice."""

_EDGE_BUMP = 0.3
"""How far a cell that divides is drawn out along the line between its daughters, radii; a choice."""

_SPIKE_WIDTH, _SPIKE_TIP = 0.11, 0.08
"""Width of a process at its base and of its tip, rad; a choice."""

_CIRCLE = np.linspace(0, 2 * np.pi, 256, endpoint=False)
"""Directions over which the area of an outline is summed, rad: two degrees and less apart."""


def outline(scene: "Scene", t: Index, row: Index, phi: Floats) -> Floats:
    """Distance from a cell's centre to its outline in its own direction `phi` (rad), px."""
    size = scene.radius[row] * scene.size[t, row]
    relative = _relative(scene, t, row, phi)
    if _keeps_its_area(scene):
        circle = _relative(scene, t, row, _CIRCLE)
        relative = relative / np.sqrt((circle**2).mean(axis=-1, keepdims=True))
    return np.asarray(size * relative)


def outline_table(scene: "Scene", n_directions: int) -> Floats:
    """Outlines of all cells on all frames at `n_directions` directions from 0 to below 2 pi: (T, N, K), px."""
    n_frames, n = scene.visible.shape
    phi = np.linspace(0, 2 * np.pi, n_directions, endpoint=False)
    table = outline(scene, np.arange(n_frames)[:, None, None], np.arange(n)[None, :, None], phi)
    return np.broadcast_to(table, (n_frames, n, n_directions))


def _keeps_its_area(scene: "Scene") -> bool:
    return scene.config.cell_shape == "amoeboid" or scene.spikes.shape[-1] > 0


def _relative(scene: "Scene", t: Index, row: Index, phi: Floats) -> Floats:
    rounding = scene.rounding(t, row)
    aspect = scene.aspect[row] ** (1 - rounding)
    base = _capsule(aspect, phi) if scene.config.cell_shape == "rod" else _ellipse(aspect, phi)
    waves: Floats = np.zeros_like(phi) if scene.config.cell_shape == "amoeboid" else np.ones_like(phi)
    if scene.lobe_depth[row].any():
        phases = scene.lobe_phase[row] + scene.lobe_speed[row] * np.asarray(t)[..., None]
        for j, k in enumerate(LOBES):
            waves = waves + (1 - rounding) * scene.lobe_depth[row][..., j] * np.cos(k * phi + phases[..., j])
    if scene.config.cell_shape == "amoeboid":
        waves = np.exp(waves)
    for j in range(scene.spikes.shape[-1]):
        height = (1 - rounding) * scene.spikes[t, row, j]
        waves = waves + height * _spike(phi - scene.spike_angle[t, row, j])
    if np.any(rounding):
        waves = waves + _EDGE_BUMP * rounding * np.cos(2 * (phi + scene.angles[t, row] - scene.division_axis(row)))
    return np.asarray(base * waves)


def _spike(phi: Floats) -> Floats:
    """One process that tapers to a tip, 1 at angle 0."""
    off = np.sqrt(4 * np.sin(phi / 2) ** 2 + _SPIKE_TIP**2) - _SPIKE_TIP
    return np.asarray(np.exp(-off / _SPIKE_WIDTH))


def _ellipse(aspect: float, phi: Floats) -> Floats:
    return np.asarray(1 / np.sqrt(np.cos(phi) ** 2 / aspect + np.sin(phi) ** 2 * aspect))


def _capsule(aspect: float, phi: Floats) -> Floats:
    """Outline a stadium of the unit disk's area, length over width = `aspect`."""
    half_width = np.sqrt(np.pi / (np.pi + 4 * (aspect - 1)))
    half_side = half_width * (aspect - 1)
    cos, sin = np.abs(np.cos(phi)), np.abs(np.sin(phi))
    cap = half_side * cos + np.sqrt(np.maximum(half_width**2 - (half_side * sin) ** 2, 0))
    return np.asarray(np.where(half_width * cos >= half_side * sin, cap, half_width / np.maximum(sin, 1e-9)))


def to_cell(xp: ModuleType, dy: Any, dx: Any, angle: Any, bend: Any) -> tuple[Any, Any]:
    """Distance (px) and direction (rad) in a cell's own frame of what lies (dy, dx) px from its centre.

    `bend` (1/px) straightens a bent cell: it shears across the axis by ``bend * along ** 2``, so areas stay.
    """
    if bend is None:
        return xp.hypot(dy, dx), xp.arctan2(dy, dx) - angle
    along = xp.cos(angle) * dx + xp.sin(angle) * dy
    across = xp.cos(angle) * dy - xp.sin(angle) * dx - bend * along**2
    return xp.hypot(across, along), xp.arctan2(across, along)


def from_cell(xp: ModuleType, distance: Any, phi: Any, angle: Any, bend: Any) -> tuple[Any, Any]:
    """Invert :func:`to_cell`."""
    if bend is None:
        return distance * xp.sin(phi + angle), distance * xp.cos(phi + angle)
    along, across = distance * xp.cos(phi), distance * xp.sin(phi)
    across = across + bend * along**2
    cos, sin = xp.cos(angle), xp.sin(angle)
    return sin * along + cos * across, cos * along - sin * across
