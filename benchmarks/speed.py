"""How long a frame takes: this package's layers, sam2's modules in the same engine, and SAM 2's own video predictor.

    python -m benchmarks.speed --out speed.csv
    python -m benchmarks.speed --cells 16 64 --sizes 256 --threads 2 --engines fast stock stock32
    python -m benchmarks.speed --network tiny --sizes 512 --cells 4 --frames 9 --warm-up 7 --engines fast plain stock
    python -m benchmarks.speed --cells 2 64 --sizes 128 --engines fast --frame 4096

Simulated cells of 40 px, all prompted with their masks and followed forward with the default settings, on a frame of
1024 px (a movie of 512 px, four times). The predictor has the same weights and prompts, and sees the whole frame at
the input's size: one image for all objects, in which a cell is ten pixels wide; it is what SAM 2 costs, not an equal.
Models are in the precision that is chosen on this machine, the predictor in bfloat16 through autocast ('stock') or in
float32 ('stock32'). 'tiny' is SAM 2.1's smallest official network with random weights: it costs what it costs.

All engines follow the movie side by side in one process: each frame is given to one after the other, in an order that
rotates, so that what else the machine does hits them alike. Seconds are medians over frames, once memories are full;
ratios are medians of what single frames gave. A frame's seconds are split by what asks the model; 'rest' is all else.
"""

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import stock
from napari_mosam.core.api import segment
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.configs import build_from_yaml, build_official
from napari_mosam.core.model.device import CPU_CHUNK, autocast, choose_dtype
from napari_mosam.core.model.registry import load_model, model_info
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.prompts.collection import MaskPrompt, Prompt
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.core.windows.window import Window

TILE, PER_TILE, TILES, DIAMETER = 512, 25, 2, 40.0
STAGES = ("encode_image", "attend_memory", "decode_masks", "object_pointers", "encode_memory")
ENGINES = ("fast", "plain", "stock", "stock32")
NETWORKS = ("nano", "tiny")
SECONDS = ("wall_s", "cpu_s", *(f"{stage}_s" for stage in STAGES), "rest_s")
HEADER = ("cells", "input_px", "engine", *SECONDS, "wall_ratio", "cpu_ratio")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Images (T, Y, X) and a mask prompt of every cell of the first frame."""

    images: NDArray[Any]
    prompts: tuple[Prompt, ...]

    @classmethod
    def simulated(
        cls,
        n_frames: int,
        tiles: int = TILES,
        n_cells: int | None = None,
        per_tile: int = PER_TILE,
        diameter: float = DIAMETER,
    ) -> "Scene":
        """One tile, repeated along both sides; the movie runs forth and back where it is too short."""
        movie = simulate(
            SimulationConfig(
                seed=3, shape=(TILE, TILE), n_cells=per_tile, diameter=diameter, n_frames=min(n_frames, 16)
            )
        )
        there, labels = len(movie.images), movie.labels[0]
        order = [there - 1 - abs(t % (2 * there - 2) - there + 1) for t in range(n_frames)]
        images = np.tile(movie.images[order], (1, tiles, tiles))
        whole = np.tile(labels, (tiles, tiles))
        return cls(images, tuple(islice(_prompts(labels, whole.shape), n_cells)))


def _prompts(labels: NDArray[Any], shape: tuple[int, ...]) -> Iterator[Prompt]:
    number = 0
    for y in range(0, shape[0], TILE):
        for x in range(0, shape[1], TILE):
            for cell in np.unique(labels[labels > 0]):
                number += 1
                inside = np.zeros(shape, bool)
                inside[y : y + TILE, x : x + TILE] = labels == cell
                yield MaskPrompt.from_frame(number, 0, inside)


def timed(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a model that adds the processor's seconds it takes to the model's `spent`."""

    @wraps(method)
    def around(self: "Watched", *given: Any, **named: Any) -> Any:
        begin = time.process_time()
        result = method(self, *given, **named)
        self.spent[method.__name__] += time.process_time() - begin
        return result

    return around


class Watched(Sam2Segmenter):
    """A model that knows how long each of its stages took."""

    spent: "defaultdict[str, float]"
    encode_image = timed(Sam2Segmenter.encode_image)
    attend_memory = timed(Sam2Segmenter.attend_memory)
    decode_masks = timed(Sam2Segmenter.decode_masks)
    object_pointers = timed(Sam2Segmenter.object_pointers)
    encode_memory = timed(Sam2Segmenter.encode_memory)


@dataclass(frozen=True, slots=True, eq=False)
class Contestant:
    """A run that gives one frame after the other, and the seconds of its stages so far."""

    frames: Iterator[Any]
    spent: "defaultdict[str, float]"

    def frame(self) -> NDArray[np.float64]:
        """Wall and processor seconds of the next frame, and of its stages."""
        before = [self.spent[stage] for stage in STAGES]
        wall, cpu = time.perf_counter(), time.process_time()
        next(self.frames)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        stages = np.array([self.spent[stage] for stage in STAGES]) - before
        return np.array([wall, cpu, *stages, cpu - stages.sum()])


