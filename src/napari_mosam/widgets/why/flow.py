"""Motion of a frame as arrows that can be read: on a grid, drawn so many times as long as it is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.widgets.layers.outputs import MIN_SHIFT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.session.session import Session

TIMES = (50.0, 20.0, 10.0, 5.0, 3.0, 2.0, 1.0)
"""How many times longer arrows may be drawn."""

PER_SIDE = 24
"""Arrows along the longer side of a frame, at most."""

LONGEST_SHARE = 1 / 16
"""Length of the longer arrows in sides of the frame, at most: they can be seen, and hardly cover each other. By eye."""

LONGER = 95
"""Percentile of the arrows that are to be no longer; a few wild ones do not make the rest too small."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrows:
    """What moved between a frame and the one before.

    Attributes
    ----------
    frame : int
    vectors : ndarray of float, shape (N, 2, 2)
        Place (y, x) and motion (dy, dx), px.
    times : float
        How many times longer they are to be drawn.
    longest : float
        Px, of all that are drawn.
    drift_yx : tuple of float
        Of the whole image, px.
    """

    frame: int
    vectors: "NDArray[np.float64]"
    times: float
    longest: float
    drift_yx: tuple[float, float]


def arrows_of(session: "Session", frame: int) -> Arrows:
    """Arrows of a frame; none on the first. Computes the flow where the session does not know it yet."""
    motion = session.flow(frame)
    if motion.flow is None:
        return Arrows(frame, np.zeros((0, 2, 2)), 1.0, 0.0, motion.drift_yx)
    vectors = on_grid(motion.flow.full())
    lengths = np.hypot(*vectors[:, 1].T)
    if not len(lengths):
        return Arrows(frame, vectors, 1.0, 0.0, motion.drift_yx)
    most = LONGEST_SHARE * max(session.movie.frame_shape)
    long = float(np.percentile(lengths, LONGER))
    times = next((times for times in TIMES if times * long <= most), TIMES[-1])
    return Arrows(frame, vectors, times, float(lengths.max()), motion.drift_yx)


def on_grid(flow: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """Place and motion (N, 2, 2) on a grid over a flow field (2, Y, X), without what hardly moves."""
    height, width = flow.shape[1:]
    step = max(8, -(-max(height, width) // PER_SIDE))
    y, x = (axis.ravel() for axis in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    vectors = np.stack([np.stack([y, x], 1), flow[:, y, x].T], 1).astype(float)
    moved: NDArray[np.float64] = vectors[np.hypot(*vectors[:, 1].T) > MIN_SHIFT]
    return moved
