"""What a GPU gives: the same masks? how fast? and a slice of training, in one run of a few minutes.

    python -m benchmarks.gpu --out results --minutes 9
    python -m benchmarks.gpu --out results --minutes 9.5 --only environment --train nano_continue --steps 1000
    python -m benchmarks.gpu --out quick --quick --device cpu

Four steps, in this order: the machine; parity, of the engine here with the engine on the CPU and of the engine without
its own parts with SAM 2's video predictor; speed, of both in turn; a slice of training, where ``--train`` names a
recipe. Each writes its JSON under ``--out`` as soon as it has a row, so a run that is cut off leaves what it has
measured; rows that no longer fit into ``--minutes`` are named as left out. A slice goes on from the weights that an
earlier one left with ``--resume-from``, on any machine.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from training.data.stills import stills_folder
from training.nano.loop import Place
from training.recipes import CONFIGS, read_config
from training.run import train_slice

from benchmarks.options import chosen
from benchmarks.stock import WHOLE_FRAME, Logits, Pair, engine_masks, prompt_stock, quiet, stock_masks, stock_state
from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.compute import usable_cores
from napari_mosam.core.model.configs import build_from_yaml
from napari_mosam.core.model.device import autocast, choose_device, choose_dtype
from napari_mosam.core.model.registry import load_model, model_info
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.core.windows.window import Window

STEPS = ("environment", "parity", "speed")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "tifffile", "safetensors", "sam2", "hydra-core")
WARM_UP = 2
PARITY_SIDE = 256
"""Of frames that are compared: that of nano's input, so that masks are painted on the same pixels on both sides."""

ABSENT = -1000.0
"""Every logit of an object that is not seen is lower."""

GPU_CHUNK = 64
"""Objects per call of the network, as the engine has it on a GPU."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    parity_frames, parity_objects : int
        Of each movie that is compared.
    sides, counts : tuple of int
        Sides of the frames, px, and numbers of objects whose speed is measured.
    frames, repeats : int
        Timed frames of each run, after the warm-up, and runs.
    """

    parity_frames: int = 8
    parity_objects: int = 6
    sides: tuple[int, ...] = (512, 1024)
    counts: tuple[int, ...] = (1, 8, 64)
    frames: int = 8
    repeats: int = 3


QUICK = Sizes(parity_frames=3, parity_objects=2, sides=(128,), counts=(1, 2), frames=2, repeats=1)


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Where and how long is measured."""

    device: torch.device
    out: Path
    sizes: Sizes
    minutes: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds until the time is up."""
        return self.started + 60 * self.minutes - time.monotonic()

    def write(self, name: str, found: dict[str, Any]) -> None:
        """Write a step's results, whole at any time, and say so."""
        path = self.out / f"{name}.json"
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(found, indent=1) + "\n")
        os.replace(unfinished, path)

    def say(self, text: str) -> None:
        """A line for those who wait."""
        sys.stdout.write(f"[{time.monotonic() - self.started:6.1f} s] {text}\n")
        sys.stdout.flush()

    def synchronise(self) -> None:
        """Wait for the GPU, so that the clock tells the truth."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rows(self, name: str, head: dict[str, Any], work: Iterable[tuple[str, Callable[[], dict[str, Any]]]]) -> None:
        """Measure row after row, writing each, until the time is up; an error ends a row, not the run."""
        found: dict[str, Any] = {**head, "rows": [], "left_out": []}
        for label, measure in work:
            if self.left_s <= 0:
                found["left_out"].append(label)
            else:
                found["rows"].append(self._row(label, measure))
            self.write(name, found)

    def _row(self, label: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        begin = time.monotonic()
        try:
            row = {"row": label, **measure()}
        except Exception as error:
            row = {"row": label, "error": f"{type(error).__name__}: {error}"}
        self.say(f"{label}: {', '.join(f'{k} {v}' for k, v in row.items() if k != 'row')}")
        return row | {"seconds": round(time.monotonic() - begin, 2)}


# ---- environment


def environment(bench: Bench) -> None:
    """What machine this is."""
    found: dict[str, Any] = {
        "device": str(bench.device),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "dtype": str(choose_dtype(bench.device)).removeprefix("torch."),
        "packages": {name: version_of(name) for name in PACKAGES},
        "cuda": torch.version.cuda,
        "cudnn": cudnn(),
    }
    if bench.device.type == "cuda":
        card = torch.cuda.get_device_properties(bench.device)
        free, total = torch.cuda.mem_get_info(bench.device)
        found |= {
            "card": card.name,
            "capability": f"{card.major}.{card.minor}",
            "processors": card.multi_processor_count,
        }
        found |= {"memory_mib": total // 2**20, "free_mib": free // 2**20, "driver": driver()}
    bench.write("environment", found)
    bench.say(f"{found.get('card', found['device'])}, torch {found['packages']['torch']}")


def version_of(package: str) -> str | None:
    """Version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cudnn() -> int | None:
    """Version of cuDNN, where it is used."""
    version: Any = torch.backends.cudnn.version
    return version() if torch.cuda.is_available() else None


