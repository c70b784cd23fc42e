"""A shift common to the whole frame: found by cross-correlation, believed only when verified.

A moving stage shifts every cell at once by up to hundreds of px. The shift is proposed by the cross-correlation of
band-passed frames: phase correlation whitens camera noise too and proposes nothing or nonsense on most movies
(DIC, simulated nuclei). A proposal counts only if its peak stands out from all others (cells look alike, so every
movie has many) and if the frames correlate clearly better after the shift than before.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.windows.canvas import Canvas

MIN_SHIFT_PX = 4.0
"""Smaller shifts are the work of the windows. Raw phase correlation proposes nonsense on DIC; together these thresholds
were exact to 1 px on 7 of 7 jumps of up to 103 px."""

MIN_CORRELATION = 0.08
"""Of the band-passed frames after the shift; measured with `MIN_SHIFT_PX`."""

MIN_GAIN = 0.08
"""How much better they must correlate than before it; measured with `MIN_SHIFT_PX`."""

MIN_DISTINCTNESS = 1.2
"""Height of the peak above the highest one elsewhere, as a factor; not measured."""

RIVAL_DISTANCE_PX = 24
"""Peaks nearer than that are the same one; not measured."""

N_TILES = 4
"""Parts of each side of the frame that are compared one by one; not measured."""

MIN_SIDE_PX = 128
"""Smaller frames hold too little to tell a moving stage from chance; not measured."""

MAX_SIDE_PX = 512
"""Larger frames are shrunk first, for time: 4 to 20 ms a frame."""

FINE_SIGMA_PX, COARSE_SIGMA_PX = 2.0, 16.0
"""Gaussians between which detail is compared; measured with `MIN_SHIFT_PX`."""


@dataclass(frozen=True, slots=True, eq=False)
class BandPassed:
    """A shrunk frame without its finest and coarsest detail.

    Attributes
    ----------
    image : ndarray of float32, shape (Y / step, X / step)
    step : int
        Frame px per px of `image`.
    """

    image: NDArray[np.float32]
    step: int

    @classmethod
    def of(cls, frame: NDArray[np.float32] | Canvas) -> "BandPassed":
        """Band-pass one frame (Y, X)."""
        small, step = Canvas.of(frame).shrunk(max(1, -(-max(frame.shape) // MAX_SIDE_PX)))
        return cls(_blurred(small, max(0.5, FINE_SIGMA_PX / step)) - _blurred(small, COARSE_SIGMA_PX / step), step)


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """By a Gaussian, four sigma to either side, mirrored at the edges: as scipy does, in a third of its time."""
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def estimate_drift(before: BandPassed, after: BandPassed) -> tuple[float, float]:
    """Verified shift (dy, dx) in px that everything made between two frames; (0, 0) if none is believed.

    Parameters
    ----------
    before, after : BandPassed
        Two frames of the same movie.
    """
    if min(before.image.shape) * before.step < MIN_SIDE_PX:
        return 0.0, 0.0
    shift, distinctness = correlation_peak(before.image, after.image, max(2, RIVAL_DISTANCE_PX // before.step))
    if max(abs(shift[0]), abs(shift[1])) * before.step < MIN_SHIFT_PX or distinctness < MIN_DISTINCTNESS:
        return 0.0, 0.0
    chance = chance_correlation(before.image.shape, shift, before.step)
    believed = _better(before.image, after.image, shift, chance) and _most_tiles_agree(before.image, after.image, shift)
    return (float(shift[0] * before.step), float(shift[1] * before.step)) if believed else (0.0, 0.0)


def chance_correlation(shape: tuple[int, ...], shift: tuple[int, int], step: int) -> float:
    """Correlation that unrelated frames reach by chance: three standard errors over the part that overlaps."""
    rows, columns = (max(1, side - abs(s)) for side, s in zip(shape, shift, strict=True))
    independent = rows * columns * step**2 / (4 * np.pi * FINE_SIGMA_PX**2)
    return float(3 / np.sqrt(independent))


def _better(before: NDArray[np.float32], after: NDArray[np.float32], shift: tuple[int, int], chance: float) -> bool:
    moved, still = correlation(before, after, shift), correlation(before, after, (0, 0))
    return moved > max(MIN_CORRELATION, chance) and moved > still + MIN_GAIN


def _most_tiles_agree(before: NDArray[np.float32], after: NDArray[np.float32], shift: tuple[int, int]) -> bool:
    """Whether most tiles that show anything moved along: one bright cell that moves is no drift."""
    first, second = overlapping(before, after, shift)
    first_still, second_still = before[_crop(shift, before.shape)], after[_crop(shift, before.shape)]
    votes = []
    for tile in _tiles(first.shape):
        moved = correlation(first[tile], second[tile], (0, 0))
        still = correlation(first_still[tile], second_still[tile], (0, 0))
        if max(moved, still) > MIN_CORRELATION:
            votes.append(moved > still)
    return 2 * sum(votes) > len(votes)


def _crop(shift: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The part of a frame that stays in sight when it is moved by a shift."""
    rows, columns = (slice(max(0, -s), max(0, side - max(0, s))) for s, side in zip(shift, shape, strict=True))
    return rows, columns


def _tiles(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    edges = [np.linspace(0, side, N_TILES + 1).astype(int).tolist() for side in shape]
    rows, columns = ([slice(a, b) for a, b in pairwise(e)] for e in edges)
    return [(r, c) for r in rows for c in columns]


def correlation_peak(
    before: NDArray[np.float32], after: NDArray[np.float32], rival_distance: int
) -> tuple[tuple[int, int], float]:
    """Shift with the largest circular cross-correlation, and how far it stands out.

    Parameters
    ----------
    before, after : ndarray of float32, shape (h, w)
        Images of zero mean.
    rival_distance : int
        Peaks farther than this (px, along either axis) are rivals; nearer ones belong to the peak itself.

    Returns
    -------
    shift : tuple of int
        (dy, dx) that takes `before` to `after`, px.
    distinctness : float
        The peak over its largest rival; 0 where nothing correlates.
    """
    from scipy import fft

    shape = (before.shape[0], before.shape[1])
    surface = fft.irfft2(np.conj(fft.rfft2(before)) * fft.rfft2(after), shape)
    peak = divmod(int(surface.argmax()), shape[1])
    top = float(surface[peak])
    shift = tuple(p if p < side / 2 else p - side for p, side in zip(peak, shape, strict=True))
    centred = np.roll(surface, (rival_distance - peak[0], rival_distance - peak[1]), (0, 1))
    centred[: 2 * rival_distance + 1, : 2 * rival_distance + 1] = 0
    rival = float(centred.max())
    return (shift[0], shift[1]), max(0.0, top) / rival if rival > 0 else 0.0


def correlation(before: NDArray[np.float32], after: NDArray[np.float32], shift: tuple[int, int]) -> float:
    """Normalised correlation of the part of two images that overlaps once `before` is moved by `shift` px."""
    a, b = overlapping(before, after, shift)
    if a.size < 64:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def overlapping(
    before: NDArray[np.float32], after: NDArray[np.float32], shift: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The pixels of `before`, and those of `after` that they come to lie on after a whole-pixel `shift`."""
    dy, dx = shift
    return before[_crop(shift, before.shape)], after[_crop((-dy, -dx), after.shape)]
