"""Key points of many objects, followed from one frame to the next by normalised cross-correlation.

Everything is measured in object diameters: the surroundings of each object are resampled to the same small grid, so
objects of any size go through the same batched steps. First every object is followed as a whole, by the pixels of its
mask, within a wide search; then small patches around its key points, within a narrow search around that answer. Each
match is searched backwards too, and counts only if it leads back to where it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.motion.ncc import Levels, Matches, Patches, match
from napari_mosam.core.regions import Region

if TYPE_CHECKING:
    from torch import Tensor

Shift = tuple[float, float]

MIN_AREA_PX = 9
"""Smaller objects show too little to be told from noise."""

SAMPLES = 24
"""Samples along the diameter of an object that is followed as a whole."""

HALF_WHOLE, REACH_WHOLE = 14, 18
"""Samples from the middle to the edge of the template, and farthest motion: 0.75 diameters."""

HALF_POINT, REACH_POINT = 10, 9

MASK_MARGIN = 2
"""Samples beyond the mask that still belong to the template of an object: its edge is what shows best."""

EROSION = 0.1
"""Least depth of a key point inside the mask, diameters."""

MIN_PEAK = 0.2
"""Correlation below which a match is chance."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """The objects that are large enough: middles (N, 2), diameters (N,), expected shifts (N, 2), masks (N, P, P)."""

    centers: "Tensor"
    diameters: "Tensor"
    shifts: "Tensor"
    masks: NDArray[np.bool_]

    @property
    def steps(self) -> "Tensor":
        return self.diameters / SAMPLES


def track_keypoints(
    before: "Tensor",
    after: "Tensor",
    regions: Sequence[Region],
    shifts: Sequence[Shift],
    config: KeypointConfig | None = None,
) -> list[SparseMotion]:
    """Follow the key points of all objects from one frame to the next.

    Parameters
    ----------
    before, after : Tensor, shape (Y, X)
        Frames, float32, in [0, 1], on the same device.
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
    import torch

    if before.ndim != 2 or before.shape != after.shape:
        given = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"frames of shape {given} given; both must have the same shape (Y, X)")
    if len(regions) != len(shifts):
        raise ValueError(f"{len(shifts)} shifts given for {len(regions)} regions; give one per region")
    answers = [SparseMotion.nothing(shift) for shift in shifts]
    chosen = [i for i, region in enumerate(regions) if region.area >= MIN_AREA_PX]
    if chosen:
        objects = _objects([regions[i] for i in chosen], [shifts[i] for i in chosen], before.device)
        with torch.inference_mode():
            found = _track(Levels(before), Levels(after), objects, config or KeypointConfig())
        for i, answer in zip(chosen, found, strict=True):
            answers[i] = answer
    return answers


def _objects(regions: Sequence[Region], shifts: Sequence[Shift], device: "torch.device") -> _Objects:
    import torch

    centers = torch.tensor([region.center_yx for region in regions], dtype=torch.float32, device=device)
    diameters = torch.tensor([region.diameter for region in regions], dtype=torch.float32, device=device)
    expected = torch.tensor(shifts, dtype=torch.float32, device=device)
    return _Objects(centers, diameters, expected, np.stack([_resampled(region) for region in regions]))


def _resampled(region: Region) -> NDArray[np.bool_]:
    """The mask on the grid of samples around the middle of its box."""
    offsets = np.arange(-HALF_WHOLE, HALF_WHOLE + 1) * region.diameter / SAMPLES
    rows, columns = (np.floor(offsets + side / 2).astype(int) for side in region.mask.shape)
    height, width = region.mask.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    return region.mask[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))] & inside


def _track(before: Levels, after: Levels, objects: _Objects, config: KeypointConfig) -> list[SparseMotion]:
    tolerance = (config.max_return * objects.diameters).clamp_min(config.max_return_px)
    whole = _match_whole(before, after, objects, config)
    found = (whole.peaks > MIN_PEAK) & (whole.misses < tolerance)
    guess = whole.shifts.where(found[:, None], objects.shifts)
    owners, points = _choose(before, objects, config)
    parts = _match_points(before, after, points, guess[owners], objects.diameters[owners], config)
    kept = (parts.peaks > MIN_PEAK) & (parts.misses < tolerance[owners])
    return _answers(objects, owners, points, (whole, found), (parts, kept & _inside(points + parts.shifts, after.shape_yx)))


