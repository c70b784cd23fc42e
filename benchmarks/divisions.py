"""How many proposed divisions are true, how many are not, how many are missed; and what accepting them is worth.

    MOSAM_DATA=... python -m benchmarks.divisions --out divisions

Cells of the first frame are followed from boxes whose sides are jittered by 10 %. True divisions of real movies are
told from their masks: an id ends, and on the next frame two ids begin that lie in its place for a fifth or more of
their pixels (the place grown by 5 px). A division can be found if a track lies on its mother (by more than half of its
pixels) on the frame before. A proposal is

- right: its mother's track lies on a cell that divides within 3 frames;
- half known: that cell ends within 3 frames, and the truth has one daughter only;
- wrong: all else.

A person who accepts what is right, and nothing else, changes TRA (traccuracy) of the followed cells and their
descendants. Movies that were followed are kept in OUT and not followed again.
"""

import argparse
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from benchmarks.options import chosen
from benchmarks.runs import model_on_cpu, prompted
from benchmarks.tasks import read_timelapse
from napari_mosam.core.api import track
from napari_mosam.core.evaluation.evaluate import ctc_measures
from napari_mosam.core.lineage.proposals import DivisionProposal
from napari_mosam.core.session.session import Session
from napari_mosam.core.simulation import division_movie
from napari_mosam.core.store.result import Result

REAL = ("dic_hela_01", "sim_n2dh_01", "fluo_hela_01")
KINDS: Mapping[str, Mapping[str, Any]] = {
    "nuclei": {},
    "dic": {"modality": "nomarski", "cell_shape": "amoeboid"},
    "phase": {"modality": "zernike"},
    "cytoplasm": {"modality": "cytoplasm", "cell_shape": "amoeboid"},
    "rods": {"modality": "zernike", "cell_shape": "rod", "diameter": 26.0, "aspect": (2.5, 4)},
}
SEEDS = (20, 21)
"""Of simulated movies; the rules were made with 0 to 3."""

MOST_CELLS, LEAST_AREA = 40, 60
GROWN, SHARE, NEAR, ON = 5, 0.2, 3, 0.5
HEADER = (
    *("movie", "cells", "true", "reachable", "right", "half_known", "wrong", "missed", "frames_off", "iou"),
    *("tra_before", "tra_after", "seconds"),
)

