"""A shift common to the whole frame: found by phase correlation, believed only when verified.

A moving stage shifts every cell at once by up to hundreds of px. Phase correlation proposes nonsense on
textures without lasting detail (DIC), so a proposal counts only if band-passed frames correlate clearly better
after the shift than before it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_SHIFT_PX = 4.0
MIN_CORRELATION = 0.08
MIN_GAIN = 0.08
MAX_SIDE_PX = 512
FINE_SIGMA_PX, COARSE_SIGMA_PX = 2.0, 16.0


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
    def of(cls, frame: NDArray[np.float32]) -> "BandPassed":
        """Band-pass one frame (Y, X)."""
        from scipy.ndimage import gaussian_filter

        step = max(1, -(-max(frame.shape) // MAX_SIDE_PX))
        small = shrink(frame, step)
        fine = gaussian_filter(small, max(0.5, FINE_SIGMA_PX / step))
        return cls(fine - gaussian_filter(small, COARSE_SIGMA_PX / step), step)


def shrink(frame: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Average blocks of `step` x `step` px; rows and columns that do not fill a block are left out."""
    if step == 1:
        return frame
    height, width = (side // step for side in frame.shape)
    blocks = frame[: height * step, : width * step].reshape(height, step, width, step)
    return np.asarray(blocks.mean((1, 3)), np.float32)


def estimate_drift(before: BandPassed, after: BandPassed) -> tuple[float, float]:
    """Verified shift (dy, dx) in px that everything made between two frames; (0, 0) if none is believed.

    Parameters
    ----------
    before, after : BandPassed
        Two frames of the same movie.
    """
    from skimage.registration import phase_cross_correlation

    if not before.image.any() or not after.image.any():
        return 0.0, 0.0
    found, _, _ = phase_cross_correlation(after.image, before.image, upsample_factor=max(1, after.step))
    shift = float(found[0]) * after.step, float(found[1]) * after.step
    if max(abs(shift[0]), abs(shift[1])) < MIN_SHIFT_PX:
        return 0.0, 0.0
    moved = correlation(before.image, after.image, (round(found[0]), round(found[1])))
    still = correlation(before.image, after.image, (0, 0))
    return shift if moved > MIN_CORRELATION and moved > still + MIN_GAIN else (0.0, 0.0)


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
    cut_before, cut_after = [], []
    for side, s in zip(before.shape, shift, strict=True):
        cut_before.append(slice(max(0, -s), side - max(0, s)))
        cut_after.append(slice(max(0, s), side - max(0, -s)))
    return before[tuple(cut_before)], after[tuple(cut_after)]
