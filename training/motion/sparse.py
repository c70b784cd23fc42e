"""Train the sparse motion encoder on simulated cells.

    python -m training.motion.sparse --seconds 600 --out runs/motion_sparse

Examples are made with what the engine has on a frame: the latest masks, right or wrong, drift, flow and key points. The
targets are the box and the key points of the true next mask. Loss: Gaussian negative log likelihood of the centre, of
the growth of the box, and of the key points. The same seeds and numbers of examples and
steps give the same weights; where time runs out first, they are fewer.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.cues import FrameMotion, MotionEstimator
from napari_mosam.core.motion.history import N_POINTS, TrackHistory, describe, key_points
from napari_mosam.core.motion.learned.sparse import SparseForecast, SparseMotionEncoder
from napari_mosam.core.motion.prediction import sparse_cues
from training.motion.movies import Errors, MotionScene, scenes
from training.motion.steps import Schedule, fit, read_command, save_encoder

log = logging.getLogger("training.motion")
N_FRAMES = 11
TARGET_WIDTH = 4 + 2 * N_POINTS
CHANCE_UNSEEN = 0.08
"""Of a frame on which an object is taken for lost."""

WEIGHTS = {"shift": 1.0, "growth": 0.3, "points": 0.2}
FLIPPED = {"y": (0, 3, 4, 1, 2), "x": (0, 2, 1, 4, 3), "swap": (0, 1, 3, 2, 4)}
"""Order of the key points after a reflection along y, along x, and about the diagonal."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Examples, one per row; see :func:`~napari_mosam.core.motion.history.describe`.

    Attributes
    ----------
    frames : Tensor, shape (N, N_FRAMES, SIGHT_WIDTH)
    candidates : Tensor, shape (N, K, CUE_WIDTH)
    targets : Tensor, shape (N, TARGET_WIDTH)
        Motion of the centre, growth, and motion of the key points, in diameters.
    """

    frames: Tensor
    candidates: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: Tensor) -> "Rows":
        """Some of them."""
        return Rows(self.frames[rows], self.candidates[rows], self.targets[rows])

    def reflected(self, kind: str) -> "Rows":
        """As they were in the reflected movie: 'y', 'x', or 'swap' for both axes exchanged."""
        frames, candidates, targets = self.frames.clone(), self.candidates.clone(), self.targets.clone()
        order = list(FLIPPED[kind])

        def turn(vectors: Tensor) -> Tensor:
            if kind == "swap":
                return vectors.flip(-1)
            return vectors * torch.tensor([-1.0, 1.0] if kind == "y" else [1.0, -1.0])

        frames[..., :2], candidates[..., :2], targets[..., :2] = (
            turn(v[..., :2]) for v in (frames, candidates, targets)
        )
        if kind == "swap":
            frames[..., 2:4], targets[..., 2:4] = frames[..., 2:4].flip(-1), targets[..., 2:4].flip(-1)
        for numbers, first in ((frames, 5), (targets, 4)):
            points = numbers[..., first:].unflatten(-1, (N_POINTS, 2))[..., order, :]
            numbers[..., first:] = turn(points).flatten(-2)
        return Rows(frames, candidates, targets)


def rows_of_scene(scene: MotionScene, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Every cell on every frame from the second to the last but one."""
    estimator, courses, errors = MotionEstimator(MotionConfig()), {}, {}
    estimator.step(scene.frames[0])
    for i, region in scene.regions(0).items():
        errors[i] = Errors.draw(rng)
        courses[i] = TrackHistory().seen(errors[i].apply(region, rng), 0.9)
    for t in range(1, len(scene.frames)):
        motion, truth = estimator.step(scene.frames[t]), scene.regions(t)
        yield from _examples(courses, motion, truth)
        for i, course in courses.items():
            courses[i] = course.advanced(motion.drift_yx)
            if i in truth and (t == 1 or rng.random() > CHANCE_UNSEEN):
                courses[i] = courses[i].seen(errors[i].apply(truth[i], rng), float(rng.uniform(0.6, 0.95)))


