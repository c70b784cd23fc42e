"""Two cells in the place of one: the model is asked with clicks all over it, without its memory of the mother."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.find.scan import cut_off, stability
from napari_mosam.core.find.suppression import Found, strongest
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.queries import DecodeQuery, encode_windows, points_of
from napari_mosam.core.prompts.kinds import POSITIVE
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

RATIO = 4.0
"""Side of the window in diameters of the mother: about 5.6 of a daughter's."""

STEP = 0.25
"""Distance of the clicks in diameters of the mother: some five on each daughter."""

FAINTEST = 0.15
"""Score from which a mask may be a daughter."""

SHARES = (0.15, 0.7)
"""Area of a daughter over that of her mother. Nuclei that divide are small at first."""

ALIKE = 0.4
"""Area of the smaller daughter over that of the larger one, at least."""

APART = 0.6
"""Distance of the daughters' centres in diameters of the mother, at least: .7 to 1.2 where nuclei of a movie divide,
up to .6 where the model sees two halves of one. With .65 daughters that stay side by side are found late: 4 of 6
divisions of simulated movies, with .58 all; of 17 of that movie 15 and 14, with no and one wrong."""

HERE = 0.4
"""Share of a daughter that lies where the mother was, at least: else she may be a neighbour."""

WIDE = 0.6
"""Diameters around the mother's last place in which both are sought where she is seen small: one daughter is followed
then, and the other lies beside. In nuclei of a CTC movie they are .9 to 1.4 diameters apart on their first frame."""

MIDDLE = 0.4
"""Diameters of the mother that the middle between both may be away from where she was last."""

COVERED = 0.5
"""Share of where the mother was that both cover together, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two cells.

    Attributes
    ----------
    one, other : Region
    score : float
        Of the less sure one.
    """

    one: Region
    other: Region
    score: float

    @property
    def both(self) -> Region:
        """Their pixels together."""
        return joined((self.one, self.other))


def find_pair(
    model: Segmenter, pyramid: Pyramid, around: Region, area: float, *, last: Region | None = None
) -> Pair | None:
    """The two cells that fill a place, if there are two; or lie on both sides of it, where `last` is given.

    Parameters
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame.
    around : Region
        Where the mother is, or was.
    area : float
        Of the mother before, px.
    last : Region, optional
        Where she was on the frame before, if her daughters may have left that place.
    """
    diameter = 2 * float(np.sqrt(area / np.pi))
    sought = around if last is None else grown(around, WIDE * diameter)
    found = _found(model, pyramid, sought, area)
    strong = [pair for pair in combinations(strongest(found), 2) if _apart(*pair) >= APART * diameter]
    if last is None:
        fitting = [pair for pair in strong if _fills(pair, around)]
    else:
        fitting = [pair for pair in strong if _leaves(pair, around, last, MIDDLE * diameter)]
    pairs = [Pair(a.region, b.region, min(a.score, b.score)) for a, b in fitting]
    return max(pairs, key=lambda pair: pair.score, default=None)


def cell_at(model: Segmenter, pyramid: Pyramid, region: Region, area: float) -> Region | None:
    """The cell that is seen in a place, if it is the one of that region: IoU above a half."""
    found = strongest(_found(model, pyramid, region, area))
    best = max((one.region for one in found), key=region.iou, default=None)
    return best if best is not None and best.iou(region) > 0.5 else None


def _found(model: Segmenter, pyramid: Pyramid, around: Region, area: float) -> list[Found]:
    """Masks as large as a daughter in a place."""
    diameter = 2 * float(np.sqrt(area / np.pi))
    window = Window.square(around.center_yx, RATIO * max(diameter, around.diameter))
    clicks = [DecodeQuery(0, window, ((y, x, POSITIVE),)) for y, x in _places(around, STEP * diameter)]
    features = encode_windows(model, pyramid, [window]).take([0] * len(clicks))
    decoded = model.decode_masks(features, model.without_memory(features), points=points_of(clicks, model))
    scores = decoded.predicted_iou * stability(decoded.logits)
    shape = pyramid.shape_yx
    found = []
    for row, candidate in (scores >= FAINTEST).nonzero().tolist():
        logits, score = decoded.logits[row, candidate], float(scores[row, candidate])
        region = region_of_logits(logits, window, shape)
        if region is None or cut_off(region, window, shape, logits.shape[-1]):
            continue
        if SHARES[0] <= region.area / area <= SHARES[1]:
            found.append(Found(region, score))
    return found


def _fills(pair: tuple[Found, Found], around: Region) -> bool:
    """Whether two masks of like size lie where the mother was, and cover it."""
    inside = [one.region.overlap(around) for one in pair]
    here = all(n >= HERE * one.region.area for n, one in zip(inside, pair, strict=True))
    return here and _alike(pair) and sum(inside) >= COVERED * around.area


def _leaves(pair: tuple[Found, Found], around: Region, last: Region, middle: float) -> bool:
    """Whether two masks of like size lie on both sides of where the mother was, one of them where she is followed."""
    followed = max(one.region.overlap(around) / one.region.area for one in pair)
    between = np.mean([_centre(one.region) for one in pair], 0)
    return followed >= HERE and _alike(pair) and float(np.hypot(*(between - _centre(last)))) <= middle


def _alike(pair: tuple[Found, Found]) -> bool:
    small, large = sorted(one.region.area for one in pair)
    return small >= ALIKE * large


def _centre(region: Region) -> NDArray[np.float64]:
    """Centre of mass, px of the frame."""
    return np.asarray(np.argwhere(region.mask).mean(0) + region.origin_yx)


def _apart(a: Found, b: Found) -> float:
    """Distance of the centres of two masks, px."""
    return float(np.hypot(*(_centre(a.region) - _centre(b.region))))


def _places(region: Region, step: float) -> list[tuple[float, float]]:
    """A grid of places inside a region."""
    y0, x0, y1, x1 = region.box
    axes = [np.arange(start + step / 2, stop + 1, step) for start, stop in ((y0, y1), (x0, x1))]
    places = [(float(y), float(x)) for y in axes[0] for x in axes[1]]
    return [place for place in places if region.holds(place)] or [region.center_yx]


def grown(region: Region, by: float) -> Region:
    """A region and all that is near it, px."""
    from scipy.ndimage import distance_transform_edt

    pad = int(np.ceil(by)) + 1
    mask = distance_transform_edt(~np.pad(region.mask, pad)) <= by
    found = Region.from_mask(mask, (region.origin_yx[0] - pad, region.origin_yx[1] - pad))
    assert found is not None
    return found


def joined(regions: Sequence[Region]) -> Region:
    """The pixels of several regions."""
    boxes = np.array([region.box for region in regions])
    y, x = (int(v) for v in boxes[:, :2].min(0))
    height, width = (int(v) for v in boxes[:, 2:].max(0) - (y, x) + 1)
    mask = np.zeros((height, width), bool)
    for region in regions:
        (top, left), (h, w) = region.origin_yx, region.mask.shape
        mask[top - y : top - y + h, left - x : left - x + w] |= region.mask
    found = Region.from_mask(mask, (y, x))
    assert found is not None
    return found
