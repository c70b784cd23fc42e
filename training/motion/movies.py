"""Simulated movies for the motion encoders, and masks as wrong as predicted ones are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.region import Region
from napari_mosam.core.simulation import SimulatedMovie, SimulationConfig, simulate

MODALITIES = ("fluorescence", "phase", "dic")
SHAPES = ("round", "ellipse", "lobed", "rod")
SPEEDS = (0.02, 0.3, 1.2)
"""Slowest, usual fastest and fastest root mean square speed, diameters per frame."""

SHARE_FAST = 0.25
MIN_AREA_PX = 12


@dataclass(frozen=True, slots=True, eq=False)
class MotionScene:
    """A movie as the engine reads it, and its truth.

    Attributes
    ----------
    frames : ndarray of float32, shape (T, Y, X)
        In [0, 1].
    truth : SimulatedMovie
    """

    frames: NDArray[np.float32]
    truth: SimulatedMovie

    def regions(self, t: int) -> dict[int, Region]:
        """The visible pixels of every cell, by id; specks are left out."""
        labels = self.truth.labels[t]
        found = {int(i): Region.from_mask(labels == i) for i in np.unique(labels[labels > 0])}
        return {i: region for i, region in found.items() if region is not None and region.area >= MIN_AREA_PX}


def scenes(seed: int, n_frames: int, largest: float = 56.0) -> Iterator[MotionScene]:
    """Random movies without end; the same for the same seed."""
    rng = np.random.default_rng([seed, 11])
    while True:
        movie = simulate(random_settings(rng, n_frames, largest))
        opened = Movie.open(movie.images)
        yield MotionScene(np.stack([opened[t] for t in range(n_frames)]), movie)


def random_settings(rng: np.random.Generator, n_frames: int, largest: float) -> SimulationConfig:
    """Settings of one movie: any kind of cell, at any speed, alone or in a crowd, on a stage that may move."""
    diameter = float(np.exp(rng.uniform(np.log(12), np.log(largest))))
    side = int(rng.uniform(4.5, 7) * max(diameter, 24))
    slow, usual, fastest = SPEEDS
    speed = (
        rng.uniform(usual, fastest) if rng.random() < SHARE_FAST else np.exp(rng.uniform(np.log(slow), np.log(usual)))
    )
    return SimulationConfig(
        seed=int(rng.integers(2**31)),
        n_frames=n_frames,
        shape=(side, side),
        n_cells=int(rng.integers(2, 2 + int((side / diameter) ** 2 / 3))),
        diameter=diameter,
        diameter_spread=float(rng.uniform(0, 0.25)),
        speed=float(speed * diameter),
        persistence=float(rng.choice([0.0, 0.5, 0.8, 0.95])),
        rotation=float(rng.choice([0.0, 0.03, 0.1, 0.2])),
        deformation=float(rng.uniform(0, 0.3)),
        cell_shape=rng.choice(SHAPES),
        modality=rng.choice(MODALITIES),
        touching=bool(rng.random() < 0.4),
        repulsion=float(rng.uniform(0, 1)),
        stage_drift=_drift(rng, diameter),
        stage_jumps=_jumps(rng, n_frames, diameter),
        noise=float(np.exp(rng.uniform(np.log(0.01), np.log(0.4)))),
        contrast=float(np.exp(rng.uniform(np.log(0.05), np.log(0.8)))),
        blur=float(rng.uniform(0.3, 2.0)),
    )


def _drift(rng: np.random.Generator, diameter: float) -> tuple[float, float]:
    dy, dx = rng.normal(0, 0.03 * diameter, 2) if rng.random() < 0.3 else (0.0, 0.0)
    return float(dy), float(dx)


def _jumps(rng: np.random.Generator, n_frames: int, diameter: float) -> list[tuple[int, float, float]]:
    if n_frames < 4 or rng.random() > 0.1:
        return []
    dy, dx = rng.normal(0, diameter, 2)
    return [(int(rng.integers(2, n_frames)), float(dy), float(dx))]


@dataclass(frozen=True, slots=True)
class Errors:
    """How wrong the masks of one object are, in diameters.

    Attributes
    ----------
    lasting : float
        By how much every mask is too large (or, negative, too small).
    ragged : float
        Amplitude of the error of the outline, new on every frame.
    """

    lasting: float = 0.0
    ragged: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Errors":
        """None for half of the objects."""
        return cls() if rng.random() < 0.5 else cls(float(rng.normal(0, 0.03)), float(rng.uniform(0, 0.08)))

    def apply(self, region: Region, rng: np.random.Generator) -> Region:
        """The region as it might have been predicted; itself where nothing would be left."""
        if self == Errors():
            return region
        pad = 2 + int(0.2 * region.diameter)
        depth = signed_depth(np.pad(region.mask, pad)) / region.diameter
        waves = gaussian_filter(rng.standard_normal(depth.shape), max(1.0, 0.12 * region.diameter))
        waves *= self.ragged / max(float(waves.std()), 1e-9)
        (y, x) = region.origin_yx
        return Region.from_mask(depth + waves + self.lasting > 0, (y - pad, x - pad)) or region


def signed_depth(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the outline, positive inside, px."""
    return np.asarray(distance_transform_edt(mask) - distance_transform_edt(~mask) + np.where(mask, -0.5, 0.5))
