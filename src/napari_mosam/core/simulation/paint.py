"""What cells look like: their signal, and what optics and camera make of it.

Every function takes the array module `xp`, numpy or torch, so that all back ends draw the same picture. Settings are
plain numbers, or arrays that broadcast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from napari_mosam.core.simulation.textures import TILE_REACH

BACKGROUND = {
    "fluorescence": 0.08,
    "phase": 0.5,
    "dic": 0.5,
    "cytoplasm": 0.08,
    "membrane": 0.08,
    "zernike": 0.5,
    "nomarski": 0.5,
    "brightfield": 0.6,
}
"""Grey value between cells, by modality, 0 to 1; a choice."""

GRAIN = {
    "fluorescence": 0.03,
    "phase": 0.05,
    "dic": 0.05,
    "cytoplasm": 0.03,
    "membrane": 0.03,
    "zernike": 0.025,
    "nomarski": 0.02,
    "brightfield": 0.02,
}
"""Strength of what lies between cells, by modality; a choice."""

OCCLUDER = {"fluorescence": -0.1, "phase": -0.5}
"""What an opaque object shows, in units of the contrast, by modality; 0 in the others."""

SKIRT = {"fluorescence": 0.12, "phase": 0.75}
"""How bright a cell shines just beyond its outline (scattered light, the halo), in units of the contrast, by modality;
later modalities have an optics of their own."""

_SKIRT_WIDTH = {"fluorescence": 0.2, "phase": 0.1, "dic": 0.03}
"""How far that reaches until it is down to a third, object diameters; a choice."""

OPTICAL = ("cytoplasm", "membrane", "zernike", "nomarski", "brightfield")

VIGNETTE = 0.12
"""Loss of light towards the corners of every frame; a choice."""

LINE_BLUR = 0.6
"""Standard deviation, px, with which seams are blurred at least: no optics draw a line of single pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Matter:
    """What lies at some pixels of cells; all arrays of one shape.

    Attributes
    ----------
    reach : array
        Distance from the centre over the outline's distance in that direction: below 1 inside the cell.
    edge : array
        Distance to the outline along the ray from the centre, px; positive inside.
    tiles : array
        The textures there, as in `cell_tiles`, channels first; they move with the cell.
    taper : array or float
        Thickness of processes, 0 to 1: the farther out the outline, the thinner the cell.
    brightness, rounding : array or float
        Of the cell; how far it is on its way to divide, 0 to 1.
    churn : array or float
        Phase between the two fields of granules, rad.
    """

    reach: Any
    edge: Any
    tiles: Any
    taper: Any
    brightness: Any
    rounding: Any
    churn: Any


def skirt_width(modality: str, diameter: float) -> float:
    """How far a cell shines beyond its outline, px."""
    return max(1.5, _SKIRT_WIDTH.get(modality, 0.0) * diameter)


def on_tile(position: Any) -> Any:
    """Positions in radii, wrapped onto the square that textures cover.

    Textures of the later modalities lie on the cell as it is on the first frame, in radii: they are not stretched with
    the outline, and move with the matter.
    """
    return (position + TILE_REACH) % (2 * TILE_REACH) - TILE_REACH


def taper(xp: ModuleType, radius: Any, outline: Any) -> Any:
    """Thickness where the outline lies `outline` px from the centre of a cell whose mean radius is `radius` px."""
    return xp.clip(radius / outline, 0, 1)


# --- signal ---------------------------------------------------------------------------------------------------------


def _dome(xp: ModuleType, matter: Matter) -> Any:
    return xp.sqrt(xp.clip(1 - matter.reach**2, 0, None))


