"""The settings of a simulated movie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import require
from napari_mosam.core.simulation.optics import Camera, Optics

Modality = Literal["fluorescence", "phase", "dic", "cytoplasm", "membrane", "zernike", "nomarski", "brightfield"]
CellShape = Literal["round", "ellipse", "lobed", "rod", "amoeboid", "yeast"]

_MODALITIES = get_args(Modality)
_SHAPES = get_args(CellShape)


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """Settings of a simulated movie; the same settings give the same movie, bit for bit.

    Cells are numbered from 1: the founders first, then two daughters per division, in the order of the divisions'
    frames, then one daughter per bud. Positions are (y, x) in px, pixel centres at integers, in the view of a stage
    that does not move.

    Parameters
    ----------
    seed : int
        Seed of every random number, 0 or more.
    n_frames : int
        Number of frames, at least 1.
    shape : tuple of int
        (Y, X) of a frame, at least 16 px each.
    n_cells : int
        Cells on the first frame; replaced by ``len(tracks)`` where tracks are given.
    diameter : float
        Mean diameter in px (of the disk with the cell's area), at least 4.
    diameter_spread : float
        Standard deviation of the diameter as a fraction of it, 0 to 0.5.
    speed : float
        Root mean square speed of the random walk, px per frame.
    persistence : float
        Share of the velocity kept from frame to frame, 0 (Brownian) to below 1.
    rotation : float
        Standard deviation of the rotation, rad per frame.
    deformation : float
        Depth of the lobes as a fraction of the radius, 0 to 0.3; scaled down for ellipses, unused for disks and rods.
    cell_shape : {'lobed', 'ellipse', 'round', 'rod', 'amoeboid', 'yeast'}
        Outline; lobes travel smoothly around the cell, deep ones around an amoeboid one.
    modality : {'fluorescence', 'phase', 'dic', 'cytoplasm', 'membrane', 'zernike', 'nomarski', 'brightfield'}
        Bright textured nuclei; grey cells with a drawn halo; relief of domes. The later ones follow `optics`: stained
        cell bodies; stained outlines; phase contrast as the optics make it (the phase less its own wide blur);
        DIC of granular cells (slope of the phase); transmitted light out of focus.
    touching : bool
        Start as one cluster of touching cells that holds together loosely.
    repulsion : float
        How much of an overlap of two cells is undone per frame, 0 (they pass over each other) to 1.
    stage_drift : tuple of float
        (dy, dx) of the picture's content per frame, px.
    stage_jumps : sequence of (frame, dy, dx)
        Extra shift of the content between ``frame - 1`` and ``frame``.
    vanish : sequence of (id, first, last), or mapping of id to (first, last)
        Frames, inclusive, on which a cell is out of sight; it keeps moving meanwhile.
    divisions : sequence of (id, frame)
        The mother is last seen on ``frame - 1``; on ``frame`` her two daughters lie side by side.
    tracks : sequence of (n_frames, 2) array-likes, optional
        Exact centres (y, x) of the founders instead of random walks.
    identical : bool
        All founders are copies of one cell: size, outline, rotation, brightness and texture.
    occluders : sequence of (y0, x0, y1, x1)
        Opaque rectangles above the cells, px, inclusive; they move with the stage and belong to no cell.
    bleaching : float
        Fraction of the contrast lost by the last frame, 0 to below 1.
    noise : float
        Standard deviation of the camera noise as a fraction of the contrast.
    contrast : float
        Grey range of a cell as a fraction of the camera's range, above 0 to 1.
    background : float, optional
        Grey value without cells as a fraction of the camera's range; by default what suits the modality.
    blur : float
        Standard deviation of the optical blur, px.
    dtype : {'uint16', 'uint8'}
        Of the images. The camera's range is 12 bits in uint16.
    aspect : tuple of float, optional
        Range of a cell's length over its width, 1 to 12; by default what suits the shape.
    brightness : tuple of float
        Range of the cells' brightness or thickness, above 0 to 1.
    bend : float
        Standard deviation of the sag of a cell's tips as a fraction of its half length, 0 to 0.5.
    spikes : float
        Length of a few thin processes as a multiple of the radius, 0 to 4; they grow, shrink and turn.
    margin : float
        How far beyond the frame cells may wander, px: they leave and enter.
    confluent : bool
        Where cells overlap, each pixel belongs to the cell that it lies deepest in, so that they share borders.
    solid : bool
        Cells push each other by their true outlines and turn as they do, so that long ones lie side by side.
    deaths : sequence of (id, frame)
        The cell shrinks over three frames and is gone from ``frame`` on.
    buds : sequence of (id, first, division)
        A daughter grows on the cell from frame ``first`` as part of it and is a cell of her own from ``division`` on
        (never, where that is no frame of the movie); the mother lives on.
    optics : Optics
        The microscope.
    camera : Camera
        The camera.

    Raises
    ------
    ValueError
        For any value outside its range, unknown cell ids, or frames outside the movie.
    """

    seed: int = 0
    n_frames: int = 10
    shape: tuple[int, int] = (128, 128)
    n_cells: int = 4
    diameter: float = 28.0
    diameter_spread: float = 0.12
    speed: float = 1.5
    persistence: float = 0.8
    rotation: float = 0.03
    deformation: float = 0.12
    cell_shape: CellShape = "lobed"
    modality: Modality = "fluorescence"
    touching: bool = False
    repulsion: float = 0.6
    stage_drift: tuple[float, float] = (0.0, 0.0)
    stage_jumps: Sequence[tuple[int, float, float]] = ()
    vanish: Sequence[tuple[int, int, int]] | Mapping[int, tuple[int, int]] = ()
    divisions: Sequence[tuple[int, int]] = ()
    tracks: Sequence[Sequence[tuple[float, float]]] | NDArray[np.float64] | None = None
    identical: bool = False
    occluders: Sequence[tuple[int, int, int, int]] = ()
    bleaching: float = 0.0
    noise: float = 0.05
    contrast: float = 0.5
    background: float | None = None
    blur: float = 0.8
    dtype: Literal["uint16", "uint8"] = "uint16"
    aspect: tuple[float, float] | None = None
    brightness: tuple[float, float] = (0.6, 1.0)
    bend: float = 0.0
    spikes: float = 0.0
    margin: float = 0.0
    confluent: bool = False
    solid: bool = False
    deaths: Sequence[tuple[int, int]] = ()
    buds: Sequence[tuple[int, int, int]] = ()
    optics: Optics = field(default_factory=Optics)
    camera: Camera = field(default_factory=Camera)

    def __post_init__(self) -> None:
        self._normalise()
        self._check_values()
        self._check_events()

    def _normalise(self) -> None:
        """Turn arrays, lists and mappings into tuples, so that settings compare, hash and never change."""

        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        vanish = self.vanish
        if isinstance(vanish, Mapping):
            vanish = [(cell, first, last) for cell, (first, last) in vanish.items()]
        put("shape", tuple(self.shape))
        put("stage_drift", (float(self.stage_drift[0]), float(self.stage_drift[1])))
        put("stage_jumps", tuple((int(t), float(dy), float(dx)) for t, dy, dx in self.stage_jumps))
        put("vanish", tuple((int(cell), int(first), int(last)) for cell, first, last in vanish))
        put("divisions", tuple(sorted(((int(c), int(t)) for c, t in self.divisions), key=lambda d: (d[1], d[0]))))
        put("deaths", tuple((int(cell), int(t)) for cell, t in self.deaths))
        put("buds", tuple((int(cell), int(first), int(end)) for cell, first, end in self.buds))
        put("aspect", None if self.aspect is None else (float(self.aspect[0]), float(self.aspect[1])))
        put("brightness", (float(self.brightness[0]), float(self.brightness[1])))
        put("occluders", tuple((int(y0), int(x0), int(y1), int(x1)) for y0, x0, y1, x1 in self.occluders))
        if self.tracks is not None:
            put("tracks", tuple(tuple((float(y), float(x)) for y, x in track) for track in self.tracks))
            put("n_cells", len(self.tracks))

    def _check_values(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        require(self.n_frames >= 1, "n_frames", self.n_frames, "1 or more")
        require(len(self.shape) == 2 and min(self.shape) >= 16, "shape", self.shape, "(Y, X), at least 16 px each")
        require(self.n_cells >= 0, "n_cells", self.n_cells, "0 or more")
        require(self.diameter >= 4, "diameter", self.diameter, "4 px or more")
        require(self.diameter < min(self.shape), "diameter", self.diameter, f"less than the frame's {self.shape}")
        require(self.speed >= 0, "speed", self.speed, "0 px per frame or more")
        require(self.rotation >= 0, "rotation", self.rotation, "0 rad per frame or more")
        require(0 <= self.persistence < 1, "persistence", self.persistence, "0 to below 1")
        require(0 <= self.diameter_spread <= 0.5, "diameter_spread", self.diameter_spread, "0 to 0.5")
        require(0 <= self.deformation <= 0.3, "deformation", self.deformation, "0 to 0.3")
        require(0 <= self.repulsion <= 1, "repulsion", self.repulsion, "0 to 1")
        require(0 <= self.bleaching < 1, "bleaching", self.bleaching, "0 to below 1")
        require(self.noise >= 0, "noise", self.noise, "0 or more")
        require(self.blur >= 0, "blur", self.blur, "0 px or more")
        require(0 < self.contrast <= 1, "contrast", self.contrast, "above 0 to 1")
        require(self.background is None or 0 <= self.background <= 1, "background", self.background, "0 to 1, or None")
        low, high = self.aspect or (1, 1)
        require(1 <= low <= high <= 12, "aspect", self.aspect, "1 <= low <= high <= 12, or None")
        dim, bright = self.brightness
        require(0 < dim <= bright <= 1, "brightness", self.brightness, "0 < low <= high <= 1")
        require(0 <= self.bend <= 0.5, "bend", self.bend, "0 to 0.5")
        require(0 <= self.spikes <= 4, "spikes", self.spikes, "0 to 4")
        require(self.margin >= 0, "margin", self.margin, "0 px or more")
        require(self.cell_shape in _SHAPES, "cell_shape", self.cell_shape, f"one of {_SHAPES}")
        require(self.modality in _MODALITIES, "modality", self.modality, f"one of {_MODALITIES}")
        require(self.dtype in ("uint16", "uint8"), "dtype", self.dtype, "'uint16' or 'uint8'")

    def _check_events(self) -> None:
        last = self.n_frames - 1
        births = dict.fromkeys(range(1, self.n_cells + 1), 0)
        for cell, t in self.divisions:
            require(cell in births, "dividing cell", cell, f"a cell that lives and has not divided: {sorted(births)}")
            require(births.pop(cell) < t <= last, "division frame", t, f"after the mother's first frame, to {last}")
            births.update(dict.fromkeys(self.daughters[cell, t], t))
        for cell, first, end in self.absences:
            require(1 <= cell <= self.n_total, "vanishing cell", cell, f"1 to {self.n_total}")
            require(0 <= first <= end <= last, "vanishing frames", (first, end), f"0 <= first <= last <= {last}")
        for cell, t in self.deaths:
            require(1 <= cell <= self.n_total, "dying cell", cell, f"1 to {self.n_total}")
            require(1 <= t <= last, "frame of death", t, f"1 to {last}")
        for cell, first, division in self.buds:
            require(cell in births and cell <= self.n_cells, "budding cell", cell, "a founder that does not divide")
            require(0 <= first <= last, "first frame of a bud", first, f"0 to {last}")
            require(division > first, "frame on which a bud divides", division, f"after its first, {first}")
        for t, _, _ in self.stage_jumps:
            require(1 <= t <= last, "stage jump frame", t, f"1 to {last}")
        for y0, x0, y1, x1 in self.occluders:
            require(y0 <= y1 and x0 <= x1, "occluder", (y0, x0, y1, x1), "(y0, x0, y1, x1), y0 <= y1 and x0 <= x1")
        for track in self.tracks if self.tracks is not None else ():
            require(len(track) == self.n_frames, "length of a track", len(track), f"n_frames = {self.n_frames}")
        require(self.n_total <= 65535, "number of cells", self.n_total, "65535 at most")

    @property
    def absences(self) -> tuple[tuple[int, int, int], ...]:
        """`vanish` as (id, first, last)."""
        return cast("tuple[tuple[int, int, int], ...]", self.vanish)

    @property
    def n_total(self) -> int:
        """Founders and daughters together."""
        return self.n_cells + 2 * len(self.divisions) + len(self.buds)

    @property
    def daughters(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The ids of the two daughters of each (mother, frame)."""
        first = self.n_cells + 1
        return {division: (first + 2 * k, first + 2 * k + 1) for k, division in enumerate(self.divisions)}

    @property
    def budding(self) -> dict[int, tuple[int, int, int]]:
        """`buds` by the id of the daughter."""
        first = self.n_cells + 2 * len(self.divisions) + 1
        return {first + k: bud for k, bud in enumerate(self.buds)}
