"""Train a recipe: ``python -m training.run CONFIG --out DIR``; see README.md beside this file."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from napari_mosam.core.model.device import choose_device, choose_dtype
from training.config import TrainingConfig
from training.data.movies import MovieSource, source_of
from training.data.stills import SOURCES, StillsError, stills_folder
from training.nano.loop import Place, Trainer
from training.nano.networks import description_of
from training.nano.validation import Validation
from training.pack import Packed, pack
from training.recipes import CONFIGS, read_config
from training.slices import Slice

LOGGER = logging.getLogger("training")


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    options = argparse.ArgumentParser(prog="python -m training.run", description=__doc__)
    options.add_argument("config", help="a TOML file, or the name of one in training/configs")
    options.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and the packed model")
    options.add_argument("--seconds", type=float, help="length of the run, instead of the recipe's")
    options.add_argument("--steps", type=int, help="updates of the run, instead of the recipe's length")
    start = options.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    start.add_argument("--resume-from", type=Path, metavar="WEIGHTS", help="go on from what a slice left")
    options.add_argument("--slice", type=float, metavar="MINUTES", help="stop in time, leave small files to go on from")
    options.add_argument("--stills", type=Path, help="folder of real stills (default: $MOSAM_DATA/stills, or none)")
    options.add_argument("--no-stills", action="store_true", help="simulated movies only")
    options.add_argument("--device", default="auto", help="cuda, mps or cpu")
    options.add_argument("--clips", type=int, help="at most so many clips per batch, for small machines")
    options.add_argument("--processes", type=int, help="so many processes draw movies, instead of the recipe's number")
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
    data = config.data if given.processes is None else replace(config.data, processes=given.processes)
    return replace(config, optimiser=optimiser, stages=stages, data=data)


def train(
    config: TrainingConfig,
    stills: Path | None,
    place: Place,
    *,
    resume: bool = False,
    resume_from: Path | None = None,
) -> tuple[Trainer, Packed]:
    """Run a recipe to its end and pack the running mean of its weights into the folder.

    `resume` goes on from the checkpoint in the folder, `resume_from` from the weights that a slice left.
    """
    trainer = new_trainer(config, stills, place)
    if resume:
        trainer.resume()
    if resume_from is not None:
        trainer.resume_from(resume_from, data_of(config, stills is not None))
    trainer.run()
    return trainer, packed(trainer, place.folder, stills is not None)


def train_slice(
    config: TrainingConfig, stills: Path | None, place: Place, minutes: float, resume_from: Path | None = None
) -> Trainer:
    """Train for some minutes from now on and leave the weights that another slice goes on from.

    Parameters
    ----------
    config : TrainingConfig
        Limited by updates: the whole run, of which this is a part.
    stills : Path or None
    place : Place
    minutes : float
        The last of them is kept for writing.
    resume_from : Path, optional
        The weights of the slice before.

    Raises
    ------
    ValueError
        If the recipe is limited by seconds: no two machines would agree on the learning rate.
    CheckpointError
        If the slice before is of another recipe, length or data.
    """
    if config.optimiser.steps == 0 or config.optimiser.seconds > 0:
        raise ValueError("a slice is a part of a run whose length is known in updates; give it with --steps")
    data = data_of(config, stills is not None)
    keeper = Slice(minutes, place.folder, data)
    trainer = new_trainer(config, stills, place)
    if resume_from is not None:
        trainer.resume_from(resume_from, data)
    trainer.run(keeper=keeper)
    return trainer


def new_trainer(config: TrainingConfig, stills: Path | None, place: Place) -> Trainer:
    """A run at its start."""
    if place.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    description, dtype = description_of(config.model, place.recipes), choose_dtype(place.device)
    validation = Validation.of(config, held_out(config, stills), description, place.device, dtype)
    return Trainer(config, source_of(config.data, stills), place, validation)


def held_out(config: TrainingConfig, stills: Path | None) -> MovieSource:
    """Movies that are not trained on; simulated ones where only the training part of the stills is at hand."""
    try:
        return source_of(config.data, stills, "test")
    except StillsError:
        return source_of(config.data, None)


def packed(trainer: Trainer, folder: Path, with_stills: bool) -> Packed:
    """Pack what a trainer has reached."""
    name = trainer.config.model.name
    return pack(trainer.average.state, trainer.description, provenance(trainer, with_stills), folder, name)


def provenance(trainer: Trainer, with_stills: bool) -> dict[str, Any]:
    """How the weights were made: recipe, length and data."""
    return {
        "recipe": trainer.config.to_dict(),
        "steps": trainer.step,
        "skipped_steps": trainer.skipped,
        "seconds": round(trainer.elapsed, 1),
        "data": data_of(trainer.config, with_stills),
        "torch": torch.__version__,
    }


def data_of(config: TrainingConfig, with_stills: bool) -> list[str]:
    """What a run is trained on."""
    stills = SOURCES if with_stills and config.data.stills > 0 else ()
    return ["simulated movies", *(f"pseudo-movies from {s.folder} ({s.licence}), train part" for s in stills)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = parser().parse_args(arguments)
    path = recipe_path(given.config)
    config = adjusted(read_config(path), given)
    stills = None if given.no_stills else stills_folder(given.stills)
    place = Place(choose_device(given.device), given.out, path.parent)
    LOGGER.info("%s on %s, %s", config.model.name, place.device, stills or "simulated movies only")
    if given.slice is not None:
        trainer = train_slice(config, stills, place, given.slice, given.resume_from)
        LOGGER.info("%d of %d updates in %s", trainer.step, config.optimiser.steps, given.out)
        return
    _, files = train(config, stills, place, resume=given.resume, resume_from=given.resume_from)
    LOGGER.info("%s  SHA-256 %s", files.weights, files.sha256)


if __name__ == "__main__":
    main()
