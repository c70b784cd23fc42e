"""What happens in a simulated movie: every cell's path and shape over time, before anything is drawn."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation import events as life
from napari_mosam.core.simulation.config import SimulationConfig
from napari_mosam.core.simulation.outlines import LOBES
from napari_mosam.core.simulation.paths import Bodies, Walk

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_DAUGHTER_SIZE = 0.75
"""Radius of a daughter as a share of her mother's; .71 has half her area."""

_ROUNDING_FRAMES = 3
"""Frames over which a mother rounds up before she divides; a choice."""

_ASPECTS: dict[str, tuple[float, float]] = {
    "round": (1.0, 1.0),
    "ellipse": (1.2, 1.7),
    "lobed": (1.0, 1.35),
    "rod": (2.6, 3.4),
    "amoeboid": (1.0, 1.8),
    "yeast": (1.0, 1.25),
}
"""Length over width of cells, from and to, by shape; a choice."""

_WOBBLE: dict[str, float] = {"round": 0.0, "ellipse": 0.25, "lobed": 1.0, "rod": 0.0, "amoeboid": 2.5, "yeast": 0.0}
"""How much of the deformation that is asked for a shape shows, by shape; a choice."""

_AMOEBOID_HASTE = 2.5
"""How much faster the outline of an amoeboid cell changes; a choice."""

_BUD_SIZE = 0.95
"""Radius of a daughter that budded as a share of her mother's; a choice."""

_LOBE_WEIGHTS = np.array([0.6, 1.0, 0.55, 0.35])
"""Depth of the waves of `LOBES`, the deepest as 1; a choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Every cell on every frame, before anything is drawn. Row i is cell i + 1.

    Attributes
    ----------
    centres : ndarray of float64, shape (T, N, 2)
        (y, x) in px, stage included. Defined on every frame, also where the cell is not visible.
    angles : ndarray of float64, shape (T, N)
        Rotation, rad.
    visible : ndarray of bool, shape (T, N)
        Alive and not vanished (it may still lie outside the frame or under another cell).
    drift : ndarray of float64, shape (T, 2)
        (dy, dx) of the stage between ``t - 1`` and t, px; zero on the first frame.
    radius, aspect, brightness : ndarray of float64, shape (N,)
        Of the disk of equal area, px; length over width; 0 to 1.
    lobe_depth, lobe_phase, lobe_speed : ndarray of float64, shape (N, 4)
        Waves of 2, 3, 4, 5 lobes around the outline: fraction of the radius, rad, rad per frame.
    depth : ndarray of int, shape (N,)
        Rank from the lowest (0) to the one on top.
    division : dict of int to (int, float)
        Row of a mother -> (frame of her daughters' birth, angle of the line between them).
    parents : dict of int to int
        Daughter id -> mother id.
    size : ndarray of float64, shape (T, N)
        Multiplies the radius.
    bend : ndarray of float64, shape (T, N)
        Curvature of the long axis, 1/px.
    spikes, spike_angle : ndarray of float64, shape (T, N, J)
        Thin processes: length in radii, direction in the cell's own frame (rad).
    owner : ndarray of int, shape (T, N)
        The id that the row's pixels are labelled with: its own, or the mother's while it is a bud.
    gain, focus : ndarray of float64, shape (T,)
        Brightness of each frame, around 1; extra blur, px.
    """

    config: SimulationConfig
    centres: Floats
    angles: Floats
    visible: Bools
    drift: Floats
    radius: Floats
    aspect: Floats
    brightness: Floats
    lobe_depth: Floats
    lobe_phase: Floats
    lobe_speed: Floats
    depth: NDArray[np.intp]
    division: dict[int, tuple[int, float]]
    parents: dict[int, int]
    size: Floats
    bend: Floats
    spikes: Floats
    spike_angle: Floats
    owner: NDArray[np.intp]
    gain: Floats
    focus: Floats

    def rounding(self, t: Any, row: Any) -> Any:
        """How far a mother is on her way to divide on frame t, 0 to 1; for arrays of frames and rows, arrays."""
        if self.config.solid or not np.any(np.isin(row, list(self.division))):
            return 0.0
        due = np.full(len(self.radius), np.inf)
        due[list(self.division)] = [born for born, _ in self.division.values()]
        return np.clip(1 - (due[row] - 1 - t) / _ROUNDING_FRAMES, 0, 1)

    def division_axis(self, row: Any) -> Any:
        """Angle of the line between the daughters, rad; 0 for a cell that does not divide."""
        axes = np.zeros(len(self.radius))
        axes[list(self.division)] = [axis for _, axis in self.division.values()]
        return axes[row]

    @property
    def stage(self) -> Floats:
        """Shift of the stage since the first frame, shape (T, 2), px."""
        return np.cumsum(self.drift, axis=0)