Labels = NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """True labels (T, Y, X), divisions (frame, mother, daughters), and ids that end on a frame with one successor."""

    labels: Labels
    divisions: tuple[tuple[int, int, tuple[int, ...]], ...]
    halves: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, labels: Labels) -> "Truth":
        """From what the masks tell."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for t, frame in enumerate(labels):
            for i in np.unique(frame[frame > 0]).tolist():
                first.setdefault(i, t)
                last[i] = t
        divisions, halves = [], []
        for mother, end in sorted(last.items()):
            t = end + 1
            if t >= len(labels):
                continue
            place = binary_dilation(labels[end] == mother, iterations=GROWN)
            born = [i for i, start in first.items() if start == t]
            here = [i for i in born if (place & (labels[t] == i)).sum() > SHARE * (labels[t] == i).sum()]
            if len(here) == 2:
                divisions.append((t, mother, tuple(here)))
            elif len(here) == 1:
                halves.append((t, mother))
        return cls(labels, tuple(divisions), tuple(halves))

    @property
    def parents(self) -> dict[int, int]:
        """Mothers by daughter."""
        return {i: mother for _, mother, both in self.divisions for i in both}

    def descendants(self, ids: Iterator[int]) -> set[int]:
        """Some cells, their daughters, and so on."""
        found = {*ids}
        for _, mother, both in sorted(self.divisions):
            found |= {*both} if mother in found else set()
        return found


def movie_of(name: str) -> tuple[NDArray[Any], Labels]:
    """Images and true labels of a movie, (T, Y, X)."""
    if name in REAL:
        return read_timelapse(Path(os.environ["MOSAM_DATA"]) / "timelapse" / name)
    kind, seed = name.split("_")
    movie = division_movie(int(seed), **KINDS[kind])
    return movie.images, movie.labels


def cells_of(truth: Truth) -> list[int]:
    """Cells of the first frame that are followed: those that divide, and others."""
    first = truth.labels[0]
    ids = [i for i in np.unique(first[first > 0]).tolist() if (first == i).sum() > LEAST_AREA]
    mothers = {mother for _, mother, _ in truth.divisions}
    ranked = sorted(ids, key=lambda i: (i not in mothers, i))
    return sorted(ranked[:MOST_CELLS])


def on_cell(labels: Labels, truth: Labels, object_id: int) -> int:
    """The true cell that a track lies on in a frame; 0 for none."""
    held = labels == object_id
    ids, counts = np.unique(truth[held], return_counts=True)
    return int(ids[counts.argmax()]) if held.any() and counts.max() > ON * held.sum() else 0


def measure(name: str, out: Path, model_name: str) -> list[str]:
    """A row of the table."""
    images, labels = movie_of(name)
    truth, model = Truth.of(labels), model_on_cpu(model_name)
    ids, place = cells_of(truth), out / f"{name}.zarr"
    if not place.exists() or not Result.open(place).complete:
        track(images, prompted(labels[0], ids, "box", 0), model=model, out=place, overwrite=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "cells.zarr"
        shutil.copytree(place, copy)
        session = Session.open(copy, images, model=model, recent=Path(folder) / "recent")
        followed = np.asarray(session.result.labels[:]) if session.result is not None else labels
        begin = time.perf_counter()
        proposals = session.propose_divisions()
        seconds = time.perf_counter() - begin
        reachable = [
            (t, mother, both)
            for t, mother, both in truth.divisions
            if any(on_cell(followed[t - 1], labels[t - 1], i) == mother for i in ids)
        ]
        judged = [(one, *_judged(one, followed, truth)) for one in proposals]
        before = _tra(session.result, truth, ids)
        for one, verdict, _ in judged:
            if verdict == "right":
                session.accept_division(one, follow=True)
        after = _tra(session.result, truth, ids)
        session.close()
    right = [(one, division) for one, verdict, division in judged if verdict == "right" and division is not None]
    found = {mother for _, (_, mother, _) in right}
    off = [one.frame - t for one, (t, _, _) in right]
    ious = [_iou(one, division, labels) for one, division in right]
    counts = [sum(verdict == word for _, verdict, _ in judged) for word in ("right", "half known", "wrong")]
    missed = sum(mother not in found for _, mother, _ in reachable)
    return [
        *(name, str(len(ids)), str(len(truth.divisions)), str(len(reachable)), *map(str, counts), str(missed)),
        " ".join(map(str, off)),
        f"{np.mean(ious):.2f}" if ious else "",
        *(f"{value:.3f}" for value in (before, after)),
        f"{seconds:.1f}",
    ]


Division = tuple[int, int, tuple[int, ...]]


def _judged(one: DivisionProposal, followed: Labels, truth: Truth) -> tuple[str, Division | None]:
    for t, mother, both in truth.divisions:
        on = on_cell(followed[t - 1], truth.labels[t - 1], one.mother) == mother
        if on and abs(t - one.frame) <= NEAR:
            return "right", (t, mother, both)
    for t, mother in truth.halves:
        if on_cell(followed[t - 1], truth.labels[t - 1], one.mother) == mother and abs(t - one.frame) <= NEAR:
            return "half known", None
    return "wrong", None


def _iou(one: DivisionProposal, division: Division, labels: Labels) -> float:
    """Mean IoU of proposed daughters with true ones, on the later of both frames' truth."""
    t = max(one.frame, division[0])
    found = []
    for region in one.daughters:
        y0, x0, y1, x1 = region.box
        mask = np.zeros(labels.shape[1:], bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = region.mask
        true = [labels[t] == i for i in division[2]]
        found.append(max((mask & cell).sum() / max((mask | cell).sum(), 1) for cell in true))
    return float(np.mean(found))


def _tra(result: Result | None, truth: Truth, ids: list[int]) -> float:
    assert result is not None
    wanted = truth.descendants(iter(ids))
    kept = np.where(np.isin(truth.labels, list(wanted)), truth.labels, 0)
    found = ctc_measures(result.labels, kept, parents=result.parents, truth_parents=truth.parents)
    return found.tra


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*REAL, *(f"{kind}_{seed}" for kind in KINDS for seed in SEEDS)]
    parser.add_argument("--movies", help=f"names separated by ';': {', '.join(names)}")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=Path("divisions"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "divisions.csv").open("a", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        print(*HEADER, sep="\t", flush=True)
        for name in chosen("--movies", given.movies, names):
            row = measure(name, given.out, given.model)
            writer.writerow(row)
            file.flush()
            print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
