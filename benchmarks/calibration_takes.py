"""What the expected IoU is fitted to: results of many movies whose truth is known, and the IoU of each of their masks.

A take is a stretch of a movie whose cells are prompted in one way and followed with the default engine, as by `mosam
track`. Its result stays where it was written, beside the IoUs, so that neither is made again.
"""

import logging
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training.simulator.movies import KINDS as SIMULATED
from training.simulator.movies import random_batch

from benchmarks.runs import PromptKind, model_on_cpu, prompted
from benchmarks.tasks import lasting_ids, read_timelapse
from napari_mosam.core.api import track
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.simulation import STRESS_CASES

FIRST_SEED = 2**40 + 9 * 10**7
"""Of the simulated movies: neither training nor another benchmark draws from here on."""

CAMERA_RANGE = 65535
N_FRAMES, SIDE = 24, 224
PROMPTS: tuple[PromptKind, ...] = ("mask", "box", "click")
COUNTS = dict.fromkeys(SIMULATED, 5) | {"thin": 8, "rods": 8, "dic": 8}
"""Simulated movies of each kind."""

SHORT = {"c2c12_phase": ("phase", 10), "microglia_z_a": ("tissue", 8), "yeast_trap_a": ("yeast", 5)}
"""Short real movies: kind and number of frames."""

log = logging.getLogger("benchmarks")
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Take:
    """Frames of a movie, and how its cells are prompted there.

    Attributes
    ----------
    movie : str
        Takes of one movie are no independent evidence, and are left out together.
    kind : str
        Of cells.
    first, n_frames : int
        The frames.
    prompt : {'mask', 'box', 'click'}
    prompted : tuple of int
        Frames that are prompted, from `first` on; cells are followed both ways from them.
    n_cells : int
        At most; which ones is drawn by the name.
    """

    movie: str
    kind: str
    first: int
    n_frames: int
    prompt: PromptKind
    prompted: tuple[int, ...] = (0,)
    n_cells: int = 6

    @property
    def name(self) -> str:
        """Unique; also the seed of what is drawn."""
        where = "+".join(map(str, self.prompted))
        return f"{self.movie}@{self.first}+{self.n_frames},{self.prompt}@{where}".replace("#", "-")

    def read(self) -> tuple[NDArray[Any], NDArray[np.integer]]:
        """Images and truth, each (T, Y, X)."""
        images, truth = read_movie(self.movie)
        frames = slice(self.first, self.first + self.n_frames)
        return images[frames], truth[frames]

    def ids(self, truth: NDArray[np.integer]) -> tuple[int, ...]:
        """The cells: some of those that last from the first prompted frame on and do not touch its border."""
        start, seed = self.prompted[0], zlib.crc32(self.name.encode())
        found = lasting_ids(truth, start, len(truth) - start)
        return tuple(sorted(int(i) for i in np.random.default_rng(seed).permutation(found)[: self.n_cells]))

    def prompts(self, truth: NDArray[np.integer], ids: Sequence[int]) -> Prompts:
        """Of every cell on each prompted frame on which it is seen."""
        seed = zlib.crc32(self.name.encode())
        seen = {t: [i for i in ids if (truth[t] == i).any()] for t in self.prompted}
        return Prompts([p for t, here in seen.items() for p in prompted(truth[t], here, self.prompt, seed + t, t)])


@lru_cache(maxsize=1)
def read_movie(name: str) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Images and truth, each (T, Y, X), of a movie of ``MOSAM_DATA`` or a simulated one, ``kind#number``."""
    kind, _, number = name.partition("#")
    if not number:
        return read_timelapse(Path(os.environ["MOSAM_DATA"]) / "timelapse" / name)
    if kind in STRESS_CASES:
        movie = STRESS_CASES[kind](FIRST_SEED + int(number))
        return movie.images, movie.labels
    seed = FIRST_SEED + 10**6 * (1 + SIMULATED.index(kind)) + int(number)
    batch = random_batch(seed, 1, n_frames=N_FRAMES, shape=(SIDE, SIDE), kinds=[kind])
    return (batch.images[0].numpy() * CAMERA_RANGE).astype(np.uint16), batch.labels[0].numpy()


def all_takes(rounds: int | None = None) -> list[Take]:
    """Of every kind in turns; so many of each at most."""
    groups = [_dic(), _nuclei("fluo_hela_01"), _nuclei("sim_n2dh_01"), *map(_short, SHORT)]
    groups += [[_simulated(kind, k) for k in range(n)] for kind, n in COUNTS.items()]
    groups += [[Take(f"{case}#0", "hard, simulated", 0, 32, "box") for case in STRESS_CASES]]
    longest = max(map(len, groups)) if rounds is None else rounds
    return [group[k] for k in range(longest) for group in groups if k < len(group)]


def _dic() -> list[Take]:
    takes = [Take("dic_hela_01", "DIC", first, 26, prompt) for first in (0, 29, 58) for prompt in PROMPTS]
    return [
        *takes,
        Take("dic_hela_01", "DIC", 20, 40, "box", (20,)),
        Take("dic_hela_01", "DIC", 0, 30, "mask", (0, 29)),
    ]


def _nuclei(movie: str) -> list[Take]:
    takes = [Take(movie, "nuclei", first, 24, prompt, n_cells=8) for first in (0, 16) for prompt in PROMPTS]
    return [*takes, Take(movie, "nuclei", 0, 40, "box", (20,), 8), Take(movie, "nuclei", 0, 30, "click", (0, 29), 8)]


def _short(movie: str) -> list[Take]:
    kind, n_frames = SHORT[movie]
    return [Take(movie, kind, 0, n_frames, prompt) for prompt in PROMPTS]


def _simulated(kind: str, k: int) -> Take:
    """Prompted with masks, boxes and clicks in turn; on the first frame, in the middle, or at both ends."""
    where = ((0,), (0,), (N_FRAMES // 2,), (0, N_FRAMES - 1))[k % 4]
    return Take(f"{kind}#{k}", f"{kind}, simulated", 0, N_FRAMES, PROMPTS[k % 3], where, 5)


def make(take: Take, folder: Path, model: str) -> str:
    """Follow the cells of a take and write the IoUs of their masks, shape (T, N); NaN where a cell is not there."""
    out, ious = folder / f"{take.name}.zarr", folder / f"{take.name}.npy"
    if ious.exists():
        return "there"
    images, truth = take.read()
    ids = take.ids(truth)
    if not ids:
        return "no cell lasts"
    result = track(images, take.prompts(truth, ids), out=out, overwrite=True, model=model_on_cpu(model))
    np.save(ious, true_ious(np.asarray(result.labels), truth, result.object_ids))
    return f"{result.n_object_frames} masks"


def true_ious(labels: NDArray[Any], truth: NDArray[np.integer], ids: Sequence[int]) -> Floats:
    """IoU of every mask with its cell, shape (T, N); NaN where the cell is not there."""
    found = np.full((len(truth), len(ids)), np.nan, np.float32)
    for k, object_id in enumerate(ids):
        mask, cell = labels == object_id, truth == object_id
        both, either = ((mask & cell).sum((1, 2)), (mask | cell).sum((1, 2)))
        found[:, k] = np.where(cell.any((1, 2)), both / np.maximum(either, 1), np.nan)
    return found
