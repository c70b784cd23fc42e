"""Draw one frame of a simulated movie with numpy, and where every one of its pixels goes next."""

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.simulation import paint
from napari_mosam.core.simulation.config import SimulationConfig
from napari_mosam.core.simulation.outlines import from_cell, outline, to_cell
from napari_mosam.core.simulation.scene import Floats, Scene
from napari_mosam.core.simulation.textures import TILE, TILE_REACH, Floats32

Rows = NDArray[np.uint16]
Slices = tuple[slice, slice]

_CAMERA_RANGE = {"uint16": 4095, "uint8": 255}
"""Largest grey value by type of pixel: cameras of 12 and 8 bits."""


# --- geometry -------------------------------------------------------------------------------------------------------


def _polar(scene: Scene, t: int, row: int, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Distance from the cell's centre (px) and direction in the cell's own frame (rad)."""
    dy, dx = y - scene.centres[t, row, 0], x - scene.centres[t, row, 1]
    return to_cell(np, dy, dx, scene.angles[t, row], _bend(scene, t, row))


def _bend(scene: Scene, t: int, row: int) -> Floats | None:
    return scene.bend[t, row] if scene.config.bend else None


def _box(scene: Scene, t: int, row: int, margin: float) -> Slices | None:
    reach = outline(scene, t, row, np.linspace(0, 2 * np.pi, 48)).max()
    reach += abs(scene.bend[t, row]) * reach**2 + margin + 1
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
    first, second = split_shifts(scene, row)
    side = (y - centre[0]) * along[0] + (x - centre[1]) * along[1] >= 0
    return np.where(side, first[0], second[0]), np.where(side, first[1], second[1])


def split_shifts(scene: Scene, row: int) -> tuple[Floats, Floats]:
    """How far (dy, dx) the two halves of a mother move when she divides, px."""
    born, axis = scene.division[row]
    along = np.array([np.sin(axis), np.cos(axis)])
    daughters = [cell - 1 for cell, mother in scene.parents.items() if mother == row + 1]
    first, second = (
        scene.centres[born, daughter] - scene.centres[born - 1, row] - sign * scene.radius[row] / 2 * along
        for sign, daughter in zip((1, -1), daughters, strict=True)
    )
    return first, second


# --- matter ---------------------------------------------------------------------------------------------------------


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

    scale = (TILE - 1) / (2 * TILE_REACH)
    where = [(v + TILE_REACH) * scale, (u + TILE_REACH) * scale]
    return np.asarray(map_coordinates(tile, where, order=1, mode="nearest"), dtype=np.float32)


def _matter(scene: Scene, t: int, row: int, tiles: Floats32, where: Slices) -> paint.Matter:
    y, x = (a.astype(float) for a in np.mgrid[where])
    distance, phi = _polar(scene, t, row, y, x)
    radius = outline(scene, t, row, phi)
    reach = distance / radius
    near, at_rest = reach <= TILE_REACH, reach
    if scene.config.modality in paint.OPTICAL:
        near = np.ones_like(near)
        at_rest = reach * outline(scene, 0, row, phi) / (scene.radius[row] * scene.size[0, row])
    v, u = (paint.on_tile(at_rest[near] * way(phi[near])) for way in (np.sin, np.cos))
    sampled = np.zeros((tiles.shape[1], *reach.shape), np.float32)
    for channel, tile in zip(sampled, tiles[row], strict=True):
        channel[near] = _bilinear(tile, v, u)
    rounding, churn = scene.rounding(t, row), scene.config.optics.churn * t
    brightness = scene.brightness[row] * (1 + 0.2 * rounding)
    own = scene.radius[row] * scene.size[t, row]
    taper = 1.0 if scene.config.cell_shape == "rod" else paint.taper(np, own, radius)
    return paint.Matter(reach, radius - distance, sampled, taper, brightness, rounding, churn)


# --- light ----------------------------------------------------------------------------------------------------------


def draw_cells(scene: Scene, t: int, tiles: Floats32) -> tuple[Floats32, Rows]:
    """Cells from the lowest to the one on top: signal in units of the contrast, and the visible row of each pixel.

    Rows count from 1; 0 is background.
    """
    config = scene.config
    signal, rows = np.zeros(config.shape, np.float32), np.zeros(config.shape, np.uint16)
    deepest = np.ones(config.shape)
    width = paint.skirt_width(config.modality, config.diameter)
    for row in np.argsort(scene.depth):
        where = _box(scene, t, row, 2.5 * width) if scene.visible[t, row] else None
        if where is None:
            continue
        matter = _matter(scene, t, row, tiles, where)
        cover, visible = np.clip(matter.edge + 0.5, 0, 1), matter.reach <= 1
        if config.confluent:
            visible = matter.reach < deepest[where]
            cover = np.where(visible | (deepest[where] == 1), cover, 0)
            deepest[where][visible] = matter.reach[visible]
        inside = paint.signal(np, config.modality, matter, config.optics)
        around = signal[where] + paint.skirt(np, config.modality, matter, width)
        signal[where] = cover * inside + (1 - cover) * around
        rows[where][visible] = row + 1
    for covered in _covered(scene, t):
        signal[covered], rows[covered] = paint.OCCLUDER.get(config.modality, 0.0), 0
    return signal, rows


def _covered(scene: Scene, t: int) -> list[Slices]:
    """Where the occluders lie on frame t."""
    boxes = occluders(scene, t)
    return [(slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in boxes.tolist()]


def occluders(scene: Scene, t: int) -> NDArray[np.intp]:
    """Rectangles (y0, x0, y1, x1) of frame t, ends excluded, none below 0: (K, 4)."""
    dy, dx = np.rint(scene.stage[t]).astype(int)
    boxes = np.array(scene.config.occluders, int).reshape(-1, 4) + np.array([dy, dx, dy + 1, dx + 1])
    return np.asarray(np.maximum(boxes, 0))


def _relief(height: Floats32, config: SimulationConfig) -> Floats32:
    """Shading of a surface lit from one corner, as a DIC prism shows the slope of the optical path."""
    slope_y, slope_x = np.gradient(height * (config.diameter / 8))
    return np.asarray(np.tanh(slope_x - slope_y), dtype=np.float32) * 0.5


def _seen(scene: Scene, t: int, signal: Floats32, rows: Rows) -> Floats32:
    """Signal through the microscope, in units of the contrast."""
    from scipy.ndimage import gaussian_filter

    config, optics = scene.config, scene.config.optics
    blur = float(np.hypot(config.blur, scene.focus[t]))
    if blur:
        signal = gaussian_filter(signal, blur)
    if config.modality == "dic":
        return _relief(signal, config)
    if config.modality not in paint.OPTICAL:
        return signal
    lines = gaussian_filter(paint.seams(np, rows).astype(np.float32), max(blur, paint.LINE_BLUR))
    wide = gaussian_filter(signal, optics.halo_width * config.diameter)
    return np.asarray(paint.see(np, config.modality, signal, lines, wide, config.diameter, optics), np.float32)


def light(scene: Scene, t: int, signal: Floats32, rows: Rows, ground: Floats32) -> Floats32:
    """Light that reaches the camera, 1 at the top of its range: bleached signal over the moved background."""
    config = scene.config
    signal = _seen(scene, t, signal, rows)
    bleach = (1 - config.bleaching) ** (t / max(config.n_frames - 1, 1))
    level = paint.BACKGROUND[config.modality] if config.background is None else config.background
    signal = bleach * signal + paint.GRAIN[config.modality] * config.optics.ground * moved(ground, scene.stage[t])
    y, x = np.linspace(-1, 1, config.shape[0])[:, None], np.linspace(-1, 1, config.shape[1])
    even = np.asarray(paint.illumination(np, y, x, config.optics), dtype=np.float32)
    lit = (level + config.contrast * signal) * even
    return np.asarray(lit * scene.gain[t], dtype=np.float32)


def _noisy(scene: Scene, t: int, lit: Floats32) -> Floats32:
    config, photons = scene.config, scene.config.camera.photons
    rng = np.random.default_rng([config.seed, 1, t])
    noise: Floats32 = np.zeros(config.shape, np.float32)
    if config.noise:
        noise = np.float32(config.contrast * config.noise) * rng.standard_normal(config.shape, dtype=np.float32)
    if photons is not None:
        shot: Floats32 = np.sqrt(np.maximum(lit, 0) / photons).astype(np.float32)
        noise = noise + shot * rng.standard_normal(config.shape, dtype=np.float32)
    return np.asarray(lit + noise, dtype=np.float32)


def expose(scene: Scene, t: int, lit: Floats32, levels: tuple[float, float]) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Record light with the camera's noise; `levels` become black and white."""
    config, camera = scene.config, scene.config.camera
    lit = _noisy(scene, t, lit)
    if camera.converts:
        lit = np.asarray(paint.convert(np, lit, *levels, camera), np.float32)
    top = _CAMERA_RANGE[config.dtype]
    digital: Floats32 = np.clip(np.rint(lit * top), 0, top)
    return digital.astype(np.uint16) if config.dtype == "uint16" else digital.astype(np.uint8)
