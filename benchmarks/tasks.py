"""What is followed: which objects of which movie, from which frame on."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.segmentation import clear_border

from napari_mosam.core.simulation import STRESS_CASES

N_FRAMES = 26
MIN_ALIVE, MIN_AREA = 15, 30
MODALITY = {
    "dic_hela_01": "DIC",
    "fluo_hela_01": "fluorescence",
    "sim_n2dh_01": "simulated fluorescence",
    "davis_car_shadow": "video",
}
CELL_MOVIES = ("dic_hela_01", "fluo_hela_01", "sim_n2dh_01")
PLAN = {
    "dic_hela_01": ((0, 19, 38, 57), 8),
    "fluo_hela_01": ((0, 14), 14),
    "sim_n2dh_01": ((0, 14), 14),
    "davis_car_shadow": ((0, 6), 1),
}
"""Movie -> first frames, objects from each."""


@dataclass(frozen=True, slots=True)
class Task:
    """Objects that are prompted together on one frame of a movie and followed from there.

    Attributes
    ----------
    movie : str
        Folder under ``MOSAM_DATA/timelapse``, or a name of ``STRESS_CASES``.
    seed : int or None
        Of a simulated movie; None for a real one.
    start, n_frames : int
        The prompted frame, and the number of frames from it on.
    ids : tuple of int
        True ids of the objects.
    """

    movie: str
    seed: int | None
    start: int
    n_frames: int
    ids: tuple[int, ...]

    @property
    def cluster(self) -> str:
        """Tracks of one cluster share their frames and are no independent evidence."""
        return f"{self.movie}@{self.start}" if self.seed is None else f"{self.movie}#{self.seed}"

    @property
    def key(self) -> str:
        """Tells tasks apart, their objects and length included."""
        digest = hashlib.sha256(repr(self.ids).encode()).hexdigest()[:8]
        return f"{self.cluster}+{self.n_frames}:{digest}"

    @property
    def modality(self) -> str:
        """How the movie was taken."""
        return MODALITY[self.movie] if self.seed is None else "stress"


@lru_cache(maxsize=2)
def load(movie: str, seed: int | None) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Images and true labels of a whole movie, each (T, Y, X); colours become their mean."""
    if seed is not None:
        simulated = STRESS_CASES[movie](seed)
        return simulated.images, simulated.labels
    return read_timelapse(Path(os.environ["MOSAM_DATA"]) / "timelapse" / movie)


def read_timelapse(folder: Path) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Images and true labels of a real movie, each (T, Y, X); colours become their mean."""
    images, truth = (tifffile.imread(folder / f"{kind}.tif") for kind in ("images", "masks"))
    return (images[..., :3].mean(axis=-1) if images.ndim == 4 else images), truth


def lasting_ids(truth: NDArray[np.integer], start: int, n_frames: int) -> list[int]:
    """Objects of a frame that do not touch its border and show on enough of the frames from there on."""
    here = truth[start : start + n_frames]
    areas = np.bincount(clear_border(here[0]).ravel())
    alive = np.zeros(int(here.max()) + 1, int)
    for frame in here:
        alive[np.unique(frame)] += 1
    least = min(MIN_ALIVE, len(here))
    return [i for i in range(1, len(areas)) if areas[i] >= MIN_AREA and alive[i] >= least]


def real_tasks(movies: Sequence[str], seed: int = 0, n_frames: int = N_FRAMES) -> list[Task]:
    """Seeded objects of the real movies."""
    tasks = []
    for movie in movies:
        starts, n_objects = PLAN[movie]
        _, truth = load(movie, None)
        for start in starts:
            rng = np.random.default_rng([seed, start, *movie.encode()])
            found = lasting_ids(truth, start, n_frames)
            chosen = rng.permutation(found)[:n_objects]
            length = min(n_frames, len(truth) - start)
            tasks.append(Task(movie, None, start, length, tuple(sorted(int(i) for i in chosen))))
    return tasks


def stress_tasks(movies: Sequence[str], seeds: Sequence[int]) -> list[Task]:
    """Every cell that shows on the first frame of the simulated movies."""
    tasks = []
    for movie in movies:
        for seed in seeds:
            _, truth = load(movie, seed)
            ids = np.flatnonzero(np.bincount(truth[0].ravel()) >= MIN_AREA)
            tasks.append(Task(movie, seed, 0, len(truth), tuple(int(i) for i in ids if i)))
    return tasks


def shortened(tasks: Sequence[Task], n_frames: int = 8, n_objects: int = 2) -> list[Task]:
    """One small task per movie, to see that everything runs."""
    first: dict[str, Task] = {}
    for task in tasks:
        first.setdefault(task.movie, replace(task, n_frames=min(n_frames, task.n_frames), ids=task.ids[:n_objects]))
    return list(first.values())
