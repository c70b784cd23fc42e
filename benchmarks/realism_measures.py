"""What a cell and its surroundings look like, in numbers: sharpness, edges, seams, texture, crowding and motion.

A picture is first shown as a network sees it: a window around one cell, scaled so that the cell is :data:`DIAMETER` px
across. Grey values are those that training reads: of real pictures in [0, 1] between percentiles 0.5 and 99.8, of
simulated ones as they are drawn. All frequencies are in cycles per diameter. A measure for which a picture has nothing
to show is NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter
from skimage.morphology import convex_hull_image

from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.sampling import read_windows

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

DIAMETER = 24
"""Of the cell, px of the window."""

RATIO = 5
"""Side of the window in diameters."""

_SPECTRUM_RATIO = 2.5
BANDS = {"coarse": (0.8, 2.0), "middle": (2.0, 4.5), "fine": (4.5, 10.0)}
"""Cycles per diameter."""

_OUTSIDE = -1
_RIM, _TEXTURE = 1.5, 3.0
"""Widths over which grey values are averaged beside an edge and taken away for texture, px."""

_DEEP, _FAR = 3.0, 6.0
"""What is further than this from any outline is a cell's inside or the open background, px."""

_OFF_THE_END = 2.0
"""Seams are measured no nearer to the background, px."""

_LEAST = 10
"""Pixels without which nothing is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A cell as a network sees it.

    Attributes
    ----------
    image : ndarray of float32, shape (S, S)
        In [0, 1].
    labels : ndarray of int, shape (S, S)
        Ids; 0 is background, -1 lies outside of the frame.
    cell : int
        The id in the middle.
    """

    image: Floats
    labels: Ints
    cell: int

    @property
    def own(self) -> Bools:
        """Pixels of the cell."""
        return np.asarray(self.labels == self.cell)


# --- views ----------------------------------------------------------------------------------------------------------


def diameters_of(labels: Ints) -> dict[int, float]:
    """Size that sets the window of each cell that does not touch the frame's border, px."""
    areas = np.bincount(labels.ravel())
    return {
        cell: max(2 * float(np.sqrt(areas[cell] / np.pi)), 0.7 * max(s.stop - s.start for s in box))
        for cell, box in _boxes(labels).items()
        if all(s.start > 0 and s.stop < side for s, side in zip(box, labels.shape, strict=True))
    }


def _boxes(labels: Ints) -> dict[int, tuple[slice, slice]]:
    found = find_objects(labels)
    return {cell: box for cell, box in enumerate(found, start=1) if box is not None}


def view_of(image: Floats, labels: Ints, cell: int) -> View:
    """Read the window around a cell of a frame (Y, X)."""
    box, diameter = _boxes(labels)[cell], diameters_of(labels)[cell]
    centre = torch.tensor([[(s.start + s.stop - 1) / 2 for s in box]])
    sides, size = torch.full((1, 2), RATIO * diameter), RATIO * DIAMETER
    grey = Pyramid.of(np.ascontiguousarray(image, np.float32), torch.device("cpu")).read(centre, sides, size)
    shifted = torch.from_numpy(labels[None, None].astype(np.float32)) - _OUTSIDE
    ids = read_windows(shifted, centre, sides, size, padding="zeros", mode="nearest")[0, 0].round() + _OUTSIDE
    return View(grey[0].numpy(), ids.numpy().astype(np.int32), cell)


# --- spectrum -------------------------------------------------------------------------------------------------------


def spectrum(view: View) -> dict[str, float]:
    """Slope of the radial power spectrum around the cell, and the share of the power in each band."""
    names = ("spectrum slope", *(f"{name} share" for name in BANDS))
    half = round(_SPECTRUM_RATIO * DIAMETER / 2)
    middle = slice(len(view.image) // 2 - half, len(view.image) // 2 + half)
    if (view.labels[middle, middle] == _OUTSIDE).any():
        return dict.fromkeys(names, np.nan)
    frequency, power = radial_power(view.image[middle, middle])
    shares = [power[(frequency >= low) & (frequency < high)].sum() for low, high in BANDS.values()]
    return dict(zip(names, [slope_of(frequency, power), *(np.array(shares) / (sum(shares) or np.nan))], strict=True))


def radial_power(image: Floats) -> tuple[Floats, Floats]:
    """Frequency in cycles per diameter and power of every component of a square picture, both flat."""
    side = len(image)
    window = np.hanning(side + 1)[:-1]
    power = np.abs(np.fft.fft2((image - image.mean()) * window[:, None] * window)) ** 2
    axis = np.fft.fftfreq(side) * DIAMETER
    return np.hypot(axis[:, None], axis).ravel(), power.ravel()


def slope_of(frequency: Floats, power: Floats) -> float:
    """Exponent of a power law through the mean power at each frequency, over all bands."""
    low, high = BANDS["coarse"][0], BANDS["fine"][1]
    edges = np.geomspace(low, high, 9)
    ring = np.digitize(frequency, edges) - 1
    inside = (frequency >= low) & (frequency < high)
    mean = np.bincount(ring[inside], power[inside], 8) / np.maximum(np.bincount(ring[inside], minlength=8), 1)
    if (mean <= 0).any():
        return np.nan
    return float(np.polyfit(np.log(edges[:-1] * edges[1:]) / 2, np.log(mean), 1)[0])


# --- edges and seams ------------------------------------------------------------------------------------------------


def _average(image: Floats, mask: Bools, width: float) -> Floats:
    """Weighted mean of the pixels of a mask around each pixel; NaN where there are none near."""
    weight = gaussian_filter(mask.astype(float), width, mode="constant")
    total = gaussian_filter(np.where(mask, image, 0.0).astype(float), width, mode="constant")
    return np.asarray(np.divide(total, weight, out=np.full(image.shape, np.nan), where=weight > 1e-3))


def beside(mask: Bools, other: Bools) -> Bools:
    """Pixels of a mask that have one of the others above, below, left or right."""
    padded = np.pad(other, 1)
    return mask & (padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:])


