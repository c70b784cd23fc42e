"""A long run in slices of a few minutes, on machines that are lent for no longer.

A slice leaves three small files, which are whole at any time: ``NAME.safetensors``, the running mean of the weights in
fp16 with the state of the run in its header, ``NAME.yaml``, with which the engine loads it, and ``NAME.json``, which
says to people what the header says. The next slice goes on from there with a fresh optimiser; schedule and batches go
on where they were, because both are functions of the number of updates.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.nano.checkpoints import CheckpointError
from training.pack import write_weights

if TYPE_CHECKING:
    from training.nano.loop import Trainer

HEADER = "slice"
"""Entry of the weights file's header."""

SAVE_S = 45.0
"""Seconds between two writes: what a killed slice loses at most, and one update."""

FREE = {"optimiser": ("recompute", "log_every", "save_every"), "data": ("queue", "processes")}
"""Settings that change no number, and may differ from slice to slice."""

RESERVE_S = 60.0
"""Kept for the end of a slice, or a fifth of a short one."""


@dataclass(frozen=True, slots=True)
class SliceState:
    """How far a run is that is made in slices.

    Attributes
    ----------
    settings : dict
        The recipe, as plain types.
    data : list of str
        What it is trained on.
    updates, total_updates : int
        Done, and of the whole run.
    skipped : int
        Updates left out because a gradient was not finite.
    object_frames : int
        Objects seen, counted on every frame of every batch.
    seconds : float
        Of training, in all slices.
    slices : int
        Slices that were begun.
    rate : float
        Learning rate of the last update.
    losses : dict of str to float
        Means of the last lines of the log.
    """

    settings: dict[str, Any]
    data: list[str]
    updates: int = 0
    total_updates: int = 0
    skipped: int = 0
    object_frames: int = 0
    seconds: float = 0.0
    slices: int = 1
    rate: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        return self.updates / self.total_updates

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as they are written."""
        return asdict(self) | {"progress": round(self.progress, 6)}

    def check(self, settings: Mapping[str, Any], data: list[str]) -> None:
        """Refuse to go on with another recipe, length or data.

        Raises
        ------
        CheckpointError
            Naming what differs.
        """
        given = {**_binding(plain(settings)), "movies": data}
        stored = {**_binding(self.settings), "movies": self.data}
        different = [f"{key}: {stored.get(key)} there, {given.get(key)} here" for key in _differing(stored, given)]
        if different:
            raise CheckpointError(
                f"the slice is of another run ({'; '.join(different)}); name the same recipe and data"
            )


def _binding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that may differ."""
    return {
        section: {key: v for key, v in values.items() if key not in FREE[section]} if section in FREE else values
        for section, values in settings.items()
    }


def _differing(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in stored.keys() | given.keys() if stored.get(key) != given.get(key))


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they come back from JSON."""
    back: dict[str, Any] = json.loads(json.dumps(settings))
    return back


def read_slice(path: Path) -> SliceState:
    """The state in the header of a slice's weights.

    Raises
    ------
    CheckpointError
        If the file is missing or was not written by a slice.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"there is no slice '{path}' to go on from; give the .safetensors file that one left")
    try:
        with safe_open(path, framework="pt") as file:
            stored = json.loads((file.metadata() or {})[HEADER])
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"'{path}' was not written by a slice of a run") from error
    stored.pop("progress")
    return SliceState(**stored)


class Slice:
    """Keeps a run to its minutes, and what it has reached on disk.

    Parameters
    ----------
    minutes : float
        From now on, the time to build the network included. The last of them is kept for writing.
    folder : Path
    data : list of str
        What is trained on.
    clock : callable
        Seconds; only differences count.
    """

    def __init__(
        self, minutes: float, folder: Path, data: list[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._data = data
        self._clock = clock
        self._last = self._written = clock()
        self._end = self._last + 60 * minutes - min(RESERVE_S, 60 * minutes / 5)
        self._longest = 0.0

    def goes_on(self, trainer: "Trainer") -> bool:
        """Write if it is time, and whether another update fits in."""
        now = self._clock()
        self._longest = max(self._longest, now - self._last)
        if now - self._written >= SAVE_S:
            self.save(trainer)
            now = self._clock()
        self._last = now
        return now + self._longest < self._end

    def save(self, trainer: "Trainer") -> Path:
        """Write the files; returns the weights."""
        state = trainer.slice_state(self._data).to_dict()
        description, name = trainer.description, trainer.config.model.name
        weights = write_weights(
            trainer.average.state, description, state, self._folder, name, {HEADER: json.dumps(state)}
        ).weights
        self._written = self._clock()
        return weights