def driver() -> str | None:
    """Version of the GPU's driver, where it can be asked for."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


# ---- parity


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Frames (T, Y, X) and the painted first frame (Y, X), whose objects are followed."""

    name: str
    images: NDArray[Any]
    first: NDArray[np.integer[Any]]

    def prompts(self, n: int) -> Prompts:
        """The masks of the first `n` objects."""
        ids = np.unique(self.first[self.first > 0])[:n]
        return Prompts.from_labels(np.where(np.isin(self.first, ids), self.first, 0))


def scenes(folder: Path | None, n_frames: int, side: int) -> Iterator[Scene]:
    """A simulated movie, and the crops of real ones in a folder: ``NAME.npz`` with 'images' and 'labels'."""
    diameter = side / 8
    made = simulate(SimulationConfig(seed=1, n_frames=n_frames, shape=(side, side), n_cells=8, diameter=diameter))
    yield Scene("simulated", np.asarray(made.images), made.labels[0])
    for path in sorted(folder.glob("*.npz")) if folder else ():
        with np.load(path) as stored:
            yield Scene(path.stem, stored["images"][:n_frames], stored["labels"][0])


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 products may be rounded to TF32 on a GPU; torch lets convolutions, not products."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


PRECISIONS = {"float32": ("float32", False), "float32, TF32": ("float32", True), "bfloat16": ("bfloat16", True)}
"""Name -> the network's precision, and whether convolutions may use TF32."""


def parity(bench: Bench, folder: Path | None) -> None:
    """The engine here against the engine on the CPU, and without its own parts against SAM 2, in each precision."""
    sizes, side = bench.sizes, PARITY_SIDE
    work = [
        (f"{scene.name}, {precision}: {name}", partial(measure, bench, scene, precision))
        for scene in scenes(folder, sizes.parity_frames, side)
        for precision in PRECISIONS
        for name, measure in (("engine here and on the CPU", engine_parity), ("engine and SAM 2", stock_parity))
    ]
    bench.rows("parity", {"device": str(bench.device), "model": "nano"}, work)


def engine_parity(bench: Bench, scene: Scene, precision: str) -> dict[str, Any]:
    """The default engine on this device in a precision, and on the CPU in float32."""
    dtype, rounded = PRECISIONS[precision]
    prompts = scene.prompts(bench.sizes.parity_objects)
    with tf32(rounded):
        here = followed(scene, prompts, load_model("nano", device=bench.device, dtype=dtype))
    there = followed(scene, prompts, load_model("nano", device="cpu", dtype="float32"))
    return compared(here[0], there[0]) | {"equal_labels": round(float((here[1] == there[1]).mean()), 6)}


def followed(scene: Scene, prompts: Prompts, model: Any) -> tuple[Logits, NDArray[Any]]:
    """Logits by object and frame, and the label frames, of the default engine."""
    results = list(segment(scene.images, prompts, model=model, direction="forward"))
    return {(o.object_id, r.t): o.logits for r in results for o in r.objects}, np.stack([r.labels for r in results])


def stock_parity(bench: Bench, scene: Scene, precision: str) -> dict[str, Any]:
    """The engine without its own parts and SAM 2's predictor, both on this device in the same precision."""
    dtype, rounded = PRECISIONS[precision]
    prompts, movie = list(scene.prompts(bench.sizes.parity_objects)), Movie.open(scene.images)
    pair = nano_pair(bench.device, getattr(torch, dtype))
    with tf32(rounded), quiet():
        ours = engine_masks(pair, movie, prompts)
        with autocast(bench.device, getattr(torch, dtype)):
            theirs = stock_masks(pair, movie, prompts)
    return compared(ours, theirs)


