"""What happens in a simulated movie: every cell's path and shape over time, before anything is drawn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core import _simulate_life as life
from napari_mosam.core._simulate_config import SimulationConfig
from napari_mosam.core._simulate_pack import Chains
from napari_mosam.core._simulate_shape import LOBES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_CANDIDATES = 30
_COHESION = 0.02
_SPACING = 0.97
_DAUGHTER_SIZE = 0.75
_ROUNDING_FRAMES = 3
_ASPECTS: dict[str, tuple[float, float]] = {
    "round": (1.0, 1.0),
    "ellipse": (1.2, 1.7),
    "lobed": (1.0, 1.35),
    "rod": (2.6, 3.4),
    "amoeboid": (1.0, 1.8),
    "yeast": (1.0, 1.25),
}
_WOBBLE: dict[str, float] = {"round": 0.0, "ellipse": 0.25, "lobed": 1.0, "rod": 0.0, "amoeboid": 2.5, "yeast": 0.0}
_AMOEBOID_HASTE = 2.5
_BUD_DEPTHS = (0.92, 0.7)
_LOBE_WEIGHTS = np.array([0.6, 1.0, 0.55, 0.35])


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
        due[list(self.division)] = [t for t, _ in self.division.values()]
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
    n, n_frames = config.n_total, config.n_frames
    radius = config.diameter / 2 * np.clip(1 + config.diameter_spread * rng.standard_normal(n), 0.6, 1.5)
    aspect = rng.uniform(*(config.aspect or _ASPECTS[config.cell_shape]), n)
    brightness = rng.uniform(*config.brightness, n)
    lobes = config.deformation * _WOBBLE[config.cell_shape] * _LOBE_WEIGHTS * rng.uniform(0.4, 1, (n, len(LOBES)))
    lobe_phase = rng.uniform(0, 2 * np.pi, (n, len(LOBES)))
    lobe_speed = rng.uniform(-0.12, 0.12, (n, len(LOBES)))
    if config.cell_shape == "amoeboid":
        lobe_speed *= _AMOEBOID_HASTE
    turns = config.rotation * rng.standard_normal((n_frames, n))
    angles = rng.uniform(0, 2 * np.pi, n) + np.cumsum(turns, axis=0)
    depth = rng.permutation(n)
    if config.identical:
        _make_alike(radius, aspect, brightness, lobes, lobe_phase, lobe_speed, *(() if config.solid else (angles.T,)))
    axes = rng.uniform(0, 2 * np.pi, len(config.divisions))
    for mother, daughters in config.daughters.items():
        rows = np.array(daughters) - 1
        radius[rows], brightness[rows] = _DAUGHTER_SIZE * radius[mother[0] - 1], brightness[mother[0] - 1]
        aspect[rows] = _half(aspect[mother[0] - 1]) if config.solid else np.sqrt(aspect[rows])
    division = {cell - 1: (t, float(axis)) for (cell, t), axis in zip(config.divisions, axes, strict=True)}
    drift = _stage_steps(config)
    for daughter, (mother, _, _) in config.budding.items():
        radius[daughter - 1], brightness[daughter - 1] = 0.95 * radius[mother - 1], brightness[mother - 1]
    walk = _Walk(config, radius, division, rng, angles, aspect)
    centres = walk.centres() + np.cumsum(drift, axis=0)[:, None]
    spikes, spike_angle = life.spikes(config)
    parents = {d: mother for (mother, _), pair in config.daughters.items() for d in pair}
    return Scene(
        config=config,
        centres=centres,
        angles=angles,
        visible=life.alive(config, with_buds=True) & ~life.vanished(config),
        drift=drift,
        radius=radius,
        aspect=aspect,
        brightness=brightness,
        lobe_depth=lobes,
        lobe_phase=lobe_phase,
        lobe_speed=lobe_speed,
        depth=depth,
        division=division,
        parents=parents | {d: mother for d, (mother, _, end) in config.budding.items() if end < config.n_frames},
        size=life.sizes(config),
        bend=life.bends(config, radius * np.sqrt(aspect)),
        spikes=spikes,
        spike_angle=spike_angle,
        owner=life.owners(config),
        gain=life.flicker(config),
        focus=life.focus(config),
    )


def _make_alike(*drawn: Floats) -> None:
    """Give every cell what the first one drew, in place; rows are cells."""
    for rows in drawn:
        rows[:] = rows[:1]


def _half(aspect: float) -> float:
    """Length over width of half a rod that is as wide as the whole."""
    return max(1 + ((aspect - 1) - np.pi / 4) / 2, 1.0)


def _stage_steps(config: SimulationConfig) -> Floats:
    steps = np.tile(np.array(config.stage_drift, dtype=float), (config.n_frames, 1))
    steps[0] = 0
    for t, dy, dx in config.stage_jumps:
        steps[t] += dy, dx
    return steps


class _Walk:
    """Random walks with persistence inside the frame, of cells that push each other apart."""

    def __init__(
        self,
        config: SimulationConfig,
        radius: Floats,
        division: dict[int, tuple[int, float]],
        rng: np.random.Generator,
        angles: Floats,
        aspect: Floats,
    ) -> None:
        self.config, self.radius, self.division, self.rng, self.angles = config, radius, division, rng, angles
        self.aspect, self.bud_angles = aspect, angles[0].copy()
        self.alive = life.alive(config, with_buds=False)
        self.present = self.alive & ~life.vanished(config)
        self.size = life.sizes(config)
        self.low = radius[:, None] - config.margin
        self.high = np.maximum(np.array(config.shape) - 1 - radius[:, None] + config.margin, radius[:, None])

    def centres(self) -> Floats:
        """Centres (T, N, 2) without the stage; a cell outside its life stays where it was born or last seen."""
        config = self.config
        fixed = None if config.tracks is None else np.array(config.tracks, dtype=float).reshape(-1, config.n_frames, 2)
        centres = np.zeros((config.n_frames, config.n_total, 2))
        here = self._start() if fixed is None else self._with_founders(np.zeros((config.n_total, 2)), fixed, 0)
        velocity = config.speed / np.sqrt(2) * self.rng.standard_normal(here.shape)
        centres[0] = here
        for t in range(1, config.n_frames):
            here, velocity = self._step(t, here, velocity)
            if fixed is not None:
                here = self._with_founders(here, fixed, t)
            here = self._births(t, centres[t - 1], here, velocity)
            centres[t] = here
        if config.solid:
            self._settle(centres)
        for daughter, (mother, _, division) in config.budding.items():
            for t in range(min(division, config.n_frames)):
                centres[t, daughter - 1] = self._bud(t, centres[t, mother - 1], mother - 1, daughter - 1)
        return centres

    def _settle(self, centres: Floats) -> None:
        """Let cells push each other by their outlines on every frame; changes centres, angles and division axes."""
        walked, turned = centres.copy(), self.angles.copy()
        chains = Chains(self.radius, self.aspect)
        if self.config.touching and self.present[0].any():
            centres[0], self.angles[0] = chains.gather(centres[0], self.angles[0], self.present[0])
        centres[0], self.angles[0] = chains.settle(centres[0], self.angles[0], self.present[0], n_rounds=30)
        for t in range(1, self.config.n_frames):
            centres[t] = centres[t - 1] + walked[t] - walked[t - 1]
            self.angles[t] = self.angles[t - 1] + turned[t] - turned[t - 1]
            self._solid_births(t, centres)
            centres[t], self.angles[t] = chains.settle(centres[t], self.angles[t], self.present[t])

    def _solid_births(self, t: int, centres: Floats) -> None:
        """Daughters are the two halves of the mother along her long axis; a bud leaves from where it grew."""
        for (mother, frame), daughters in self.config.daughters.items():
            if frame == t:
                row, angle = mother - 1, float(self.angles[t - 1, mother - 1])
                self.division[row] = (t, angle)
                for sign, daughter in zip((1, -1), np.array(daughters) - 1, strict=True):
                    apart = sign * self.radius[daughter] * np.sqrt(self.aspect[daughter])
                    centres[t, daughter] = centres[t - 1, row] + apart * np.array([np.sin(angle), np.cos(angle)])
                    self.angles[t, daughter] = angle
        for daughter, (mother, _, division) in self.config.budding.items():
            if division == t:
                centres[t, daughter - 1] = self._bud(t, centres[t, mother - 1], mother - 1, daughter - 1)

    def _bud(self, t: int, mother_at: Floats, mother: int, bud: int) -> Floats:
        """Where a bud sits: on its mother's outline, half sunk into it, and turning with her."""
        angle = self.angles[t, mother] + self.bud_angles[bud]
        reach = _BUD_DEPTHS[0] * self.radius[mother] + _BUD_DEPTHS[1] * self.radius[bud] * self.size[t, bud]
        return np.asarray(mother_at + reach * np.array([np.sin(angle), np.cos(angle)]))

    @staticmethod
    def _with_founders(here: Floats, fixed: Floats, t: int) -> Floats:
        return np.concatenate([fixed[:, t], here[len(fixed) :]])

    def _step(self, t: int, here: Floats, velocity: Floats) -> tuple[Floats, Floats]:
        config, alive = self.config, self.alive[t - 1][:, None]
        kick = np.sqrt((1 - config.persistence**2) / 2) * config.speed * self.rng.standard_normal(here.shape)
        velocity = config.persistence * velocity + kick
        there = here + np.where(alive, velocity + self._push(t, here), 0)
        inside = np.clip(there, self.low, self.high)
        return np.where(alive, inside, here), np.where(inside == there, velocity, -velocity)

    def _push(self, t: int, here: Floats) -> Floats:
        rows = np.flatnonzero(self.present[t - 1])
        push = np.zeros_like(here)
        if len(rows) < 2:
            return push
        if self.config.solid:
            return self._cohesion(here, rows)
        gap = here[rows][:, None] - here[rows]
        distance = np.hypot(gap[..., 0], gap[..., 1]) + np.eye(len(rows))
        overlap = np.maximum(_SPACING * (self.radius[rows][:, None] + self.radius[rows]) - distance, 0)
        np.fill_diagonal(overlap, 0)
        push[rows] = self.config.repulsion / 2 * np.einsum("ij,ijk->ik", overlap / np.maximum(distance, 1e-6), gap)
        return push + self._cohesion(here, rows)

    def _cohesion(self, here: Floats, rows: NDArray[np.intp]) -> Floats:
        pull = np.zeros_like(here)
        if self.config.touching:
            pull[rows] += _COHESION * (here[rows].mean(axis=0) - here[rows])
        return pull

    def _births(self, t: int, before: Floats, here: Floats, velocity: Floats) -> Floats:
        for (mother, frame), daughters in self.config.daughters.items():
            if frame != t:
                continue
            angle = self.division[mother - 1][1]
            along = np.array([np.sin(angle), np.cos(angle)])
            for sign, row in zip((1, -1), np.array(daughters) - 1, strict=True):
                here[row] = before[mother - 1] + sign * self.radius[row] * along
                velocity[row] = sign * max(self.config.speed, 1.0) * along
            here[mother - 1] = before[mother - 1]
        for daughter, (mother, _, division) in self.config.budding.items():
            if division == t:
                here[daughter - 1] = self._bud(t, here[mother - 1], mother - 1, daughter - 1)
                velocity[daughter - 1] = velocity[mother - 1]
        return here

    def _start(self) -> Floats:
        """First positions: the best of some candidates per cell, the roomiest or, for a cluster, the closest fit."""
        config = self.config
        middle = (np.array(config.shape) - 1) / 2
        here = np.tile(middle, (config.n_total, 1))
        for row in range(config.n_cells):
            low, high = np.full(2, self.low[row]), self.high[row]
            candidates = self.rng.uniform(low, high, (_CANDIDATES, 2))
            if config.touching:
                candidates = np.clip(self._neighbouring(here, row), low, high)
            here[row] = candidates[np.argmin(self._cost(candidates, here, row, middle))]
        return here

    def _neighbouring(self, here: Floats, row: int) -> Floats:
        if row == 0:
            return here[:1]
        anchor = self.rng.integers(0, row, 4 * _CANDIDATES)
        angle = self.rng.uniform(0, 2 * np.pi, 4 * _CANDIDATES)
        reach = _SPACING * (self.radius[row] + self.radius[anchor])
        return np.asarray(here[anchor] + reach[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1))

    def _cost(self, candidates: Floats, here: Floats, row: int, middle: Floats) -> Floats:
        reach = _SPACING * (self.radius[row] + self.radius[:row]) - 1e-6
        room = np.linalg.norm(candidates[:, None] - here[:row], axis=2) - reach
        if self.config.touching:
            overlap = np.maximum(-room, 0).sum(axis=1)
            return np.asarray(1e3 * overlap + np.linalg.norm(candidates - middle, axis=1))
        return np.asarray(-room.min(axis=1, initial=np.inf))
