"""How many cells of a frame are found without a mark, how many of those that are proposed are cells, and how fast?

    MOSAM_DATA=... python -m benchmarks.find --out find.csv
    MOSAM_DATA=... python -m benchmarks.find --sets "dsb2018;bbbc039" --given --images 8

Sets are the test parts of the stills (see `training/data/stills.py`), evenly spread frames of time-lapses, and the
simulated sample. A cell is found where a proposal overlaps it with an IoU above one half. With ``--given`` the median
diameter of the true cells of each image is given; without it, it is estimated. Truth does nothing else.
"""

import argparse
import csv
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from training.data.stills import SOURCES, find_stills, read_still, separated

from benchmarks.options import chosen
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.find.frame import find_cells
from napari_mosam.core.find.proposals import Proposals
from napari_mosam.core.find.request import FindRequest
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.simulation import sample_movie

MOVIES = ("fluo_hela_01", "dic_hela_01", "c2c12_phase")
SAMPLE, LARGE = "sample", "1024 px"
"""The simulated sample, and nuclei put side by side to a frame of 1024 x 1024 px, for its time."""

SETS = (*(source.folder for source in SOURCES), *MOVIES, SAMPLE, LARGE)
NUCLEI = ("dsb2018", "dsb2018_b", "bbbc039")
FRAMES_OF_A_MOVIE = 4
SIDE = 1024

HEADER = (
    *("model", "set", "diameter", "images", "cells", "proposed", "found", "recall", "precision", "mean_iou"),
    *("diameter_ratio", "seconds", "cpu_seconds"),
)
Image = tuple[NDArray[Any], NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Score:
    """What was found on one image.

    Attributes
    ----------
    cells, proposed : int
    ious : tuple of float
        Of the proposals that are cells.
    diameter_ratio : float
        Estimated over true median.
    seconds, cpu_seconds : float
    """

    cells: int
    proposed: int
    ious: tuple[float, ...]
    diameter_ratio: float
    seconds: float
    cpu_seconds: float


def spread(n: int, most: int) -> list[int]:
    """At most so many of n indices, evenly spread."""
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, most))})


def images_of(root: Path, name: str, most: int) -> Iterator[Image]:
    """Images of a set with the true labels of their cells."""
    if name == SAMPLE:
        movie = sample_movie()
        yield from ((movie.images[t], separated(movie.labels[t])) for t in spread(len(movie.images), FRAMES_OF_A_MOVIE))
    elif name == LARGE:
        yield side_by_side([*images_of(root, "bbbc039", most)])
    elif name in MOVIES:
        images, masks = (tifffile.imread(root / "timelapse" / name / f"{kind}.tif") for kind in ("images", "masks"))
        yield from ((images[t], separated(masks[t])) for t in spread(len(images), FRAMES_OF_A_MOVIE))
    else:
        files = [file for file in find_stills(root / "stills", "test") if file.source.folder == name]
        stills = (read_still(files[k]) for k in spread(len(files), most))
        yield from ((still.image, still.labels) for still in stills if still is not None)


def side_by_side(images: Sequence[Image]) -> Image:
    """Images repeated until they fill a frame."""
    parts = [np.concatenate([one[k] for one in images], 1) for k in (0, 1)]
    times = [-(-SIDE // side) for side in parts[0].shape]
    image, labels = (np.tile(part, times)[:SIDE, :SIDE] for part in parts)
    return image, separated(labels)


def true_diameter(labels: NDArray[np.int32]) -> float:
    """Median diameter of disks with the areas of the cells, px."""
    return float(np.median(2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)))


def overlaps(found: Proposals, truth: NDArray[np.int32]) -> list[float]:
    """IoU of every pair of a proposal and a cell that overlap by more than half: each is in one pair alone."""
    pairs = np.stack([found.labels[(found.labels > 0) & (truth > 0)], truth[(found.labels > 0) & (truth > 0)]])
    ids, both = np.unique(pairs, axis=1, return_counts=True)
    area_found, area_true = np.bincount(found.labels.ravel()), np.bincount(truth.ravel())
    iou = both / (area_found[ids[0]] + area_true[ids[1]] - both)
    return [float(value) for value in iou[iou > 0.5]]


def measure(model: Segmenter, image: Image, *, given: bool) -> Score:
    """Find the cells of an image."""
    pixels, truth = image
    diameter = true_diameter(truth)
    request = FindRequest.build(pixels, 0, RunConfig(diameter=diameter if given else None))
    begin, cpu = time.perf_counter(), time.process_time()
    found = find_cells(request, model)
    spent = time.perf_counter() - begin, time.process_time() - cpu
    return Score(int(truth.max()), len(found), tuple(overlaps(found, truth)), found.diameter / diameter, *spent)


def row(scores: Sequence[Score]) -> list[str]:
    """Sums and means of a set: cells of all images count the same."""
    cells, proposed = sum(s.cells for s in scores), sum(s.proposed for s in scores)
    ious = [iou for s in scores for iou in s.ious]
    shares = len(ious) / max(1, cells), len(ious) / max(1, proposed), float(np.mean(ious)) if ious else 0.0
    ratio, seconds, cpu = (np.median([getattr(s, n) for s in scores]) for n in HEADER[-3:])
    counts = (len(scores), cells, proposed, len(ious))
    return [*map(str, counts), *(f"{share:.3f}" for share in shares), f"{ratio:.2f}", f"{seconds:.1f}", f"{cpu:.1f}"]


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", help="names separated by ';'; 'nuclei' for the stills of nuclei")
    parser.add_argument("--given", action="store_true", help="give the true median diameter")
    parser.add_argument("--images", type=int, default=1000, help="of a set of stills, at most")
    parser.add_argument("--model", default="nano", help="a name or a weights file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("find.csv"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    root, model = Path(os.environ["MOSAM_DATA"]), load_model(asked.model, device="cpu")
    with asked.out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for name in chosen("--sets", asked.sets, SETS, {"nuclei": NUCLEI}):
            scores = [measure(model, image, given=asked.given) for image in images_of(root, name, asked.images)]
            line = [model.name, name, "given" if asked.given else "estimated", *row(scores)]
            table.writerow(line)
            file.flush()
            print(*line, sep="\t", flush=True)


if __name__ == "__main__":
    main()
