"""Plain SAM 2 memory against the default engine on two real movies.

    MOSAM_DATA=... python benchmarks/real_movies.py --out real_movies.csv

Frames 0-39 of fluo_hela_01 and dic_hela_01, prompted with the true masks of some lasting cells on frame 0; 'with
neighbours' prompts every other cell of frame 0 too. J is the mean IoU over the later frames where the id exists. A
cell counts as lost when its J over the last five such frames is below 0.1.
"""

import argparse
import csv
import os
import time
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_mosam.core.api import segment
from napari_mosam.core.config import EngineConfig
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts import Prompts

N_FRAMES = 40
MOVIES = {"fluo_hela_01": (5, 27, 52, 78, 125, 220), "dic_hela_01": (5, 23, 32, 11, 27)}
CASES = (
    ("plain", EngineConfig.plain(), False),
    ("default", EngineConfig(), False),
    ("default, with neighbours", EngineConfig(), True),
)
LOST_FRAMES, LOST_J = 5, 0.1


def follow(
    images: NDArray[np.generic], truth: NDArray[np.integer], ids: tuple[int, ...], config: EngineConfig, model: object
) -> tuple[dict[int, list[float]], int]:
    """IoU per object over the later frames, and the number of object-frames."""
    scores: dict[int, list[float]] = {i: [] for i in ids}
    n_object_frames = 0
    for result in segment(images, Prompts.from_labels(truth[0]), model=model, direction="forward", config=config):
        n_object_frames += len(result.objects)
        for i in ids:
            there = truth_of(truth, result.t, i)
            if result.t > 0 and there.any():
                mine = result.labels == i
                scores[i].append(float((mine & there).sum() / (mine | there).sum()))
    return scores, n_object_frames


def truth_of(truth: NDArray[np.integer], t: int, object_id: int) -> NDArray[np.bool_]:
    """The true mask of an object on a frame."""
    return truth[t] == object_id


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("real_movies.csv"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    given = parser.parse_args()
    root = Path(os.environ["MOSAM_DATA"]) / "timelapse"
    model = load_model("nano", device="cpu", dtype=given.dtype)
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["movie", "engine", "mean_j", "lost", "object_frames", "object_frames_per_s", "j_per_object"])
        for name, ids in MOVIES.items():
            images, truth = (tifffile.imread(root / name / f"{kind}.tif")[:N_FRAMES] for kind in ("images", "masks"))
            for case, config, neighbours in CASES:
                shown = truth if neighbours else np.where(np.isin(truth, ids), truth, 0)
                begin = time.perf_counter()
                scores, n = follow(images, shown, ids, config, model)
                speed = n / (time.perf_counter() - begin)
                means = {i: float(np.mean(v)) for i, v in scores.items()}
                lost = sum(np.mean(v[-LOST_FRAMES:]) < LOST_J for v in scores.values())
                each = " ".join(f"{i}:{j:.2f}" for i, j in means.items())
                row = [name, case, f"{np.mean(list(means.values())):.3f}", lost, n, f"{speed:.1f}", each]
                writer.writerow(row)
                print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
