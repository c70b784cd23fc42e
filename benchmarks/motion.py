"""Learned against classical motion: the next box, and the next mask, when all masks so far are true.

    MOSAM_DATA=... python -m benchmarks.motion --out motion

Boxes: 'still' is the last box, 'velocity' repeats the last displacement, 'classical' moves the last box by the engine's
cues, 'learned' is the sparse encoder's box, or the classical one where it abstains. Masks: the last mask moved by the
classical shift, warped by the image's flow, and warped by the dense encoder around the same shift. The tracks are those
of accuracy.py, and cells of simulated movies with seeds that no training uses. Means over tracks, and 95 % paired
bootstrap intervals over start frames (or movies) and their tracks. What this does to whole runs: accuracy.py.
"""

import argparse
import json
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from training.motion.movies import scenes

from benchmarks.runs import one_thread
from benchmarks.stats import interval, movies_mean
from benchmarks.tasks import CELL_MOVIES, load, real_tasks, stress_tasks
from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.raster import rasterise, region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.queries import encode_windows
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.motion.cues import FrameMotion, MotionEstimator
from napari_mosam.core.motion.history import TrackHistory
from napari_mosam.core.motion.learned.encoders import DeformedMask, FramePair, MotionEncoders, WindowFeatures
from napari_mosam.core.motion.prediction import fuse, sparse_cues
from napari_mosam.core.results.frame import Cue
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

