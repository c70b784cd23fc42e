"""Where the model is asked whether there is a cell: at blobs of the image, and on a grid where there are none."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Places (N, 2), (y, x), px of the frame."""

BLOB_PX = 8.0
"""Diameter of a blob in the copy of the frame in which blobs are sought: smaller ones are lost in the rounding of
places, larger ones cost time. Not measured."""

FAINTEST_BLOB = 0.01
"""Scale-normalised Laplacian of the faintest blob, the movie's range of grey being 1; noise has less. By eye."""

GRID_STEP = 0.75
"""Distance of the points of the grid in diameters: a round cell of that size holds one or more, wherever it lies. With
.5 the model is asked twice as often."""


def blobs(image: NDArray[np.float32], diameter: float) -> tuple[Points, NDArray[np.float64]]:
    """Centres of bright and dark blobs of a size, and how strong each is, the strongest first.

    Parameters
    ----------
    image : ndarray of float32, shape (Y, X)
        In [0, 1].
    diameter : float
        Of the blobs, px.

    Returns
    -------
    centres : ndarray of float, shape (N, 2)
        (y, x), px.
    strengths : ndarray of float, shape (N,)
        Of the Laplacian of the Gaussian, scale-normalised.
    """
    from scipy.ndimage import gaussian_laplace, maximum_filter, zoom

    step = max(1.0, diameter / BLOB_PX)
    small = zoom(image, 1 / step, order=1, grid_mode=True, mode="nearest") if step > 1 else image
    sigma = diameter / step / np.sqrt(8)
    response = abs(sigma**2 * gaussian_laplace(small.astype(np.float32), sigma, mode="nearest"))
    peaks = (response == maximum_filter(response, 1 + int(diameter / step))) & (response > FAINTEST_BLOB)
    yx, strengths = np.argwhere(peaks), response[peaks].astype(float)
    order = np.argsort(-strengths, kind="stable")
    scale = np.array(image.shape) / small.shape
    centres: Points = (yx[order] + 0.5) * scale - 0.5
    return centres, strengths[order]


def grid(shape_yx: tuple[int, int], diameter: float) -> Points:
    """Evenly spaced points over a frame, :data:`GRID_STEP` diameters from each other."""
    rows, columns = (_middles(side, GRID_STEP * diameter) for side in shape_yx)
    return np.array([(y, x) for y in rows for x in columns])


def liveliest(points: Points, image: NDArray[np.float32], diameter: float, most: int) -> Points:
    """At most so many points, those round which an image (Y, X) varies most: where all is flat there is no cell."""
    from scipy.ndimage import uniform_filter

    side = max(1, round(diameter))
    mean, square = (uniform_filter(values, side, mode="nearest") for values in (image, image * image))
    y, x = _pixels(points, image.shape)
    order = np.argsort(-(square - mean * mean)[y, x], kind="stable")
    chosen: Points = points[np.sort(order[:most])]
    return chosen


def _middles(side: int, step: float) -> NDArray[np.float64]:
    """Middles of equal parts of a side, none longer than a step; pixel centres are whole numbers."""
    n = max(1, int(np.ceil(side / step)))
    middles: NDArray[np.float64] = (np.arange(n) + 0.5) * side / n - 0.5
    return middles


def uncovered(points: Points, covered: NDArray[np.bool_]) -> Points:
    """The points that lie on no true pixel of a frame (Y, X)."""
    y, x = _pixels(points, covered.shape)
    free: Points = points[~covered[y, x]]
    return free


def _pixels(points: Points, shape_yx: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels on which points lie, or next to which."""
    y, x = np.clip(np.rint(points), 0, np.array(shape_yx) - 1).astype(int).reshape(-1, 2).T
    return y, x
