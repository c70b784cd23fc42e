"""Batches of a run: each a function of the recipe, its index, and how far the run is; drawn in processes of their own.

Drawing a movie is many small steps of Python, and so is an update. In threads of one process they would take turns.
"""

import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from training.config import StageConfig, TrainingConfig
from training.data.clips import ClipBatch, cut_clips
from training.data.movies import MovieSource
from training.randomness import generator, integers

NICENESS = 10
"""Added to that of the run: an update should not wait for a processor that draws what is needed later."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the batches of a run are made.

    Attributes
    ----------
    config : TrainingConfig
    source : MovieSource
    image_size : int
        The network's own input size, px.
    """

    config: TrainingConfig
    source: MovieSource
    image_size: int

    def batch(self, index: int, progress: float, device: torch.device) -> ClipBatch:
        """Batch `index` of the run, counted through all updates.

        Parameters
        ----------
        index : int
        progress : float
            Share of the run that is done, in [0, 1].
        device : torch.device
            Where it is drawn, and lies.
        """
        return self.batch_of(f"{self.config.seed}/{index}", self.config.stage_at(progress), device)

    @torch.no_grad()
    def batch_of(self, seed: str, stage: StageConfig, device: torch.device) -> ClipBatch:
        """A batch as it is in some stage, a function of the seed."""
        data, n_movies = self.config.data, math.ceil(stage.clips / self.config.data.per_movie)
        movies = self.source.movies(seed, n_movies, stage.frames, data.side, device)
        movies = movies.repeated(data.per_movie, stage.clips)
        return cut_clips(movies, stage, self.config.window, self._size(stage, seed), seed)

    def _size(self, stage: StageConfig, seed: str) -> int:
        """Side of the input, px."""
        sizes = stage.sizes or (self.image_size,)
        return int(sizes[int(integers(generator(seed, "size"), (1,), 0, len(sizes)))])


class DrawingProcesses:
    """Batches drawn ahead on the CPU by several processes; they come back through files, which are soon gone.

    Parameters
    ----------
    drawing : Drawing
        Handed to each process once.
    n_processes : int
        One thread each.
    progress : callable
        Share of the run that is done at the update of a batch.
    """

    def __init__(self, drawing: Drawing, n_processes: int, progress: Callable[[int], float]) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="mosam-batches-", ignore_cleanup_errors=True)
        self._pool = ProcessPoolExecutor(n_processes, context, _begin, (drawing,))
        self._progress = progress
        self._ahead = n_processes + 1
        self._asked: dict[int, Future[Path]] = {}

    def batch(self, index: int, device: torch.device) -> ClipBatch:
        """Batch `index`, and a request for those that follow it; to be called with growing numbers."""
        for k in range(index, index + self._ahead):
            if k not in self._asked:
                path = Path(self._folder.name) / f"{k}.pt"
                self._asked[k] = self._pool.submit(_drawn, k, self._progress(k), path)
        return _read(self._asked.pop(index).result(), device)

    def close(self) -> None:
        """End the processes after the batches that they are at."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


_drawing: Drawing | None = None
"""Of a process that draws: set when it begins, and never again."""


def _begin(drawing: Drawing) -> None:
    global _drawing
    _drawing = drawing
    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(NICENESS)


def _drawn(index: int, progress: float, path: Path) -> Path:
    assert _drawing is not None
    batch = _drawing.batch(index, progress, torch.device("cpu"))
    torch.save({field.name: getattr(batch, field.name) for field in fields(batch)}, path)
    return path


def _read(path: Path, device: torch.device) -> ClipBatch:
    tensors = torch.load(path, weights_only=True)
    path.unlink()
    return ClipBatch(**{name: tensor.to(device) for name, tensor in tensors.items()})
