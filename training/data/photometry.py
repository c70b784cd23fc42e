"""Changes of appearance that leave the masks as they are: other optics, detectors and lamps."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from training.randomness import chance, generator, log_uniform, normal, uniform

REACH = 6
"""Half width of the blurring kernel, px."""


def change_appearance(images: Tensor, seed: str) -> Tensor:
    """Movies (B, T, Y, X) in [0, 1] as another microscope would have shown them, in [0, 1].

    Each movie may be blurred, inverted, shaded from one side, lit unevenly, bleached, flickering and noisy; then its
    grey levels are stretched as those of any movie are.
    """
    n, device = len(images), images.device
    rng, noise = generator(seed, "appearance"), generator(seed, "noise", device=device)
    changed = images ** _each(log_uniform(rng, (n,), 0.6, 1.5), device)
    for probability, change in ((0.6, _refocused), (0.15, _inverted), (0.15, shaded)):
        chosen = _each(chance(rng, (n,), probability), device)
        changed = torch.where(chosen, change(changed, rng), changed)
    changed = changed * _lamp(rng, images.shape).to(device) + _uneven(rng, images.shape, device)
    spread = changed.flatten(1).std(1).clamp(min=1e-3) * log_uniform(rng, (n,), 0.01, 0.4).to(device)
    changed = changed + normal(noise, images.shape) * spread[:, None, None, None]
    return stretched(changed, uniform(rng, (n, 2)).to(device))


def blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Each movie (B, T, Y, X) blurred by a Gaussian of its own width, px."""
    offsets = torch.arange(-REACH, REACH + 1, dtype=torch.float32)
    kernels = (-(offsets**2) / (2 * sigmas[:, None] ** 2)).exp()
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(images.device)
    frames = images.transpose(0, 1)
    frames = conv2d(pad(frames, (REACH, REACH, 0, 0), mode="replicate"), kernels[:, None, None], groups=len(images))
    frames = conv2d(pad(frames, (0, 0, REACH, REACH), mode="replicate"), kernels[:, None, :, None], groups=len(images))
    return frames.transpose(0, 1)


def shaded(images: Tensor, rng: torch.Generator) -> Tensor:
    """Slopes instead of heights, lit from a random side, with some of the heights left: a look of relief."""
    n, device = len(images), images.device
    angle = uniform(rng, (n,), 0, 2 * torch.pi)
    dy, dx = torch.gradient(blurred(images, torch.full((n,), 1.0)), dim=(2, 3))
    slope = dy * _each(angle.sin(), device) + dx * _each(angle.cos(), device)
    slope = slope / slope.flatten(1).std(1).clamp(min=1e-4)[:, None, None, None]
    return 0.5 + 0.15 * slope + _each(uniform(rng, (n,), 0, 0.4), device) * (images - 0.5)


def stretched(images: Tensor, u: Tensor) -> Tensor:
    """Grey levels of each movie (B, T, Y, X) between two of its percentiles as [0, 1]; `u` (B, 2) varies them."""
    sample = images[:, :, ::4, ::4].flatten(1).sort(1).values
    last = sample.shape[1] - 1
    low = sample.gather(1, ((0.002 + 0.006 * u[:, :1]) * last).long())
    high = sample.gather(1, ((0.995 + 0.004 * u[:, 1:]) * last).long())
    spread = (high - low).clamp(min=1e-3)
    return ((images - low[..., None, None]) / spread[..., None, None]).clamp(0, 1)


def _refocused(images: Tensor, rng: torch.Generator) -> Tensor:
    return blurred(images, log_uniform(rng, (len(images),), 0.3, 1.8))


def _inverted(images: Tensor, rng: torch.Generator) -> Tensor:
    return 1 - images


def _lamp(rng: torch.Generator, shape: torch.Size) -> Tensor:
    """Brightness of each frame: bleaching and flicker, (B, T, 1, 1)."""
    n, n_frames = shape[:2]
    bleaching = uniform(rng, (n, 1), 0.0, 0.04) * chance(rng, (n, 1), 0.5)
    flicker = normal(rng, (n, n_frames)) * uniform(rng, (n, 1), 0.0, 0.06)
    return ((-bleaching * torch.arange(n_frames)).exp() * (1 + flicker))[..., None, None]


def _uneven(rng: torch.Generator, shape: torch.Size, device: torch.device) -> Tensor:
    """Uneven light, the same on all frames, (B, 1, Y, X)."""
    n = shape[0]
    coarse = normal(rng, (n, 1, 3, 3)) * (uniform(rng, (n, 1, 1, 1), 0.0, 0.2) * chance(rng, (n, 1, 1, 1), 0.5))
    return interpolate(coarse.to(device), size=tuple(shape[2:]), mode="bicubic", align_corners=True)


def _each(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device)[:, None, None, None]
