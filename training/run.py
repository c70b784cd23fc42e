"""Train a recipe: ``python -m training.run CONFIG --out DIR``; see README.md beside this file."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from napari_mosam.core.device import choose_device
from training.config import TrainingConfig
from training.loop import Place, Trainer
from training.movies import source_of
from training.pack import Packed, pack
from training.recipes import CONFIGS, read_config
from training.stills import SOURCES, stills_folder

LOGGER = logging.getLogger("training")


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    options = argparse.ArgumentParser(prog="python -m training.run", description=__doc__)
    options.add_argument("config", help="a TOML file, or the name of one in training/configs")
    options.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and the packed model")
    options.add_argument("--seconds", type=float, help="length of the run, instead of the recipe's")
    options.add_argument("--steps", type=int, help="updates of the run, instead of the recipe's length")
    options.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    options.add_argument("--stills", type=Path, help="folder of real stills (default: $MOSAM_DATA/stills, or none)")
    options.add_argument("--no-stills", action="store_true", help="simulated movies only")
    options.add_argument("--device", default="auto", help="cuda, mps or cpu")
    options.add_argument("--clips", type=int, help="at most so many clips per batch, for small machines")
    return options


def recipe_path(given: str) -> Path:
    """A recipe by path, or by name from the folder of recipes."""
    path = Path(given)
    return path if path.suffix == ".toml" else CONFIGS / f"{given}.toml"


def adjusted(config: TrainingConfig, given: argparse.Namespace) -> TrainingConfig:
    """The recipe with what the command line changes in it."""
    optimiser = config.optimiser
    if given.steps is not None:
        optimiser = replace(optimiser, steps=given.steps, seconds=given.seconds or 0.0)
    elif given.seconds is not None:
        optimiser = replace(optimiser, seconds=given.seconds, steps=0)
    stages = config.stages
    if given.clips is not None:
        stages = tuple(replace(stage, clips=min(stage.clips, given.clips)) for stage in stages)
    return replace(config, optimiser=optimiser, stages=stages)


def train(config: TrainingConfig, stills: Path | None, place: Place, *, resume: bool = False) -> tuple[Trainer, Packed]:
    """Run a recipe to its end and pack the running mean of its weights into the folder."""
    if place.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    trainer = Trainer(config, source_of(config.data, stills), place)
    if resume:
        trainer.resume()
    trainer.run()
    return trainer, packed(trainer, place.folder, stills is not None and config.data.stills > 0)


def packed(trainer: Trainer, folder: Path, with_stills: bool) -> Packed:
    """Pack what a trainer has reached."""
    name = trainer.config.model.name
    return pack(trainer.average.state, trainer.parameters, provenance(trainer, with_stills), folder, name)


def provenance(trainer: Trainer, with_stills: bool) -> dict[str, Any]:
    """How the weights were made: recipe, length and data."""
    data = ["simulated movies"]
    if with_stills:
        data += [f"pseudo-movies from {s.folder} ({s.licence}), train part" for s in SOURCES]
    return {
        "recipe": trainer.config.to_dict(),
        "steps": trainer.step,
        "skipped_steps": trainer.skipped,
        "seconds": round(trainer.elapsed, 1),
        "data": data,
        "torch": torch.__version__,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = parser().parse_args(arguments)
    path = recipe_path(given.config)
    config = adjusted(read_config(path), given)
    stills = None if given.no_stills else stills_folder(given.stills)
    place = Place(choose_device(given.device), given.out, path.parent)
    LOGGER.info("%s on %s, %s", config.model.name, place.device, stills or "simulated movies only")
    _, files = train(config, stills, place, resume=given.resume)
    LOGGER.info("%s  SHA-256 %s", files.weights, files.sha256)


if __name__ == "__main__":
    main()
