"""Label stacks read one frame at a time, and which objects of two label frames meet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.masks.region import Region

MATCHED_IOU, MATCHED_SHARE = 0.1, 0.5
"""A track is on its best truth object above this IoU, or from this share of the track's own pixels on: a convention of
ours."""


@dataclass(frozen=True, eq=False)
class LabelFrame:
    """The objects of one label frame.

    Attributes
    ----------
    ids : ndarray of int64, shape (N,)
        Ascending, without the background.
    ranks : ndarray of int32, shape (Y, X)
        0 = background, k + 1 where the frame holds ``ids[k]``.
    """

    ids: NDArray[np.int64]
    ranks: NDArray[np.int32]

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> "LabelFrame":
        """Number the objects of a label image, shape (Y, X), whatever their ids."""
        ranks = np.zeros(pixels.shape, np.int32)
        painted = pixels > 0
        ids, inverse = np.unique(pixels[painted], return_inverse=True)
        ranks[painted] = inverse + 1
        return cls(ids.astype(np.int64), ranks)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each object, (N,)."""
        return np.bincount(self.ranks.ravel(), minlength=len(self.ids) + 1)[1:].astype(np.int64)

    @cached_property
    def _boxes(self) -> list[tuple[slice, slice]]:
        from scipy.ndimage import find_objects

        boxes: list[tuple[slice, slice]] = find_objects(self.ranks)
        return boxes

    def region(self, object_id: int) -> Region:
        """The pixels of an object that is on the frame."""
        rank = int(np.searchsorted(self.ids, object_id))
        rows, columns = self._boxes[rank]
        return Region((rows.start, columns.start), self.ranks[rows, columns] == rank + 1)


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Every pair of a track and a truth object that share pixels; one entry per pair, all of shape (P,).

    Attributes
    ----------
    track_ids, truth_ids : ndarray of int64
    shared, track_areas, truth_areas : ndarray of int64
        px.
    """

    track_ids: NDArray[np.int64]
    truth_ids: NDArray[np.int64]
    shared: NDArray[np.int64]
    track_areas: NDArray[np.int64]
    truth_areas: NDArray[np.int64]

    @classmethod
    def of(cls, tracks: LabelFrame, truth: LabelFrame) -> "Overlaps":
        """Count the shared pixels of two frames of one shape."""
        both = (tracks.ranks > 0) & (truth.ranks > 0)
        n = max(len(truth.ids), 1)
        keys = (tracks.ranks[both].astype(np.int64) - 1) * n + truth.ranks[both] - 1
        pairs, shared = np.unique(keys, return_counts=True)
        rows, columns = np.divmod(pairs, n)
        return cls(
            tracks.ids[rows],
            truth.ids[columns],
            shared.astype(np.int64),
            tracks.areas[rows],
            truth.areas[columns],
        )

    @cached_property
    def ious(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        return np.asarray(self.shared / (self.track_areas + self.truth_areas - self.shared), np.float64)

    @cached_property
    def own(self) -> dict[int, float]:
        """IoU of each track with the truth object of the same id, where they meet."""
        same = self.track_ids == self.truth_ids
        return dict(zip(self.track_ids[same].tolist(), self.ious[same].tolist(), strict=True))

    def matches(self) -> dict[int, int]:
        """Track id -> the truth id of highest IoU, for tracks that lie on it well enough; of equals its own id."""
        order = np.lexsort((self.truth_ids, self.truth_ids != self.track_ids, -self.ious, self.track_ids))
        _, first = np.unique(self.track_ids[order], return_index=True)
        best = order[first]
        on_it = (self.ious[best] > MATCHED_IOU) | (self.shared[best] >= MATCHED_SHARE * self.track_areas[best])
        best = best[on_it]
        return dict(zip(self.track_ids[best].tolist(), self.truth_ids[best].tolist(), strict=True))

    def assignment(self) -> dict[int, int]:
        """Track id -> truth id, one to one, the highest IoU first, above ``MATCHED_IOU``."""
        chosen: dict[int, int] = {}
        taken: set[int] = set()
        for pair in np.argsort(-self.ious, kind="stable"):
            track, true = int(self.track_ids[pair]), int(self.truth_ids[pair])
            if self.ious[pair] > MATCHED_IOU and track not in chosen and true not in taken:
                chosen[track] = true
                taken.add(true)
        return chosen


class LabelPair:
    """A label stack and its truth, checked to be alike; frames are read when they are asked for.

    Parameters
    ----------
    labels, truth : LabelStack, array_like or path
        What :func:`open_labels` takes; truth may lack frames.
    frames : iterable of int, optional
        Frames to read, in this order; by default all that both have.

    Raises
    ------
    LabelError
        For stacks of unequal shape, for what holds no labels, and for frames that are not there.
    """

    def __init__(self, labels: Any, truth: Any, frames: Iterable[int] | None = None) -> None:
        self._labels, self._truth = open_labels(labels, "the label array"), open_labels(truth, "the truth array")
        self._truth.check_fit(self._labels.shape, self._labels.name, whole=True)
        self.n_frames = self._labels.shape[0]
        both = [t for t in self._labels.frames if t in self._truth.frames]
        self.frames = tuple(both) if frames is None else tuple(int(t) for t in frames)

    def __iter__(self) -> Iterator[tuple[int, LabelFrame, LabelFrame]]:
        """Frame number, labels and truth of every frame in turn."""
        return ((t, self.track_frame(t), self.truth_frame(t)) for t in self.frames)

    def track_frame(self, t: int) -> LabelFrame:
        """Read a frame of the labels."""
        return LabelFrame.of(self._labels[t])

    def truth_frame(self, t: int) -> LabelFrame:
        """Read a frame of the truth."""
        return LabelFrame.of(self._truth[t])
