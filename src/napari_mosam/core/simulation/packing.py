"""Cells that push each other by their outlines: each is a chain of disks along its long axis."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_N_DISKS = 7
"""Disks along a cell: those of a rod three times as long as wide lie a third of its width apart."""

_GATHERING_ROUNDS, _PULL = 15, 0.08
"""Steps in which cells are drawn together, and the share of the way to the middle in each; a choice."""

_GAP = 0.98
"""Share of the touching distance below which cells push each other: outlines may just meet; a choice."""


class Chains:
    """Chains of disks that fill cells of given size and stretch.

    Parameters
    ----------
    radius, aspect : ndarray of float64, shape (N,)
        Of the disk of equal area, px; length over width.
    """

    def __init__(self, radius: Floats, aspect: Floats) -> None:
        half_width = radius * np.sqrt(np.pi / (np.pi + 4 * (aspect - 1)))
        self._along = (half_width * (aspect - 1))[:, None] * np.linspace(-1, 1, _N_DISKS)
        self._width = half_width
        self._inertia = (self._along**2).sum(axis=1) + half_width**2

    def gather(self, centres: Floats, angles: Floats, present: Bools) -> tuple[Floats, Floats]:
        """Centres (N, 2) and angles (N,) of the cells that are `present` after they were drawn into a cluster."""
        middle = centres[present].mean(axis=0)
        for _ in range(_GATHERING_ROUNDS):
            drawn = np.where(present[:, None], centres + _PULL * (middle - centres), centres)
            centres, angles = self.settle(drawn, angles, present, n_rounds=2)
        return centres, angles

    def settle(self, centres: Floats, angles: Floats, present: Bools, *, n_rounds: int = 6) -> tuple[Floats, Floats]:
        """Centres (N, 2) and angles (N,) after the cells that are `present` have pushed each other apart."""
        rows = np.flatnonzero(present)
        centres, angles = centres.copy(), angles.copy()
        for _ in range(n_rounds):
            shift, turn = self._pushes(centres[rows], angles[rows], rows)
            centres[rows] += shift
            angles[rows] += turn
        return centres, angles

    def _pushes(self, centres: Floats, angles: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
        axis = np.stack([np.sin(angles), np.cos(angles)], axis=1)
        along = self._along[rows]
        disks = centres[:, None] + along[..., None] * axis[:, None]
        one, other = self._near(centres, rows)
        gap = disks[one][:, :, None] - disks[other][:, None]
        distance = np.sqrt((gap**2).sum(axis=-1)) + 1e-9
        reach = _GAP * (self._width[rows[one]] + self._width[rows[other]])
        overlap = np.maximum(reach[:, None, None] - distance, 0)
        push = np.zeros_like(disks)
        np.add.at(push, one, 0.5 * np.einsum("pij,pijk->pik", overlap / distance, gap))
        touched = np.zeros(along.shape, bool)
        np.logical_or.at(touched, one, overlap.any(axis=2))
        sideways = push[..., 0] * axis[:, None, 1] - push[..., 1] * axis[:, None, 0]
        turn = (along * sideways).sum(axis=1) / self._inertia[rows]
        return push.sum(axis=1) / np.maximum(touched.sum(axis=1), 1)[:, None], np.clip(turn, -0.3, 0.3)

    def _near(self, centres: Floats, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of cells that may touch, both ways round."""
        reach = self._along[rows].max(axis=1) + self._width[rows]
        square = ((centres[:, None] - centres) ** 2).sum(axis=-1)
        near = square < (reach[:, None] + reach) ** 2
        np.fill_diagonal(near, False)
        one, other = np.nonzero(near)
        return one, other
