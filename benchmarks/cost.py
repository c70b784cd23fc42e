"""What does each part of the engine cost?

    python -m benchmarks.cost --out cost.csv

One simulated 512-px movie with 16 cells, prompted with their masks. All rows follow it side by side in one process:
each frame is given to one row after the other, in an order that rotates, so that what else the machine does hits them
alike. Milliseconds per object and frame are medians over frames and repeats; the difference and the ratio to plain are
medians of what single frames gave. The prompted frame and the one after it do not count.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rows import CHOICES, LADDER, PARTS, everything
from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.simulation import SimulatedMovie, SimulationConfig, simulate

SIDE, N_CELLS, WARM_UP = 512, 16, 2


def cost_rows() -> dict[str, EngineConfig]:
    """Plain, plain with one part each, and the parts together."""
    plain = EngineConfig.plain()
    on = {part: switch_on for part, (switch_on, _) in PARTS.items()}
    ranked = on["ranked frames"](plain)
    rows = {"plain": plain}
    rows["+ drift"] = on["drift"](plain)
    rows["+ drift and flow"] = on["flow"](on["drift"](plain))
    for part in (*LADDER[2:], "key points"):
        rows[f"+ {part}"] = on[part](plain)
    for form in ("mask", "points", "box+points"):
        rows[f"+ second decode, {form}"] = CHOICES[f"prompt {form}"](plain)
    rows["+ ranked frames (ST-MS)"] = ranked
    rows["+ ranked frames and pixel bias (ST-MS)"] = CHOICES["pixels bias"](ranked)
    return rows | {"default": EngineConfig(), "everything on": everything(EngineConfig())}


def follow(movie: SimulatedMovie, config: EngineConfig, model: Segmenter) -> Iterator[FrameResult]:
    """Every cell of the first frame, forward."""
    prompts = Prompts.from_labels(movie.labels[0])
    return segment(movie.images, prompts, model=model, direction="forward", config=config)


def side_by_side(movie: SimulatedMovie, rows: dict[str, EngineConfig], model: Segmenter) -> NDArray[np.float64]:
    """Milliseconds per object of every row (R) on every counted frame (F), shape (R, F)."""
    runs = [follow(movie, config, model) for config in rows.values()]
    ms = np.zeros((len(runs), len(movie.images)))
    for t in range(len(movie.images)):
        for row in np.roll(np.arange(len(runs)), t):
            begin = time.perf_counter()
            result = next(runs[row])
            ms[row, t] = 1000 * (time.perf_counter() - begin) / len(result.objects)
    return ms[:, WARM_UP:]


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=Path("cost.csv"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model, rows = load_model(given.model, device="cpu"), cost_rows()
    settings = {"shape": (SIDE, SIDE), "n_cells": N_CELLS, "diameter": 40.0, "n_frames": given.frames}
    movies = (simulate(SimulationConfig(seed=seed, **settings)) for seed in range(given.repeats))
    ms = np.concatenate([side_by_side(movie, rows, model) for movie in movies], axis=1)
    lines = [["engine", "ms_per_object_frame", "more_than_plain_ms", "ratio_to_plain", "ratio_quartiles"]]
    for name, mine in zip(rows, ms, strict=True):
        figures = np.median(mine), np.median(mine - ms[0]), np.median(mine / ms[0])
        quartiles = np.percentile(mine / ms[0], (25, 75))
        lines.append([name, *(f"{figure:.2f}" for figure in figures), "{:.2f}-{:.2f}".format(*quartiles)])
    with given.out.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    sys.stdout.writelines("\t".join(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