def _mean(values: Floats, places: Bools) -> float:
    chosen = values[places]
    chosen = chosen[np.isfinite(chosen)]
    return float(chosen.mean()) if chosen.size >= _LEAST else np.nan


def edges(view: View) -> dict[str, float]:
    """How much the two sides of the outline differ: where the cell is free, and where it touches others."""
    ground, others = view.labels == 0, (view.labels > 0) & ~view.own
    mine = _average(view.image, view.own, _RIM)
    found = {}
    for name, far in (("edge contrast", ground), ("step at seams", others)):
        step = np.abs(mine - _average(view.image, far, _RIM))
        found[name] = _mean(step, beside(view.own, far))
    return found


def seams(view: View) -> dict[str, float]:
    """How much the line where cells touch differs from their insides, and over how much insides differ themselves."""
    cells = view.labels > 0
    inside = cells & (depth(view.labels) >= _DEEP)
    line = beside(view.own, cells & ~view.own) & (depth(cells) >= _OFF_THE_END)
    off = np.abs(gaussian_filter(view.image.astype(float), 0.7) - _average(view.image, inside, _TEXTURE))
    contrast, texture = _mean(off, line), _mean(off, inside & view.own)
    return {"seam contrast": contrast, "seam over texture": contrast / texture if texture > 0 else np.nan}


def depth(labels: Ints | Bools) -> Floats:
    """Distance of every pixel to the nearest one of another id, px."""
    away = np.zeros(labels.shape)
    for cell in np.unique(labels):
        mask = labels == cell
        away[mask] = distance_transform_edt(mask)[mask] if not mask.all() else np.inf
    return away


# --- texture --------------------------------------------------------------------------------------------------------


def texture(view: View) -> dict[str, float]:
    """Standard deviation of what is finer than an eighth of the diameter, in the cell and in the open background."""
    away = depth(np.where(view.labels > 0, view.labels, np.minimum(view.labels, 0)))
    inside = _roughness(view.image, view.own, away >= _DEEP)
    ground = _roughness(view.image, view.labels == 0, away >= _FAR)
    ratio = inside / ground if ground > 0 else np.nan
    return {"texture inside": inside, "background roughness": ground, "texture over background": ratio}


def _roughness(image: Floats, mask: Bools, chosen: Bools) -> float:
    """Robust, so that a few pixels of debris or of cells that nobody labelled change little."""
    fine = (image - _average(image, mask, _TEXTURE))[mask & chosen]
    return float(1.4826 * np.median(np.abs(fine - np.median(fine)))) if fine.size >= _LEAST else np.nan


# --- crowding and shape ---------------------------------------------------------------------------------------------


def crowding(view: View) -> dict[str, float]:
    """Share of the cell's outline that touches others."""
    others, outline = (view.labels > 0) & ~view.own, beside(view.own, ~view.own)
    return {"shared outline": float(beside(view.own, others).sum() / max(outline.sum(), 1))}


def shape(view: View) -> dict[str, float]:
    """Share of its convex hull that the cell fills."""
    return {"solidity": float(view.own.sum() / max(convex_hull_image(view.own).sum(), 1))}


def frame_measures(labels: Ints) -> dict[str, float]:
    """Of a whole frame: the share of its cells that touch others, the spread of their sizes, and how full it is."""
    whole = list(diameters_of(labels))
    sizes = 2 * np.sqrt(np.bincount(labels.ravel(), minlength=1)[whole] / np.pi) if whole else np.zeros(0)
    touching = [bool(beside(own := labels == cell, (labels > 0) & ~own).any()) for cell in whole]
    return {
        "touching": float(np.mean(touching)) if touching else np.nan,
        "size variation": float(sizes.std() / sizes.mean()) if len(sizes) >= 3 else np.nan,
        "cover": float((labels > 0).mean()),
    }


def overlaps(before: Ints, after: Ints) -> list[float]:
    """IoU of each cell with itself on the next frame, for cells that show whole on both."""
    kept = diameters_of(before).keys() & diameters_of(after).keys()
    pairs = [(before == cell, after == cell) for cell in sorted(kept)]
    return [float((a & b).sum() / (a | b).sum()) for a, b in pairs]


LOOKS: tuple[Callable[[View], dict[str, float]], ...] = (spectrum, edges, seams, texture, crowding)


def looks(view: View) -> dict[str, float]:
    """Everything that is measured of one cell but its shape."""
    return {name: value for measure in LOOKS for name, value in measure(view).items()}