log = logging.getLogger("benchmarks")
Box = tuple[float, float, float, float]
Shift = tuple[float, float]
BOXES, MASKS = ("still", "velocity", "classical", "learned"), ("moved", "flow", "learned")
HELD_OUT_SEED, N_HELD_OUT = 990_000, 24
STRESS = ("crowd", "twins_cross", "stage_leaps", "faint")
STRESS_SEEDS = (700, 701)
RATIO, LOGIT = 5.0, 8.0
EVERY = 3
"""Masks are compared on every third frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames (T, Y, X) in [0, 1], true labels, the cells that count, and the exact flow where it is known."""

    movie: str
    cluster: str
    frames: NDArray[np.float32]
    labels: NDArray[np.integer]
    ids: tuple[int, ...]
    flow: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell before a frame and on it."""

    object_id: int
    course: TrackHistory
    last: Region
    now: Region
    classical: Shift


@dataclass(frozen=True, slots=True)
class Found:
    """A score of one cell on one frame."""

    movie: str
    cluster: str
    object_id: int
    measure: str
    method: str
    value: float


def real_clips() -> Iterator[Clip]:
    """The tracks of accuracy.py on real movies of cells."""
    for task in real_tasks(CELL_MOVIES):
        images, truth = load(task.movie, None)
        stop = task.start + task.n_frames
        opened = Movie.open(images)
        frames = np.stack([opened[t] for t in range(task.start, stop)])
        yield Clip(task.movie, task.cluster, frames, truth[task.start : stop], task.ids)


def simulated_clips() -> Iterator[Clip]:
    """Random movies, and some that are hard to follow."""
    for k, scene in enumerate(islice(scenes(HELD_OUT_SEED, 12), N_HELD_OUT)):
        ids = tuple(scene.regions(0))
        yield Clip("random", f"random#{k}", scene.frames, scene.truth.labels, ids, scene.truth.flow)
    for task in stress_tasks(STRESS, STRESS_SEEDS):
        images, labels = load(task.movie, task.seed)
        opened = Movie.open(images)
        frames = np.stack([opened[t] for t in range(min(24, len(labels)))])
        yield Clip(task.movie, task.cluster, frames, labels, task.ids)


Cues = list[Cue | None]


def steps_of(clip: Clip) -> Iterator[tuple[int, FrameMotion, list[Cell], list[Cues]]]:
    """Frame by frame: the motion, the cells that are there before and now, and their cues."""
    estimator, courses = MotionEstimator(MotionConfig()), {i: TrackHistory() for i in clip.ids}
    for t, frame in enumerate(clip.frames):
        motion = estimator.step(frame)
        found = {i: Region.from_mask(clip.labels[t] == i) for i in clip.ids}
        now = {i: region for i, region in found.items() if region is not None}
        if t:
            rows = [i for i in now if courses[i].last is not None]
            sparse = sparse_cues(motion, [courses[i].last for i in rows], torch.device("cpu"))
            cues: list[Cues] = [[motion.dense(courses[i].last), cue] for i, cue in zip(rows, sparse, strict=True)]
            yield t, motion, [_cell(i, courses[i], now[i], motion, c) for i, c in zip(rows, cues, strict=True)], cues
        for i, course in courses.items():
            carried = course.advanced(motion.drift_yx) if t else course
            courses[i] = carried.seen(now[i], 0.9) if i in now else carried


def _cell(i: int, course: TrackHistory, now: Region, motion: FrameMotion, cues: Cues) -> Cell:
    last = course.last
    if last is None:
        raise ValueError(f"object {i} has not been seen yet")
    shift, _ = fuse([motion.drift, *(c for c in cues if c is not None)], last.diameter)
    return Cell(i, course, last, now, shift)


def box_scores(clip: Clip, learned: MotionEncoders) -> Iterator[Found]:
    """Box IoU and error of its centre (diameters), by method; and how often the encoder answers."""
    for _, motion, cells, cues in steps_of(clip):
        guesses = learned.guess([cell.course for cell in cells], motion, cues)
        for cell, guess in zip(cells, guesses, strict=True):
            velocity = cell.course.velocity() or (0.0, 0.0)
            boxes = {
                "still": cell.last.box,
                "velocity": moved(cell.last.box, (velocity[0] + motion.drift_yx[0], velocity[1] + motion.drift_yx[1])),
                "classical": moved(cell.last.box, cell.classical),
            }
            answer = guess if guess is not None and guess.confidence > 0 else None
            boxes["learned"] = answer.box if answer is not None else boxes["classical"]
            head = (clip.movie, clip.cluster, cell.object_id)
            yield Found(*head, "answers", "learned", float(answer is not None))
            for method, box in boxes.items():
                yield Found(*head, "box IoU", method, box_iou(box, cell.now.box))
                yield Found(*head, "centre error", method, center_miss(box, cell.now.box) / cell.last.diameter)


def moved(box: Box, shift: Sequence[float]) -> Box:
    y0, x0, y1, x1 = box
    return (y0 + shift[0], x0 + shift[1], y1 + shift[0], x1 + shift[1])


def box_iou(a: Box, b: Box) -> float:
    """Boxes are inclusive pixels."""
    sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + 1 for k in (0, 1)]
    both = max(0.0, sides[0]) * max(0.0, sides[1])
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return both / (sum(areas) - both)


def center_miss(a: Box, b: Box) -> float:
    y, x = (((a[k] + a[k + 2]) - (b[k] + b[k + 2])) / 2 for k in (0, 1))
    return float(np.hypot(y, x))


def mask_scores(clip: Clip, learned: MotionEncoders, model: Sam2Segmenter) -> Iterator[Found]:
    """IoU of the last mask, moved or warped, with the true next one; endpoint error (diameters) where flow is known."""
    size = model.image_size // 4
    before_windows: dict[int, Window] = {}
    for t, motion, cells, _ in steps_of(clip):
        windows = {c.object_id: _window(c) for c in cells}
        chosen = [c for c in cells if t % EVERY == 0 and c.object_id in before_windows]
        if chosen:
            past = [before_windows[c.object_id] for c in chosen]
            here = [windows[c.object_id] for c in chosen]
            yield from _compared(clip, t, motion, chosen, (past, here), (learned, model, size))
        before_windows = windows


def _window(cell: Cell) -> Window:
    (y, x), (dy, dx) = cell.last.center_yx, cell.classical
    return Window.square((y + dy, x + dx), RATIO * cell.last.diameter)


def _compared(
    clip: Clip,
    t: int,
    motion: FrameMotion,
    cells: Sequence[Cell],
    windows: tuple[Sequence[Window], Sequence[Window]],
    tools: tuple[MotionEncoders, Sam2Segmenter, int],
) -> Iterator[Found]:
    learned, model, size = tools
    (past, here), shape = windows, clip.frames.shape[1:]
    seen = [
        encode_windows(model, Pyramid.of(frame, model.device), some)
        for frame, some in ((clip.frames[t - 1], past), (clip.frames[t], here))
    ]
    steps = [
        FramePair(
            WindowFeatures(seen[0].take([k]), past[k]),
            WindowFeatures(seen[1].take([k]), here[k]),
            WindowMask((rasterise(c.last, past[k], size)[0] * 2 - 1) * LOGIT, past[k], c.last),
            c.classical,
        )
        for k, c in enumerate(cells)
    ]
    if motion.flow is None:
        raise ValueError("the flow is measured, but motion was estimated without it")
    full = motion.flow.full()
    for cell, found in zip(cells, learned.deform(steps), strict=True):
        head, plain = (clip.movie, clip.cluster, cell.object_id), cell.last.shifted(cell.classical)
        warped = region_of_logits(found.logits, found.window, shape) if found is not None else None
        masks = {"moved": plain, "flow": warped_by(full, cell.last), "learned": warped or plain}
        yield Found(*head, "answers", "learned", float(warped is not None))
        for method, mask in masks.items():
            yield Found(*head, "mask IoU", method, mask.iou(cell.now) if mask is not None else 0.0)
        if clip.flow is not None:
            for method, miss in endpoint_errors(clip.flow, clip, t, cell, full, found).items():
                yield Found(*head, "endpoint error", method, miss / cell.last.diameter)


def endpoint_errors(
    flow: NDArray[np.float32], clip: Clip, t: int, cell: Cell, full: NDArray[np.float32], found: DeformedMask | None
) -> dict[str, float]:
    """Median distance between where the pixels of a mask go and where they are said to go, px."""
    y, x = np.nonzero((clip.labels[t - 1] == cell.object_id) & (clip.labels[t - 1] > 0))
    true, shift = flow[t - 1][:, y, x], np.array(cell.classical)[:, None]
    said = {"moved": shift, "flow": full[:, y, x], "learned": shift}
    if found is not None:
        side = found.flow.shape[-1]
        there = np.rint(found.window.to_model(np.stack([y, x], 1) + true.T, side)).astype(int).clip(0, side - 1)
        said["learned"] = found.flow.numpy()[:, there[:, 0], there[:, 1]]
    return {method: float(np.median(np.hypot(*(flow - true)))) for method, flow in said.items()}


def pixels_of(region: Region) -> tuple[slice, slice]:
    """The box of a region."""
    y0, x0, y1, x1 = region.box
    return slice(y0, y1 + 1), slice(x0, x1 + 1)


def warped_by(flow: NDArray[np.float32], region: Region) -> Region | None:
    """A mask warped by a flow that is given where things start, by its inverse around the mask."""
    from scipy.ndimage import map_coordinates

    reach = int(np.abs(flow[:, *pixels_of(region)]).max() + 2 * region.diameter)
    starts = [max(0, low - reach) for low in region.box[:2]]
    flow = flow[:, starts[0] : region.box[2] + reach, starts[1] : region.box[3] + reach]
    y, x = np.indices(flow.shape[1:], np.float32)
    source = np.stack([y, x])
    for _ in range(4):
        source = np.stack([y, x]) - np.stack([map_coordinates(part, source, order=1, mode="nearest") for part in flow])
    mask = np.zeros(flow.shape[1:], np.float32)
    (oy, ox), (height, width) = np.subtract(region.origin_yx, starts), region.mask.shape
    mask[oy : oy + height, ox : ox + width] = region.mask
    return Region.from_mask(map_coordinates(mask, source, order=1) > 0.5, (starts[0], starts[1]))


def table(found: Sequence[Found], measure: str, methods: Sequence[str], baseline: str) -> str:
    """Mean over tracks by movie and method; last, learned minus the baseline, paired, with its interval."""
    tracks: dict[str, dict[str, dict[tuple[str, int], float]]] = defaultdict(dict)
    grouped: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    for f in found:
        if f.measure == measure:
            grouped[f.movie, f.method, f.cluster, f.object_id].append(f.value)
    for (movie, method, cluster, i), values in grouped.items():
        tracks[movie].setdefault(method, {})[cluster, i] = float(np.mean(values))
    lines = [
        f"| {measure} (tracks) | {' | '.join(methods)} | learned minus {baseline} |",
        "|---|" + "---|" * (len(methods) + 1),
    ]
    for movie, by_method in tracks.items():
        means = [f"{movies_mean([clustered(by_method[m])]):.3f}" for m in methods]
        gain = {key: value - by_method[baseline][key] for key, value in by_method["learned"].items()}
        ci = interval([clustered(gain)])
        lines.append(
            f"| {movie} ({len(gain)}) | {' | '.join(means)} | {ci.mean:+.3f} [{ci.low:+.3f}, {ci.high:+.3f}] |"
        )
    return "\n".join(lines) + "\n"


def clustered(tracks: Mapping[tuple[str, int], float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for (cluster, _), value in tracks.items():
        groups[cluster].append(value)
    return groups


def answers(found: Sequence[Found]) -> str:
    """How often the encoder answered, by movie."""
    by_movie: dict[str, list[float]] = defaultdict(list)
    for f in found:
        if f.measure == "answers":
            by_movie[f.movie].append(f.value)
    return "answers: " + ", ".join(f"{movie} {np.mean(values):.2f}" for movie, values in by_movie.items()) + "\n"


def main() -> int:
    """Run both comparisons and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("motion"))
    parser.add_argument("--model", default="nano", help="name or path of the weights whose features the encoders read")
    parser.add_argument("--models", type=Path, help="folder of other encoders than the shipped ones")
    parser.add_argument("--skip-masks", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    one_thread()
    model = load_model(given.model, device="cpu")
    folder = {"folder": given.models} if given.models else {}
    learned = MotionEncoders.shipped(model.device, model.fingerprint, dense=not given.skip_masks, **folder)
    clips = [*simulated_clips(), *(real_clips() if os.environ.get("MOSAM_DATA") else ())]
    boxes: list[Found] = []
    masks: list[Found] = []
    for clip in clips:
        boxes += box_scores(clip, learned)
        masks += mask_scores(clip, learned, model) if learned.sees else ()
        log.info("%s", clip.cluster)
    text = table(boxes, "box IoU", BOXES, "classical") + "\n" + table(boxes, "centre error", BOXES, "classical")
    text += answers(boxes)
    if masks:
        text += "\n" + table(masks, "mask IoU", MASKS, "moved") + "\n" + table(masks, "endpoint error", MASKS, "moved")
        text += answers(masks)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "tables.md").write_text(text)
    (given.out / "scores.json").write_text(
        json.dumps([[getattr(f, n) for n in Found.__slots__] for f in boxes + masks])
    )
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
