"""Does training work on this machine? ``python -m training.smoke``: a small network from scratch, in minutes on a CPU.

It is the real loop with its real prompts, memory and losses. Afterwards the packed model is loaded in the engine and
has to segment and follow a simulated disk.
"""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.config.engine import WindowConfig as EngineWindow
from napari_mosam.core.masks.iou import mask_iou
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import BoxPrompt
from napari_mosam.core.simulation import disk_moves
from training.config import TrainingConfig
from training.nano.loop import CHECKPOINT, LOG, Place
from training.nano.metrics_log import read_journal
from training.recipes import CONFIGS, read_config
from training.run import train

LOGGER = logging.getLogger("training")
LEAST_IOU = 0.5
LARGEST_SHARE = 0.6
"""Of the first loss. An answer that does not look at the picture comes to about 0.8 of it, whatever the weights."""
N_DISKS = 4


class SmokeError(RuntimeError):
    """Training does not work."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """What came out.

    Attributes
    ----------
    first_loss, last_loss : float
        Mask loss in the first and in the last line of the first stage.
    prompted_iou, followed_iou : float
        Mean IoU of simulated disks on the frame with the box and on the frames after it.
    steps : int
    seconds : float
    """

    first_loss: float
    last_loss: float
    prompted_iou: float
    followed_iou: float
    steps: int
    seconds: float


def smoke(config: TrainingConfig, folder: Path) -> Smoke:
    """Train, pack, load and segment.

    Parameters
    ----------
    config : TrainingConfig
        A recipe for minutes on a CPU.
    folder : Path
        For the run.
    """
    trainer, files = train(config, None, Place(torch.device("cpu"), folder))
    if not (folder / CHECKPOINT).is_file():
        raise SmokeError("no checkpoint was written")
    first, last = falling(read_journal(folder / LOG), config.stages[0].until)
    prompted, followed = zip(*(disk_ious(files.weights, seed, config) for seed in range(N_DISKS)), strict=True)
    return Smoke(first, last, float(np.mean(prompted)), float(np.mean(followed)), trainer.step, trainer.elapsed)


def falling(lines: Sequence[dict[str, float]], until: float) -> tuple[float, float]:
    """Mask loss in the first and in the last line of the first stage, whose batches are alike."""
    alike = [line["mask"] for line in lines if line["progress"] <= until] or [lines[0]["mask"]]
    return alike[0], alike[-1]


def disk_ious(weights: Path, seed: int, config: TrainingConfig) -> tuple[float, float]:
    """IoU of a disk that is boxed on frame 0, there and on the frames after it, with the packed model in the engine."""
    model = load_model(weights, device="cpu", dtype="float32")
    movie = disk_moves(seed, n_frames=4)
    ys, xs = np.nonzero(movie.labels[0] == 1)
    box = BoxPrompt(1, 0, (float(ys.min()), float(xs.min()), float(ys.max()), float(xs.max())))
    engine = EngineConfig(window=EngineWindow(ratio=config.window.ratio))
    ious = [
        float(mask_iou(torch.from_numpy(result.labels == 1), torch.from_numpy(movie.labels[result.t] == 1)))
        for result in segment(movie.images, [box], model=model, config=engine)
    ]
    return ious[0], float(np.mean(ious[1:]))


def check(found: Smoke, least_iou: float = LEAST_IOU) -> None:
    """Refuse a result that does not show learning.

    Raises
    ------
    SmokeError
        If the loss did not fall, or the disks are not found.
    """
    if not found.last_loss < LARGEST_SHARE * found.first_loss:
        raise SmokeError(f"the loss did not fall enough: {found.first_loss:.3f} to {found.last_loss:.3f}")
    if found.prompted_iou < least_iou:
        raise SmokeError(f"the boxed disks are not found: mean IoU {found.prompted_iou:.2f} < {least_iou}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = argparse.ArgumentParser(prog="python -m training.smoke", description=__doc__)
    options.add_argument("--out", type=Path, help="keep the run in this folder")
    options.add_argument("--steps", type=int, help="updates, instead of the recipe's")
    given = options.parse_args(arguments)
    config = read_config(CONFIGS / "smoke.toml")
    if given.steps:
        config = replace(config, optimiser=replace(config.optimiser, steps=given.steps))
    with tempfile.TemporaryDirectory() as scratch:
        found = smoke(config, given.out or Path(scratch))
    LOGGER.info(
        "%d steps in %.0f s: mask loss %.3f -> %.3f; disks in the engine: IoU %.3f with a box, %.3f followed",
        found.steps,
        found.seconds,
        found.first_loss,
        found.last_loss,
        found.prompted_iou,
        found.followed_iou,
    )
    check(found)


if __name__ == "__main__":
    main()
