"""Simulated movies by the batch, on a CPU or a GPU, from the same scenes as `napari_mosam.core.simulation`.

Scenes are built on the host; drawing is done in torch for all movies of a modality at once. The truth is that of the
numpy back end; random noise differs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.simulation.scene import Scene, build_scene
from training.simulator.cells import Canvas, flow_of, labels_of, stack_cells
from training.simulator.light import cell_tiles, expose, light
from training.simulator.scenarios import KINDS, random_config, random_kind

__all__ = ["KINDS", "SimulatedBatch", "random_batch", "random_config", "random_scenes", "render_batch"]

_PX_AT_ONCE = 2**23


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedBatch:
    """Movies and their truth.

    Attributes
    ----------
    images : Tensor of float32, shape (B, T, Y, X)
        Grey values in [0, 1].
    labels : Tensor of int32, shape (B, T, Y, X)
        Visible pixels of each cell by its id, 0 = background.
    flow : Tensor of float32, shape (B, T - 1, 2, Y, X), or None
        (dy, dx) in px, as `SimulatedMovie.flow`.
    scenes : tuple of Scene
        What each movie shows; `parents` and everything else of the truth.
    """

    images: Tensor
    labels: Tensor
    flow: Tensor | None
    scenes: tuple[Scene, ...]


@torch.no_grad()
def render_batch(scenes: Sequence[Scene], device: torch.device | str, *, with_flow: bool = False) -> SimulatedBatch:
    """Draw movies.

    Parameters
    ----------
    scenes : sequence of Scene
        What to draw, of one number of frames and one shape.
    device : torch.device or str
        Where to draw, and where the result lies.
    with_flow : bool
        Also give the motion of every pixel.

    Returns
    -------
    SimulatedBatch
        The same batch is bit for bit the same on one device. A movie depends on its own scene only, up to the last
        bit of a float: among other movies its labels stay, its grey values may differ by 1e-6.

    Raises
    ------
    ValueError
        For no scenes, or scenes of several shapes.
    """
    shapes = {(scene.config.n_frames, *scene.config.shape) for scene in scenes}
    if len(shapes) != 1:
        raise ValueError(f"shapes of the scenes = {sorted(shapes)}; allowed: one (T, Y, X)")
    device, (shape,) = torch.device(device), shapes
    images = torch.empty((len(scenes), *shape), device=device)
    labels = torch.empty(images.shape, dtype=torch.int32, device=device)
    flow = torch.empty((len(scenes), shape[0] - 1, 2, *shape[1:]), device=device) if with_flow else None
    for chosen in _groups(scenes, max(1, _PX_AT_ONCE // int(np.prod(shape)))):
        group = [scenes[movie] for movie in chosen]
        cells = stack_cells(group, device)
        signal, rows = Canvas(group, cells, cell_tiles(group, device)).paint_all()
        images[chosen] = expose(group, light(group, signal, rows))
        labels[chosen] = labels_of(cells, rows)
        if flow is not None:
            drift = torch.from_numpy(np.stack([scene.drift for scene in group])).float().to(device)
            flow[chosen] = flow_of(cells, rows, drift)
    return SimulatedBatch(images, labels, flow, tuple(scenes))


def _groups(scenes: Sequence[Scene], n_at_once: int) -> Iterator[list[int]]:
    """Indices of scenes of one modality, a limited number at once."""

    def modality(movie: int) -> str:
        return scenes[movie].config.modality

    for _, alike in groupby(sorted(range(len(scenes)), key=modality), modality):
        chosen = list(alike)
        yield from (chosen[k : k + n_at_once] for k in range(0, len(chosen), n_at_once))


def random_batch(
    seed: int,
    n: int,
    *,
    n_frames: int,
    shape: tuple[int, int],
    device: torch.device | str = "cpu",
    kinds: Sequence[str] | None = None,
    with_flow: bool = False,
) -> SimulatedBatch:
    """Draw random movies of random kinds.

    Parameters
    ----------
    seed : int
        The same seed gives the same movies; movie k depends on `seed` and k only.
    n : int
        Number of movies.
    n_frames, shape : int, tuple of int
        Frames and (Y, X) of every movie.
    device, with_flow
        As in :func:`render_batch`.
    kinds : sequence of str, optional
        Some of `KINDS`; all by default.

    Returns
    -------
    SimulatedBatch
    """
    return render_batch(
        random_scenes(seed, n, n_frames=n_frames, shape=shape, kinds=kinds), device, with_flow=with_flow
    )


def random_scenes(
    seed: int, n: int, *, n_frames: int, shape: tuple[int, int], kinds: Sequence[str] | None = None
) -> list[Scene]:
    """Scenes of :func:`random_batch`, before drawing: they may be built on another thread."""
    scenes = []
    for movie in range(n):
        rng = np.random.default_rng([seed, movie])
        config = random_config(rng, n_frames=n_frames, shape=shape, kind=random_kind(rng, kinds))
        scenes.append(build_scene(config))
    return scenes
