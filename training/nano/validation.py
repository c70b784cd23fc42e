"""How good the weights are on clips that training never draws: the same ones all through a run."""

from dataclasses import dataclass, replace
from math import nan
from typing import Any

import torch
from torch import Tensor

from napari_mosam.core.model.configs import Description, build_network
from napari_mosam.core.model.sam2_parts import Sam2Parts
from training.config import StageConfig, TrainingConfig
from training.data.clips import ClipBatch
from training.data.movies import MovieSource
from training.nano.drawing import Drawing
from training.rollout.rollout import Rollout

SEED = "validation"
"""Of the movies and of all choices: no run has it, whose seeds are numbers."""

CLIPS, FRAMES = 12, 6
"""216 object-frames, about 2 s of a processor at 256 px: a thirtieth of the minute between two measurements."""


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """A fixed batch of clips and a network to look at it with.

    Attributes
    ----------
    config : TrainingConfig
    clip : ClipBatch
    parts : Sam2Parts
    """

    config: TrainingConfig
    clip: ClipBatch
    parts: Sam2Parts

    @classmethod
    def of(
        cls,
        config: TrainingConfig,
        source: MovieSource,
        description: Description,
        device: torch.device,
        dtype: torch.dtype,
    ) -> "Validation":
        """Draw the clips.

        Parameters
        ----------
        config : TrainingConfig
        source : MovieSource
            Of movies that are not trained on.
        description : dict
            Of the network.
        device : torch.device
        dtype : torch.dtype
        """
        with torch.random.fork_rng(devices=[]):
            network: Any = build_network(description, config.model.name).to(device).train()
        stages = (StageConfig(clips=CLIPS, objects=3, frames=FRAMES),)
        own = replace(config, stages=stages)
        clip = Drawing(own, source, network.image_size).batch_of(SEED, stages[0], device)
        return cls(own, clip, Sam2Parts(network, dtype))

    @torch.no_grad()
    def measure(self, state: dict[str, Tensor]) -> dict[str, float]:
        """Mean IoU of some weights with the truth: over the frames after the prompt, and at once after two prompts."""
        self.parts.network.load_state_dict(state)
        found = Rollout(self.parts, self.config, self.clip, 1.0, SEED).run().measures
        return {f"valid_{name}": found.get(f"{name}_iou", nan) for name in ("tracked", "click", "box")}
