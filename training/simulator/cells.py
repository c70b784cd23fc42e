"""Cells of many simulated movies at once, as tensors: their geometry, and which one each pixel shows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.simulation import paint
from napari_mosam.core.simulation.optics import Optics
from napari_mosam.core.simulation.outlines import from_cell, outline_table, to_cell
from napari_mosam.core.simulation.render import occluders, split_shifts
from napari_mosam.core.simulation.scene import Scene
from napari_mosam.core.simulation.textures import TILE, TILE_REACH

N_DIRECTIONS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Every cell on every frame of some movies of one modality; Q counts (movie, frame, cell).

    Attributes
    ----------
    movie, frame, tile, rank, following, at_rest : Tensor of int64, shape (Q,)
        Movie; frame; which texture; place in depth from the lowest; the same cell's entries on the next and on the
        first frame.
    tapers : Tensor of bool, shape (Q,)
        Whether the cell is thin where it reaches far.
    radius, centre, angle, bend, brightness, rounding, churn : Tensor of float32, shape (Q, 2) or (Q,)
        As in `Scene` and `Matter`.
    outline : Tensor of float32, shape (Q, K)
        Distance to the outline at K directions, px.
    box : Tensor of int64, shape (Q, 4)
        First row and column, height and width of the part of the frame that the cell may touch; empty if out of sight.
    label : Tensor of int32, shape (Q,)
        The id of its pixels.
    splits : Tensor of float32, shape (Q, 5)
        Of cells that divide next: direction (dy, dx) is given by the first number (rad), then both halves' (dy, dx);
        NaN for all others.
    """

    movie: Tensor
    frame: Tensor
    tile: Tensor
    rank: Tensor
    following: Tensor
    at_rest: Tensor
    tapers: Tensor
    radius: Tensor
    centre: Tensor
    angle: Tensor
    bend: Tensor
    brightness: Tensor
    rounding: Tensor
    churn: Tensor
    outline: Tensor
    box: Tensor
    label: Tensor
    splits: Tensor


# --- from scenes ----------------------------------------------------------------------------------------------------


def stack_cells(scenes: Sequence[Scene], device: torch.device) -> Cells:
    """Tensors of all cells of scenes of one modality and one shape."""
    parts, n_before, n_tiles = [], 0, 0
    for movie, scene in enumerate(scenes):
        parts.append(_cells_of(scene, movie, n_before, n_tiles))
        n_before, n_tiles = n_before + scene.visible.size, n_tiles + len(scene.radius)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Cells(**{name: _tensor(values, device) for name, values in joined.items()})


def _tensor(values: Any, device: torch.device) -> Tensor:
    values = np.asarray(values)
    return torch.from_numpy(values.astype(np.float32) if values.dtype == np.float64 else values).to(device)


def _cells_of(scene: Scene, movie: int, n_before: int, n_tiles: int) -> dict[str, Any]:
    n_frames, n = scene.visible.shape
    t, row = np.mgrid[:n_frames, :n]
    table = outline_table(scene, N_DIRECTIONS)
    rounding = np.broadcast_to(scene.rounding(t, row), t.shape).astype(float)
    full = {
        "movie": np.full_like(t, movie),
        "frame": t,
        "tile": n_tiles + row,
        "rank": np.broadcast_to(scene.depth, t.shape),
        "following": n_before + np.minimum(t + 1, n_frames - 1) * n + row,
        "at_rest": n_before + row,
        "radius": scene.radius * scene.size,
        "tapers": np.full(t.shape, scene.config.cell_shape != "rod"),
        "centre": scene.centres,
        "angle": scene.angles,
        "bend": scene.bend,
        "brightness": scene.brightness * (1 + 0.2 * rounding),
        "rounding": rounding,
        "churn": scene.config.optics.churn * t.astype(float),
        "outline": table,
        "box": _boxes(scene, table.max(axis=-1, initial=0)),
        "label": scene.owner.astype(np.int32),
        "splits": _splits(scene),
    }
    return {name: values.reshape(n_frames * n, *values.shape[2:]) for name, values in full.items()}


def _boxes(scene: Scene, reach: np.ndarray) -> np.ndarray:
    """First row and column, height and width (T, N, 4); empty for what is not visible."""
    config = scene.config
    reach = reach + abs(scene.bend) * reach**2 + 2.5 * paint.skirt_width(config.modality, config.diameter) + 1
    low = np.clip(np.floor(scene.centres - reach[..., None]).astype(int), 0, config.shape)
    high = np.clip(np.ceil(scene.centres + reach[..., None]).astype(int) + 1, low, config.shape)
    size = np.where(scene.visible[..., None], high - low, 0)
    return np.concatenate([low, size], axis=-1)


