"""What one update of training costs: seconds per object-frame, and the share of what matrix products could do.

    python -m benchmarks.training_step --size 128 192 256

Each row repeats one update of nano on one batch of simulated clips and keeps the best of them: forward, backward and
the change of the weights, without the drawing of movies. Processor time is that of all threads. The rate of matrix
products is measured in the same run, on squares of 1024 in the precision of the update.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from training.config import DataConfig, ModelConfig, OptimiserConfig, StageConfig, TrainingConfig
from training.data.movies import SimulatedMovies
from training.nano.loop import Place, Trainer

from napari_mosam.core.model.device import choose_device, choose_dtype

OBJECTS = 3
SQUARE = 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one object on one frame, in the best of some updates.

    Attributes
    ----------
    wall_s, processor_s : float
    flop : float
        Of matrix products and convolutions, backward included.
    """

    wall_s: float
    processor_s: float
    flop: float


def trainer_of(size: int, clips: int, frames: int, device: torch.device, folder: Path) -> Trainer:
    """A run of nano from its shipped weights on simulated clips."""
    config = TrainingConfig(
        model=ModelConfig(weights="nano", image_size=size),
        stages=(StageConfig(clips=clips, objects=OBJECTS, frames=frames),),
        data=DataConfig(queue=0),
        optimiser=OptimiserConfig(steps=1000),
    )
    return Trainer(config, SimulatedMovies(), Place(device, folder))


def cost_of_update(run: Trainer, device: torch.device, repeats: int) -> Cost:
    """The best of some updates on one batch."""
    clip = run.drawing.batch(0, 0.5, device)
    n = clip.n_rows * clip.n_frames

    def update() -> None:
        run._update([(0, clip)])
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with FlopCounterMode(display=False) as counter:
        update()
    timed = [_timed(update) for _ in range(repeats)]
    wall, processor = (min(column) / n for column in zip(*timed, strict=True))
    return Cost(wall, processor, counter.get_total_flops() / n)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def product_rate(device: torch.device, repeats: int = 30) -> float:
    """Floating-point operations a second of square matrix products."""
    a, b = (torch.randn(SQUARE, SQUARE, device=device, dtype=choose_dtype(device)) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return 2 * SQUARE**3 / min(_timed(product)[0] for _ in range(repeats))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", type=int, nargs="+", default=[128, 192, 256])
    options.add_argument("--clips", type=int, default=12)
    options.add_argument("--frames", type=int, default=6)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--device", default="auto", help="cuda, mps or cpu")
    given = options.parse_args(arguments)
    device = choose_device(given.device)
    rate = product_rate(device)
    threads = torch.get_num_threads()
    head = f"{device}, {threads} threads, matrix products {rate / 1e12:.2f} TFLOP/s, {choose_dtype(device)}"
    sys.stdout.write(
        f"{head}\n\n| px | ms per object-frame | of a processor | GFLOP | share of the rate |\n|--|--|--|--|--|\n"
    )
    for size in given.size:
        with tempfile.TemporaryDirectory() as folder:
            run = trainer_of(size, given.clips, given.frames, device, Path(folder))
            cost = cost_of_update(run, device, given.repeats)
        share = cost.flop / cost.wall_s / rate
        row = (
            f"| {size} | {1e3 * cost.wall_s:.1f} | {1e3 * cost.processor_s:.1f} | {cost.flop / 1e9:.2f} | {share:.0%} |"
        )
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
