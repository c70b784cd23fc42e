"""Simulated movies of cells, with the truth: ids, motion of every pixel, stage and parents.

A movie is built in two steps: a scene (paths and shapes of all cells, small) and the drawing of single frames, each
with its own random numbers. So long movies need not be held in memory: see :class:`Simulator`.

Drawing is plain numpy and scipy. Cells are opaque and lie at fixed depths, so that labels are the visible pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core import _simulate_render as render
from napari_mosam.core._simulate_config import CellShape, Modality, SimulationConfig
from napari_mosam.core._simulate_scene import Scene, build_scene

__all__ = [
    "CASES",
    "CellShape",
    "Modality",
    "SimulatedMovie",
    "SimulationConfig",
    "Simulator",
    "disk_divides",
    "disk_moves",
    "disk_vanishes",
    "sample_movie",
    "simulate",
    "stage_jumps",
    "touching_cells",
    "two_disks_cross",
]

Image = NDArray[np.uint16] | NDArray[np.uint8]
Labels = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedMovie:
    """A movie and its truth.

    Attributes
    ----------
    images : ndarray of uint16 or uint8, shape (T, Y, X)
        12-bit grey values in uint16.
    labels : ndarray of uint16, shape (T, Y, X)
        Visible pixels of each cell, 0 = background.
    flow : ndarray of float32, shape (T - 1, 2, Y, X)
        (dy, dx) in px: ``flow[t]`` moves each pixel of frame t to where its matter is on frame ``t + 1``, whether
        visible there or not. The background moves with the stage. Where a cell divides next, each half of the
        mother moves as a whole onto its daughter.
    parents : dict of int to int
        Daughter id -> mother id.
    drift : ndarray of float64, shape (T, 2)
        (dy, dx) in px of the stage's share of the motion between ``t - 1`` and t; zero on the first frame.
    config : SimulationConfig
        The settings that give this movie again.
    """

    images: Image
    labels: Labels
    flow: NDArray[np.float32]
    parents: dict[int, int]
    drift: NDArray[np.float64]
    config: SimulationConfig


class Simulator:
    """A simulated movie drawn frame by frame; frames may be asked for in any order.

    Memory does not grow with the number of frames, apart from the paths (a few numbers per cell and frame).

    Parameters
    ----------
    config : SimulationConfig
        What to simulate.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.scene: Scene = build_scene(config)
        self._textures = render.cell_textures(config)
        self._background = render.background_grain(config)

    @property
    def config(self) -> SimulationConfig:
        """The settings."""
        return self.scene.config

    @property
    def parents(self) -> dict[int, int]:
        """Daughter id -> mother id."""
        return dict(self.scene.parents)

    @property
    def drift(self) -> NDArray[np.float64]:
        """Stage motion since the frame before, (T, 2), (dy, dx) in px."""
        return self.scene.drift.copy()

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.config.n_frames

    def __iter__(self) -> Iterator[tuple[Image, Labels]]:
        """Image and labels of every frame in turn."""
        return (self.render(t) for t in range(len(self)))

    def render(self, t: int) -> tuple[Image, Labels]:
        """Draw one frame.

        Parameters
        ----------
        t : int
            Frame, 0 to ``len(self) - 1``.

        Returns
        -------
        image : ndarray of uint16 or uint8, shape (Y, X)
        labels : ndarray of uint16, shape (Y, X)

        Raises
        ------
        IndexError
            For a frame outside the movie.
        """
        self._check_frame(t, len(self))
        signal, labels = render.draw_cells(self.scene, t, self._textures)
        return render.expose(self.scene, t, signal, self._background), labels

    def labels(self, t: int) -> Labels:
        """Visible pixels of each cell on frame t, uint16 (Y, X); IndexError outside the movie."""
        self._check_frame(t, len(self))
        return render.draw_cells(self.scene, t, self._textures)[1]

    def flow(self, t: int, labels: Labels | None = None) -> NDArray[np.float32]:
        """Motion of every pixel of frame t until ``t + 1``.

        Parameters
        ----------
        t : int
            Frame, 0 to ``len(self) - 2``.
        labels : ndarray of uint16, shape (Y, X), optional
            The labels of frame t, where already drawn.

        Returns
        -------
        ndarray of float32, shape (2, Y, X)
            (dy, dx) in px, as in :class:`SimulatedMovie`.

        Raises
        ------
        IndexError
            For a frame without a successor.
        """
        self._check_frame(t, len(self) - 1)
        labels = self.labels(t) if labels is None else labels
        flow = np.empty((2, *self.config.shape), np.float32)
        flow[:] = self.scene.drift[t + 1][:, None, None]
        for cell in np.unique(labels[labels > 0]):
            y, x = np.nonzero(labels == cell)
            flow[:, y, x] = render.displacement(self.scene, t, int(cell) - 1, y.astype(float), x.astype(float))
        return flow

    @staticmethod
    def _check_frame(t: int, end: int) -> None:
        if not 0 <= t < end:
            raise IndexError(f"frame {t} is outside the simulated movie; allowed: 0 to {end - 1}")