def nano_pair(device: torch.device, dtype: torch.dtype) -> Pair:
    """The shipped network as the engine's model and as SAM 2's predictor."""
    path = model_info("nano").home()
    chunk = 16 if device.type == "cpu" else GPU_CHUNK
    return Pair.of(lambda: build_from_yaml(path.with_suffix(".yaml")), path, device, dtype, chunk)


def compared(found: Logits, expected: Logits) -> dict[str, Any]:
    """Largest and mean difference of logits where both see the object, and IoU of the masks."""
    if found.keys() != expected.keys():
        raise ValueError(f"not the same objects and frames: {sorted(found.keys() ^ expected.keys())[:4]}")
    seen = {key for key in expected if expected[key].max() > ABSENT}
    seen_here = {key for key in found if found[key].max() > ABSENT}
    differences = [np.abs(found[key] - expected[key]) for key in seen & seen_here]
    ious = [iou(found[key] > 0, expected[key] > 0) for key in expected]
    return {
        "masks": len(ious),
        "seen_by_one": len(seen ^ seen_here),
        "largest_difference": max((float(d.max()) for d in differences), default=0.0),
        "mean_difference": float(np.mean([d.mean() for d in differences])) if differences else 0.0,
        "least_iou": round(min(ious), 6),
        "mean_iou": round(float(np.mean(ious)), 6),
    }


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """1 where both are empty."""
    return float((a & b).sum() / (a | b).sum()) if (a | b).any() else 1.0


# ---- speed


def speed(bench: Bench) -> None:
    """Frames per second of the engine and of SAM 2's predictor, in turn, by frame size and number of objects."""
    dtype, sizes = choose_dtype(bench.device), bench.sizes
    head = {"device": str(bench.device), "dtype": str(dtype).removeprefix("torch."), "model": "nano"}
    bench.rows("speed", head | {"frames": sizes.frames, "repeats": sizes.repeats}, speed_rows(bench, dtype))


def speed_rows(bench: Bench, dtype: torch.dtype) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """One row per frame size, number of objects and method."""
    pair = nano_pair(bench.device, dtype)
    for side in bench.sizes.sides:
        scene = crowded(side, WARM_UP + bench.sizes.frames, max(bench.sizes.counts))
        for n in bench.sizes.counts:
            for name, frames_of in METHODS.items():
                label = f"{side} px, {n} objects: {name}"
                run = partial(frames_of, pair, scene, scene.prompts(n), dtype)
                yield label, partial(timed, bench, run, n)


def crowded(side: int, n_frames: int, n_cells: int) -> Scene:
    """A simulated movie of so many cells."""
    config = SimulationConfig(seed=2, n_frames=n_frames, shape=(side, side), n_cells=n_cells, diameter=side / 14)
    made = simulate(config)
    return Scene(f"{side} px", np.asarray(made.images), made.labels[0])


def default_frames(pair: Pair, scene: Scene, prompts: Prompts, dtype: torch.dtype) -> Iterator[Any]:
    """The engine as it comes."""
    yield from segment(scene.images, prompts, model=pair.model, direction="forward", config=EngineConfig())


def plain_frames(pair: Pair, scene: Scene, prompts: Prompts, dtype: torch.dtype) -> Iterator[Any]:
    """The engine without its own parts, on the whole frame: what SAM 2 computes."""
    yield from segment(scene.images, prompts, model=pair.model, direction="forward", config=WHOLE_FRAME)


def stock_frames(pair: Pair, scene: Scene, prompts: Prompts, dtype: torch.dtype) -> Iterator[Any]:
    """SAM 2's predictor, its pictures loaded and prompted beforehand."""
    movie = Movie.open(scene.images)
    with quiet(), autocast(pair.model.device, dtype):
        state = stock_state(pair.predictor, movie)
        prompt_stock(pair.predictor, state, list(prompts), Window.full(movie.frame_shape))
        yield from pair.predictor.propagate_in_video(state)


METHODS = {"SAM 2's predictor": stock_frames, "engine, plain": plain_frames, "engine": default_frames}