def _splits(scene: Scene) -> np.ndarray:
    splits = np.full((*scene.visible.shape, 5), np.nan)
    for row, (born, axis) in scene.division.items():
        splits[born - 1, row] = [axis, *np.concatenate(split_shifts(scene, row))]
    return splits


# --- pixels ---------------------------------------------------------------------------------------------------------


def _lookup(table: Tensor, entry: Tensor, phi: Tensor) -> Tensor:
    """Linear interpolation in a table of directions."""
    position = torch.remainder(phi * (N_DIRECTIONS / (2 * torch.pi)), N_DIRECTIONS)
    low = position.floor()
    step = low.long() % N_DIRECTIONS
    flat, start = table.reshape(-1), entry * N_DIRECTIONS
    before, after = flat[start + step], flat[start + (step + 1) % N_DIRECTIONS]
    return torch.lerp(before, after, position - low)


def _pixels(cells: Cells, entries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entry, y and x of every pixel of the boxes of some cells, one after another."""
    y0, x0, height, width = cells.box[entries].unbind(1)
    area = height * width
    which = torch.repeat_interleave(torch.arange(len(entries), device=area.device), area)
    place = torch.arange(len(which), device=area.device) - (area.cumsum(0) - area)[which]
    return entries[which], y0[which] + place // width[which], x0[which] + place % width[which]


def _polar(cells: Cells, entry: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    dy, dx = y - cells.centre[entry, 0], x - cells.centre[entry, 1]
    return to_cell(torch, dy, dx, cells.angle[entry], cells.bend[entry])


def _sample(tiles: Tensor, which: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Bilinear values (C, P) of textures (n, 64, 64, C) at positions in radii."""
    flat, scale = tiles.reshape(-1, tiles.shape[-1]), (TILE - 1) / (2 * TILE_REACH)
    y, x = (((a + TILE_REACH) * scale).clamp(0, TILE - 1) for a in (v, u))
    low_y, low_x = y.floor().clamp(max=TILE - 2), x.floor().clamp(max=TILE - 2)
    start = (which * TILE + low_y.long()) * TILE + low_x.long()
    fy, fx = (y - low_y)[:, None], (x - low_x)[:, None]
    upper = torch.lerp(flat[start], flat[start + 1], fx)
    lower = torch.lerp(flat[start + TILE], flat[start + TILE + 1], fx)
    return torch.lerp(upper, lower, fy).T


def optics_of(scenes: Sequence[Scene], device: torch.device) -> dict[str, Tensor]:
    """Every setting of the optics as a tensor (B,)."""
    names = [field.name for field in fields(Optics)]
    return {name: _tensor([float(getattr(s.config.optics, name)) for s in scenes], device) for name in names}


# --- the picture ----------------------------------------------------------------------------------------------------


class Canvas:
    """Signal and visible rows of movies, onto which cells are painted from the lowest to the one on top."""

    def __init__(self, scenes: Sequence[Scene], cells: Cells, tiles: Tensor) -> None:
        config, device = scenes[0].config, tiles.device
        self.scenes, self.cells, self.tiles, self.modality = scenes, cells, tiles, config.modality
        self.shape = (len(scenes), config.n_frames, *config.shape)
        n_px = int(np.prod(self.shape))
        self._signal, self._deepest = torch.zeros(n_px, device=device), torch.ones(n_px, device=device)
        self._rows = torch.zeros(n_px, dtype=torch.int64, device=device)
        self._optics = optics_of(scenes, device)
        widths = [paint.skirt_width(self.modality, s.config.diameter) for s in scenes]
        self._skirt_width = _tensor(widths, device)
        self._confluent = _tensor([s.config.confluent for s in scenes], device)

    def paint_all(self) -> tuple[Tensor, Tensor]:
        """Signal, float32, and the entry of `cells` that each pixel shows plus 1 (0: none), int64; (B, T, Y, X)."""
        ranks, entries = torch.sort(self.cells.rank, stable=True)
        counts = torch.bincount(ranks).tolist() if len(ranks) else []
        for of_one_depth in torch.split(entries, counts):
            self._paint(of_one_depth)
        self._cover()
        return self._signal.view(self.shape), self._rows.view(self.shape)

    def _paint(self, entries: Tensor) -> None:
        """Cells of one depth; no two of them are on the same frame, so that no pixel is met twice."""
        entry, y, x = _pixels(self.cells, entries)
        distance, phi = _polar(self.cells, entry, y, x)
        radius = _lookup(self.cells.outline, entry, phi)
        seen = radius - distance > (-0.5 if self.modality not in paint.SKIRT else -torch.inf)
        entry, y, x, phi, distance, radius = (a[seen] for a in (entry, y, x, phi, distance, radius))
        matter = self._matter(entry, phi, distance, radius)
        movie = self.cells.movie[entry]
        optics = SimpleNamespace(**{name: values[movie] for name, values in self._optics.items()})
        inside = paint.signal(torch, self.modality, matter, optics)
        skirt = paint.skirt(torch, self.modality, matter, self._skirt_width[movie])
        place = ((movie * self.shape[1] + self.cells.frame[entry]) * self.shape[2] + y) * self.shape[3] + x
        self._put(place, entry, matter, inside, skirt, self._confluent[movie])

    def _matter(self, entry: Tensor, phi: Tensor, distance: Tensor, radius: Tensor) -> paint.Matter:
        reach, cells = distance / radius, self.cells
        at_rest = reach
        if self.modality in paint.OPTICAL:
            rest = cells.at_rest[entry]
            at_rest = reach * _lookup(cells.outline, rest, phi) / cells.radius[rest]
        v, u = (paint.on_tile(at_rest * way(phi)) for way in (torch.sin, torch.cos))
        tiles = _sample(self.tiles, cells.tile[entry], v, u)
        if self.modality not in paint.OPTICAL:
            tiles = tiles * (reach <= TILE_REACH)
        taper = torch.where(cells.tapers[entry], paint.taper(torch, cells.radius[entry], radius), 1.0)
        lasting = (cells.brightness[entry], cells.rounding[entry], cells.churn[entry])
        return paint.Matter(reach, radius - distance, tiles, taper, *lasting)

    def _put(
        self, place: Tensor, entry: Tensor, matter: paint.Matter, inside: Tensor, skirt: Tensor, confluent: Tensor
    ) -> None:
        deepest, below = self._deepest[place], self._signal[place]
        visible = torch.where(confluent, matter.reach < deepest, matter.reach <= 1)
        free = ~confluent | visible | (deepest == 1)
        cover = (matter.edge + 0.5).clamp(0, 1) * free
        self._signal[place] = cover * inside + (1 - cover) * (below + skirt)
        self._deepest[place] = torch.where(visible & confluent, matter.reach, deepest)
        self._rows[place] = torch.where(visible, entry + 1, self._rows[place])

    def _cover(self) -> None:
        signal, rows = self._signal.view(self.shape), self._rows.view(self.shape)
        for movie, scene in enumerate(self.scenes):
            for t in range(self.shape[1]) if scene.config.occluders else ():
                for y0, x0, y1, x1 in occluders(scene, t).tolist():
                    signal[movie, t, y0:y1, x0:x1] = paint.OCCLUDER.get(self.modality, 0.0)
                    rows[movie, t, y0:y1, x0:x1] = 0


def labels_of(cells: Cells, rows: Tensor) -> Tensor:
    """Ids, int32, of the rows that :class:`Canvas` painted."""
    return torch.cat([cells.label.new_zeros(1), cells.label])[rows]


def flow_of(cells: Cells, rows: Tensor, drift: Tensor) -> Tensor:
    """Motion of every pixel until the next frame, float32 (B, T - 1, 2, Y, X); `drift` (B, T, 2) is the stage's."""
    flow = drift[:, 1:, :, None, None].expand(-1, -1, -1, *rows.shape[2:]).clone()
    movie, t, y, x = torch.nonzero(rows[:, :-1], as_tuple=True)
    entry = rows[movie, t, y, x] - 1
    dy, dx = _displacement(cells, entry, y, x)
    flow[movie, t, 0, y, x], flow[movie, t, 1, y, x] = dy, dx
    return flow


def _displacement(cells: Cells, entry: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    distance, phi = _polar(cells, entry, y, x)
    then = cells.following[entry]
    distance = distance * _lookup(cells.outline, then, phi) / _lookup(cells.outline, entry, phi)
    dy, dx = from_cell(torch, distance, phi, cells.angle[then], cells.bend[then])
    dy, dx = cells.centre[then, 0] + dy - y, cells.centre[then, 1] + dx - x
    axis, first_y, first_x, second_y, second_x = cells.splits[entry].unbind(1)
    side = (y - cells.centre[entry, 0]) * torch.sin(axis) + (x - cells.centre[entry, 1]) * torch.cos(axis) >= 0
    splits = ~torch.isnan(axis)
    dy = torch.where(splits, torch.where(side, first_y, second_y), dy)
    dx = torch.where(splits, torch.where(side, first_x, second_x), dx)
    return dy, dx
