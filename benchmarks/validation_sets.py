"""The validation set: short clips of many kinds of cells, real and simulated, that training never reads.

A clip is a movie or a still, with the objects that are prompted on its first frame. What is real lies in a folder laid
out like ``MOSAM_DATA``; what is not there is named, see :func:`find_clips`.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training.data.stills import SOURCES, Source, StillFile, StillsError, find_stills, read_still

from benchmarks.tasks import lasting_ids, read_timelapse
from napari_mosam.core.simulation import CASES

KINDS = ("nuclei", "DIC", "thin and label-free", "rods", "yeast", "tissue", "simulated")
N_FRAMES = 10
MAX_OBJECTS = 4
"""Of a still or a simulated movie; they are drawn with a seed that is the clip's name."""

MAX_IMAGES = 8
"""Stills of one source."""

STILL_KINDS = {
    "dsb2018": "nuclei",
    "dsb2018_b": "nuclei",
    "bbbc039": "nuclei",
    "t98g": "thin and label-free",
    "microglia": "tissue",
    "tissue_nuclei": "tissue",
    "ecoli_bf": "rods",
    "mother_machine": "rods",
    "yeast_bf": "yeast",
    "yeast_phase": "yeast",
}
SIMULATED = ("two_disks_cross", "touching_cells", "crowd", "stage_leaps", "faint")
SEEDS = (2**40, 2**40 + 1)
"""Of the simulated movies: training draws its seeds below 2**31."""


@dataclass(frozen=True, slots=True)
class MovieSet:
    """A real movie, the objects that last, and the frames from which they are followed."""

    name: str
    kind: str
    ids: tuple[int, ...]
    starts: tuple[int, ...] = (0,)


MOVIES = (
    MovieSet("dic_hela_01", "DIC", (5, 11, 23, 27, 32), (0, 20, 40)),
    MovieSet("fluo_hela_01", "nuclei", (5, 27, 52, 78, 125, 220), (0, 20)),
    MovieSet("sim_n2dh_01", "nuclei", (3, 16, 27), (0, 20)),
    MovieSet("c2c12_phase", "thin and label-free", (1, 2, 5, 6)),
    MovieSet("microglia_z_a", "tissue", (2, 6)),
    MovieSet("yeast_trap_a", "yeast", (1, 9, 12, 13)),
    MovieSet("yeast_trap_b", "yeast", (1, 2)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Frames (T, Y, X), their true labels, and the objects that are prompted on the first one."""

    images: NDArray[Any]
    truth: NDArray[np.integer]
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """Where a sample comes from.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    source : str
        The folder or the simulated case.
    cluster : str
        Clips of one cluster show the same specimen and are no independent evidence.
    name : str
        Unique; it is also the seed of whatever is drawn.
    read : callable
    """

    kind: str
    source: str
    cluster: str
    name: str
    read: Callable[[], Sample]

    @property
    def seed(self) -> int:
        """Of the objects and their prompts."""
        return seed_of(self.name)


@dataclass(frozen=True, slots=True)
class Found:
    """The clips that are at hand, and what is left out and why."""

    clips: tuple[Clip, ...]
    left_out: tuple[str, ...]


def find_clips(root: Path | None) -> Found:
    """Every clip of the validation set; the long ones come first.

    Parameters
    ----------
    root : Path or None
        Holds ``timelapse/`` and ``stills/``; None: nothing real is at hand.
    """
    parts = [_movies(root, movie) for movie in MOVIES]
    parts += [Found(tuple(_simulated(case, seed) for case in SIMULATED for seed in SEEDS), ())]
    parts += [_stills(root, source) for source in SOURCES]
    return Found(tuple(c for part in parts for c in part.clips), tuple(w for part in parts for w in part.left_out))


def _movies(root: Path | None, movie: MovieSet) -> Found:
    source = f"timelapse/{movie.name}"
    folder = _folder(root, source)
    if folder is None:
        return _absent(source, root)
    names = {start: f"{source}@{start}" for start in movie.starts}
    read = partial(_read_movie, folder, movie.ids)
    return Found(tuple(Clip(movie.kind, source, n, n, partial(read, t)) for t, n in names.items()), ())


def _read_movie(folder: Path, ids: tuple[int, ...], start: int) -> Sample:
    images, truth = (whole[start : start + N_FRAMES] for whole in read_timelapse(folder))
    return Sample(images, truth, ids)


def _simulated(case: str, seed: int) -> Clip:
    name = f"simulated/{case}#{seed}"
    return Clip("simulated", f"simulated/{case}", name, name, partial(_read_simulated, case, seed, name))


def _read_simulated(case: str, seed: int, name: str) -> Sample:
    movie = CASES[case](seed)
    return drawn(movie.images[:N_FRAMES], movie.labels[:N_FRAMES], name)


def _stills(root: Path | None, source: Source) -> Found:
    name = f"stills/{source.folder}"
    folder = _folder(root, name)
    if folder is None:
        return _absent(name, root)
    try:
        files = [file for file in find_stills(folder.parent, "test") if file.source == source]
    except StillsError as error:
        return Found((), (f"{name}: {error}",))
    if not files:
        return Found((), (f"{name}: none of its images is in the test part",))
    order = np.random.default_rng(seed_of(name)).permutation(len(files))[:MAX_IMAGES]
    return Found(tuple(_still(files[k]) for k in sorted(order)), ())


def _still(file: StillFile) -> Clip:
    folder = file.source.folder
    source, sample = f"stills/{folder}", file.source.sample_of(file.name)
    name = f"{source}/{file.name}"
    return Clip(STILL_KINDS[folder], source, f"{source}/{sample}", name, partial(_read_still, file, name))


def _read_still(file: StillFile, name: str) -> Sample:
    still = read_still(file)
    if still is None:
        raise StillsError(f"'{name}' shows no object")
    return drawn(still.image[None], still.labels[None], name)


def drawn(images: NDArray[Any], truth: NDArray[np.integer], name: str) -> Sample:
    """A sample with some of the objects that last and do not touch the border of the first frame."""
    ids = np.random.default_rng(seed_of(name)).permutation(lasting_ids(truth, 0, len(truth)))[:MAX_OBJECTS]
    return Sample(images, truth, tuple(sorted(int(i) for i in ids)))


def seed_of(name: str) -> int:
    """A number that depends on the name alone."""
    return zlib.crc32(name.encode())


def _folder(root: Path | None, source: str) -> Path | None:
    folder = None if root is None else root / source
    return folder if folder is not None and folder.is_dir() else None


def _absent(source: str, root: Path | None) -> Found:
    why = "neither --data nor MOSAM_DATA names a folder" if root is None else f"not in '{root}'"
    return Found((), (f"{source}: {why}",))
