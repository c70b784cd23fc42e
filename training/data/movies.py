"""Movies with their truth, and where they come from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from training.config import DataConfig
from training.randomness import generator, happens, integers

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, eq=False)
class MovieBatch:
    """Movies of equal size.

    Attributes
    ----------
    images : Tensor of float32, shape (B, T, Y, X)
        In [0, 1].
    labels : Tensor of int32, shape (B, T, Y, X)
        Ids of the visible pixels, 0 = background.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def repeated(self, times: int, n: int) -> "MovieBatch":
        """Each movie `times` times in a row, the first `n` of all these."""
        rows = torch.arange(len(self), device=self.images.device).repeat_interleave(times)[:n]
        return self if times == 1 else MovieBatch(self.images[rows], self.labels[rows])

    @classmethod
    def join(cls, parts: "Sequence[MovieBatch]") -> "MovieBatch":
        """The movies of several batches in one."""
        return cls(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


class MovieSource(Protocol):
    """Where movies come from; the same seed gives the same movies."""

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        """`n` movies of `n_frames` frames of `side` x `side` px."""
        ...


class SimulatedMovies:
    """Movies of the batched simulator.

    Parameters
    ----------
    kinds : tuple of str
        Its modalities; empty: all.
    """

    def __init__(self, kinds: tuple[str, ...] = ()) -> None:
        self._kinds = kinds

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        """See :class:`MovieSource`."""
        from training.simulator.movies import random_batch

        number = int(integers(generator(seed, "simulated"), (1,), 0, 2**31 - 1))
        kinds = self._kinds or None
        batch = random_batch(number, n, n_frames=n_frames, shape=(side, side), device=device, kinds=kinds)
        return MovieBatch(batch.images, batch.labels)


class EasyMovies:
    """Movies of six stained cells each, about a fifth of the frame's side across, with different sizes and outlines."""

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        """See :class:`MovieSource`."""
        from napari_mosam.core.simulation import SimulationConfig
        from napari_mosam.core.simulation.scene import build_scene
        from training.simulator.movies import render_batch

        numbers = integers(generator(seed, "easy"), (n,), 0, 2**31 - 1).tolist()
        plain = SimulationConfig(n_frames=n_frames, shape=(side, side), n_cells=6, diameter=side / 5)
        look = replace(plain, diameter_spread=0.3, deformation=0.3)
        batch = render_batch([build_scene(replace(look, seed=number)) for number in numbers], device)
        return MovieBatch(batch.images, batch.labels)


class Mixed:
    """Movies of two sources, the second with a given share.

    Parameters
    ----------
    first, second : MovieSource
    share : float
        Of the second, in [0, 1].
    """

    def __init__(self, first: MovieSource, second: MovieSource, share: float) -> None:
        self._first = first
        self._second = second
        self._share = share

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        """See :class:`MovieSource`; a fraction of a movie is settled by chance."""
        whole, rest = divmod(n * self._share, 1)
        n_second = int(whole) + happens(generator(seed, "mixed"), rest)
        counts = ((self._first, n - n_second), (self._second, n_second))
        return MovieBatch.join([s.movies(seed, k, n_frames, side, device) for s, k in counts if k])


def source_of(config: DataConfig, stills: Path | None, part: str = "train") -> MovieSource:
    """Simulated movies, mixed with those made from one part of the stills in a folder, if there is one."""
    from training.data.pseudo import PseudoMovies
    from training.data.stills import load_stills

    simulated = EasyMovies() if config.easy else SimulatedMovies(config.kinds)
    if stills is None or config.stills == 0:
        return simulated
    return Mixed(simulated, PseudoMovies(load_stills(stills, part)), config.stills)
