"""Label frames of runs merged with what the user painted. All writes happen in the GUI thread: one writer."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.results import FrameResult, ObjectResult
    from napari_mosam.widgets._source import MovieSource


PROMPTED = 2.0
"""Quality of a mask on a prompted frame, above every predicted IoU."""


class PaintLocks:
    """Objects and pixels that the user painted during a run, per frame.

    Parameters
    ----------
    frame_shape : tuple of int
        (Y, X).
    time_axis : int or None
        Axis of time in the painted array; None where there is none.
    """

    def __init__(self, frame_shape: tuple[int, int], time_axis: int | None) -> None:
        self._frame_shape = frame_shape
        self._time_axis = time_axis
        self._ids: dict[int, set[int]] = {}
        self._pixels: dict[int, NDArray[np.bool_]] = {}

    def add(self, atoms: Iterable[Any]) -> None:
        """Remember napari's history atoms of a stroke, a fill or a polygon."""
        for atom in atoms:
            self._add(*_changed_pixels(atom))

    def ids(self, t: int) -> frozenset[int]:
        """Objects which the user drew or erased on frame `t`."""
        return frozenset(self._ids.get(t, ()))

    def pixels(self, t: int) -> "NDArray[np.bool_] | None":
        """Pixels (Y, X) that the user touched on frame `t`."""
        return self._pixels.get(t)

    def _add(self, where: Sequence["NDArray[Any]"], old: "NDArray[Any]", new: "NDArray[Any]") -> None:
        times = np.zeros_like(where[-1]) if self._time_axis is None else where[self._time_axis]
        for t in np.unique(times):
            here = times == t
            kept = self._pixels.setdefault(int(t), np.zeros(self._frame_shape, bool))
            kept[where[-2][here], where[-1][here]] = True
            ids = np.unique(np.where(new[here] == 0, old[here], new[here]))
            self._ids.setdefault(int(t), set()).update(int(i) for i in ids if i)


def _changed_pixels(atom: Any) -> "tuple[tuple[NDArray[Any], ...], NDArray[Any], NDArray[Any]]":
    """Coordinates, old and new values of an atom; napari 0.9 keeps a box with a mask, before that indices."""
    if not hasattr(atom, "slice_key"):
        where, old, new = atom
        return tuple(np.asarray(w).ravel() for w in where), np.ravel(old), np.broadcast_to(new, np.shape(old)).ravel()
    shape = tuple(s.stop - s.start for s in atom.slice_key)
    mask = np.ones(shape, bool) if atom.mask is None else np.broadcast_to(atom.mask, shape)
    where = tuple(w + s.start for w, s in zip(np.nonzero(mask), atom.slice_key, strict=True))
    old = np.ravel(atom.old_values)
    return where, old, np.full(old.shape, atom.new_value)


def merge_frame(
    stored: "NDArray[Any]",
    labels: "NDArray[Any]",
    ids: Iterable[int],
    kept: "NDArray[np.bool_] | None" = None,
) -> "NDArray[Any]":
    """Replace the objects `ids` of a stored frame by those of a result.

    Parameters
    ----------
    stored, labels : ndarray of int, shape (Y, X)
        What the layer holds, and what the run found.
    ids : iterable of int
        Objects the run may change.
    kept : ndarray of bool, shape (Y, X), or None
        Pixels that may not change at all.

    Returns
    -------
    ndarray, shape (Y, X), dtype of `stored`
        Other objects keep every pixel they had.
    """
    merged = stored.copy()
    rows = np.flatnonzero(stored.any(1) | labels.any(1))
    if not rows.size:
        return merged
    part = slice(rows[0], rows[-1] + 1)  # most frames are mostly empty, and the viewer waits
    old, new = stored[part], labels[part]
    table = np.zeros(max(int(old.max()), int(new.max()), *ids, 0) + 1, bool)
    table[list(ids)] = True
    free = table[old] | (old == 0)
    if kept is not None:
        free &= ~kept[part]
    merged[part] = np.where(free, np.where(table[new], new, 0), old)
    return merged


class LabelWriter:
    """Writes the frames of one run into the array of a Labels layer.

    Parameters
    ----------
    array : zarr.Array or ndarray of int
        As large as ``source.layer_shape``.
    source : MovieSource
        Where a frame lies in the array.
    """

    def __init__(self, array: Any, source: "MovieSource") -> None:
        self.array = array
        self.locks = PaintLocks(source.shape[1:], source.time_axis)
        self._source = source
        self._quality: dict[int, NDArray[np.float16]] = {}

    def write(self, result: "FrameResult") -> None:
        """Put the followed objects of `result` on their frame, except where the user painted.

        Between two prompts an object comes once in each direction; the better of its masks stays.
        """
        index = self._source.index(result.t)
        ids = {o.object_id for o in result.objects if self._is_better(result.t, o)} - self.locks.ids(result.t)
        stored = np.asarray(self.array[index] if index else self.array[...])
        self.array[index or ...] = merge_frame(stored, result.labels, sorted(ids), self.locks.pixels(result.t))

    def _is_better(self, t: int, item: "ObjectResult") -> bool:
        """Whether a mask is better than what is there of its object; it is then taken to be there."""
        n_frames = self._source.shape[0]
        known = self._quality.setdefault(item.object_id, np.full(n_frames, -1, np.float16))
        quality = PROMPTED if item.prompted else item.predicted_iou if item.area else 0.0
        if quality <= known[t]:
            return False
        known[t] = quality
        return True
