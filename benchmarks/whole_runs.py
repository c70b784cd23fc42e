"""How long a frame of a whole run takes, reading and writing included.

    python -m benchmarks.whole_runs --cells 100 --frame 1024 --inputs 256 192 128
    python -m benchmarks.whole_runs --cells 64 --diameter 28 --per-tile 64 --frame 512 1024 2048 4096 --inputs 256
    python -m benchmarks.whole_runs --cells 4 --frame 512 --inputs 128 --frames 50 500 2000

A simulated movie of tiles of 512 px, all alike, is written as a TIFF file with a page per frame; some of its cells are
prompted with their masks and followed forward into a result on disk, with everything as it is by default. Each row is
a process of its own; the rows take turns, `--repeats` times. A frame's seconds are the median over frames once
memories are full, of wall time between two reports of progress, and of the time of all processors; 'last' is the
median over the last quarter of the run. The peak of memory is that of the whole process.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from benchmarks.speed import Scene
from napari_mosam.core.api import track
from napari_mosam.core.model.registry import load_model

WARM_UP = 9
"""Frames that do not count: until memories are full."""

HEADER = (
    "cells",
    "frame_px",
    "input_px",
    "threads",
    "frames",
    "wall_s",
    "cpu_s",
    "last_wall_s",
    "last_cpu_s",
    "peak_MB",
)


def one_row(given: argparse.Namespace, cells: int, side: int, size: int, n_frames: int) -> dict[str, Any]:
    """Follow the cells of one row in this process."""
    torch.set_num_threads(given.threads)
    tiles, rest = divmod(side, 512)
    if rest:
        raise SystemExit(f"--frame {side} is not possible; allowed: multiples of 512")
    scene = Scene.simulated(n_frames, tiles, cells, given.per_tile, given.diameter)
    if len(scene.prompts) < cells:
        raise SystemExit(f"a frame of {side} px has {len(scene.prompts)} cells, not {cells}; give --per-tile")
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / "movie.tif"
        tifffile.imwrite(movie, scene.images, photometric="minisblack", metadata={"axes": "TYX"})
        prompts = scene.prompts
        del scene
        model, marks = load_model("nano", device="cpu", image_size=size), []

        def reported(*_: Any) -> None:
            marks.append((time.perf_counter(), time.process_time()))

        track(
            movie,
            prompts,
            out=Path(folder) / "out.zarr",
            model=model,
            direction="forward",
            progress=reported,
        )
    seconds = np.diff(np.array(marks), axis=0)[min(WARM_UP, n_frames // 2) :]
    wall, cpu = np.median(seconds, axis=0)
    last_wall, last_cpu = np.median(seconds[-max(1, len(marks) // 4) :], axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    numbers = (cells, side, size, given.threads, n_frames, wall, cpu, last_wall, last_cpu, peak)
    return dict(zip(HEADER, numbers, strict=True))


def rows(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of all combinations that are asked for, each in a process of its own, one after the other, several times."""
    asked = list(product(given.cells, given.frame, given.inputs, given.frames))
    for _ in range(given.repeats):
        for row in asked:
            command = [sys.executable, "-m", "benchmarks.whole_runs", "--row", *map(str, row)]
            for name in ("threads", "per_tile", "diameter"):
                command += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
            environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
            said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
            yield json.loads(said.splitlines()[-1])


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[100])
    parser.add_argument("--frame", type=int, nargs="+", default=[1024], help="sides of the frame, px")
    parser.add_argument("--inputs", type=int, nargs="+", default=[256], help="sides of the network's input, px")
    parser.add_argument("--frames", type=int, nargs="+", default=[18])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--per-tile", type=int, default=25, help="cells of a tile of 512 px")
    parser.add_argument("--diameter", type=float, default=40.0, help="of a cell, px")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("whole_runs.csv"))
    parser.add_argument("--row", type=int, nargs=4, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measure, print and write a CSV."""
    given = arguments().parse_args()
    if given.row is not None:
        sys.stdout.write(json.dumps(one_row(given, *given.row)) + "\n")
        return
    with given.out.open("w", newline="") as file:
        table = csv.DictWriter(file, HEADER)
        table.writeheader()
        for row in rows(given):
            shown = {name: f"{x:.3f}" if isinstance(x, float) else x for name, x in row.items()}
            table.writerow(shown)
            file.flush()
            sys.stdout.write("\t".join(f"{name} {x}" for name, x in shown.items()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
