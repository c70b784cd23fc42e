"""Clips: windows that follow an object through a movie as the engine's do, and the truth in them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.sampling import read_windows
from training.config import StageConfig, WindowConfig
from training.data.framing import WindowPath, frame_clips
from training.data.masks import Extents, extents, extents_of_ids
from training.data.movies import MovieBatch
from training.randomness import generator, uniform

MIN_AREA = 12
"""Objects with fewer px on the first frame are not prompted."""

NOBODY = -1
"""Id of an object that is nowhere: all there is to learn about an empty frame."""

BORDER_WEIGHT = 0.2
"""How often an object cut by the frame's border is followed, relative to others."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipBatch:
    """B windows with O objects each, followed over T frames; S is the side of the model's input.

    Attributes
    ----------
    images : Tensor of float32, shape (B, T, S, S)
    labels : Tensor of int32, shape (B, T, S, S)
        Ids in the windows, 0 = background.
    ids : Tensor of int32, shape (B, O)
        The followed objects; the first is the one the window follows. An id that appears twice stands in for objects
        that the movie does not have.
    windows : Tensor, shape (B, T, 4)
        Centre (y, x), height and width, px of the frame.
    shifts : Tensor, shape (B, O, T, 2)
        Motion of each object since the frame before, px of the frame; 0 where it was or is not seen.
    diameters : Tensor, shape (B, O)
        On the first frame, px of the frame.
    clicked : Tensor of bool, shape (B,)
        Whether the first window is centred on a pixel of its object, as after a click there.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    windows: Tensor
    shifts: Tensor
    diameters: Tensor
    clicked: Tensor

    @property
    def n_rows(self) -> int:
        """Objects of all clips."""
        return int(self.ids.numel())

    @property
    def n_frames(self) -> int:
        """Frames of each clip."""
        return int(self.images.shape[1])

    def masks(self, t: int) -> Tensor:
        """Masks of all objects on frame `t`, (B O, S, S)."""
        return (self.labels[:, t, None] == self.ids[:, :, None, None]).flatten(0, 1)

    def others(self, t: int) -> Tensor:
        """Everything that belongs to other objects on frame `t`, (B O, S, S)."""
        labels = self.labels[:, t, None]
        return ((labels > 0) & (labels != self.ids[:, :, None, None])).flatten(0, 1)

    def per_row(self, values: Tensor) -> Tensor:
        """Values of clips (B, …) repeated for each of their objects, (B O, …)."""
        return values.repeat_interleave(self.ids.shape[1], 0)


def cut_clips(movies: MovieBatch, stage: StageConfig, config: WindowConfig, size: int, seed: str) -> ClipBatch:
    """Choose objects, lay windows around them and read these.

    Parameters
    ----------
    movies : MovieBatch
        One movie per clip.
    stage : StageConfig
    config : WindowConfig
    size : int
        Side of the model's input, px.
    seed : str
    """
    rng = generator(seed, "clips")
    ids = choose_objects(movies.labels[:, 0], stage.objects, rng)
    truth = extents(movies.labels[:, None] == ids[:, :, None, None, None])
    course = frame_clips(_cpu(truth), movies.labels[:, 0] == ids[:, :1, None], config, rng)
    return _read(movies, ids, course, size)


def choose_objects(labels: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """A random object of each label frame (B, Y, X) and its nearest neighbours, (B, n).

    Where there are too few, the first is repeated; where there is none, all are :data:`NOBODY`.
    """
    table = extents_of_ids(labels)
    weights = (table.area >= MIN_AREA).float() * torch.where(_at_border(table, labels.shape), BORDER_WEIGHT, 1.0)
    weights[:, 0] = 0
    drawn = uniform(rng, weights.shape).to(labels.device).clamp(min=1e-6) ** (1 / weights.clamp(min=1e-9))
    anchor = torch.where(weights > 0, drawn, -1.0).argmax(1)
    centers = table.center_yx
    distance = (centers - centers.gather(1, anchor[:, None, None].expand(-1, 1, 2))).norm(dim=-1)
    distance = distance * uniform(rng, distance.shape, 0.7, 1.3).to(labels.device)
    distance = distance.masked_fill(weights == 0, torch.inf).scatter(1, anchor[:, None], -1.0)
    if distance.shape[1] < n:
        distance = torch.nn.functional.pad(distance, (0, n - distance.shape[1]), value=torch.inf)
    nearest = distance.topk(n, dim=1, largest=False)
    chosen = torch.where(nearest.values.isinf(), anchor[:, None], nearest.indices).int()
    return torch.where(chosen == 0, NOBODY, chosen)


def _at_border(table: Extents, shape: torch.Size) -> Tensor:
    low = (table.box[..., :2] <= 0).any(-1)
    return low | (table.box[..., 2] >= shape[1] - 1) | (table.box[..., 3] >= shape[2] - 1)


def _cpu(truth: Extents) -> Extents:
    return Extents(truth.area.cpu(), truth.box.cpu())


def _read(movies: MovieBatch, ids: Tensor, course: WindowPath, size: int) -> ClipBatch:
    n, n_frames, device = len(movies), movies.images.shape[1], movies.images.device
    windows = course.windows.to(device)
    centers, sizes = windows.flatten(0, 1).split(2, 1)
    images = Pyramid(movies.images.flatten(0, 1)).read(centers, sizes, size).view(n, n_frames, size, size)
    labels = read_labels(movies.labels.flatten(0, 1), centers, sizes, size).view(n, n_frames, size, size)
    return ClipBatch(
        images, labels, ids, windows, course.shifts.to(device), course.diameters.to(device), course.clicked.to(device)
    )


def read_labels(labels: Tensor, centers: Tensor, sizes: Tensor, size: int) -> Tensor:
    """Windows (N, size, size) of label frames (N, Y, X), nearest pixel, 0 outside; ids up to 2**24 stay exact."""
    ids = read_windows(labels[:, None].float(), centers, sizes, size, padding="zeros", mode="nearest")
    return ids[:, 0].round().int()
