"""Textures, optics and camera of many simulated movies at once, as tensors."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.simulation import paint
from napari_mosam.core.simulation.scene import Scene
from napari_mosam.core.simulation.textures import (
    GRAIN_SIZES,
    GRANULE_SIZES,
    draw_cells_at_random,
    draw_ground_at_random,
    litter,
    soft_disk,
    tile_axis,
)
from training.simulator.cells import optics_of

_TRUNCATE = 4.0


# --- blur -----------------------------------------------------------------------------------------------------------


def blurred(images: Tensor, sigma: Tensor, *, wrap: bool = False) -> Tensor:
    """Gaussian blur of images (F, Y, X) by `sigma` (F,) px each; beyond the border they are mirrored or repeated."""
    widths, which = sigma.unique(return_inverse=True)
    down = _blur_matrix(images.shape[-2], widths, wrap=wrap)
    square = images.shape[-2] == images.shape[-1]
    across = down if square else _blur_matrix(images.shape[-1], widths, wrap=wrap)
    return down[which] @ images @ across.mT[which]


def _blur_matrix(side: int, sigma: Tensor, *, wrap: bool) -> Tensor:
    """Matrices (F, side, side) that blur a column of `side` pixels."""
    sigma = sigma.clamp(min=1e-3)[:, None, None]
    i = torch.arange(side, dtype=torch.float32, device=sigma.device)
    here, there = i[:, None], i[None]
    images = [there + m * side for m in (-1, 0, 1)] if wrap else [there, -1 - there, 2 * side - 1 - there]
    reach = torch.floor(_TRUNCATE * sigma + 0.5)
    distances = (here - image for image in images)
    first, *others = (torch.exp(-0.5 * (d / sigma) ** 2) * (d.abs() <= reach) for d in distances)
    weights = sum(others, start=first)
    return weights / weights.sum(-1, keepdim=True)


def _unit(field: Tensor) -> Tensor:
    """Mean 0 (in place of any) and standard deviation 1 over the last two axes."""
    field = field - field.mean((-2, -1), keepdim=True)
    return field / field.std((-2, -1), keepdim=True, correction=0).clamp(min=1e-9)


def _smooth(noise: Tensor, size: Tensor) -> Tensor:
    return _unit(blurred(noise, size, wrap=True))


# --- matter ---------------------------------------------------------------------------------------------------------


def cell_tiles(scenes: Sequence[Scene], device: torch.device) -> Tensor:
    """Textures of all cells of some movies of one modality, (n, 64, 64, C), channels as in the numpy back end."""
    draws = [draw_cells_at_random(scene.config) for scene in scenes]
    noise, spots, granules, nucleus, droplets = (
        torch.from_numpy(np.concatenate([getattr(d, name) for d in draws])).float().to(device)
        for name in ("noise", "spots", "granules", "nucleus", "droplets")
    )
    axis = torch.from_numpy(tile_axis()).float().to(device)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    coarse, fine = (_smooth(noise[:, k], noise.new_tensor([size])) for k, size in enumerate(GRAIN_SIZES))
    channels = [(0.45 * coarse + 0.3 * fine).clamp(-1, 1), _bumps(axis, spots)]
    if len(granules):
        channels += [_granular(granules[:, 0]), _granular(granules[:, 1])]
        channels += [soft_disk(torch, u, v, nucleus), _bumps(axis, droplets)]
    return torch.stack(channels, -1)


def _bumps(axis: Tensor, places: Tensor) -> Tensor:
    """Compute `bumps` over the square of an axis: a round bump is the product of two narrow ones."""
    angle, far, size = (places[..., k, None] for k in range(3))
    rows, columns = (torch.exp(-((axis - far * way(angle)) ** 2) / (2 * size**2)) for way in (torch.sin, torch.cos))
    return (rows[..., :, None] * columns[..., None, :]).amax(-3)


def _granular(noise: Tensor) -> Tensor:
    fine, coarse = (_smooth(noise, noise.new_tensor([size])) for size in GRANULE_SIZES)
    field = fine - coarse
    return field / field.std((-2, -1), keepdim=True, correction=0).clamp(min=1e-9)


def _grounds(scenes: Sequence[Scene], device: torch.device) -> Tensor:
    """Seamless backgrounds (B, Y, X)."""
    draws = [draw_ground_at_random(scene.config) for scene in scenes]
    noise = torch.from_numpy(np.stack([d.noise for d in draws])).to(device)
    clouds = noise.new_tensor([scene.config.diameter / 2 for scene in scenes])
    field = 0.8 * _smooth(noise[:, 0], clouds) + 0.35 * _smooth(noise[:, 1], noise.new_tensor([1.2]))
    specks = torch.zeros_like(field)
    for movie, d in enumerate(draws):
        specks[(movie, *torch.from_numpy(d.specks).to(device))] = 1
    specks = blurred(specks, noise.new_tensor([1.0]), wrap=True)
    field = field + 4 * specks / specks.amax((-2, -1), keepdim=True).clamp(min=1e-9)
    y, x = (torch.arange(side, dtype=torch.float32, device=device) for side in field.shape[1:])
    pieces = [litter(torch, torch.from_numpy(d.litter).float().to(device), y, x) for d in draws]
    return field + torch.stack(pieces)


def _moved(field: Tensor, shift: Tensor) -> Tensor:
    """Seamless fields (B, Y, X) shifted by (B, T, 2) px: (B, T, Y, X), bilinear between pixels."""
    whole = shift.floor()
    movie = torch.arange(len(field), device=field.device)[:, None, None, None]

    def rolled(dy: int, dx: int) -> Tensor:
        y, x = (
            (torch.arange(side, device=field.device) - whole[..., k, None].long() - extra) % side
            for k, side, extra in ((0, field.shape[1], dy), (1, field.shape[2], dx))
        )
        return field[movie, y[..., :, None], x[..., None, :]]

    fy, fx = ((shift - whole)[..., k, None, None] for k in (0, 1))
    upper, lower = (torch.lerp(rolled(dy, 0), rolled(dy, 1), fx) for dy in (0, 1))
    return torch.lerp(upper, lower, fy)


# --- light ----------------------------------------------------------------------------------------------------------


def _per_movie(scenes: Sequence[Scene], values: Sequence[float], like: Tensor) -> Tensor:
    return like.new_tensor([float(value) for value in values]).view(len(scenes), 1, 1, 1)


def _seen(scenes: Sequence[Scene], signal: Tensor, rows: Tensor, optics: SimpleNamespace) -> Tensor:
    """Signal through the microscope, in units of the contrast."""
    modality, shape = scenes[0].config.modality, signal.shape
    blur = signal.new_tensor(np.stack([np.hypot(s.config.blur, s.focus) for s in scenes])).view(-1)
    diameter = _per_movie(scenes, [s.config.diameter for s in scenes], signal)
    signal = blurred(signal.flatten(0, 1), blur).view(shape)
    if modality == "dic":
        slope_y, slope_x = torch.gradient(signal * (diameter / 8), dim=(2, 3))
        return 0.5 * torch.tanh(slope_x - slope_y)
    if modality not in paint.OPTICAL:
        return signal
    lines = paint.seams(torch, rows).float().flatten(0, 1)
    lines = blurred(lines, blur.clamp(min=paint.LINE_BLUR)).view(shape)
    width = (optics.halo_width * diameter).expand(-1, shape[1], 1, 1).reshape(-1)
    wide = blurred(signal.flatten(0, 1), width).view(shape)
    seen: Tensor = paint.see(torch, modality, signal, lines, wide, diameter, optics)
    return seen


def light(scenes: Sequence[Scene], signal: Tensor, rows: Tensor) -> Tensor:
    """Light that reaches the camera, 1 at the top of its range; all (B, T, Y, X)."""
    n_frames, modality = signal.shape[1], scenes[0].config.modality
    named = {name: values.view(-1, 1, 1, 1) for name, values in optics_of(scenes, signal.device).items()}
    optics, configs = SimpleNamespace(**named), [scene.config for scene in scenes]
    times = torch.arange(n_frames, device=signal.device)[:, None, None] / max(n_frames - 1, 1)
    bleach = (1 - _per_movie(scenes, [c.bleaching for c in configs], signal)) ** times
    grounds = [paint.BACKGROUND[modality] if c.background is None else c.background for c in configs]
    stage = signal.new_tensor(np.stack([scene.stage for scene in scenes]))
    ground = paint.GRAIN[modality] * optics.ground * _moved(_grounds(scenes, signal.device), stage)
    seen = bleach * _seen(scenes, signal, rows, optics) + ground
    y, x = (torch.linspace(-1, 1, side, device=signal.device) for side in signal.shape[2:])
    even = paint.illumination(torch, y[:, None], x, optics)
    gain = signal.new_tensor(np.stack([scene.gain for scene in scenes]))[..., None, None]
    lit = _per_movie(scenes, grounds, signal) + _per_movie(scenes, [c.contrast for c in configs], signal) * seen
    reached: Tensor = lit * even * gain
    return reached


def expose(scenes: Sequence[Scene], lit: Tensor) -> Tensor:
    """Record light with noise and convert it to grey values, float32 in [0, 1]."""
    configs, cameras = [s.config for s in scenes], [s.config.camera for s in scenes]
    low, high = _levels(scenes, lit)
    strength = _per_movie(scenes, [c.noise * c.contrast for c in configs], lit)
    shot = _per_movie(scenes, [0 if c.photons is None else 1 / c.photons for c in cameras], lit)
    noise = torch.stack([_noise(scene, lit) for scene in scenes], 1)
    lit = lit + strength * noise[0] + (lit.clamp(min=0) * shot).sqrt() * noise[1]
    camera = SimpleNamespace(
        gamma=_per_movie(scenes, [c.gamma for c in cameras], lit),
        inverted=_per_movie(scenes, [c.inverted for c in cameras], lit),
        grey_range=[_per_movie(scenes, [c.grey_range[k] for c in cameras], lit) for k in (0, 1)],
    )
    grey: Tensor = paint.convert(torch, lit, low, high, camera)
    return grey


def _noise(scene: Scene, like: Tensor) -> Tensor:
    """White noise (2, T, Y, X) of a movie's own."""
    generator = torch.Generator(like.device).manual_seed(scene.config.seed)
    return torch.randn((2, *like.shape[1:]), generator=generator, device=like.device)


def _levels(scenes: Sequence[Scene], lit: Tensor) -> tuple[Tensor, Tensor]:
    """Light that becomes black and white, (B, 1, 1, 1) each."""
    ordered = lit[:, 0].flatten(1).sort(1).values
    levels = []
    for movie, scene in enumerate(scenes):
        percentiles = scene.config.camera.stretch or (0, 100)
        at = torch.tensor(percentiles, device=lit.device) / 100 * (ordered.shape[1] - 1)
        below = at.long()
        above = (below + 1).clamp(max=ordered.shape[1] - 1)
        found = torch.lerp(ordered[movie, below], ordered[movie, above], (at - below).float())
        fixed = scene.config.camera.stretch is None
        levels.append(torch.tensor([0.0, 1.0], device=lit.device) if fixed else found)
    low, high = torch.stack(levels).view(len(scenes), 2, 1, 1, 1).unbind(1)
    return low, torch.maximum(high, low + 1e-6)
