"""Where the cells of a simulated movie go."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation import events as life
from napari_mosam.core.simulation.config import SimulationConfig
from napari_mosam.core.simulation.packing import Chains

Floats = NDArray[np.float64]

_CANDIDATES = 30
"""Places that are drawn for each cell of a first frame, of which the best is taken; a choice."""

_COHESION = 0.02
"""Share of the way to the middle of the cluster that touching cells go per frame; a choice."""

_SPACING = 0.97
"""Share of the sum of two radii from which on cells push each other: they touch."""

_BUD_DEPTHS = (0.92, 0.7)
"""How far out the middle of a bud lies: shares of its mother's radius and of its own, which add up; so she covers a
part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """What each cell is like; attributes as in `Scene`, which takes them over."""

    radius: Floats
    aspect: Floats
    brightness: Floats
    lobe_depth: Floats
    lobe_phase: Floats
    lobe_speed: Floats
    angles: Floats
    depth: NDArray[np.intp]
    division: dict[int, tuple[int, float]]


class Walk:
    """Random walks with persistence inside the frame, of cells that push each other apart."""

    def __init__(self, config: SimulationConfig, bodies: Bodies, rng: np.random.Generator) -> None:
        self.config, self.bodies, self.rng = config, bodies, rng
        self.radius, self.angles, self.division = bodies.radius, bodies.angles, bodies.division
        self.bud_angles = bodies.angles[0].copy()
        self.alive = life.alive(config, with_buds=False)
        self.present = self.alive & ~life.vanished(config)
        self.size = life.sizes(config)
        self.low = self.radius[:, None] - config.margin
        self.high = np.maximum(np.array(config.shape) - 1 - self.radius[:, None] + config.margin, self.radius[:, None])

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
        chains = Chains(self.radius, self.bodies.aspect)
        if self.config.touching and self.present[0].any():
            centres[0], self.angles[0] = chains.gather(centres[0], self.angles[0], self.present[0])
        centres[0], self.angles[0] = chains.settle(centres[0], self.angles[0], self.present[0], n_rounds=40)
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
                    apart = sign * self.radius[daughter] * np.sqrt(self.bodies.aspect[daughter])
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