def _fluorescent(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    body = 0.5 + 0.5 * _dome(xp, matter)
    return matter.brightness * body * (0.85 + 0.45 * matter.tiles[0] - 0.35 * matter.tiles[1])


def _phase_dark(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    nucleus = 0.18 / (1 + xp.exp((matter.reach - 0.5) * 14))
    rim = -0.25 * xp.exp(-((matter.edge / 1.5) ** 2))
    return -0.42 * matter.brightness + nucleus + 0.22 * matter.tiles[0] - 0.35 * matter.tiles[1] + rim


def _optical_height(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    nucleus = 0.35 / (1 + xp.exp((matter.reach - 0.5) * 12))
    texture = 0.16 * matter.tiles[0] + 0.3 * matter.tiles[1]
    return matter.brightness * (_dome(xp, matter) + nucleus + texture)


def _body(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    """Thickness from a dome to a plateau, 0 at the outline."""
    inside = xp.clip(matter.reach, 0, 1)
    return matter.taper * (1 - inside ** (2 + 12 * optics.flatness)) ** 0.75


def _granules(xp: ModuleType, matter: Matter) -> Any:
    _, _, first, second, nucleus, _ = matter.tiles
    return (xp.cos(matter.churn) * first + xp.sin(matter.churn) * second) * (1 - 0.8 * nucleus)


def _stained(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    nucleus = 1 + optics.nucleus * matter.tiles[4] * (1 - 0.5 * matter.tiles[1])
    texture = 1 + 0.6 * optics.grain * matter.tiles[0] + 0.25 * optics.granules * _granules(xp, matter)
    return matter.brightness * (1 + 0.5 * matter.rounding) * _body(xp, matter, optics) * nucleus * texture


def _outlined(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    inside = 0.15 + 0.1 * optics.grain * matter.tiles[0] + 0.2 * optics.nucleus * matter.tiles[4]
    return matter.brightness * (inside + 0.05 * optics.granules * _granules(xp, matter)) * (matter.reach <= 1)


def _thickness(xp: ModuleType, matter: Matter, optics: Any) -> Any:
    body = _body(xp, matter, optics) * (1 + 1.2 * matter.rounding)
    nucleus = 0.6 * optics.nucleus * matter.tiles[4] + 0.3 * abs(optics.nucleus) * matter.tiles[1] * matter.tiles[4]
    inside = 0.22 * optics.granules * _granules(xp, matter) + 0.6 * optics.droplets * matter.tiles[5]
    return matter.brightness * body * (1 + nucleus + 0.3 * optics.grain * matter.tiles[0] + inside)


_SIGNAL: dict[str, Callable[[ModuleType, Matter, Any], Any]] = {
    "fluorescence": _fluorescent,
    "phase": _phase_dark,
    "dic": _optical_height,
    "cytoplasm": _stained,
    "membrane": _outlined,
    "zernike": _thickness,
    "nomarski": _thickness,
    "brightfield": _thickness,
}


def signal(xp: ModuleType, modality: str, matter: Matter, optics: Any) -> Any:
    """Signal of cells in units of the contrast."""
    return _SIGNAL[modality](xp, matter, optics)


def skirt(xp: ModuleType, modality: str, matter: Matter, width: Any) -> Any:
    """What a cell adds to its surroundings, in units of the contrast."""
    return SKIRT.get(modality, 0.0) * matter.brightness * xp.exp(-xp.clip(-matter.edge, 0, None) / width)


# --- optics ---------------------------------------------------------------------------------------------------------


def _widened(xp: ModuleType, image: Any, axis: int) -> Any:
    first, last = (image[..., :1, :], image[..., -1:, :]) if axis == -2 else (image[..., :1], image[..., -1:])
    return xp.concatenate((first, image, last), axis)


def _slope(xp: ModuleType, height: Any, angle: Any) -> Any:
    tall, wide = _widened(xp, height, -2), _widened(xp, height, -1)
    dy, dx = (tall[..., 2:, :] - tall[..., :-2, :]) / 2, (wide[..., 2:] - wide[..., :-2]) / 2
    return xp.sin(angle) * dy + xp.cos(angle) * dx


def seams(xp: ModuleType, rows: Any) -> Any:
    """Where a pixel's upper or left neighbour belongs to another cell or to none: bool, as `rows`."""
    tall, wide = _widened(xp, rows, -2), _widened(xp, rows, -1)
    return (tall[..., 1:-1, :] != tall[..., :-2, :]) | (wide[..., 1:-1] != wide[..., :-2])


def see(xp: ModuleType, modality: str, height: Any, lines: Any, wide: Any, diameter: Any, optics: Any) -> Any:
    """What one of the later modalities shows of a signal, in units of the contrast.

    `lines` are the seams and `wide` is the signal, blurred by the halo's width; all (..., Y, X).
    """
    if modality == "zernike":
        return xp.tanh(0.8 * (optics.halo * wide - height)) + optics.seam * lines
    if modality == "nomarski":
        relief = 0.5 * xp.tanh(_slope(xp, height, optics.angle) * diameter / 6)
        return relief + optics.halo * (wide - height) + 0.3 * optics.seam * lines
    if modality == "brightfield":
        return 1.2 * (wide - height) - 0.15 * height + 0.4 * optics.seam * lines
    strength = 1.2 if modality == "membrane" else optics.seam
    return height + strength * lines


def illumination(xp: ModuleType, y: Any, x: Any, optics: Any) -> Any:
    """Light over the frame, around 1; `y` and `x` run from -1 to 1."""
    slant = xp.cos(optics.angle) * x + xp.sin(optics.angle) * y - 0.5 * (x * x + y * y) + 0.3
    return (1 - VIGNETTE / 2 * ((y + 0.1) ** 2 + (x - 0.15) ** 2)) * (1 + 0.5 * optics.shading * slant)


def convert(xp: ModuleType, light: Any, low: Any, high: Any, camera: Any) -> Any:
    """Grey values, 0 to 1, of light between the levels `low` and `high`."""
    grey = xp.clip((light - low) / (high - low), 0, 1) ** camera.gamma
    grey = camera.inverted + (1 - 2 * camera.inverted) * grey
    bottom, top = camera.grey_range
    return bottom + (top - bottom) * grey
