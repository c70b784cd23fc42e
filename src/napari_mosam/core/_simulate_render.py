"""Draw one frame of a simulated movie, and where every one of its pixels goes next."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core._simulate_config import SimulationConfig
from napari_mosam.core._simulate_scene import Floats, Scene
from napari_mosam.core._simulate_shape import from_cell, outline, to_cell

Floats32 = NDArray[np.float32]
Labels = NDArray[np.uint16]
Slices = tuple[slice, slice]

_TILE = 64
_TILE_REACH = 1.25
_CAMERA_RANGE = {"uint16": 4095, "uint8": 255}
_BACKGROUND = {"fluorescence": 0.08, "phase": 0.5, "dic": 0.5}
_GRAIN = {"fluorescence": 0.03, "phase": 0.05, "dic": 0.05}
_VIGNETTE = 0.12


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """One cell over the part of the frame that it touches; every array has the patch's shape (h, w).

    Attributes
    ----------
    reach : ndarray
        Distance from the centre over the outline's distance in that direction: below 1 inside the cell.
    edge : ndarray
        Distance to the outline along the ray from the centre, px; positive inside.
    grain, spots : ndarray
        The cell's own texture (mean 0, about -1 to 1) and its nucleoli (0 to 1), which move with the cell.
    """

    where: Slices
    reach: Floats
    edge: Floats
    grain: Floats32
    spots: Floats32


# --- geometry -------------------------------------------------------------------------------------------------------


def _polar(scene: Scene, t: int, row: int, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Distance from the cell's centre (px) and direction in the cell's own frame (rad)."""
    dy, dx = y - scene.centres[t, row, 0], x - scene.centres[t, row, 1]
    return to_cell(np, dy, dx, scene.angles[t, row], _bend(scene, t, row))


def _bend(scene: Scene, t: int, row: int) -> Floats | None:
    return scene.bend[t, row] if scene.config.bend else None


def _box(scene: Scene, t: int, row: int, margin: float) -> Slices | None:
    reach = outline(scene, t, row, np.linspace(0, 2 * np.pi, 48)).max() + margin + 1
    centre, shape = scene.centres[t, row], np.array(scene.config.shape)
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, shape)
    return None if (low >= high).any() else (slice(low[0], high[0]), slice(low[1], high[1]))


