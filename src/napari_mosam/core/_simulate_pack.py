"""Cells that push each other by their outlines: each is a chain of disks along its long axis."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_N_DISKS = 5
_GATHERING_ROUNDS, _PULL = 15, 0.08
_GAP = 0.98


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
        self._width = np.repeat(half_width, _N_DISKS)
        self._inertia = (self._along**2).sum(axis=1) + half_width**2

    def gather(self, centres: Floats, angles: Floats, present: Bools) -> tuple[Floats, Floats]:
        """Centres (N, 2) and angles (N,) of the cells that are `present` after they have been drawn into one cluster."""
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
        disks = (centres[:, None] + along[..., None] * axis[:, None]).reshape(-1, 2)
        width = self._width.reshape(-1, _N_DISKS)[rows].ravel()
        gap = disks[:, None] - disks
        distance = np.sqrt((gap**2).sum(axis=-1)) + 1e-9
        overlap = np.maximum(_GAP * (width[:, None] + width) - distance, 0)
        cell = np.repeat(np.arange(len(rows)), _N_DISKS)
        overlap[cell[:, None] == cell] = 0
        push = (0.5 * np.einsum("ij,ijk->ik", overlap / distance, gap)).reshape(len(rows), _N_DISKS, 2)
        touched = overlap.any(axis=1).reshape(len(rows), _N_DISKS).sum(axis=1)
        sideways = push[..., 0] * axis[:, None, 1] - push[..., 1] * axis[:, None, 0]
        turn = (along * sideways).sum(axis=1) / self._inertia[rows]
        return push.sum(axis=1) / np.maximum(touched, 1)[:, None], np.clip(turn, -0.3, 0.3)
