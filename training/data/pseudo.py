"""Movies made from stills: one image, warped a little further on every frame, and its masks with it.

Image and masks are read at the same places, so the truth is exact. Nothing divides, appears or hides: that is what
simulated movies are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from napari_mosam.core.windows.sampling import read_places
from training.data.movies import MovieBatch
from training.data.photometry import change_appearance
from training.data.stills import Still
from training.randomness import chance, generator, log_uniform, normal, uniform

LARGEST_ZOOM = 2.5
"""A still is never enlarged further than this."""

MARGIN = 1.5
"""Objects nearer to the border than so many radii are chosen less often."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An object on which a movie can be centred."""

    still: int
    center_yx: tuple[float, float]
    diameter: float
    weight: float


class PseudoMovies:
    """Movies from stills, each centred on a random object.

    Parameters
    ----------
    stills : sequence of Still
        Of the training part.
    """

    def __init__(self, stills: Sequence[Still]) -> None:
        self._stills = stills
        self._targets = [target for index, still in enumerate(stills) for target in _targets(index, still)]
        self._cumulated = np.cumsum(_balanced(self._targets, stills))

    def __len__(self) -> int:
        return len(self._targets)

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        """`n` movies of `n_frames` frames of `side` x `side` px; the same for the same seed on the same device."""
        rng = generator(seed, "pseudo")
        draws = uniform(rng, (n,)).double().numpy() * self._cumulated[-1]
        chosen = [self._targets[min(int(k), len(self) - 1)] for k in np.searchsorted(self._cumulated, draws)]
        zooms = _zooms(torch.tensor([t.diameter for t in chosen]), side, rng)
        places = places_of(rng, n, n_frames, side, zooms, device)
        pairs = [self._read(target, places[row]) for row, target in enumerate(chosen)]
        images, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
        return MovieBatch(change_appearance(images, seed), labels)

    def _read(self, target: Target, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """One movie (T, Y, X) and its labels, read at `offsets` (T, Y, X, 2) px from the target, (y, x)."""
        still = self._stills[target.still]
        at = (offsets + torch.tensor(target.center_yx, device=offsets.device, dtype=torch.float32)).unbind(-1)
        image, ids = (torch.from_numpy(a).to(offsets.device)[None, None] for a in (still.image, still.labels))
        frames = read_places(image, *at, padding="reflection")
        labels = read_places(ids.float(), *at, padding="zeros", mode="nearest")
        outside = [(p < -0.5) | (p > side - 0.5) for p, side in zip(at, still.image.shape, strict=True)]
        return frames[:, 0], torch.where(outside[0] | outside[1], 0, labels[:, 0].round().int())


def _targets(index: int, still: Still) -> list[Target]:
    from skimage.measure import regionprops

    found = []
    for region in regionprops(still.labels):
        y, x = region.centroid
        diameter = 2 * float(np.sqrt(region.area / np.pi))
        edge = min(y, x, still.image.shape[0] - y, still.image.shape[1] - x)
        found.append(Target(index, (y, x), diameter, 0.2 if edge < MARGIN * diameter / 2 else 1.0))
    return found


def _balanced(targets: Sequence[Target], stills: Sequence[Still]) -> np.ndarray:
    """Weights of targets such that each source has its share, and each image of it the same."""
    sources = [stills[target.still].source for target in targets]
    per_image = np.bincount([target.still for target in targets], [t.weight for t in targets], minlength=len(stills))
    images = {
        folder: len({s for s, still in enumerate(stills) if still.source.folder == folder and per_image[s] > 0})
        for folder in {source.folder for source in sources}
    }
    return np.array(
        [
            source.share / images[source.folder] * target.weight / per_image[target.still]
            for target, source in zip(targets, sources, strict=True)
        ]
    )


def _zooms(diameters: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """How much each still is enlarged, so that its cells get sizes as in real movies."""
    wanted = log_uniform(rng, diameters.shape, side / 18, side / 4.5)
    return (wanted / diameters).clamp(max=LARGEST_ZOOM)


def places_of(rng: torch.Generator, n: int, n_frames: int, side: int, zooms: Tensor, device: torch.device) -> Tensor:
    """Where each pixel of each frame is read, (n, T, side, side, 2) as (y, x), in px of the still from the target.

    A smooth course of shift, rotation and scale, and an elastic deformation that grows and wanes. What is drawn is
    small and drawn on the CPU; what is dense is computed on the device.
    """
    offset = 0.08 * side * normal(rng, (n, 1, 2)).clamp(-2, 2)
    shift = offset + _walk(rng, n, n_frames, 2) * log_uniform(rng, (n, 1, 1), 0.1, 0.035 * side)
    angles = _angles(rng, n, n_frames)
    mirrored = torch.where(chance(rng, (n, 2), 0.5), -1.0, 1.0)
    scale = (_walk(rng, n, n_frames, 1) * log_uniform(rng, (n, 1, 1), 0.001, 0.015)).exp()
    stretch = torch.stack([s := log_uniform(rng, (n,), 0.88, 1.14), 1 / s], -1)
    factors = mirrored[:, None] * scale * stretch[:, None] / zooms[:, None, None]
    axis = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2
    yx = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    straight = yx + elastic(rng, n, n_frames, side, device) - shift.to(device)[:, :, None, None]
    return _turned(straight, angles.to(device)) * factors.to(device)[:, :, None, None]


def _angles(rng: torch.Generator, n: int, n_frames: int) -> Tensor:
    start = uniform(rng, (n, 1), 0, 2 * torch.pi)
    return start + _walk(rng, n, n_frames, 1)[..., 0] * log_uniform(rng, (n, 1), 0.002, 0.05)


def _turned(yx: Tensor, angles: Tensor) -> Tensor:
    cos, sin = (f(angles)[:, :, None, None] for f in (torch.cos, torch.sin))
    y, x = yx[..., 0], yx[..., 1]
    return torch.stack([cos * y - sin * x, sin * y + cos * x], -1)


def _walk(rng: torch.Generator, n: int, n_frames: int, channels: int) -> Tensor:
    """A random course that starts at 0 and keeps its direction for a while, (n, T, channels), about 1 per step."""
    steps = normal(rng, (n, n_frames, channels))
    keep = uniform(rng, (n, 1), 0.0, 0.9)
    for t in range(1, n_frames):
        steps[:, t] = keep * steps[:, t - 1] + (1 - keep**2).sqrt() * steps[:, t]
    steps[:, 0] = 0
    return steps.cumsum(1)


def elastic(rng: torch.Generator, n: int, n_frames: int, side: int, device: torch.device) -> Tensor:
    """Smooth displacements of every pixel, (n, T, side, side, 2), px: a fixed one and one that changes with time."""
    total = torch.zeros(n, n_frames, 2, side, side, device=device)
    for knots, strength in ((5, 0.012), (11, 0.004)):
        fixed = normal(rng, (n, 1, 2 * knots**2)) * log_uniform(rng, (n, 1, 1), 0.1, 1.0)
        moving = _walk(rng, n, n_frames, 2 * knots**2) * log_uniform(rng, (n, 1, 1), 0.03, 0.6)
        coarse = ((fixed + moving) * strength * side).view(n * n_frames, 2, knots, knots).to(device)
        fine = interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
        total += fine.view(total.shape)
    return total.movedim(2, -1)