def _match_whole(before: Levels, after: Levels, objects: _Objects, config: KeypointConfig) -> Matches:
    import torch
    from torch.nn.functional import max_pool2d

    masks = torch.from_numpy(objects.masks).to(objects.steps)
    weights = max_pool2d(masks[:, None], 2 * MASK_MARGIN + 1, 1, MASK_MARGIN)[:, 0]
    patches = Patches(objects.centers, objects.steps, weights, objects.shifts)
    return match(before, after, patches, REACH_WHOLE, config.chunk_mib)


def _match_points(
    before: Levels, after: Levels, points: "Tensor", guess: "Tensor", diameters: "Tensor", config: KeypointConfig
) -> Matches:
    side = 2 * HALF_POINT + 1
    steps = (config.patch * diameters).clamp_min(config.min_patch_px) / side
    patches = Patches(points, steps, steps.new_ones(len(steps), side, side), guess)
    return match(before, after, patches, REACH_POINT, config.chunk_mib)


def _choose(frame: Levels, objects: _Objects, config: KeypointConfig) -> "tuple[Tensor, Tensor]":
    """Key points: the object each belongs to (K,), in order, and their positions (K, 2) in px."""
    import torch

    values, _ = frame.read(objects.centers, objects.steps, HALF_WHOLE)
    depth = torch.from_numpy(np.stack([_depth(mask) for mask in objects.masks])).to(values)
    deepest = depth.amax((1, 2), keepdim=True)
    score = (1 + cornerness(values)) * (depth >= deepest.clamp_max(EROSION * SAMPLES))
    score = score.masked_fill(depth == deepest, float("inf"))
    picked = _spread(score, config.n_points, config.spacing * SAMPLES)
    owners, ranks = (picked[..., 0] >= 0).nonzero(as_tuple=True)
    offsets = (picked[owners, ranks] - HALF_WHOLE) * objects.steps[owners, None]
    return owners, objects.centers[owners] + offsets


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each sample to the outside of the mask, samples."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1], np.float32)


def cornerness(values: "Tensor") -> "Tensor":
    """How well each place of patches (N, P, P) can be told from all its neighbours: Shi and Tomasi's smaller eigenvalue.

    As a fraction of the largest in its patch, in [0, 1].
    """
    import torch
    from torch.nn.functional import avg_pool2d

    dy, dx = torch.gradient(values, dim=(1, 2))
    yy, xx, yx = avg_pool2d(torch.stack([dy * dy, dx * dx, dy * dx]), 5, 1, 2)
    smaller = ((yy + xx) / 2 - (((yy - xx) / 2) ** 2 + yx**2).sqrt()).clamp_min(0)
    return smaller / smaller.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _spread(score: "Tensor", n_points: int, spacing: float) -> "Tensor":
    """Best places (N, n_points, 2) of maps (N, P, P), none closer than `spacing`; -1 where no place above 0 is left."""
    import torch

    n, side, _ = score.shape
    axis = torch.arange(side, device=score.device)
    picked = []
    for _ in range(n_points):
        best, place = score.reshape(n, -1).max(1)
        row, column = place // side, place % side
        far = (axis - row[:, None])[:, :, None] ** 2 + (axis - column[:, None])[:, None] ** 2 >= spacing**2
        score = score.where(far, 0)
        picked.append(torch.stack([row, column], 1).where(best[:, None] > 0, -1))
    return torch.stack(picked, 1)


def _inside(points: "Tensor", shape_yx: tuple[int, int]) -> "Tensor":
    import torch

    limit = torch.tensor(shape_yx, device=points.device) - 0.5
    return ((points >= -0.5) & (points < limit)).all(1)


def _answers(objects, owners, points, whole, parts):
    wm, wf = whole; pm, pf = parts
    out = []
    o = owners.cpu().numpy(); pts = (points + pm.shifts).cpu().numpy(); sh = pm.shifts.cpu().numpy(); pk = pm.peaks.cpu().numpy(); pf = pf.cpu().numpy()
    ws, wp, wf, ex = (t.cpu().numpy() for t in (wm.shifts, wm.peaks, wf, objects.shifts))
    for i in range(len(ws)):
        mine = o == i; k = mine & pf
        n = int(k.sum()) + int(wf[i])
        if n == 0:
            out.append(SparseMotion.nothing(tuple(ex[i]))); continue
        peaks = np.r_[pk[k], wp[i:i+1][wf[i:i+1]]]
        shifts = np.r_[sh[k], ws[i:i+1][wf[i:i+1]]]
        m = SparseMotion(pts[k], tuple(np.median(shifts, 0)), n / (mine.sum() + 1) * float(np.median(peaks)), int(k.sum()))
        out.append(m)
        DEBUG.append((ws[i], wp[i], wf[i], sh[k], pk[k], mine.sum()))
    return out
DEBUG = []