def simulate(config: SimulationConfig) -> SimulatedMovie:
    """Draw a whole movie at once.

    Parameters
    ----------
    config : SimulationConfig
        What to simulate; the same settings give the same movie, bit for bit.

    Returns
    -------
    SimulatedMovie
        Images, labels and the truth about motion and parents.
    """
    simulator = Simulator(config)
    frames = list(simulator)
    labels = np.stack([labels for _, labels in frames])
    flow = np.empty((config.n_frames - 1, 2, *config.shape), np.float32)
    for t in range(config.n_frames - 1):
        flow[t] = simulator.flow(t, labels[t])
    images: Image = np.stack([image for image, _ in frames])  # type: ignore[assignment]
    return SimulatedMovie(images, labels, flow, simulator.parents, simulator.drift, config)


def _case(seed: int, changes: Mapping[str, Any], **settings: Any) -> SimulatedMovie:
    return simulate(SimulationConfig(**{"seed": seed, **settings, **changes}))


def disk_moves(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """One disk wanders for 10 frames of 96 x 96; `changes` replace settings of :class:`SimulationConfig`."""
    settings = {"shape": (96, 96), "n_cells": 1, "cell_shape": "round", "diameter_spread": 0.0, "speed": 2.5}
    return _case(seed, changes, **settings)


def disk_vanishes(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """One disk of 12 frames is out of sight on frames 5, 6 and 7, and returns."""
    settings = {"shape": (96, 96), "n_frames": 12, "n_cells": 1, "cell_shape": "round", "vanish": [(1, 5, 7)]}
    return _case(seed, changes, **settings)


def two_disks_cross(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Two disks pass each other on straight lines, one partly over the other, in 16 frames."""
    x = np.linspace(24, 103, 16)
    tracks = np.stack([np.stack([np.full(16, 42.0), x], axis=1), np.stack([np.full(16, 54.0), x[::-1]], axis=1)])
    settings = {"shape": (96, 128), "n_frames": 16, "cell_shape": "round", "diameter_spread": 0.0, "tracks": tracks}
    return _case(seed, changes, **settings)


def disk_divides(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Disk 1 is last seen on frame 4; from frame 5 to 9 there are its daughters 2 and 3."""
    settings = {"shape": (96, 96), "n_cells": 1, "cell_shape": "round", "speed": 1.0, "divisions": [(1, 5)]}
    return _case(seed, changes, **settings)


def touching_cells(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Five lobed cells in one cluster for 10 frames."""
    settings = {"n_cells": 5, "touching": True, "speed": 1.0, "repulsion": 0.3}
    return _case(seed, changes, **settings)


def stage_jumps(seed: int = 0, **changes: Any) -> SimulatedMovie:
    """Four cells for 10 frames; the picture jumps by (18, -25) px at frame 3 and back at frame 7."""
    settings = {"n_cells": 4, "speed": 1.0, "stage_jumps": [(3, 18, -25), (7, -18, 25)]}
    return _case(seed, changes, **settings)


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
    return _case(seed, changes, **settings)


CASES: dict[str, Callable[..., SimulatedMovie]] = {
    case.__name__: case
    for case in (
        disk_moves,
        disk_vanishes,
        two_disks_cross,
        disk_divides,
        touching_cells,
        stage_jumps,
        sample_movie,
    )
}
