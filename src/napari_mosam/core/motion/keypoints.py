"""Key points of many objects, followed from one frame to the next by normalised cross-correlation.

Everything is measured in object diameters: the surroundings of each object are resampled to the same small grid, so
objects of any size go through the same batched steps. First every object is followed as a whole, by the pixels of its
mask, within a wide search; then small patches around its key points, within a narrow search around that answer. Each
match is searched backwards too, and counts only if it leads back to where it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from napari_mosam.core.masks.region import Region
from napari_mosam.core.motion.interest import choose_points
from napari_mosam.core.motion.matching import Matches, Patches, depths, match, read_patches
from napari_mosam.core.windows.devices import put
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.sampling import alike

Shift = tuple[float, float]

MIN_AREA_PX = 9
"""Smaller objects show too little to be told from noise; not measured."""

SAMPLES = 24
"""Samples along the diameter of an object that is followed as a whole; more cost time. Not measured."""

HALF_WHOLE, REACH_WHOLE = 13, 18
"""Samples from the middle to the edge of an object's template, and its farthest motion: 0.75 diameters. Not
measured."""

HALF_POINT, REACH_POINT = 10, 9
"""The same of a key point's patch: it may move by 0.2 diameters against its object. Not measured."""

MASK_MARGIN = 2
"""Samples beyond the mask that still belong to the template of an object: its edge is what shows best; not measured."""

ROUNDING_PX = 2.0
"""Of what is looked at beyond what a search reaches: searches begin at whole pixels, forward and backward."""

MIN_PEAK = 0.2
"""Correlation below which a match is chance; not measured."""


