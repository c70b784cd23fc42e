"""Two cells in the place of one: the model is asked with clicks all over it, without its memory of the mother."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from napari_mosam.core.find.scan import cut_off, stability
from napari_mosam.core.find.suppression import Found, strongest
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.queries import DecodeQuery, encode_windows, points_of
from napari_mosam.core.prompts.kinds import POSITIVE
from napari_mosam.core.windows.sampling import Pyramid
from napari_mosam.core.windows.window import Window

RATIO = 4.0
"""Side of the window in diameters of the mother: about 5.6 of a daughter's."""

STEP = 0.25
"""Distance of the clicks in diameters of the mother: some five on each daughter."""

FAINTEST = 0.15
"""Score from which a mask may be a daughter."""

SHARES = (0.2, 0.7)
"""Area of a daughter over that of her mother."""

ALIKE = 0.4
"""Area of the smaller daughter over that of the larger one, at least."""

HERE = 0.4
"""Share of a daughter that lies where the mother was, at least: else she is a neighbour."""

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


def find_pair(model: Segmenter, pyramid: Pyramid, around: Region, area: float) -> Pair | None:
    """The two cells that fill a place, if there are two.

    Parameters
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame.
    around : Region
        Where the mother is, or was.
    area : float
        Of the mother before, px.
    """
    diameter = 2 * float(np.sqrt(area / np.pi))
    window = Window.square(around.center_yx, RATIO * max(diameter, around.diameter))
    clicks = [DecodeQuery(0, window, ((y, x, POSITIVE),)) for y, x in _places(around, STEP * diameter)]
    features = encode_windows(model, pyramid, [window]).take([0] * len(clicks))
    decoded = model.decode_masks(features, model.without_memory(features), points=points_of(clicks, model))
    scores = decoded.predicted_iou * stability(decoded.logits)
    shape = pyramid.shape_yx
    found, whole = [], 0.0
    for row, candidate in (scores >= FAINTEST).nonzero().tolist():
        logits, score = decoded.logits[row, candidate], float(scores[row, candidate])
        region = region_of_logits(logits, window, shape)
        if region is None or cut_off(region, window, shape, logits.shape[-1]):
            continue
        if SHARES[0] <= region.area / area <= SHARES[1]:
            found.append(Found(region, score))
        elif region.iou(around) > SAME:
            whole = max(whole, score)
    pairs = [pair for a, b in combinations(strongest(found), 2) if (pair := _pair(a, b, around)) is not None]
    best = max(pairs, key=lambda pair: pair.score, default=None)
    return best if best is not None and best.score >= whole * WHOLE else None


SAME = 0.6
"""IoU with the place from which on a mask is that of one whole cell."""

WHOLE = 0.6
"""A pair is no pair where one mask of all is this much surer."""


def _pair(a: Found, b: Found, around: Region) -> Pair | None:
    sizes = sorted((a.region.area, b.region.area))
    inside = [one.region.overlap(around) for one in (a, b)]
    here = all(n >= HERE * one.region.area for n, one in zip(inside, (a, b), strict=True))
    if sizes[0] < ALIKE * sizes[1] or not here or sum(inside) < COVERED * around.area:
        return None
    return Pair(a.region, b.region, min(a.score, b.score))


def _places(region: Region, step: float) -> list[tuple[float, float]]:
    """A grid of places inside a region."""
    y0, x0, y1, x1 = region.box
    axes = [np.arange(start + step / 2, stop + 1, step) for start, stop in ((y0, y1), (x0, x1))]
    places = [(float(y), float(x)) for y in axes[0] for x in axes[1]]
    return [place for place in places if region.holds(place)] or [region.center_yx]


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
