"""How good is a model on every kind of cell that the simulator knows?

    python -m benchmarks.simulated --out simulated.csv
    python -m benchmarks.simulated --models "nano;mine.safetensors" --kinds "rods;thin"

Movies of seeds that training does not use, a few of each kind. Cells that last and do not touch the border of the first
frame are followed from their true masks, by plain memory and by the default engine (J: mean IoU over the later frames
on which they exist); the same cells are prompted alone with a jittered box and with a random interior click without a
size (J of the first mask).
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from training.simulator.movies import KINDS, random_batch

from benchmarks.options import chosen
from benchmarks.runs import click, jittered_box, prompted, track_js
from benchmarks.tasks import lasting_ids
from napari_mosam.core.api import preview
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import Prompts

HELD_OUT_SEED = 2**40
N_FRAMES, SIDE = 12, 224
CAMERA_RANGE = 65535
ENGINES = {"mask, plain": EngineConfig.plain(), "mask, default": EngineConfig()}
Js = dict[str, list[float]]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One simulated movie (T, Y, X), its truth and the cells that are prompted."""

    images: NDArray[np.uint16]
    truth: NDArray[np.int32]
    ids: tuple[int, ...]

    def followed(self, model: Segmenter, config: EngineConfig) -> list[float]:
        """J of every cell after its true mask on the first frame."""
        prompts = prompted(self.truth[0], self.ids, "mask", 0)
        return list(track_js(self.images, self.truth, prompts, model, config).values())

    def first(self, model: Segmenter, kind: str, object_id: int) -> float:
        """J of the first mask of one cell."""
        mask, rng = self.truth[0] == object_id, np.random.default_rng([object_id, len(kind)])
        prompt = (click if kind == "click" else jittered_box)(mask, 1, 0, rng)
        found = preview(Movie.open(self.images[0]), Prompts([prompt]), 0, model=model).labels == 1
        return float((found & mask).sum() / (found | mask).sum())


def samples(kind: str, n: int, n_cells: int) -> Iterator[Sample]:
    """Held-out movies of one kind that show at least one whole cell that lasts."""
    seed = HELD_OUT_SEED + 1000 * KINDS.index(kind)
    while n:
        batch = random_batch(seed, 1, n_frames=N_FRAMES, shape=(SIDE, SIDE), kinds=[kind])
        images = (batch.images[0].numpy() * CAMERA_RANGE).astype(np.uint16)
        truth = batch.labels[0].numpy()
        ids = np.random.default_rng(seed).permutation(lasting_ids(truth, 0, N_FRAMES))[:n_cells]
        if len(ids):
            n -= 1
            yield Sample(images, truth, tuple(sorted(int(i) for i in ids)))
        seed += 1


def measure(kind: str, n: int, n_cells: int, model: Segmenter) -> Js:
    """J of every cell by what was asked."""
    js: Js = {name: [] for name in ("click", "box", *ENGINES)}
    for sample in samples(kind, n, n_cells):
        for name, config in ENGINES.items():
            js[name] += sample.followed(model, config)
        for name in ("click", "box"):
            js[name] += [sample.first(model, name, i) for i in sample.ids]
    return js


def lines(model: str, kind: str, js: Js) -> list[list[str]]:
    """Rows of the table: number of cells, mean J and its standard error."""
    return [[model, kind, name, str(len(values)), *_mean(values)] for name, values in js.items()]


def _mean(values: Sequence[float]) -> tuple[str, str]:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):.3f}", f"{error:.3f}"


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="nano", help="names or weights files separated by ';'")
    parser.add_argument("--kinds", help="names separated by ';' (all by default)")
    parser.add_argument("--movies", type=int, default=4, help="of each kind")
    parser.add_argument("--cells", type=int, default=6, help="of each movie, at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("simulated.csv"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "kind", "prompt", "cells", "mean_j", "se"])
        for name in given.models.split(";"):
            model = load_model(name, device="cpu")
            for kind in chosen("--kinds", given.kinds, KINDS):
                rows = lines(model.name, kind, measure(kind, given.movies, given.cells, model))
                writer.writerows(rows)
                print(*("\t".join(row) for row in rows), sep="\n", flush=True)


if __name__ == "__main__":
    main()
