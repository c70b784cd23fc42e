"""Frames on which an object may have divided: what its masks say of themselves, without the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.store.result import Result

BEFORE = 5
"""Seen frames whose medians a frame is compared with: a cell is round for longer. Not measured."""

PIECES, SHRUNK, LONGER, CHANGED = 0.3, 0.7, 1.25, 0.65
"""From which on a frame is looked at: evidence of two pieces; area over that before; length over width over that
before; and the IoU with the last mask. Chosen so that most true divisions are looked at, not for what is left out."""

LONGEST_ROUND = 1.3
"""Length over width up to which a mask is round, whatever it was before. Not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object over all frames.

    Attributes
    ----------
    object_id : int
    area, length, pieces, consistency : ndarray of float, shape (T,)
        Pixels; length over width of the mask, 1 for a disk; evidence of two pieces; IoU with the last mask, moved. NaN
        where it is not known.
    followed : ndarray of bool, shape (T,)
        Whether it was looked for.
    """

    object_id: int
    area: "NDArray[np.float64]"
    length: "NDArray[np.float64]"
    pieces: "NDArray[np.float64]"
    consistency: "NDArray[np.float64]"
    followed: "NDArray[np.bool_]"

    @property
    def seen(self) -> "NDArray[np.bool_]":
        """Whether it has a pixel."""
        return np.asarray(np.nan_to_num(self.area) > 0)

    def before(self, t: int) -> "NDArray[np.intp]":
        """The last frames before `t` on which it was seen."""
        return np.flatnonzero(self.seen[:t])[-BEFORE:]

    def usual_area(self, t: int) -> float:
        """The median area on the frames before `t`; NaN without any."""
        return float(np.median(self.area[self.before(t)])) if len(self.before(t)) else np.nan

    def why(self, t: int) -> str:
        """What speaks for a division on a frame; '' for nothing."""
        before = self.before(t)
        if not len(before) or not self.followed[t]:
            return ""
        if not self.seen[t]:
            return "the cell is gone" if self.seen[t - 1] else ""
        area, length = np.median(self.area[before]), np.nanmedian(self.length[before])
        if np.nan_to_num(self.pieces[t]) >= PIECES:
            return "the mask fell into two pieces"
        if self.area[t] < SHRUNK * area:
            return f"the mask has {self.area[t] / area:.0%} of its area before"
        if self.length[t] > max(LONGER * length, LONGEST_ROUND):
            return "the mask became long"
        return "the mask changed its shape" if self.consistency[t] < CHANGED else ""

    def worth_a_look(self) -> dict[int, str]:
        """Frames to be looked at, ascending, and why."""
        return {t: why for t in range(1, len(self.area)) if (why := self.why(t))}


def tracks_of(result: "Result", stopped: Callable[[], bool] = lambda: False) -> list[Track]:
    """All objects of a result; reads every label frame once."""
    ids, n_frames = result.object_ids, int(result.labels.shape[0])
    length = np.full((n_frames, len(ids)), np.nan)
    for t in range(n_frames):
        if stopped():
            break
        length[t] = lengths(np.asarray(result.labels[t]), ids)
    followed = result.state != ""
    columns = (result.area, result.division, result.consistency)
    area, pieces, same = (np.asarray(column, float) for column in columns)
    return [Track(i, area[:, k], length[:, k], pieces[:, k], same[:, k], followed[:, k]) for k, i in enumerate(ids)]


def lengths(labels: "NDArray[np.integer]", ids: Sequence[int]) -> "NDArray[np.float64]":
    """Length over width of the ellipse with the moments of each object's pixels, shape (N,); NaN where it has none."""
    y, x = np.nonzero(labels)
    present, at = np.unique(labels[y, x], return_inverse=True)
    n = np.bincount(at, minlength=len(present)).astype(float)

    def mean(values: "NDArray[np.float64]") -> "NDArray[np.float64]":
        return np.asarray(np.bincount(at, values, minlength=len(present)) / n)

    dy, dx = y - mean(y.astype(float))[at], x - mean(x.astype(float))[at]
    yy, xx, yx = mean(dy * dy) + 1 / 12, mean(dx * dx) + 1 / 12, mean(dy * dx)
    spread = np.sqrt((yy - xx) ** 2 + 4 * yx**2)
    ratio = np.sqrt((yy + xx + spread) / np.maximum(yy + xx - spread, 1e-9))
    rows = {int(i): k for k, i in enumerate(present)}
    return np.array([ratio[rows[i]] if i in rows else np.nan for i in ids])
