"""Everything a run needs to go on, in one file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FORMAT = 1


class CheckpointError(ValueError):
    """A run cannot be resumed."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State of a run after `step` updates.

    Attributes
    ----------
    step : int
    elapsed : float
        Seconds of all its parts.
    skipped : int
        Updates left out because a gradient was not finite.
    network, average : dict of str to Tensor
        The weights and their running mean.
    optimiser : dict
        State of the optimiser.
    settings : dict
        The recipe, as plain types.
    object_frames : int
        Objects seen, counted on every frame of every batch.
    fresh_since : int
        Updates before the optimiser began afresh.
    """

    step: int
    elapsed: float
    skipped: int
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    settings: dict[str, Any]
    object_frames: int = 0
    fresh_since: int = 0

    def save(self, path: Path) -> None:
        """Write to a file that is whole at any time, however the process ends."""
        partial = path.with_suffix(".part")
        torch.save({"format": FORMAT, **{n: getattr(self, n) for n in self.__slots__}}, partial)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; nothing in it is executed.

        Raises
        ------
        CheckpointError
            If there is none, or it was written in another format.
        """
        if not path.is_file():
            raise CheckpointError(f"there is no checkpoint '{path}' to resume from")
        stored = torch.load(path, map_location="cpu", weights_only=True)
        if stored.pop("format", None) != FORMAT:
            raise CheckpointError(f"'{path}' is no checkpoint of this version")
        return cls(**stored)
