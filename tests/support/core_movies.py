"""Movies of the package's own simulator, as a source for training: small, and the same everywhere."""

from collections.abc import Callable

import torch
from training.data.movies import MovieBatch
from training.randomness import generator, integers

from napari_mosam.core.simulation import SimulatedMovie, disk_moves


class CoreMovies:
    """Movies of one of the named cases.

    Parameters
    ----------
    case : callable
        Seed and settings to a movie.
    """

    def __init__(self, case: Callable[..., SimulatedMovie] = disk_moves, **settings: object) -> None:
        self._case = case
        self._settings = settings

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        """See :class:`training.data.movies.MovieSource`."""
        numbers = integers(generator(seed, "core"), (n,), 0, 2**31 - 1).tolist()
        made = [self._case(k, shape=(side, side), n_frames=n_frames, **self._settings) for k in numbers]
        images = torch.stack([torch.as_tensor(m.images).float() for m in made])
        labels = torch.stack([torch.as_tensor(m.labels.astype("int32")) for m in made])
        return MovieBatch(images.clamp(0, 1).to(device), labels.to(device))
