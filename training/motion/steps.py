"""The steps that train a motion encoder, its command line, and its files."""

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from training.nano.average import RunningMean
from training.nano.schedule import Budget, average_decay, learning_rate

log = logging.getLogger("training.motion")
BatchT = TypeVar("BatchT")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Parameters
    ----------
    steps : int
        Of the optimiser; the learning rate follows a cosine over them.
    seconds : float
        After which training stops all the same.
    rate, final_rate : float
        Learning rate after `warmup` steps, and its share at the end.
    average : float
        Decay per step of the moving average of the weights that is kept.
    seed : int
    """

    steps: int = 4000
    seconds: float = 600.0
    rate: float = 1e-3
    final_rate: float = 0.02
    warmup: int = 100
    weight_decay: float = 0.02
    average: float = 0.998
    seed: int = 0
    log_every: int = 200


def fit(
    encoder: nn.Module,
    batches: Iterator[BatchT],
    loss_of: Callable[[BatchT], Tensor],
    schedule: Schedule,
    check: Callable[[], Mapping[str, float]],
) -> list[float]:
    """Train in place and leave the averaged weights; returns the loss at every step."""
    optimiser = torch.optim.AdamW(encoder.parameters(), schedule.rate, weight_decay=schedule.weight_decay)
    averaged, budget = RunningMean(encoder), Budget(schedule.steps, schedule.seconds)
    begin, losses = time.monotonic(), list[float]()
    while (progress := budget.progress(len(losses), time.monotonic() - begin)) < 1:
        step = len(losses)
        _set_rate(optimiser, learning_rate(step, progress, schedule))
        loss = loss_of(next(batches))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        averaged.update(encoder, average_decay(step, schedule.average))
        if (step + 1) % schedule.log_every == 0:
            recent = sum(losses[-schedule.log_every :]) / schedule.log_every
            log.info("step %d loss %.4f %s", step + 1, recent, {k: round(v, 4) for k, v in check().items()})
    encoder.load_state_dict(averaged.state)
    return losses


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


@dataclass(frozen=True, slots=True)
class Command:
    """What a command asks for: its options, the settings of its configuration file, and the schedule."""

    given: argparse.Namespace
    settings: dict[str, Any]
    schedule: Schedule

    def record(self, n_examples: int, losses: Sequence[float], errors: Mapping[str, float]) -> dict[str, Any]:
        """How an encoder was made, for the file beside its weights."""
        numbers = {"examples": n_examples, "steps": len(losses), **errors}
        return {"schedule": asdict(self.schedule), "data": self.settings, **numbers}


def read_command(parser: argparse.ArgumentParser, config: Path) -> Command:
    """Options of both commands, `config` being the configuration file by default; makes the output folder."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=config)
    parser.add_argument("--seconds", type=float, help="of training; making examples has a limit of its own in the file")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = json.loads(given.config.read_text())
    schedule = Schedule(**settings["schedule"])
    if given.seconds is not None:
        schedule = replace(schedule, seconds=given.seconds)
    given.out.mkdir(parents=True, exist_ok=True)
    return Command(given, settings, schedule)


def save_encoder(encoder: nn.Module, path: Path, record: Mapping[str, Any], **made_for: str) -> None:
    """Write ``path.safetensors`` and ``path.json``: build parameters, SHA-256 of the weights, how they were made."""
    from safetensors.torch import save_file

    weights = path.with_suffix(".safetensors")
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    described = {"build": encoder.parameters_json, "sha256": digest, **made_for, "training": dict(record)}
    path.with_suffix(".json").write_text(json.dumps(described, indent=1) + "\n")
    log.info("wrote %s", weights)
