"""How good is the first mask that one prompt gives, and the mask one frame after a given one?

    MOSAM_DATA=... python -m benchmarks.first_mask --out first_mask.csv
    MOSAM_DATA=... python -m benchmarks.first_mask --sets "t98g;bbbc039" --part test --models "nano;mine.safetensors"

For each data set, seeded random whole cells, each prompted with a box of 10 % jitter, with a random interior click
without a size, with the same click and the cell's diameter, with the click and one corrective click at the innermost
point of the larger error, and with its true mask on a still that then moves by up to a quarter of the cell's diameter
(J there is that of the moved frame). Truth places the prompts and scores the masks, never the windows.

``--part test`` takes only the stills that training leaves out (see `training/stills.py`). Which data a model has seen
is said in its card.
"""

import argparse
import csv
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy.ndimage import shift
from skimage.segmentation import clear_border
from training.data.stills import is_test

from benchmarks.runs import click, jittered_box
from napari_mosam.core.api import preview, segment
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.raster import inner_points
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import PointPrompt, Prompt, Prompts

MIN_AREA = 30
STEP = 0.25
MODALITY = {
    "bbbc039": "fluorescence",
    "dsb2018": "fluorescence",
    "dsb2018_b": "fluorescence",
    "t98g": "phase contrast",
    "psc": "phase contrast",
    "fluo_hela_01": "fluorescence",
    "sim_n2dh_01": "simulated",
    "dic_hela_01": "DIC",
}
Masks = NDArray[np.bool_]
Scores = dict[str, list[tuple[float, float]]]


def in_part(image: Path, part: str) -> bool:
    """Whether a still belongs to a part of the fixed split, or to all of them."""
    name = image.name.removesuffix("_image.tif")
    return part == "all" or is_test(image.parent.name, name) == (part == "test")


def pairs(root: Path, name: str, part: str) -> list[tuple[NDArray[np.generic], NDArray[np.integer]]]:
    """Images with truth: evenly spread frames of a movie, or the stills of a part."""
    movie = root / "timelapse" / name
    if movie.is_dir():
        images, masks = (tifffile.imread(movie / f"{kind}.tif") for kind in ("images", "masks"))
        return [(images[t], masks[t]) for t in np.linspace(0, min(39, len(images) - 1), 6).astype(int)]
    images = [p for p in sorted((root / "stills" / name).glob("*_image.tif")) if in_part(p, part)]
    return [(tifffile.imread(p), tifffile.imread(str(p).replace("_image", "_mask"))) for p in images]


def cells(root: Path, name: str, part: str, n: int, seed: int) -> Iterator[tuple[NDArray[np.generic], Masks]]:
    """Random whole cells of a data set: grey image and mask."""
    rng = np.random.default_rng(seed)
    found = pairs(root, name, part)
    for _ in range(n):
        ids: NDArray[np.integer] = np.array([], int)
        while ids.size == 0:
            image, truth = found[rng.integers(len(found))]
            counts = np.bincount(clear_border(truth).ravel())
            ids = np.flatnonzero(counts >= MIN_AREA)[1:]
        yield image if image.ndim == 2 else image[..., :3].mean(-1), truth == rng.choice(ids)


def iou(a: Masks, b: Masks) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def region_of(mask: Masks) -> Region:
    """The pixels of a cell, which has some."""
    region = Region.from_mask(mask)
    assert region is not None
    return region


def correction(mask: Masks, found: Masks) -> PointPrompt:
    """The click a careful user would make next: amid the larger of what is missing and what is too much."""
    missing, surplus = mask & ~found, found & ~mask
    positive = missing.sum() >= surplus.sum()
    region = Region.from_mask(missing if positive else surplus) or region_of(mask)
    return PointPrompt(1, 0, inner_points(region)[0], bool(positive))


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell of one still, and the model that is asked about it."""

    model: Segmenter
    image: NDArray[np.generic]
    truth: Masks

    def ask(self, prompts: list[Prompt], diameter: float | None = None) -> tuple[Masks, float]:
        """The mask that prompts give, and milliseconds."""
        begin = time.perf_counter()
        result = preview(Movie.open(self.image), Prompts(prompts), 0, model=self.model, diameter=diameter)
        return result.labels == 1, 1000 * (time.perf_counter() - begin)

    def moved(self, rng: np.random.Generator) -> tuple[float, float]:
        """J after the given mask, on the same still moved under it, and milliseconds."""
        step = STEP * region_of(self.truth).diameter * rng.uniform(-1, 1, 2)
        there = shift(self.image.astype(np.float32), step, order=1, mode="reflect")
        truth = shift(self.truth.astype(np.float32), step, order=1) > 0.5
        begin = time.perf_counter()
        prompts = Prompts.from_labels(self.truth.astype(np.uint8))
        *_, last = segment(np.stack([self.image, there]), prompts, model=self.model, direction="forward")
        return iou(last.labels == 1, truth), 1000 * (time.perf_counter() - begin)

    def scores(self, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
        """IoU and milliseconds of every kind of prompt."""
        box, inside = jittered_box(self.truth, 1, 0, rng), click(self.truth, 1, 0, rng)
        first = self.ask([inside])
        answers = {
            "box": self.ask([box]),
            "click": first,
            "click, size given": self.ask([inside], region_of(self.truth).diameter),
            "click and correction": self.ask([inside, correction(self.truth, first[0])]),
        }
        return {k: (iou(m, self.truth), ms) for k, (m, ms) in answers.items()} | {"mask, then moved": self.moved(rng)}


def measure(root: Path, name: str, part: str, n: int, seed: int, model: Segmenter) -> Scores:
    """IoU and milliseconds of every kind of prompt on `n` cells."""
    rng = np.random.default_rng(seed + 1)
    rows: Scores = {}
    for image, truth in cells(root, name, part, n, seed):
        for kind, score in Cell(model, image, truth).scores(rng).items():
            rows.setdefault(kind, []).append(score)
    return rows


def line(values: list[tuple[float, float]]) -> list[str]:
    """Number, mean IoU and its standard error, share below one half, median time."""
    ious, ms = np.array(values).T
    error = ious.std(ddof=1) / np.sqrt(len(ious))
    return [str(len(ious)), f"{ious.mean():.3f}", f"{error:.3f}", f"{(ious < 0.5).mean():.2f}", f"{np.median(ms):.0f}"]


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=";".join(MODALITY), help="names separated by ';'")
    parser.add_argument("--part", choices=("all", "train", "test"), default="all", help="of the stills")
    parser.add_argument("--models", default="nano", help="names or weights files separated by ';'")
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("first_mask.csv"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    root = Path(os.environ["MOSAM_DATA"])
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file)
        header = ["model", "set", "modality", "prompt", "cells", "mean_iou", "se", "share_below_half", "median_ms"]
        writer.writerow(header)
        for model in given.models.split(";"):
            network = load_model(model, device="cpu")
            for name in given.sets.split(";"):
                found = measure(root, name, given.part, given.cells, given.seed, network)
                for kind, values in found.items():
                    row = [network.name, name, MODALITY[name], kind, *line(values)]
                    writer.writerow(row)
                    print(*row, sep="\t", flush=True)
                file.flush()


if __name__ == "__main__":
    main()