def timed(bench: Bench, run: Callable[[], Iterator[Any]], n_objects: int) -> dict[str, Any]:
    """Median over frames and repeats, the first frames left out; the most memory that tensors took."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    ms = [t for _ in range(bench.sizes.repeats) for t in frame_times(bench, run())[WARM_UP:]]
    median = float(np.median(ms))
    quarter, three = (float(q) for q in np.percentile(ms, (25, 75)))
    peak = torch.cuda.max_memory_allocated(bench.device) // 2**20 if bench.device.type == "cuda" else None
    return {
        "ms_per_frame": round(median, 2),
        "quartiles_ms": [round(quarter, 2), round(three, 2)],
        "frames_per_s": round(1000 / median, 2),
        "object_frames_per_s": round(1000 * n_objects / median, 2),
        "peak_mib": peak,
    }


def frame_times(bench: Bench, frames: Iterator[Any]) -> list[float]:
    """Milliseconds of each frame."""
    found: list[float] = []
    while True:
        bench.synchronise()
        begin = time.perf_counter()
        try:
            next(frames)
        except StopIteration:
            return found
        bench.synchronise()
        found.append(1000 * (time.perf_counter() - begin))


# ---- training


@dataclass(frozen=True, slots=True)
class Training:
    """A slice of a recipe, and what it goes on from."""

    recipe: str
    steps: int | None
    minutes: float
    clips: int | None
    stills: Path | None
    resume_from: Path | None


def training(bench: Bench, given: Training) -> None:
    """Train for some minutes; once more with recomputed activations if memory does not suffice."""
    config = read_config(CONFIGS / f"{given.recipe}.toml")
    config = replace(config, data=replace(config.data, processes=drawing_processes()))
    if given.steps is not None:
        config = replace(config, optimiser=replace(config.optimiser, steps=given.steps, seconds=0.0))
    if given.clips is not None:
        stages = tuple(replace(stage, clips=min(stage.clips, given.clips)) for stage in config.stages)
        config = replace(config, stages=stages)
    rows = [("as the recipe says", config)]
    rows.append(("activations recomputed", replace(config, optimiser=replace(config.optimiser, recompute=True))))
    for label, each in rows:
        found = bench._row(f"training, {label}", partial(trained, bench, each, given))
        bench.write("training", found)
        if "OutOfMemoryError" not in found.get("error", ""):
            return


def drawing_processes() -> int:
    """Processes that draw movies: all processors but two, where there are many."""
    spare = usable_cores() - 2
    return spare if spare > 1 else 0


def trained(bench: Bench, config: Any, given: Training) -> dict[str, Any]:
    """One slice, within what is left of the time."""
    minutes = min(given.minutes, bench.left_s / 60)
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
    place = Place(bench.device, bench.out)
    trainer = train_slice(config, stills_folder(given.stills), place, minutes, given.resume_from)
    peak = torch.cuda.max_memory_allocated(bench.device) // 2**20 if bench.device.type == "cuda" else None
    return {
        "recipe": config.model.name,
        "updates": trainer.step,
        "of": config.optimiser.steps,
        "object_frames": trainer.object_frames,
        "seconds_in_all": round(trainer.elapsed, 1),
        "skipped": trainer.skipped,
        "peak_mib": peak,
    }


# ---- command line


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=Path("gpu_results"), help="folder for the results")
    options.add_argument("--minutes", type=float, default=9.0, help="time for everything")
    options.add_argument("--device", default="auto", help="cuda, mps or cpu")
    options.add_argument("--only", help=f"some of the steps {';'.join(STEPS)}, separated by ';'")
    options.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    options.add_argument("--movies", type=Path, help="folder of crops of real movies, compared beside a simulated one")
    options.add_argument("--train", metavar="RECIPE", help="train a slice of this recipe afterwards")
    options.add_argument("--slice-minutes", type=float, default=9.0, help="most minutes of that slice")
    options.add_argument("--steps", type=int, help="updates of the whole run, of which the slice is a part")
    options.add_argument("--clips", type=int, help="at most so many clips per batch")
    options.add_argument("--stills", type=Path, help="folder of stills (default: $MOSAM_DATA/stills, or none)")
    options.add_argument("--resume-from", type=Path, metavar="WEIGHTS", help="go on from what a slice left")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; every step writes its file."""
    given = parser().parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    sizes = QUICK if given.quick else Sizes()
    bench = Bench(choose_device(given.device), given.out, sizes, given.minutes)
    wanted = chosen("--only", given.only, STEPS)
    if "environment" in wanted:
        environment(bench)
    if "parity" in wanted:
        parity(bench, given.movies)
    if "speed" in wanted:
        speed(bench)
    if given.train:
        slice_ = Training(given.train, given.steps, given.slice_minutes, given.clips, given.stills, given.resume_from)
        training(bench, slice_)


if __name__ == "__main__":
    main()