def network_of(name: str, size: int) -> Any:
    """One of :data:`NETWORKS`."""
    if name == "nano":
        return load_model("nano", device="cpu", image_size=size).network
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_official(f"sam2.1_hiera_{name[0]}.yaml", size)


def ours(scene: Scene, name: str, size: int, chunk: int, *, fast: bool) -> Contestant:
    """The engine, by this package's layers or by sam2's modules."""
    network, dtype = network_of(name, size), choose_dtype(torch.device("cpu"))
    model = Watched(network, name, dtype=dtype, chunk=chunk or CPU_CHUNK, fast=fast)
    model.spent = defaultdict(float)
    results = segment(scene.images, scene.prompts, model=model, direction="forward")
    return Contestant(results, model.spent)


def theirs(scene: Scene, name: str, size: int, dtype: torch.dtype) -> Contestant:
    """SAM 2's video predictor."""
    info = model_info("nano")
    if name == "nano":
        pair = stock.Pair.of(lambda: build_from_yaml(SHIPPED / info.config, size), info.home())
    else:
        pair = stock.Pair.of(lambda: build_official(f"sam2.1_hiera_{name[0]}.yaml", size))
    return Contestant(_predicted(pair.predictor, scene, dtype), defaultdict(float))


def _predicted(predictor: Any, scene: Scene, dtype: torch.dtype) -> Iterator[Any]:
    movie, steps = Movie.open(scene.images), None
    while True:
        with autocast(torch.device("cpu"), dtype), torch.inference_mode():
            if steps is None:
                state = stock.stock_state(predictor, movie)
                stock.prompt_stock(predictor, state, scene.prompts, Window.full(movie.frame_shape))
                steps = predictor.propagate_in_video(state)
            step = next(steps, None)
        if step is None:
            return
        yield step


def side_by_side(contestants: list[Contestant], n_frames: int, warm_up: int) -> NDArray[np.float64]:
    """Seconds of every contestant on every counted frame, shape (R, F, numbers)."""
    seconds = []
    for t in range(n_frames):
        order = [(k + t) % len(contestants) for k in range(len(contestants))]
        row = {k: contestants[k].frame() for k in order}
        seconds.append([row[k] for k in range(len(contestants))])
    return np.swapaxes(np.array(seconds)[warm_up:], 0, 1)


def rows_of(cells: int, size: int, engines: list[str], seconds: NDArray[np.float64]) -> Iterator[list[str]]:
    """Lines of the table; ratios are the first engine's: what each takes in its times."""
    for name, own in zip(engines, seconds, strict=True):
        ratios = np.median(own[:, :2] / seconds[0, :, :2], axis=0)
        yield [
            str(cells),
            str(size),
            name,
            *(f"{x:.3f}" for x in np.median(own, axis=0)),
            *(f"{x:.2f}" for x in ratios),
        ]


def contestant(name: str, scene: Scene, size: int, given: argparse.Namespace) -> Contestant:
    """One of :data:`ENGINES`."""
    if name in ("stock", "stock32"):
        return theirs(scene, given.network, size, torch.float32 if name == "stock32" else torch.bfloat16)
    return ours(scene, given.network, size, given.chunk, fast=name == "fast")


def measured(given: argparse.Namespace) -> Iterator[list[str]]:
    """Lines of the table, one after the other."""
    whole = Scene.simulated(given.frames, given.frame // TILE, max(given.cells))
    for size in given.sizes:
        for cells in given.cells:
            scene = Scene(whole.images, whole.prompts[:cells])
            runs = [contestant(name, scene, size, given) for name in given.engines]
            yield from rows_of(cells, size, given.engines, side_by_side(runs, given.frames, given.warm_up))


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 4, 16, 64, 100])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 192, 256], help="sides of the input, px")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["fast", "plain", "stock"])
    parser.add_argument("--network", choices=NETWORKS, default="nano")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--frame", type=int, default=TILE * TILES, help="side of a frame, px, a multiple of 512")
    parser.add_argument("--warm-up", type=int, default=8, help="first frames that do not count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=0, help="windows per call of the network; as usual by default")
    parser.add_argument("--out", type=Path, default=Path("speed.csv"))
    return parser


def main() -> None:
    """Measure, print and write a CSV."""
    given = arguments().parse_args()
    torch.set_num_threads(given.threads)
    with given.out.open("w", newline="") as file, stock.quiet():
        table = csv.writer(file)
        table.writerow(HEADER)
        for line in measured(given):
            table.writerow(line)
            file.flush()
            sys.stdout.write("\t".join(line) + "\n")


if __name__ == "__main__":
    main()
