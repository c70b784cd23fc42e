"""How good is the first mask that one prompt gives?

    MOSAM_DATA=... python benchmarks/first_mask.py --out first_mask.csv

For each data set, seeded random cells; for each cell a box with 10 % jitter, a random interior click without a
size, the same click with the cell's diameter, and the click followed by one corrective click at the innermost
point of the larger error. Truth places the prompts and scores the masks, never the windows.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from skimage.segmentation import clear_border

from napari_mosam.core.api import preview
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.movie import Movie
from napari_mosam.core.prompts import BoxPrompt, PointPrompt, Prompt, Prompts
from napari_mosam.core.raster import innermost_point
from napari_mosam.core.regions import Region

MIN_AREA = 30
JITTER = 0.1


def pairs(root: Path, name: str) -> list[tuple[NDArray[np.generic], NDArray[np.integer]]]:
    """Images with truth: evenly spread frames of a movie, or stills."""
    movie = root / "timelapse" / name
    if movie.is_dir():
        images, masks = (tifffile.imread(movie / f"{kind}.tif") for kind in ("images", "masks"))
        return [(images[t], masks[t]) for t in np.linspace(0, min(39, len(images) - 1), 6).astype(int)]
    images = sorted((root / "stills" / name).glob("*_image.tif"))
    return [(tifffile.imread(p), tifffile.imread(str(p).replace("_image", "_mask"))) for p in images]


def cells(root: Path, name: str, n: int, seed: int) -> Iterator[tuple[NDArray[np.generic], NDArray[np.bool_]]]:
    """Random whole cells of a data set."""
    rng = np.random.default_rng(seed)
    found = pairs(root, name)
    for _ in range(n):
        ids: NDArray[np.integer] = np.array([], int)
        while ids.size == 0:
            image, truth = found[rng.integers(len(found))]
            counts = np.bincount(clear_border(truth).ravel())
            ids = np.flatnonzero(counts >= MIN_AREA)[1:]
        yield image, truth == rng.choice(ids)


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def jittered_box(mask: NDArray[np.bool_], rng: np.random.Generator) -> BoxPrompt:
    """The cell's box, every side moved by up to 10 % of it."""
    region = Region.from_mask(mask)
    y0, x0, y1, x1 = region.box
    height, width = y1 - y0 + 1, x1 - x0 + 1
    d = rng.uniform(-JITTER, JITTER, 4) * [height, width, height, width]
    return BoxPrompt(1, 0, (y0 + d[0], x0 + d[1], y1 + d[2], x1 + d[3]))


def interior_click(mask: NDArray[np.bool_], rng: np.random.Generator) -> PointPrompt:
    """A random pixel of the cell."""
    y, x = np.argwhere(mask)[rng.integers(mask.sum())]
    return PointPrompt(1, 0, (float(y), float(x)))


def correction(mask: NDArray[np.bool_], found: NDArray[np.bool_]) -> PointPrompt:
    """The click a careful user would make next: amid the larger of what is missing and what is too much."""
    missing, surplus = mask & ~found, found & ~mask
    positive = missing.sum() >= surplus.sum()
    region = Region.from_mask(missing if positive else surplus) or Region.from_mask(mask)
    return PointPrompt(1, 0, innermost_point(region), bool(positive))


def measure(root: Path, name: str, n: int, seed: int) -> dict[str, list[tuple[float, float]]]:
    """IoU and milliseconds of every kind of prompt on `n` cells."""
    model = load_model("nano", device="cpu")
    rng = np.random.default_rng(seed + 1)
    rows: dict[str, list[tuple[float, float]]] = {}
    for image, truth in cells(root, name, n, seed):
        movie = Movie.open(image if image.ndim == 2 else image[..., :3].mean(-1))
        box, click = jittered_box(truth, rng), interior_click(truth, rng)
        size = Region.from_mask(truth).diameter

        def ask(prompts: list[Prompt], diameter: float | None = None) -> tuple[NDArray[np.bool_], float]:
            begin = time.perf_counter()
            result = preview(movie, Prompts(prompts), 0, model=model, diameter=diameter)  # noqa: B023
            return result.labels == 1, 1000 * (time.perf_counter() - begin)

        note: Callable[[str, tuple[NDArray[np.bool_], float]], None] = lambda kind, got: rows.setdefault(  # noqa: E731
            kind, []
        ).append((iou(got[0], truth), got[1]))  # noqa: B023
        note("box, 10 % jitter", ask([box]))
        first = ask([click])
        note("random click, no size", first)
        note("random click, diameter given", ask([click], size))
        note("and one corrective click", ask([click, correction(truth, first[0])]))
    return rows


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="fluo_hela_01,dic_hela_01,psc")
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("first_mask.csv"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    root = Path(os.environ["MOSAM_DATA"])
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "prompt", "cells", "mean_iou", "share_below_half", "median_ms"])
        for name in given.sets.split(","):
            for kind, values in measure(root, name, given.cells, given.seed).items():
                ious, ms = np.array(values).T
                row = [
                    name,
                    kind,
                    len(ious),
                    f"{ious.mean():.3f}",
                    f"{(ious < 0.5).mean():.2f}",
                    f"{np.median(ms):.0f}",
                ]
                writer.writerow(row)
                print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