def build_scene(config: SimulationConfig) -> Scene:
    """Draw every random number that decides where the cells go and how they look, in a fixed order."""
    rng = np.random.default_rng([config.seed, 0])
    bodies = _drawn_bodies(config, rng)
    drift = _stage_steps(config)
    centres = Walk(config, bodies, rng).centres() + np.cumsum(drift, axis=0)[:, None]
    spikes, spike_angle = life.spikes(config)
    return Scene(
        config=config,
        centres=centres,
        visible=life.alive(config, with_buds=True) & ~life.vanished(config),
        drift=drift,
        parents=_parents(config),
        size=life.sizes(config),
        bend=life.bends(config, bodies.radius * np.sqrt(bodies.aspect)),
        spikes=spikes,
        spike_angle=spike_angle,
        owner=life.owners(config),
        gain=life.flicker(config),
        focus=life.focus(config),
        **{field.name: getattr(bodies, field.name) for field in fields(bodies)},
    )


def _drawn_bodies(config: SimulationConfig, rng: np.random.Generator) -> Bodies:
    n, n_frames = config.n_total, config.n_frames
    haste = _AMOEBOID_HASTE if config.cell_shape == "amoeboid" else 1.0
    radius = config.diameter / 2 * np.clip(1 + config.diameter_spread * rng.standard_normal(n), 0.6, 1.5)
    aspect = rng.uniform(*(config.aspect or _ASPECTS[config.cell_shape]), n)
    brightness = rng.uniform(*config.brightness, n)
    lobes = config.deformation * _WOBBLE[config.cell_shape] * _LOBE_WEIGHTS * rng.uniform(0.4, 1, (n, len(LOBES)))
    lobe_phase = rng.uniform(0, 2 * np.pi, (n, len(LOBES)))
    lobe_speed = haste * rng.uniform(-0.12, 0.12, (n, len(LOBES)))
    turns = config.rotation * rng.standard_normal((n_frames, n))
    angles = rng.uniform(0, 2 * np.pi, n) + np.cumsum(turns, axis=0)
    depth = rng.permutation(n)
    if config.identical:
        _make_alike(radius, aspect, brightness, lobes, lobe_phase, lobe_speed, *(() if config.solid else (angles.T,)))
    axes = rng.uniform(0, 2 * np.pi, len(config.divisions))
    division = {cell - 1: (t, float(axis)) for (cell, t), axis in zip(config.divisions, axes, strict=True)}
    _inherit(config, radius, aspect, brightness)
    return Bodies(radius, aspect, brightness, lobes, lobe_phase, lobe_speed, angles, depth, division)


def _make_alike(*drawn: Floats) -> None:
    """Give every cell what the first one drew, in place; rows are cells."""
    for rows in drawn:
        rows[:] = rows[:1]


def _inherit(config: SimulationConfig, radius: Floats, aspect: Floats, brightness: Floats) -> None:
    """Give daughters what they have from their mothers, in place."""
    for (mother, _), daughters in config.daughters.items():
        rows = np.array(daughters) - 1
        radius[rows], brightness[rows] = _DAUGHTER_SIZE * radius[mother - 1], brightness[mother - 1]
        aspect[rows] = _half(aspect[mother - 1]) if config.solid else np.sqrt(aspect[rows])
    for daughter, (mother, _, _) in config.budding.items():
        radius[daughter - 1], brightness[daughter - 1] = _BUD_SIZE * radius[mother - 1], brightness[mother - 1]


def _half(aspect: float) -> float:
    """Length over width of half a rod that is as wide as the whole."""
    return max(1 + ((aspect - 1) - np.pi / 4) / 2, 1.0)


def _parents(config: SimulationConfig) -> dict[int, int]:
    divided = {daughter: mother for (mother, _), pair in config.daughters.items() for daughter in pair}
    budded = {daughter: mother for daughter, (mother, _, end) in config.budding.items() if end < config.n_frames}
    return divided | budded


def _stage_steps(config: SimulationConfig) -> Floats:
    steps = np.tile(np.array(config.stage_drift, dtype=float), (config.n_frames, 1))
    steps[0] = 0
    for t, dy, dx in config.stage_jumps:
        steps[t] += dy, dx
    return steps
