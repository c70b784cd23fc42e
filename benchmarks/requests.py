"""How long does it take until painted labels are a run's request?

    python -m benchmarks.requests --objects 2000 --frames 100,200 --side 1024

Every object is painted on every frame of a label stack that lies in memory. Timed, in a process of its own for each
length: the masks of the stack as prompts, the checked request, and what is asked of the model on every frame. The cost
should grow with the number of masks and nothing else.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.runs.request import RunRequest

ResultT = TypeVar("ResultT")
COLUMNS = ("objects", "frames", "labels_s", "build_s", "frames_s", "total_s")


def painted(n_objects: int, n_frames: int, side: int) -> NDArray[np.uint16]:
    """Disks on a grid that drift to the right, shape (T, side, side)."""
    per_row = int(np.ceil(np.sqrt(n_objects)))
    pitch = side // per_row
    y, x = np.mgrid[:pitch, :pitch] - (pitch - 1) / 2
    disk = np.hypot(y, x) < 0.4 * pitch
    frame = np.zeros((side, side), np.uint16)
    for row in range(n_objects):
        top, left = (pitch * place for place in divmod(row, per_row))
        frame[top : top + pitch, left : left + pitch][disk] = row + 1
    return np.stack([np.roll(frame, t % 7, axis=1) for t in range(n_frames)])


def timed(work: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """Seconds, and what came of it."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def measure(n_objects: int, n_frames: int, side: int) -> list[float]:
    """Seconds of each part and of all of them."""
    labels = painted(n_objects, n_frames, side)
    movie = np.broadcast_to(np.zeros((), np.uint8), labels.shape)
    reading, prompts = timed(lambda: Prompts.from_labels(labels))
    building, request = timed(lambda: RunRequest.build(movie, prompts, RunConfig()))
    asking, asked = timed(lambda: sum(len(request.requests(t)) for t in range(n_frames)))
    if asked != n_objects * n_frames:
        raise RuntimeError(f"{asked} objects were asked for instead of {n_objects * n_frames}")
    return [reading, building, asking, reading + building + asking]


def main() -> None:
    """Print a line for each length, and how much longer each takes than the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--frames", default="100,200")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(*measure(given.objects, given.measure, given.side))
        return
    print(*COLUMNS, "ratio", sep="\t")
    first = None
    for n_frames in map(int, given.frames.split(",")):
        seconds = _alone(given.objects, n_frames, given.side)
        first = first or seconds[-1]
        print(
            given.objects, n_frames, *(f"{s:.2f}" for s in seconds), f"{seconds[-1] / first:.2f}", sep="\t", flush=True
        )


def _alone(n_objects: int, n_frames: int, side: int) -> list[float]:
    options = ["--objects", str(n_objects), "--side", str(side), "--measure", str(n_frames)]
    command = [sys.executable, "-m", "benchmarks.requests", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
