"""The training loop: batches in, better weights out; stops and resumes anywhere."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from napari_mosam.core.model.build import load_weights
from napari_mosam.core.model.device import choose_dtype
from training.config import OptimiserConfig, TrainingConfig
from training.data.clips import ClipBatch
from training.data.movies import MovieSource
from training.nano.average import RunningMean
from training.nano.checkpoints import Checkpoint, CheckpointError
from training.nano.drawing import Drawing, DrawingProcesses
from training.nano.metrics_log import MetricsLog
from training.nano.networks import description_of, new_network
from training.nano.prefetcher import Prefetcher
from training.nano.schedule import Budget, average_decay, learning_rate
from training.nano.validation import Validation
from training.nano.working import WorkingNetworks
from training.recipes import CONFIGS
from training.rollout.rollout import LossReport, Rollout
from training.slices import SliceState, plain, read_slice

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
BETAS = (0.9, 0.98)
SAVE_S = 600.0
"""Seconds of work that a machine that is switched off may lose at most, and one update."""

LINE_S = 60.0
"""Seconds between two lines of the log, or fewer where the recipe says so."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run computes and writes.

    Attributes
    ----------
    device : torch.device
    folder : Path
        Of the checkpoint and the log; made if need be.
    recipes : Path
        Where the files of networks that the recipe names lie.
    """

    device: torch.device
    folder: Path
    recipes: Path = CONFIGS


class Keeper(Protocol):
    """Writes what a run has reached."""

    def goes_on(self, trainer: "Trainer") -> bool:
        """Asked after every update: write if it is time, and whether the run goes on."""
        ...

    def save(self, trainer: "Trainer") -> Path:
        """Asked at the end of the run."""
        ...


class Checkpoints:
    """Whole checkpoints every few updates, as the recipe says, and every ten minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written = clock()

    def goes_on(self, trainer: "Trainer") -> bool:
        """See :class:`Keeper`."""
        is_due = self._clock() - self._written >= SAVE_S
        if is_due or trainer.step % trainer.config.optimiser.save_every == 0:
            self.save(trainer)
        return True

    def save(self, trainer: "Trainer") -> Path:
        """See :class:`Keeper`."""
        self._written = self._clock()
        return trainer.save()