def displacement(scene: Scene, t: int, row: int, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Where the matter of a cell at the pixels (y, x) of frame t goes until ``t + 1``: (dy, dx), px."""
    if scene.division.get(row, (0, 0.0))[0] == t + 1:
        return _split_displacement(scene, t, row, y, x)
    distance, phi = _polar(scene, t, row, y, x)
    distance = distance * outline(scene, t + 1, row, phi) / outline(scene, t, row, phi)
    dy, dx = from_cell(np, distance, phi, scene.angles[t + 1, row], _bend(scene, t + 1, row))
    centre = scene.centres[t + 1, row]
    return centre[0] + dy - y, centre[1] + dx - x


def _split_displacement(scene: Scene, t: int, row: int, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Each half of a dividing cell moves as a whole onto its daughter."""
    axis = scene.division[row][1]
    along = np.array([np.sin(axis), np.cos(axis)])
    centre = scene.centres[t, row]
    daughters = [cell - 1 for cell, mother in scene.parents.items() if mother == row + 1]
    first, second = (
        scene.centres[t + 1, daughter] - centre - sign * scene.radius[row] / 2 * along
        for sign, daughter in zip((1, -1), daughters, strict=True)
    )
    side = (y - centre[0]) * along[0] + (x - centre[1]) * along[1] >= 0
    return np.where(side, first[0], second[0]), np.where(side, first[1], second[1])


# --- matter ---------------------------------------------------------------------------------------------------------


def grain_field(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Floats32:
    """Smooth noise of standard deviation 1 with blobs of about `size` px, seamless at the borders."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), size, mode="wrap")
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-9), dtype=np.float32)


def cell_textures(config: SimulationConfig) -> tuple[Floats32, Floats32]:
    """Grain and nucleoli of every cell, each (N, 64, 64) over the square around the cell's unit disk."""
    rng = np.random.default_rng([config.seed, 2])
    grain = np.zeros((config.n_total, _TILE, _TILE), np.float32)
    spots = np.zeros_like(grain)
    v, u = np.mgrid[-_TILE_REACH : _TILE_REACH : _TILE * 1j, -_TILE_REACH : _TILE_REACH : _TILE * 1j]
    for row in range(config.n_total):
        coarse, fine = grain_field(rng, (_TILE, _TILE), 4.5), grain_field(rng, (_TILE, _TILE), 1.8)
        grain[row] = np.clip(0.45 * coarse + 0.3 * fine, -1, 1)
        for _ in range(rng.integers(2, 5)):
            angle, far, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6), rng.uniform(0.08, 0.17)
            bump = np.exp(-((u - far * np.cos(angle)) ** 2 + (v - far * np.sin(angle)) ** 2) / (2 * size**2))
            spots[row] = np.maximum(spots[row], bump)
    if config.identical:
        grain[:], spots[:] = grain[:1], spots[:1]
    return grain, spots


def background_grain(config: SimulationConfig) -> Floats32:
    """Make what lies between the cells, of the frame's shape and seamless: faint clouds and a few specks of debris."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([config.seed, 3])
    field = 0.8 * grain_field(rng, config.shape, config.diameter / 2) + 0.35 * grain_field(rng, config.shape, 1.2)
    specks = np.zeros(config.shape, np.float32)
    n_specks = int(np.ceil(config.shape[0] * config.shape[1] / 6000))
    specks[rng.integers(0, config.shape[0], n_specks), rng.integers(0, config.shape[1], n_specks)] = 1
    specks = gaussian_filter(specks, 1.0, mode="wrap")
    return np.asarray(field + 4 * specks / max(float(specks.max()), 1e-9), dtype=np.float32)


def moved(field: Floats32, shift: Floats) -> Floats32:
    """Return a seamless field shifted by (dy, dx) px, bilinear between pixels."""
    whole = np.floor(shift).astype(int)
    fy, fx = (float(f) for f in shift - whole)
    out = np.roll(field, tuple(int(s) for s in whole), (0, 1))
    if fy:
        out = (1 - fy) * out + fy * np.roll(out, 1, 0)
    if fx:
        out = (1 - fx) * out + fx * np.roll(out, 1, 1)
    return np.asarray(out, dtype=np.float32)


def _bilinear(tile: Floats32, v: Floats, u: Floats) -> Floats32:
    from scipy.ndimage import map_coordinates

    scale = (_TILE - 1) / (2 * _TILE_REACH)
    where = [(v + _TILE_REACH) * scale, (u + _TILE_REACH) * scale]
    return np.asarray(map_coordinates(tile, where, order=1, mode="nearest"), dtype=np.float32)


def _patch(scene: Scene, t: int, row: int, textures: tuple[Floats32, Floats32]) -> Patch | None:
    where = _box(scene, t, row, 2.5 * _skirt_width(scene.config))
    if where is None:
        return None
    y, x = (a.astype(float) for a in np.mgrid[where])
    distance, phi = _polar(scene, t, row, y, x)
    radius = outline(scene, t, row, phi)
    reach = distance / radius
    near = reach <= _TILE_REACH
    v, u = reach[near] * np.sin(phi[near]), reach[near] * np.cos(phi[near])
    grain, spots = np.zeros((2, *reach.shape), np.float32)
    grain[near], spots[near] = (_bilinear(tile[row], v, u) for tile in textures)
    return Patch(where, reach, radius - distance, grain, spots)


# --- light ----------------------------------------------------------------------------------------------------------


def _skirt_width(config: SimulationConfig) -> float:
    return max(1.5, {"fluorescence": 0.2, "phase": 0.1, "dic": 0.03}[config.modality] * config.diameter)


def _dome(patch: Patch) -> Floats:
    return np.asarray(np.sqrt(np.maximum(1 - patch.reach**2, 0)))


def _fluorescent(patch: Patch, brightness: float) -> Floats:
    body = 0.5 + 0.5 * _dome(patch)
    return np.asarray(brightness * body * (0.85 + 0.45 * patch.grain - 0.35 * patch.spots))


def _phase_dark(patch: Patch, brightness: float) -> Floats:
    nucleus = 0.18 / (1 + np.exp((patch.reach - 0.5) * 14))
    rim = -0.25 * np.exp(-((patch.edge / 1.5) ** 2))
    return np.asarray(-0.42 * brightness + nucleus + 0.22 * patch.grain - 0.35 * patch.spots + rim)


def _optical_height(patch: Patch, brightness: float) -> Floats:
    nucleus = 0.35 / (1 + np.exp((patch.reach - 0.5) * 12))
    return np.asarray(brightness * (_dome(patch) + nucleus + 0.16 * patch.grain + 0.3 * patch.spots))


_PAINT: dict[str, Callable[[Patch, float], Floats]] = {
    "fluorescence": _fluorescent,
    "phase": _phase_dark,
    "dic": _optical_height,
}
_OCCLUDER = {"fluorescence": -0.1, "phase": -0.5, "dic": 0.0}
_SKIRT = {"fluorescence": 0.12, "phase": 0.75, "dic": 0.0}


def draw_cells(scene: Scene, t: int, textures: tuple[Floats32, Floats32]) -> tuple[Floats32, Labels]:
    """Cells from the lowest to the one on top: signal in units of the contrast, and the visible pixels' ids."""
    config = scene.config
    signal, labels = np.zeros(config.shape, np.float32), np.zeros(config.shape, np.uint16)
    width = _skirt_width(config)
    for row in np.argsort(scene.depth):
        patch = _patch(scene, t, row, textures) if scene.visible[t, row] else None
        if patch is None:
            continue
        cover = np.clip(patch.edge + 0.5, 0, 1)
        brightness = scene.brightness[row] * (1 + 0.2 * scene.rounding(t, row))
        inside = _PAINT[config.modality](patch, brightness)
        skirt = _SKIRT[config.modality] * brightness * np.exp(-np.maximum(-patch.edge, 0) / width)
        signal[patch.where] = cover * inside + (1 - cover) * (signal[patch.where] + skirt)
        labels[patch.where][patch.reach <= 1] = row + 1
    for covered in _covered(scene, t):
        signal[covered], labels[covered] = _OCCLUDER[config.modality], 0
    return signal, labels


def _covered(scene: Scene, t: int) -> list[Slices]:
    """Where the occluders lie on frame t."""
    dy, dx = np.rint(scene.stage[t]).astype(int)
    boxes = np.array(scene.config.occluders, int).reshape(-1, 4) + np.array([dy, dx, dy + 1, dx + 1])
    return [(slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in np.maximum(boxes, 0).tolist()]


def _relief(height: Floats32, config: SimulationConfig) -> Floats32:
    """Shading of a surface lit from one corner, as a DIC prism shows the slope of the optical path."""
    slope_y, slope_x = np.gradient(height * (config.diameter / 8))
    return np.asarray(np.tanh(slope_x - slope_y), dtype=np.float32) * 0.5


def expose(scene: Scene, t: int, signal: Floats32, grain: Floats32) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Blur, bleach, light and record what :func:`draw_cells` drew, over the moved background."""
    from scipy.ndimage import gaussian_filter

    config = scene.config
    if config.blur:
        signal = gaussian_filter(signal, config.blur)
    if config.modality == "dic":
        signal = _relief(signal, config)
    bleach = (1 - config.bleaching) ** (t / max(config.n_frames - 1, 1))
    ground = _BACKGROUND[config.modality] if config.background is None else config.background
    signal = bleach * signal + _GRAIN[config.modality] * moved(grain, scene.stage[t])
    light = (ground + config.contrast * signal) * _illumination(config.shape)
    if config.noise:
        rng = np.random.default_rng([config.seed, 1, t])
        light += config.contrast * config.noise * rng.standard_normal(config.shape, dtype=np.float32)
    top = _CAMERA_RANGE[config.dtype]
    digital: Floats32 = np.clip(np.rint(light * top), 0, top)
    return digital.astype(np.uint16) if config.dtype == "uint16" else digital.astype(np.uint8)


def _illumination(shape: tuple[int, int]) -> Floats32:
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])
    return np.asarray(1 - _VIGNETTE / 2 * ((y + 0.1) ** 2 + (x - 0.15) ** 2), dtype=np.float32)
