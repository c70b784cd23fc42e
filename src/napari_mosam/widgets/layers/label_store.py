"""Label frames of runs merged with what a person painted. All writes happen in the GUI thread: one writer."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.masks.label_frames import in_one_piece

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_mosam.core.results.frame import FrameResult, ObjectResult
    from napari_mosam.widgets.layers.scratch_store import ScratchStore
    from napari_mosam.widgets.layers.source import MovieSource

STORE = "napari-mosam store"

PROMPTED = 2.0
"""Quality of a mask on a prompted frame, above every predicted IoU."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabels:
    """Arrays of one Labels layer, of the same shape and dtype.

    Attributes
    ----------
    labels : zarr.Array
        What the layer shows, unless the user gave it another array.
    written : zarr.Array
        What runs wrote last. Where the layer differs, a person painted or erased: by whatever tool, at whatever time.
    """

    labels: Any
    written: Any

    @classmethod
    def new(cls, session: "ScratchStore", shape: tuple[int, ...], dtype: Any) -> "StoredLabels":
        """Two arrays of zeros."""
        return cls(session.new_array("labels", shape, dtype), session.new_array("written", shape, dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """What a person painted and erased on a frame, and no run may change.

    Attributes
    ----------
    pixels : ndarray of bool, shape (Y, X)
    ids : frozenset of int
        Objects drawn or erased there: a run leaves the rest of their masks on the frame alone too.
    """

    pixels: "NDArray[np.bool_]"
    ids: frozenset[int]

    @classmethod
    def between(cls, stored: "NDArray[Any]", written: "NDArray[Any]") -> "Painted":
        """Compare a frame with what runs wrote there last, both (Y, X)."""
        pixels = stored != written
        new, old = stored[pixels], written[pixels]
        return cls(pixels, frozenset(int(i) for i in np.unique(np.where(new == 0, old, new)) if i))

    @property
    def n_pixels(self) -> int:
        """Number of pixels painted or erased."""
        return int(np.count_nonzero(self.pixels))


def merge_frame(
    stored: "NDArray[Any]", labels: "NDArray[Any]", ids: Iterable[int], kept: "NDArray[np.bool_]"
) -> "NDArray[Any]":
    """Replace the objects `ids` of a stored frame by those of a result.

    Parameters
    ----------
    stored, labels : ndarray of int, shape (Y, X)
        What the layer holds, and what the run found.
    ids : iterable of int
        Objects the run may change.
    kept : ndarray of bool, shape (Y, X)
        Pixels that may not change at all.

    Returns
    -------
    ndarray, shape (Y, X), dtype of `stored`
        Other objects keep every pixel they had.
    """
    followed = sorted(ids)
    free = (np.isin(stored, followed) | (stored == 0)) & ~kept
    return np.where(free, np.where(np.isin(labels, followed), labels, 0), stored).astype(stored.dtype)


def cut_ids(labels: "NDArray[Any]", merged: "NDArray[Any]") -> set[int]:
    """Objects of a result that did not get all of their pixels; both frames (Y, X)."""
    return {int(i) for i in np.unique(labels[(labels != merged) & (labels > 0)])}


class LabelStore:
    """The frames of a Labels layer that runs write and a person may paint in.

    Parameters
    ----------
    layer : napari.layers.Labels
        Made by :func:`new_labels`, or with arrays from :func:`make_writable`.
    source : MovieSource
        Where a frame lies in the arrays.
    """

    def __init__(self, layer: "Labels", source: "MovieSource") -> None:
        self._layer, self._source = layer, source

    @property
    def fits(self) -> bool:
        """Whether the layer has the shape of the movie; the user may have given it any array."""
        arrays = self._layer.metadata.get(STORE)
        shape = self._source.layer_shape
        return arrays is not None and tuple(self._layer.data.shape) == shape == arrays.written.shape

    def painted(self, t: int) -> Painted:
        """What a person painted on a frame."""
        return Painted.between(self._read(self._layer.data, t), self._read(self._arrays.written, t))

    def forget(self, t: int) -> int:
        """Take a frame for what runs wrote, as it is; returns the number of pixels let go."""
        n_pixels = self.painted(t).n_pixels
        if n_pixels:
            self._arrays.written[self._index(t)] = self._read(self._layer.data, t)
        return n_pixels

    def write(self, t: int, labels: "NDArray[Any]", ids: Iterable[int], as_is: Iterable[int] = ()) -> Painted:
        """Put objects of a result on their frame, except where a person painted; returns what was kept.

        What is cut in two by painted pixels or by other objects keeps its largest piece, except the objects `as_is`.
        """
        stored, written = self._read(self._layer.data, t), self._read(self._arrays.written, t)
        rows = _rows_with_content(stored, written, labels)  # most frames are mostly empty, and the viewer waits
        old = stored[rows]
        painted = Painted.between(old, written[rows])
        taken = set(ids) - painted.ids
        new = merge_frame(old, labels[rows], taken, painted.pixels)
        new = in_one_piece(new, (taken & cut_ids(labels[rows], new)) - set(as_is))
        if not np.array_equal(new, old):
            written[rows] = np.where(painted.pixels, written[rows], new)
            stored[rows] = new
            self._arrays.written[self._index(t)] = written
            self._layer.data[self._index(t)] = stored
        return painted

    @property
    def _arrays(self) -> StoredLabels:
        arrays: StoredLabels = self._layer.metadata[STORE]
        return arrays

    def _index(self, t: int) -> Any:
        return self._source.index(t) or ...

    def _read(self, array: Any, t: int) -> "NDArray[Any]":
        return np.array(array[self._index(t)])


def _rows_with_content(*frames: "NDArray[Any]") -> slice:
    rows = np.flatnonzero(np.logical_or.reduce([frame.any(1) for frame in frames]))
    return slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)


def make_writable(layer: "Labels", session: "ScratchStore", source: "MovieSource", max_id: int) -> None:
    """Move the labels to arrays of our own where an id does not fit, or where the user gave the layer another array.

    Values stay, and so does what runs wrote last: what differs in the user's array is what the user painted.

    Raises
    ------
    ValueError
        If the layer does not have the shape of the movie.
    """
    from napari_mosam.core.masks.label_frames import label_dtype

    data, arrays = layer.data, layer.metadata[STORE]
    if tuple(data.shape) != source.layer_shape or arrays.written.shape != source.layer_shape:
        raise ValueError(
            f"'{layer.name}' has the shape {tuple(data.shape)} but the movie needs {source.layer_shape}; "
            "delete that layer and run again"
        )
    dtype = np.dtype(data.dtype)
    if data is arrays.labels and max_id <= np.iinfo(dtype).max:
        return
    dtype = np.result_type(dtype, arrays.written.dtype, label_dtype(max_id))
    wider = StoredLabels.new(session, source.layer_shape, dtype if dtype.kind in "iu" else np.int64)
    for t in range(source.shape[0]):
        index = source.index(t) or ...
        wider.labels[index], wider.written[index] = np.asarray(data[index]), arrays.written[index]
    layer.metadata[STORE] = wider
    layer.data = wider.labels


def detach_copy(layer: "Labels", session: "ScratchStore") -> None:
    """Give a copy that the user made of a result an array of its own; napari's copy shares the files of the first."""
    shared = layer.metadata.pop(STORE).labels
    if getattr(layer.data, "store_path", None) != shared.store_path:
        return
    own = session.new_array("copy", shared.shape, shared.dtype)
    for index in np.ndindex(shared.shape[:-2]):
        own[index or ...] = shared[index or ...]
    layer.data = own


class LabelWriter:
    """Writes the results of one run into a Labels layer.

    Parameters
    ----------
    store : LabelStore
        Where the frames go.
    n_frames : int
        Length of the movie.
    """

    def __init__(self, store: LabelStore, n_frames: int) -> None:
        self._store, self._n_frames = store, n_frames
        self._quality: dict[int, NDArray[np.float16]] = {}

    def write(self, result: "FrameResult") -> "tuple[list[ObjectResult], Painted]":
        """Put the followed objects of `result` on their frame, except where a person painted.

        Between two prompts an object comes once in each direction; the better of its masks stays.

        Returns
        -------
        list of ObjectResult
            The objects for which this result is the best so far, less those that a person drew there.
        Painted
            What a person painted on the frame.
        """
        better = [item for item in result.objects if self._is_better(result.t, item)]
        as_is = [item.object_id for item in better if item.decoded_with == "painted"]
        painted = self._store.write(result.t, result.labels, [item.object_id for item in better], as_is)
        return [item for item in better if item.object_id not in painted.ids], painted

    def _is_better(self, t: int, item: "ObjectResult") -> bool:
        """Whether a mask is better than what is there of its object; it is then taken to be there."""
        known = self._quality.setdefault(item.object_id, np.full(self._n_frames, -1, np.float16))
        quality = PROMPTED if item.prompted else item.predicted_iou if item.area else 0.0
        if quality <= known[t]:
            return False
        known[t] = quality
        return True
