"""Random numbers of explicit generators, so that every batch is a function of its seed alone."""

import math
from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor


def generator(*words: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by the given words, e.g. ``generator(seed, "clip", step)``."""
    digest = sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def uniform(rng: torch.Generator, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform numbers of `shape` in [low, high)."""
    return torch.rand(tuple(shape), generator=rng, device=rng.device) * (high - low) + low


def log_uniform(rng: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    """Numbers whose logarithm is uniform between those of `low` and `high`."""
    return uniform(rng, shape, math.log(low), math.log(high)).exp()


def normal(rng: torch.Generator, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(tuple(shape), generator=rng, device=rng.device)


def chance(rng: torch.Generator, shape: Sequence[int], probability: float) -> Tensor:
    """True with the given probability."""
    return uniform(rng, shape) < probability


def integers(rng: torch.Generator, shape: Sequence[int], low: int, high: int) -> Tensor:
    """Whole numbers in [low, high)."""
    return torch.randint(low, high, tuple(shape), generator=rng, device=rng.device)


def happens(rng: torch.Generator, probability: float) -> bool:
    """One event."""
    return bool(chance(rng, (1,), probability))
