"""A frame looked at window by window, each shared by the cells in its middle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_mosam.core.find.seeds import Points, uncovered
from napari_mosam.core.find.suppression import Found, strongest
from napari_mosam.core.masks.raster import inner_points, region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import ImageFeatures, Segmenter
from napari_mosam.core.model.queries import DecodeQuery, encode_windows, points_of
from napari_mosam.core.prompts.kinds import POSITIVE
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

RATIO = 5.0
"""Side of a window in diameters: that of the windows in which cells are followed."""

MARGIN = 1.0
"""Diameters at each side of a window in which no cell is asked for: it would be cut off."""

MOST_VIEWS = 250
"""Windows of a frame, at most: some 7 s of one core. Where there would be more they are larger, and show the cells
smaller."""

SIZES = (0.4, 2.5)
"""Sizes of a cell in typical ones between which it is proposed."""

FAINTEST, SURE = 0.2, 0.6
"""Scores between which a first mask is looked at once more; the others are nothing, or good. On the first images of
two sets of nuclei, for the same precision, .80 and .95, recall .52 and .64 became .56 and .71."""

MOST_AGAIN = 200
"""Masks that are looked at once more, the surest of them: 6 s of one core."""

WINDOWS_AT_ONCE = 16
"""Windows whose features are held at the same time: 12 MB, and the steps in which a search can be stopped."""

PROMPTS_AT_ONCE = 64
"""Prompts of one call; more only take memory."""


Click = tuple[int, tuple[float, float]]
"""The row of the window in which the model is asked, and where: (y, x), px of the frame."""

Step = tuple[list[Found], int, int]
"""Masks that were found, the number of windows that were looked at, and their total."""


@dataclass(frozen=True, slots=True)
class View:
    """A window, and the rectangle of the frame whose cells are asked for in it.

    Attributes
    ----------
    window : Window
    start_yx, stop_yx : tuple of float
        The rectangle, frame coordinates; those of all views fill the frame.
    """

    window: Window
    start_yx: tuple[float, float]
    stop_yx: tuple[float, float]

    def inside(self, points: Points) -> Points:
        """Those of some points that lie in the rectangle."""
        within = (points >= self.start_yx).all(1) & (points < self.stop_yx).all(1)
        return points[within]


def views(shape_yx: tuple[int, int], diameter: float) -> list[View]:
    """Windows whose middles fill a frame."""
    middle = max((RATIO - 2 * MARGIN) * diameter, np.sqrt(shape_yx[0] * shape_yx[1] / MOST_VIEWS))
    rows, columns = (np.linspace(-0.5, side - 0.5, 1 + max(1, int(np.ceil(side / middle)))) for side in shape_yx)
    return [
        View(Window.square(((y0 + y1) / 2, (x0 + x1) / 2), middle + 2 * MARGIN * diameter), (y0, x0), (y1, x1))
        for y0, y1 in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True)
        for x0, x1 in zip(columns[:-1].tolist(), columns[1:].tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A frame in which cells are sought.

    Attributes
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame.
    diameter : float
        Of a typical cell, px.
    min_score : float
        Of a mask that is a cell.
    """

    model: Segmenter
    pyramid: Pyramid
    diameter: float
    min_score: float

    def everywhere(self, seeds: Points, rest: Points, covered: NDArray[np.bool_] | None = None) -> Iterator[Step]:
        """Look for cells at seeds, then at other places where these left something out.

        Parameters
        ----------
        seeds, rest : ndarray of float, shape (N, 2)
            (y, x), px.
        covered : ndarray of bool, shape (Y, X), optional
            Pixels on which the model is not asked.

        Yields
        ------
        found : list of Found
            In some windows; a cell may be found from several.
        done, total : int
            Windows.
        """
        shape = self.pyramid.shape_yx
        taken = np.zeros(shape, bool) if covered is None else covered
        first, others = uncovered(seeds, taken), uncovered(rest, taken)
        layout = [view for view in views(shape, self.diameter) if len(view.inside(first)) or len(view.inside(others))]
        for start in range(0, len(layout), WINDOWS_AT_ONCE):
            some = layout[start : start + WINDOWS_AT_ONCE]
            yield self._in_views(some, first, others), start + len(some), len(layout)

    def again(self, found: Sequence[Found]) -> Iterator[Step]:
        """Look at masks of which the model was not sure once more: each in the middle of a window of its own size."""
        unsure = [one for one in strongest(found) if one.score < SURE][:MOST_AGAIN]
        for start in range(0, len(unsure), WINDOWS_AT_ONCE):
            some = [one.region for one in unsure[start : start + WINDOWS_AT_ONCE]]
            windows = [Window.square(region.center_yx, RATIO * region.diameter) for region in some]
            middles = [inner_points(region)[0] for region in some]
            yield self._clicked(windows, list(enumerate(middles))), start + len(some), len(unsure)

    def _in_views(self, some: Sequence[View], first: Points, rest: Points) -> list[Found]:
        windows = [view.window for view in some]
        features = encode_windows(self.model, self.pyramid, windows)
        at_seeds = self._clicked(windows, _placed(some, first), features)
        taken = np.zeros(self.pyramid.shape_yx, bool)
        for one in at_seeds:
            y0, x0, y1, x1 = one.region.box
            taken[y0 : y1 + 1, x0 : x1 + 1] |= one.region.mask & (one.score >= self.min_score)
        return [*at_seeds, *self._clicked(windows, _placed(some, uncovered(rest, taken)), features)]

    def _clicked(
        self, windows: Sequence[Window], asked: Sequence[Click], features: ImageFeatures | None = None
    ) -> list[Found]:
        """Masks of clicks, up to three of each."""
        seen = encode_windows(self.model, self.pyramid, windows) if features is None else features
        parts = range(0, len(asked), PROMPTS_AT_ONCE)
        some = (asked[start : start + PROMPTS_AT_ONCE] for start in parts)
        return [one for part in some for one in self._at_once(windows, part, seen)]

    def _at_once(self, windows: Sequence[Window], asked: Sequence[Click], features: ImageFeatures) -> Iterator[Found]:
        rows = [row for row, _ in asked]
        own = features.take(rows)
        queries = [DecodeQuery(0, windows[row], ((y, x, POSITIVE),)) for row, (y, x) in asked]
        decoded = self.model.decode_masks(own, self.model.without_memory(own), points=points_of(queries, self.model))
        scores = decoded.predicted_iou * stability(decoded.logits)
        for k, candidate in (scores >= FAINTEST).nonzero().tolist():
            region = self._whole(decoded.logits[k, candidate], windows[rows[k]])
            if region is not None:
                yield Found(region, float(scores[k, candidate]))

    def _whole(self, logits: Tensor, window: Window) -> Region | None:
        """The pixels of a mask of a possible size that the window does not cut off."""
        region = region_of_logits(logits, window, self.pyramid.shape_yx)
        if region is None or not SIZES[0] <= region.diameter / self.diameter <= SIZES[1]:
            return None
        cut = cut_off(region, window, self.pyramid.shape_yx, logits.shape[-1])
        return None if cut else region


def stability(logits: Tensor) -> Tensor:
    """IoU of masks (…, s, s) one logit tighter and one logit wider, shape (…)."""
    tight, wide = ((logits > level).sum((-2, -1)) for level in (1, -1))
    return tight / wide.clamp(min=1)


def cut_off(region: Region, window: Window, shape_yx: tuple[int, int], logits_side: int) -> bool:
    """Whether a mask comes as near as a logit to an edge of the window inside the frame."""
    box, margin = region.box, window.size_yx[0] / logits_side
    sides = zip(box[:2], box[2:], window.start_yx, window.size_yx, shape_yx, strict=True)
    return any(
        (start > 0 and first - margin <= start) or (start + size < side - 1 and last + margin >= start + size)
        for first, last, start, size, side in sides
    )


def _placed(some: Sequence[View], points: Points) -> list[Click]:
    """Points by the row of the view that asks for them."""
    return [(row, (y, x)) for row, view in enumerate(some) for y, x in view.inside(points).tolist()]
