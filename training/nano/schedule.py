"""How far a run is, and how fast it learns."""

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Budget:
    """Length of a run, in updates or in seconds; where both are given, whichever is spent first ends it.

    Attributes
    ----------
    steps : int
        0: no limit.
    seconds : float
        0: no limit.
    """

    steps: int
    seconds: float

    def progress(self, step: int, elapsed: float) -> float:
        """Share of the run that is done after `step` updates and `elapsed` seconds, in [0, 1]."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))


class Pace(Protocol):
    """Settings of the learning rate; those of :class:`training.config.OptimiserConfig`."""

    @property
    def rate(self) -> float:
        """The largest."""
        ...

    @property
    def final_rate(self) -> float:
        """Its share at the end."""
        ...

    @property
    def warmup(self) -> int:
        """Updates over which it grows."""
        ...


def learning_rate(step: int, progress: float, config: Pace) -> float:
    """Rate of update `step` (from 0): a linear warm-up times a cosine from `rate` to ``rate * final_rate``."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.rate * warm * (config.final_rate + (1 - config.final_rate) * cosine)


def average_decay(step: int, largest: float) -> float:
    """Decay of the running mean at update `step`: small at first, so that it forgets the start."""
    return min(largest, (step + 1) / (step + 10))