@dataclass(frozen=True, slots=True)
class KeypointConfig:
    """How key points are chosen and followed.

    Parameters
    ----------
    n_points : int
        Key points per object at most, 1 to 64.
    patch : float
        Side of the patch around a key point, object diameters.
    min_patch_px : float
        But no smaller than this: tiny patches look alike everywhere.
    spacing : float
        Least distance between key points, object diameters.
    max_return_px, max_return : float
        A point followed forward and backward must come back to within the larger of `max_return_px` px and
        `max_return` object diameters.
    chunk_mib : int
        Memory for one batch of patches, MiB.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    n_points: int = 8
    patch: float = 0.5
    min_patch_px: float = 9.0
    spacing: float = 0.18
    max_return_px: float = 1.5
    max_return: float = 0.05
    chunk_mib: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.n_points <= 64:
            raise ValueError(f"n_points = {self.n_points} is not possible; allowed: 1 to 64")
        for name in ("patch", "min_patch_px", "spacing", "max_return_px", "max_return", "chunk_mib"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} is not possible; allowed: above 0")


@dataclass(frozen=True, slots=True, eq=False)
class SparseMotion:
    """Where the key points of one object went.

    Attributes
    ----------
    points_yx : ndarray of float32, shape (N, 2)
        Positions (y, x) on the later frame of the points that were found again, px; the innermost one first, where it
        was found. May be empty.
    shift_yx : tuple of float
        Median motion (dy, dx) of the object, px; what was expected where nothing was found again.
    confidence : float
        In [0, 1]: the share of points that were found again times the median of their correlations.
    n_kept : int
        Number of points that were found again.
    """

    points_yx: NDArray[np.float32]
    shift_yx: Shift
    confidence: float
    n_kept: int

    @classmethod
    def nothing(cls, expected_yx: Shift = (0.0, 0.0)) -> "SparseMotion":
        """The answer when nothing was found again."""
        return cls(np.zeros((0, 2), np.float32), (float(expected_yx[0]), float(expected_yx[1])), 0.0, 0)


def track_keypoints(
    before: Pyramid,
    after: Pyramid,
    regions: Sequence[Region],
    shifts: Sequence[Shift],
    config: KeypointConfig | None = None,
) -> list[SparseMotion]:
    """Follow the key points of all objects from one frame to the next.

    Parameters
    ----------
    before, after : Pyramid
        Frames in [0, 1], on the same device.
    regions : sequence of Region
        The objects on `before`.
    shifts : sequence of tuple of float
        Expected motion (dy, dx) of each object, px: the middle of its search, which reaches 0.75 diameters.
    config : KeypointConfig, optional
        How.

    Returns
    -------
    list of SparseMotion
        One per region; without points and confidence where an object is tiny, leaves the frame, shows no detail or is
        not found again.

    Raises
    ------
    ValueError
        If the frames differ in shape, or there is not one shift per region.
    """
    if before.shape_yx != after.shape_yx:
        given = f"{before.shape_yx} and {after.shape_yx}"
        raise ValueError(f"frames of shape {given} given; both must have the same shape (Y, X)")
    if len(regions) != len(shifts):
        raise ValueError(f"{len(shifts)} shifts given for {len(regions)} regions; give one per region")
    answers = [SparseMotion.nothing(shift) for shift in shifts]
    chosen = [i for i, region in enumerate(regions) if region.area >= MIN_AREA_PX]
    if chosen:
        objects = _Objects.of([regions[i] for i in chosen], [shifts[i] for i in chosen])
        with torch.inference_mode():
            votes = _vote(before, after, objects, config or KeypointConfig())
        for row, i in enumerate(chosen):
            answers[i] = votes.answer(row, shifts[i])
    return answers


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """Middles (N, 2), diameters (N,), expected shifts (N, 2) and resampled masks (N, P, P), all in main memory."""

    centers: Tensor
    diameters: Tensor
    shifts: Tensor
    masks: NDArray[np.bool_]

    @classmethod
    def of(cls, regions: Sequence[Region], shifts: Sequence[Shift]) -> "_Objects":
        return cls(
            torch.tensor([region.center_yx for region in regions], dtype=torch.float32),
            torch.tensor([region.diameter for region in regions], dtype=torch.float32),
            torch.tensor(shifts, dtype=torch.float32),
            np.stack([_resampled(region) for region in regions]),
        )

    @property
    def steps(self) -> Tensor:
        """Of the samples of a whole object, px."""
        return self.diameters / SAMPLES

    def point_steps(self, config: KeypointConfig) -> Tensor:
        """Of the samples of a patch around a key point, px."""
        return (config.patch * self.diameters).clamp_min(config.min_patch_px) / (2 * HALF_POINT + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Votes:
    """What every object as a whole (the first rows) and every key point says of the motion."""

    n_objects: int
    owners: NDArray[np.int64]
    places: NDArray[np.float32]
    shifts: NDArray[np.float32]
    peaks: NDArray[np.float32]
    kept: NDArray[np.bool_]

    def answer(self, row: int, expected_yx: Shift) -> SparseMotion:
        mine = np.flatnonzero(self.owners == row)
        kept = mine[self.kept[mine]]
        if kept.size == 0:
            return SparseMotion.nothing(expected_yx)
        dy, dx = np.median(self.shifts[kept], axis=0)
        confidence = kept.size / mine.size * float(np.clip(np.median(self.peaks[kept]), 0, 1))
        points = self.places[kept[kept >= self.n_objects]]
        return SparseMotion(points, (float(dy), float(dx)), confidence, len(points))


def _resampled(region: Region) -> NDArray[np.bool_]:
    """The mask on the grid of samples around the middle of its box."""
    offsets = np.arange(-HALF_WHOLE, HALF_WHOLE + 1) * region.diameter / SAMPLES
    height, width = region.mask.shape
    rows, columns = (np.floor(offsets + side / 2).astype(int) for side in (height, width))
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    return np.asarray(region.mask[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))] & inside)


def _vote(before: Pyramid, after: Pyramid, objects: _Objects, config: KeypointConfig) -> _Votes:
    device, n = before.device, len(objects.diameters)
    _look(before, after, objects, config)
    centers, shifts = put(objects.centers, device), put(objects.shifts, device)
    tolerance = (config.max_return * objects.diameters).clamp_min(config.max_return_px)
    whole = _match_wholes(before, after, centers, shifts, objects, config)
    guess = whole.shifts.where(_believed(whole, put(tolerance, device))[:, None], shifts)
    owners, points = _points(before, centers, objects, config)
    there = put(points, device)
    parts = _match_points(before, after, there, guess[put(owners, device)], objects.point_steps(config)[owners], config)
    owners = torch.cat([torch.arange(n), owners])
    both = Matches.joined([whole, parts])
    places = torch.cat([centers, there]) + both.shifts
    kept = _believed(both, put(tolerance[owners], device)) & _inside(places, after.shape_yx)
    columns = torch.cat([places, both.shifts, both.peaks[:, None], kept[:, None]], 1).cpu().numpy()
    return _Votes(n, owners.numpy(), columns[:, :2], columns[:, 2:4], columns[:, 4], columns[:, 5] > 0)


def _look(before: Pyramid, after: Pyramid, objects: _Objects, config: KeypointConfig) -> None:
    """Have there whatever the searches can reach: a key point lies in its object, and moves with it."""
    steps, whole = objects.point_steps(config), objects.steps
    there = objects.centers + objects.shifts
    inside, astray = HALF_WHOLE * whole, REACH_WHOLE * whole
    searched = (HALF_POINT + REACH_POINT) * steps
    _look_around(before, depths(whole), objects.centers, inside + astray)
    _look_around(after, depths(whole), there, inside + astray)
    _look_around(before, depths(steps), objects.centers, inside + searched)
    _look_around(after, depths(steps), there, inside + astray + searched)


def _look_around(frame: Pyramid, levels: Tensor, centers: Tensor, reaches: Tensor) -> None:
    for depth, rows in alike(levels):
        frame.look(depth, centers[rows], (reaches[rows, None] + ROUNDING_PX).expand(-1, 2))


def _believed(matches: Matches, tolerance: Tensor) -> Tensor:
    return (matches.peaks > MIN_PEAK) & (matches.misses < tolerance)


def _inside(places: Tensor, shape_yx: tuple[int, int]) -> Tensor:
    y, x = ((axis >= -0.5) & (axis < side - 0.5) for axis, side in zip(places.unbind(1), shape_yx, strict=True))
    return y & x


def _match_wholes(
    before: Pyramid, after: Pyramid, centers: Tensor, shifts: Tensor, objects: _Objects, config: KeypointConfig
) -> Matches:
    masks = put(objects.masks.astype(np.float32), centers.device)
    weights = max_pool2d(masks[:, None], 2 * MASK_MARGIN + 1, 1, MASK_MARGIN)[:, 0]
    return match(before, after, Patches(centers, objects.steps, weights, shifts), REACH_WHOLE, config.chunk_mib)


def _match_points(
    before: Pyramid, after: Pyramid, points: Tensor, guess: Tensor, steps: Tensor, config: KeypointConfig
) -> Matches:
    side = 2 * HALF_POINT + 1
    patches = Patches(points, steps, points.new_ones(len(steps), side, side), guess)
    return match(before, after, patches, REACH_POINT, config.chunk_mib)


def _points(frame: Pyramid, centers: Tensor, objects: _Objects, config: KeypointConfig) -> tuple[Tensor, Tensor]:
    """Key points: the object of each (K,), and where they are (K, 2), px; in main memory."""
    values, _ = read_patches(frame, centers, objects.steps, HALF_WHOLE)
    owners, places = choose_points(values, objects.masks, SAMPLES, config.n_points, config.spacing * SAMPLES)
    return owners, objects.centers[owners] + (places - HALF_WHOLE) * objects.steps[owners, None]
