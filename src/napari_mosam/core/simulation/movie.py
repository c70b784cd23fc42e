"""A simulated movie and its truth, drawn frame by frame or at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation import render
from napari_mosam.core.simulation.config import SimulationConfig
from napari_mosam.core.simulation.scene import Scene, build_scene
from napari_mosam.core.simulation.textures import cell_tiles, ground_tile

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
        Daughter id -> mother id. A mother that buds lives on; one that divides does not.
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
        self._tiles = cell_tiles(config)
        self._ground = ground_tile(config)
        self._levels = self._measured_levels()

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
        signal, rows = render.draw_cells(self.scene, t, self._tiles)
        lit = render.light(self.scene, t, signal, rows, self._ground)
        return render.expose(self.scene, t, lit, self._levels), self._owned(t, rows)

    def labels(self, t: int) -> Labels:
        """Visible pixels of each cell on frame t, uint16 (Y, X); IndexError outside the movie."""
        self._check_frame(t, len(self))
        return self._owned(t, render.draw_cells(self.scene, t, self._tiles)[1])

    def _owned(self, t: int, rows: Labels) -> Labels:
        """The ids of the rows: a bud is labelled as its mother."""
        return np.concatenate([[0], self.scene.owner[t]]).astype(np.uint16)[rows]

    def _measured_levels(self) -> tuple[float, float]:
        """Light of the first frame at the percentiles that become black and white."""
        stretch = self.config.camera.stretch
        if stretch is None:
            return 0.0, 1.0
        lit = render.light(self.scene, 0, *render.draw_cells(self.scene, 0, self._tiles), self._ground)
        low, high = (float(level) for level in np.percentile(lit, stretch))
        return low, max(high, low + 1e-6)

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
        rows = None if self.config.buds else labels
        rows = render.draw_cells(self.scene, t, self._tiles)[1] if rows is None else rows
        flow = np.empty((2, *self.config.shape), np.float32)
        flow[:] = self.scene.drift[t + 1][:, None, None]
        for cell in np.unique(rows[rows > 0]):
            y, x = np.nonzero(rows == cell)
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