def _examples(
    courses: dict[int, TrackHistory], motion: FrameMotion, truth: dict[int, Region]
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    ids = [i for i, course in courses.items() if course.last is not None and i in truth]
    sparse = sparse_cues(motion, [courses[i].last for i in ids], torch.device("cpu"))
    for i, cue in zip(ids, sparse, strict=True):
        last = courses[i].last
        described = describe(courses[i], motion, [motion.dense(last), cue]) if last is not None else None
        if described is not None and last is not None:
            yield (*described, target(last, truth[i], motion.drift_yx))


def target(last: Region, now: Region, drift_yx: tuple[float, float]) -> NDArray[np.float32]:
    """What is to be forecast, (TARGET_WIDTH,)."""
    diameter, drift = last.diameter, np.array(drift_yx)
    shift = (np.subtract(now.center_yx, last.center_yx) - drift) / diameter
    growth = np.log(np.array(now.mask.shape) / last.mask.shape)
    points = (key_points(now) - key_points(last) - drift) / diameter
    return np.concatenate([shift, growth, points.ravel()]).astype(np.float32)


def make_rows(seed: int, n_rows: int, seconds: float, path: Path | None = None) -> Rows:
    """Examples from random movies; read from `path` where they are there already."""
    if path is not None and path.exists():
        return Rows(*torch.load(path, weights_only=True))
    rng, end = np.random.default_rng([seed, 12]), time.monotonic() + seconds
    found: list[tuple[NDArray[np.float32], ...]] = []
    for scene in scenes(seed, N_FRAMES):
        found += rows_of_scene(scene, rng)
        if len(found) >= n_rows or time.monotonic() > end:
            break
    columns = [torch.from_numpy(np.stack(column)) for column in zip(*found[:n_rows], strict=True)]
    log.info("%d examples", len(columns[0]))
    if path is not None:
        torch.save(columns, path)
    return Rows(*columns)


def loss_of(found: SparseForecast, targets: Tensor) -> Tensor:
    """Weighted Gaussian negative log likelihood, mean over the batch."""
    points = targets[:, 4:].unflatten(1, (N_POINTS, 2))
    shift = _nll(found.shift, targets[:, :2], found.log_var[:, :2])
    growth = _nll(found.growth, targets[:, 2:4], found.log_var[:, 2:3])
    spread = _nll(found.points, points, found.log_var[:, 3:, None])
    return WEIGHTS["shift"] * shift + WEIGHTS["growth"] * growth + WEIGHTS["points"] * spread


def _nll(found: Tensor, wanted: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * ((found - wanted) ** 2 * (-log_var).exp() + log_var).mean()


def batches(rows: Rows, size: int, seed: int) -> Iterator[Rows]:
    """Random rows, randomly reflected, without end."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        batch = rows.take(torch.randint(len(rows), (size,), generator=rng))
        for kind in ("y", "x", "swap"):
            if torch.rand((), generator=rng) < 0.5:
                batch = batch.reflected(kind)
        yield batch


def train(rows: Rows, held_out: Rows, schedule: Schedule, size: int = 256) -> tuple[SparseMotionEncoder, list[float]]:
    """A trained encoder and the loss at every step."""
    torch.manual_seed(schedule.seed)
    encoder = SparseMotionEncoder()

    def loss(batch: Rows) -> Tensor:
        return loss_of(encoder(batch.frames, batch.candidates), batch.targets)

    def check() -> dict[str, float]:
        return errors_of(encoder, held_out)

    losses = fit(encoder, batches(rows, size, schedule.seed), loss, schedule, check)
    return encoder, losses


@torch.no_grad()
def errors_of(encoder: SparseMotionEncoder, rows: Rows) -> dict[str, float]:
    """Error of the centre, diameters: of the encoder (mean, median) and of standing still."""
    found = encoder.eval()(rows.frames, rows.candidates)
    miss = (found.shift - rows.targets[:, :2]).norm(dim=1)
    encoder.train()
    still = rows.targets[:, :2].norm(dim=1)
    return {"mean": float(miss.mean()), "median": float(miss.median()), "still": float(still.mean())}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command = read_command(parser, Path(__file__).with_suffix(".json"))
    settings, out = command.settings, command.given.out
    seed, n_rows, budget = settings["data_seed"], settings["n_rows"], settings["data_seconds"]
    rows = make_rows(seed, n_rows, budget, out / "rows.pt")
    held_out = make_rows(seed + 1, n_rows // 10, budget / 10, out / "held_out.pt")
    encoder, losses = train(rows, held_out, command.schedule, settings["batch"])
    save_encoder(encoder, out / "motion_sparse", command.record(len(rows), losses, errors_of(encoder, held_out)))


if __name__ == "__main__":
    main()
