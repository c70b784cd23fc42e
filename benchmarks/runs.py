"""Follow the objects of a task and score them; spread many such runs over processes."""

import hashlib
import json
import logging
import multiprocessing
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

import napari_mosam.core
from benchmarks.rows import digest
from benchmarks.tasks import Task, load
from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.evaluation.evaluate import evaluate
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, Prompts

PromptKind = Literal["mask", "click", "box"]
JITTER = 0.1
log = logging.getLogger("benchmarks")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Job:
    """One task, prompted in one way, with one engine."""

    task: Task
    prompt: PromptKind
    config: EngineConfig
    model: str = "nano"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Jobs with equal keys have equal results."""
        return self.task.key, self.prompt, digest(self.config), self.model


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Label frames (T, Y, X) of a run from its first frame on, the objects followed per frame added up, seconds."""

    labels: NDArray[np.integer]
    object_frames: int
    seconds: float


@lru_cache(maxsize=1)
def model_on_cpu(name: str, image_size: int | None = None) -> Segmenter:
    """The model, loaded once per process."""
    return load_model(name, device="cpu", image_size=image_size)


def prompts_of(task: Task, truth: NDArray[np.integer], kind: PromptKind) -> Prompts:
    """Mask, click or box of every object of a task; the same ones whenever it is asked for."""
    return prompted(truth, task.ids, kind, zlib.crc32(task.cluster.encode()), task.start)


def prompted(truth: NDArray[np.integer], ids: Sequence[int], kind: PromptKind, seed: int, frame: int = 0) -> Prompts:
    """Mask, click or box of every object of a frame (Y, X); an object's prompt depends on `seed` and its id only."""
    if kind == "mask":
        return Prompts.from_labels(np.where(np.isin(truth, ids), truth, 0), frame=frame)
    made = click if kind == "click" else jittered_box
    return Prompts([made(truth == i, i, frame, np.random.default_rng([seed, i])) for i in ids])


def click(mask: NDArray[np.bool_], object_id: int, t: int, rng: np.random.Generator) -> PointPrompt:
    """A click on a random pixel of an object."""
    y, x = np.argwhere(mask)[rng.integers(mask.sum())]
    return PointPrompt(object_id, t, (float(y), float(x)))


def jittered_box(mask: NDArray[np.bool_], object_id: int, t: int, rng: np.random.Generator) -> BoxPrompt:
    """An object's box, every side moved by up to 10 % of the box."""
    region = Region.from_mask(mask)
    if region is None:
        raise ValueError(f"object {object_id} is not on frame {t}, so it has no box; choose objects that are")
    y0, x0, y1, x1 = region.box
    height, width = y1 - y0 + 1, x1 - x0 + 1
    d = rng.uniform(-JITTER, JITTER, 4) * [height, width, height, width]
    return BoxPrompt(object_id, t, (y0 + d[0], x0 + d[1], y1 + d[2], x1 + d[3]))


def follow(job: Job) -> Followed:
    """Run the engine forward over the frames of a task."""
    task = job.task
    images, truth = load(task.movie, task.seed)
    prompts, model = prompts_of(task, truth[task.start], job.prompt), model_on_cpu(job.model)
    frames = (task.start, task.start + task.n_frames)
    begin = time.perf_counter()
    results = segment(images, prompts, model=model, frames=frames, direction="forward", config=job.config)
    labels, object_frames = [], 0
    for result in results:
        labels.append(result.labels)
        object_frames += len(result.objects)
    return Followed(np.stack(labels), object_frames, time.perf_counter() - begin)


def track_js(
    images: NDArray[Any],
    truth: NDArray[np.integer],
    prompts: Prompts,
    model: Segmenter,
    config: EngineConfig | None = None,
) -> dict[int, float]:
    """J of every object that is prompted on the first of the frames (T, Y, X), by its id."""
    results = segment(images, prompts, model=model, direction="forward", config=config)
    return js_of(np.stack([result.labels for result in results]), truth, prompts.object_ids)


def js_of(labels: NDArray[np.integer], truth: NDArray[np.integer], ids: Sequence[int]) -> dict[int, float]:
    """J of objects by their ids; the first of the frames does not count, unless it is the only one."""
    found = evaluate(labels, truth, ids=ids, prompts_frame=0, skip_prompted=len(truth) > 1)
    return {track.object_id: track.j for track in found.scores}


def score(job: Job) -> dict[str, Any]:
    """Follow and compare with the truth: a record of JSON types with the scores of every track."""
    task = job.task
    followed = follow(job)
    _, truth = load(task.movie, task.seed)
    here = truth[task.start : task.start + task.n_frames]
    found = evaluate(followed.labels, here, ids=list(task.ids), prompts_frame=0)
    return {
        "key": list(job.key),
        "movie": task.movie,
        "modality": task.modality,
        "start": task.start,
        "seed": task.seed,
        "cluster": task.cluster,
        "prompt": job.prompt,
        "model": job.model,
        "code": code_version(),
        "object_frames": followed.object_frames,
        "seconds": round(followed.seconds, 3),
        "tracks": [
            asdict(track) | {"ious": [round(float(iou), 3) for iou in found.ious[track.object_id]]}
            for track in found.scores
        ],
    }


def read_records(path: Path, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """What the jobs gave that have finished; a line that was cut off when a run was killed is left out."""
    if not path.exists():
        return []
    wanted = {job.key for job in jobs}
    records = {}
    for line in path.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            record = json.loads(line)
            records[tuple(record["key"])] = record
    return [record for key, record in records.items() if key in wanted]


def run(jobs: Sequence[Job], path: Path, n_processes: int) -> int:
    """Score the jobs that have no record yet and append theirs; returns how many failed."""
    done = {tuple(record["key"]) for record in read_records(path, jobs)}
    todo = [job for job in jobs if job.key not in done]
    failed = 0
    log.info("%d of %d runs to do", len(todo), len(jobs))
    with path.open("a") as file:
        for n, (job, record) in enumerate(spread(score, todo, n_processes), start=1):
            if isinstance(record, str):
                failed += 1
                log.error("%s failed: %s", job.key, record)
                continue
            file.write(json.dumps(record) + "\n")
            file.flush()
            log.info("%d/%d %s, %.0f s", n, len(todo), " ".join(job.key[:2]), record["seconds"])
    return failed


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the engine's source: results of different versions must not be compared unknowingly."""
    folder = Path(napari_mosam.core.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:12]


def spread(
    function: Callable[[ItemT], ResultT], items: Sequence[ItemT], n_processes: int
) -> Iterator[tuple[ItemT, ResultT | str]]:
    """Each item with its result, or with what went wrong, as they come; one torch thread per process."""
    if n_processes == 1:
        one_thread()
        yield from map(_Guarded(function), items)
        return
    with multiprocessing.get_context("spawn").Pool(n_processes, one_thread) as pool:
        yield from pool.imap_unordered(_Guarded(function), items)


@dataclass(frozen=True)
class _Guarded:
    """A function whose errors become text, so that one failure does not end a long run."""

    function: Callable[[Any], Any]

    def __call__(self, item: Any) -> tuple[Any, Any]:
        try:
            return item, self.function(item)
        except Exception as error:
            return item, f"{type(error).__name__}: {error}"


def one_thread() -> None:
    """Keep torch and OpenCV to one thread, so that processes do not get in each other's way."""
    import torch

    torch.set_num_threads(1)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)
