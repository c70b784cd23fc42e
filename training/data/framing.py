"""Where windows lie: around the object's last place, moved by a motion that is known more or less well."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import WindowConfig
from training.data.masks import Extents, pick
from training.randomness import chance, integers, log_uniform, normal, uniform

RESCALE = 0.1
"""How fast a window follows a change of size, as in the engine."""

SMALLEST = 4.0
"""Diameter of an object of which there is nothing, px."""

WIDEN, WIDEST = 1.05, 1.5
"""Growth of the window per frame without the object, and its limit, as in the engine."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowPath:
    """Windows of B clips over T frames and the motion of their O objects; on the CPU, px of the frame.

    Attributes
    ----------
    windows : Tensor, shape (B, T, 4)
        Centre (y, x), height and width.
    shifts : Tensor, shape (B, O, T, 2)
    diameters : Tensor, shape (B, O)
    clicked : Tensor of bool, shape (B,)
    """

    windows: Tensor
    shifts: Tensor
    diameters: Tensor
    clicked: Tensor


def frame_clips(truth: Extents, first_masks: Tensor, config: WindowConfig, rng: torch.Generator) -> WindowPath:
    """Lay windows around the first object of each clip.

    Parameters
    ----------
    truth : Extents, shape (B, O, T)
        Of all objects in the frame.
    first_masks : Tensor of bool, shape (B, Y, X)
        The first object on the first frame.
    config : WindowConfig
    rng : torch.Generator
    """
    seen = truth.area > 0
    centers = held(truth.center_yx, seen)
    anchor, visible = centers[:, 0], seen[:, 0]
    diameters = held(truth.diameter[..., None], seen)[..., 0].clamp(min=SMALLEST)
    sides = window_sides(diameters[:, 0], visible, config, rng)
    clicked = chance(rng, (len(anchor),), config.click_centred)
    start = torch.where(clicked[:, None], _clicks(first_masks, rng), anchor[:, 0])
    looked = looked_at(anchor, diameters[:, 0], config, rng)
    looked[:, 0] = start
    looked = looked + looking_away(sides, config, rng)
    return WindowPath(squares(looked, sides), motion(centers, seen), diameters[:, :, 0], clicked)


def squares(centers_yx: Tensor, sides: Tensor) -> Tensor:
    """Square windows (…, 4) of `sides` (…) px around centres (…, 2)."""
    return torch.cat([centers_yx, sides[..., None].expand(*sides.shape, 2)], -1)


def held(values: Tensor, seen: Tensor) -> Tensor:
    """Values (…, T, k) with those of unseen frames replaced by the last seen ones; the first frame stands anyway."""
    steps = torch.arange(seen.shape[-1])
    last = torch.where(seen, steps, 0).cummax(-1).values
    return values.gather(-2, last[..., None].expand_as(values))


def motion(centers: Tensor, seen: Tensor) -> Tensor:
    """Motion since the frame before, (B, O, T, 2); 0 on the first frame and where the object was or is not seen."""
    known = seen[..., 1:] & seen[..., :-1]
    moved = (centers[..., 1:, :] - centers[..., :-1, :]) * known[..., None]
    return torch.nn.functional.pad(moved, (0, 0, 1, 0))


def looked_at(centers: Tensor, diameters: Tensor, config: WindowConfig, rng: torch.Generator) -> Tensor:
    """Centres of windows, (B, T, 2): the last place, plus the part of the motion that is known, plus an error."""
    n, n_frames, _ = centers.shape
    before = torch.cat([centers[:, :1], centers[:, :-1]], 1)
    lag = uniform(rng, (n, 1, 1)) * chance(rng, (n, 1, 1), config.lag)
    error = normal(rng, (n, n_frames, 2)) * config.jitter * diameters[..., None]
    return before + (1 - lag) * (centers - before) + error


def window_sides(diameters: Tensor, visible: Tensor, config: WindowConfig, rng: torch.Generator) -> Tensor:
    """Sides of windows, (B, T): they follow the object's size slowly, walk a little, and grow while it is away."""
    n, n_frames = diameters.shape
    usual = config.ratio * (config.ratio_spread * normal(rng, (n,))).exp()
    ratio = torch.where(chance(rng, (n,), config.wide), log_uniform(rng, (n,), *config.ratio_range), usual)
    ratio = ratio.clamp(*config.ratio_range)
    walk = config.scale_walk * normal(rng, (n, n_frames))
    side, missing, sides = ratio * diameters[:, 0], torch.zeros(n), []
    for t in range(n_frames):
        if t:
            side = side * (ratio * diameters[:, t - 1] / side) ** RESCALE * walk[:, t].exp()
            missing = torch.where(visible[:, t - 1], 0, missing + 1)
        sides.append(side * (WIDEN**missing).clamp(max=WIDEST))
    return torch.stack(sides, 1)


def looking_away(sides: Tensor, config: WindowConfig, rng: torch.Generator) -> Tensor:
    """Shift of the windows of some clips by more than half a window, for some frames after the first, (B, T, 2)."""
    n, n_frames = sides.shape
    steps = torch.arange(n_frames)
    start = integers(rng, (n, 1), 1, max(2, n_frames))
    length = integers(rng, (n, 1), 1, max(2, n_frames // 2 + 1))
    away = chance(rng, (n, 1), config.absent) & (steps >= start) & (steps < start + length)
    angle = uniform(rng, (n, 1), 0, 2 * torch.pi)
    direction = torch.stack([angle.sin(), angle.cos()], -1)
    distance = uniform(rng, (n, 1), 0.8, 1.4) * sides * away
    return direction * distance[..., None]


def _clicks(masks: Tensor, rng: torch.Generator) -> Tensor:
    """Centre (y, x) of a random pixel of each mask, (B, 2)."""
    xy, _ = pick(masks, uniform(rng, (len(masks),)))
    return xy.flip(-1).cpu()