class Trainer:
    """One run of a recipe.

    Every batch and every choice is a function of the recipe's seed and the index of the batch, so that a run limited
    by updates gives the same weights whether or not it was interrupted.

    Parameters
    ----------
    config : TrainingConfig
    source : MovieSource
    place : Place
    validation : Validation, optional
        Clips that the weights are tried on once a minute.
    clock : callable
        Seconds; only differences count.
    """

    def __init__(
        self,
        config: TrainingConfig,
        source: MovieSource,
        place: Place,
        validation: Validation | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        place.folder.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.description = description_of(config.model, place.recipes)
        self.network: Any = new_network(config.model, self.description, config.seed).to(place.device)
        self.average = RunningMean(self.network)
        self.step = 0
        self.skipped = 0
        self.object_frames = 0
        self.n_slices = 1
        self._place = place
        self._validation = validation
        self._clock = clock
        sizes = config.sizes(self.network.image_size)
        self._working = WorkingNetworks(self.network, self.description, sizes, choose_dtype(place.device))
        self.drawing = Drawing(config, source, self.network.image_size)
        self._optimiser = new_optimiser(self.network, config.optimiser)
        self._budget = Budget(config.optimiser.steps, config.optimiser.seconds)
        self._journal = MetricsLog(place.folder / LOG)
        self._before = 0.0
        self._started = self._minute_began = clock()
        self._fresh_since = 0

    # ---- state

    @property
    def elapsed(self) -> float:
        """Seconds of training, in all parts of the run."""
        return self._before + self._clock() - self._started

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        return self._budget.progress(self.step, self.elapsed)

    def save(self) -> Path:
        """Write the checkpoint."""
        path = self._place.folder / CHECKPOINT
        network, average = self.network.state_dict(), self.average.state
        optimiser, settings = self._optimiser.state_dict(), self.config.to_dict()
        n_seen = self.object_frames
        done = (self.step, self.elapsed, self.skipped)
        Checkpoint(*done, network, average, optimiser, settings, n_seen, self._fresh_since).save(path)
        return path

    def resume(self) -> None:
        """Go on from the checkpoint in the folder.

        Raises
        ------
        CheckpointError
            If there is none, or it is of a run with another network.
        """
        stored = Checkpoint.load(self._place.folder / CHECKPOINT)
        if stored.settings["model"] != self.config.to_dict()["model"]:
            raise CheckpointError(f"the checkpoint is of another model: {stored.settings['model']}")
        self.network.load_state_dict(stored.network)
        self.average.load(stored.average)
        self._optimiser.load_state_dict(stored.optimiser)
        self.step, self.skipped, self.object_frames = stored.step, stored.skipped, stored.object_frames
        self._fresh_since = stored.fresh_since
        self._before, self._started = stored.elapsed, self._clock()
        self._working.refresh()

    def slice_state(self, data: list[str]) -> SliceState:
        """How far the run is, for those who go on another day."""
        settings = self.config.optimiser
        last = max(self._fresh_since, self.step - 1)
        rate = learning_rate(last - self._fresh_since, self._budget.progress(last, 0.0), settings)
        return SliceState(
            settings=plain(self.config.to_dict()),
            data=data,
            updates=self.step,
            total_updates=settings.steps,
            skipped=self.skipped,
            object_frames=self.object_frames,
            seconds=round(self.elapsed, 1),
            slices=self.n_slices,
            rate=rate,
            losses=self._journal.latest,
        )

    def resume_from(self, weights: Path, data: list[str]) -> None:
        """Go on from what a slice left, with a fresh optimiser, and so with another warm-up.

        Raises
        ------
        CheckpointError
            If it is of another recipe, length or data.
        ModelError
            If the weights do not fit the network.
        """
        stored = read_slice(weights)
        stored.check(self.config.to_dict(), data)
        load_weights(self.network, weights)
        self._working.refresh()
        self.average.load(self.network.state_dict())
        self.step, self.skipped, self.object_frames = stored.updates, stored.skipped, stored.object_frames
        self.n_slices, self._fresh_since = stored.slices + 1, stored.updates
        self._before, self._started = stored.seconds, self._clock()

    # ---- work

    def run(self, until: int | None = None, keeper: "Keeper | None" = None) -> None:
        """Train until the budget is spent, for the first `until` updates of it, or as long as the keeper lets it."""
        keeper, settings = keeper or Checkpoints(), self.config.optimiser
        batch_of, end_drawing = self._drawing()
        ahead = Prefetcher(batch_of, self.step * settings.accumulate, self.config.data.queue)
        batches, self._started, self._before = iter(ahead), self._clock(), self.elapsed
        try:
            while self.progress < 1 and (until is None or self.step < until):
                self._update(self._awaited(batches))
                if self._line_is_due():
                    self._write_line()
                if not keeper.goes_on(self):
                    break
        finally:
            ahead.stop()
            end_drawing()
        self._write_line()
        keeper.save(self)

    def _awaited(self, batches: Iterator[tuple[int, ClipBatch]]) -> list[tuple[int, ClipBatch]]:
        """The batches of an update; long waits for them say that drawing movies is the limit, not the network."""
        begin = self._clock()
        found = [next(batches) for _ in range(self.config.optimiser.accumulate)]
        self._journal.report({"waited": self._clock() - begin})
        return found

    def _drawing(self) -> tuple[Callable[[int], tuple[int, ClipBatch]], Callable[[], None]]:
        """What makes the batch of an index, on this run's device, and what is to be called when no more are needed."""
        device, n_processes = self._place.device, self.config.data.processes
        if n_processes == 0:
            return lambda k: (k, self.drawing.batch(k, self._progress_at(k), device)), lambda: None
        processes = DrawingProcesses(self.drawing, n_processes, self._progress_at)
        return lambda k: (k, processes.batch(k, device)), processes.close

    def _progress_at(self, index: int) -> float:
        """Share of the run that is done at the update of a batch; of a run limited by seconds, now."""
        step = index // self.config.optimiser.accumulate
        return self._budget.progress(step, self.elapsed if self._budget.seconds else 0.0)

    def _update(self, batches: list[tuple[int, ClipBatch]]) -> None:
        rate = learning_rate(self.step - self._fresh_since, self.progress, self.config.optimiser)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        for index, clip in batches:
            parts = self._working.parts(clip.images.shape[-1])
            judged = Rollout(parts, self.config, clip, self.progress, f"{self.config.seed}/{index}").run()
            torch.autograd.backward(judged.losses.total / len(batches))
            self._working.collect()
            self._report(judged)
            self.object_frames += clip.n_rows * clip.n_frames
        self._apply(rate)

    def _apply(self, rate: float) -> None:
        """Change the weights, unless a gradient is not finite."""
        settings = self.config.optimiser
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        if bool(torch.isfinite(norm)):
            self._optimiser.step()
            self._working.refresh()
            self.average.update(self.network, average_decay(self.step, settings.average))
        else:
            self.skipped += 1
        self._journal.report({"gradient": float(norm), "rate": rate})
        self.step += 1

    def _report(self, judged: LossReport) -> None:
        losses = judged.losses
        named: dict[str, Tensor] = {"loss": losses.total, "mask": losses.mask, "iou": losses.iou, "score": losses.score}
        self._journal.report({name: float(value.detach()) for name, value in named.items()} | judged.measures)

    def _line_is_due(self) -> bool:
        return self.step % self.config.optimiser.log_every == 0 or self._clock() - self._minute_began >= LINE_S

    def _write_line(self) -> None:
        """A line of what happened since the last one; once a minute with what the mean weights are worth."""
        if self._journal.is_empty:
            return
        if self._validation is not None and self._clock() - self._minute_began >= LINE_S:
            self._journal.report(self._validation.measure(self.average.state))
            self._minute_began = self._clock()
        facts = {"seconds": round(self.elapsed, 1), "progress": round(self.progress, 4), "skipped": self.skipped}
        self._journal.write(self.step, object_frames=self.object_frames, **facts)


def new_optimiser(network: torch.nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms and embeddings of one axis do not decay."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.rate, betas=BETAS)
