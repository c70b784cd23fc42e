"""Results on disk: a zarr group that grows frame by frame.

Layout: ``labels`` (T, Y, X) uint16 or uint32 and ``confidence`` (T, Y, X) uint8, one chunk per frame;
``table/object_ids`` names the objects, ``table/values`` (T, N, C) holds the numbers of each, ``table/locked`` (T, N)
which of them may not change, ``records`` what is needed to compose and follow again, see :mod:`records`; the attribute
``records`` of the group ``prompts`` holds the prompts.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.images.places import RESULT_MARK, ResultGoneError, alone, new_group
from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.results.columns import STATES, read_table
from napari_mosam.core.results.progress import ResultProgress
from napari_mosam.core.store.compose import Locked, areas_of, as_bytes, compose, merge_directions, way_since_prompt
from napari_mosam.core.store.layout import (
    lock_array,
    locked_ids,
    mark_version,
    open_group,
    read_prompts,
    reading,
    write_ids,
    write_prompts,
)
from napari_mosam.core.store.records import FrameTable, RecordStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult, ObjectResult
    from napari_mosam.core.results.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A run on disk. Tables are read when it is opened; open it again after a change.

    Attributes
    ----------
    path : Path
        The zarr group.
    labels : zarr.Array of uint16 or uint32, shape (T, Y, X)
        Object ids, 0 = background.
    confidence : zarr.Array of uint8, shape (T, Y, X)
        255 x the confidence of the object that holds the pixel; 0 on background.
    object_ids : tuple of int
        Columns of the tables.
    predicted_iou, object_score, area, consistency, division : ndarray of float32, shape (T, N)
        Per frame and object, see :class:`ObjectResult`; NaN where the object was not followed.
    disagreement : ndarray of float32, shape (T, N)
        1 - IoU of the masks of both directions; NaN where only one took part.
    state : ndarray of str, shape (T, N)
        'present', 'lost' or 'ended'; '' where the object was not followed.
    attrs : dict
        Settings, model, normalisation and versions; 'complete' is false where a run was stopped before its end.
    """

    path: Path
    labels: Any
    confidence: Any
    object_ids: tuple[int, ...]
    predicted_iou: "NDArray[np.float32]"
    object_score: "NDArray[np.float32]"
    area: "NDArray[np.float32]"
    consistency: "NDArray[np.float32]"
    disagreement: "NDArray[np.float32]"
    division: "NDArray[np.float32]"
    state: "NDArray[np.str_]"
    attrs: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> "Result":
        """Open a written group for reading. Results without records (earlier versions) open too: columns are NaN.

        Raises
        ------
        FileNotFoundError
            If there is none at `path`.
        ResultError
            If it is damaged, or something else.
        """
        with reading(path):
            group = open_group(path, "r")
            ids = tuple(int(i) for i in group["table/object_ids"][:])
            values = read_table(group["table"], (group["labels"].shape[0], len(ids)))
            words = np.array([state or "" for state in STATES])
            state = words[np.nan_to_num(values.pop("state")).astype(int)]
            attrs = dict(group.attrs)
            return cls(Path(path), group["labels"], group["confidence"], ids, **values, state=state, attrs=attrs)

    @property
    def complete(self) -> bool:
        """Whether the run that made it came to its end, and so did every correction since."""
        return self.progress.complete

    @property
    def progress(self) -> ResultProgress:
        """How far it came; as text: 'complete', 'stopped at frame 13 of 40' ..."""
        with reading(self.path):
            return ResultProgress.read(open_group(self.path, "r"))

    def describe(self) -> str:
        """Several aligned lines on what it is and how far it came."""
        attrs = self.attrs
        low, high = attrs.get("limits", (0, 0))
        start, stop = attrs.get("frames", (0, self.labels.shape[0]))
        n_frames, height, width = self.labels.shape
        rows = {
            "name": f"{self.path.name} (result of mosam track)",
            "movie": f"{attrs.get('movie', 'unknown')}, {n_frames} frames of {height} x {width} px (Y, X)",
            "objects": f"{len(self.object_ids)}: {_shortened(self.object_ids)}",
            "frames": f"{start}:{stop}, {attrs.get('direction', 'unknown direction')}",
            "state": str(self.progress),
            "model": attrs.get("model", "unknown"),
            "limits": f"{low:g} to {high:g} became 0 to 1" if low < high else "unknown",
            "version": f"napari-mosam {attrs.get(RESULT_MARK, 'unknown')}",
        }
        return "\n".join(f"{key:<9}{value}" for key, value in rows.items())

    @property
    def n_object_frames(self) -> int:
        """Number of (object, frame) pairs that were followed."""
        return int(np.isfinite(self.predicted_iou).sum())

    @property
    def prompts(self) -> "Prompts":
        """The prompts that it was made from."""
        with reading(self.path):
            return read_prompts(open_group(self.path, "r"))

    def record(self, object_id: int, t: int) -> "ObjectResult | None":
        """Everything kept of an object on a frame; None where it was not followed.

        Raises
        ------
        ValueError
            For an unknown object, or a result without records.
        IndexError
            For a frame outside the movie.
        """
        self._check(object_id, t)
        with reading(self.path):
            return self._records().read_one(object_id, t)

    def timeline(self, object_id: int, frames: slice = slice(None)) -> "Timeline":
        """What the engine saw, decided and read of an object, over all frames or some.

        Raises
        ------
        ValueError
            For an unknown object, or a result without records.
        """
        from napari_mosam.core.results.timeline import Timeline

        self._check(object_id)
        with reading(self.path):
            return Timeline.read(self._records(), object_id, frames)

    def lock(self, object_id: int, t: int) -> None:
        """Fix an object's pixels and record on a frame; no later run changes them.

        Raises
        ------
        ResultBusyError
            If somebody else is writing the result.
        """
        self._set_lock(object_id, t, True)

    def unlock(self, object_id: int, t: int) -> None:
        """Undo :meth:`lock`."""
        self._set_lock(object_id, t, False)

    def locked(self, t: int) -> tuple[int, ...]:
        """Objects that are locked on a frame."""
        return locked_ids(open_group(self.path, "r"), self.object_ids, t)

    def _set_lock(self, object_id: int, t: int, value: bool) -> None:
        self._check(object_id, t)
        with alone(self.path):
            group = open_group(self.path, "r+")
            lock_array(group, self.labels.shape[0], len(self.object_ids))[t, self.object_ids.index(object_id)] = value

    def _records(self) -> RecordStore:
        return RecordStore.open(open_group(self.path, "r"), self.object_ids)

    def _check(self, object_id: int, t: int = 0) -> None:
        if object_id not in self.object_ids:
            known = ", ".join(map(str, self.object_ids))
            raise ValueError(f"there is no object {object_id} in '{self.path}'; it holds {known}")
        if not 0 <= t < self.labels.shape[0]:
            raise IndexError(f"there is no frame {t} in '{self.path}'; it has frames 0 to {self.labels.shape[0] - 1}")


def _shortened(ids: Sequence[int], most: int = 12) -> str:
    return ", ".join(map(str, ids[:most])) + (" ..." if len(ids) > most else "")


class ResultWriter:
    """Writes one frame after another into a group; every frame is on disk when a method returns.

    For who is alone with the result, see :func:`alone`.

    Attributes
    ----------
    records : RecordStore
    written : ndarray of bool, shape (T, N)
        Pairs of frame and object that this writer wrote.
    """

    def __init__(self, path: Path, group: Any, records: RecordStore, prompts: "Prompts") -> None:
        self.records = records
        self.written = np.zeros((group["labels"].shape[0], len(records.object_ids)), bool)
        self._path = path
        self._folder = _identity(path)
        self._group = group
        self._prompted: dict[int, set[int]] = {}
        for prompt in prompts:
            self._prompted.setdefault(prompt.object_id, set()).add(prompt.frame)
        self._shape_yx: tuple[int, int] = group["labels"].shape[1:]
        self._dtype: type[np.unsignedinteger[Any]] = group["labels"].dtype.type
        self._prune = bool(group.attrs.get("config", {}).get("prune", True))

    @classmethod
    def create(
        cls, path: Path, movie: "Movie", prompts: "Prompts", settings: Mapping[str, Any], *, side: int
    ) -> "ResultWriter":
        """Make an empty group for the results of a movie.

        Parameters
        ----------
        settings : mapping
            Kept as attributes.
        side : int
            Of the model's mask logits, px.

        Raises
        ------
        PermissionError
            If the folder cannot be written.
        """
        limits = movie.grey_limits  # the first real read: a broken movie must not cost an old result
        group = new_group(path)
        group.attrs[RESULT_MARK] = mark_version()
        ids = prompts.object_ids
        frame = (1, *movie.frame_shape)
        for name, dtype in (("labels", label_dtype(max(ids))), ("confidence", np.uint8)):
            group.create_array(name, shape=movie.shape, chunks=frame, dtype=dtype, fill_value=0)
        write_ids(group.create_group("table"), ids)
        records = RecordStore.create(group, ids, movie.n_frames, side)
        write_prompts(group, prompts)
        grey = {"limits": [limits.low, limits.high], "grey_limits": limits.to_dict()}
        group.attrs.update({**settings, "movie": movie.name, **grey, "complete": False})
        return cls(path, group, records, prompts)

    @classmethod
    def reopen(cls, path: Path, prompts: "Prompts", new_ids: Sequence[int] = ()) -> "ResultWriter":
        """Go on with a result, with room for more objects and the prompts as they are now.

        Raises
        ------
        ValueError
            If it has no records, or its label frames cannot hold a new id.
        """
        group = open_group(path, "r+")
        ids = tuple(int(i) for i in group["table/object_ids"][:])
        records = RecordStore.open(group, ids)
        added = tuple(i for i in new_ids if i not in ids)
        if added:
            most = np.iinfo(group["labels"].dtype).max
            if max(added) > most:
                raise ValueError(f"object id {max(added)} does not fit this result, which holds ids up to {most}")
            records = records.grow(added)
            if "locked" in group["table"]:
                group["table/locked"].resize((group["labels"].shape[0], len(records.object_ids)))
            write_ids(group["table"], records.object_ids)
        return cls(path, group, records, prompts)

    @property
    def group(self) -> Any:
        """The zarr group."""
        return self._group

    def write(self, result: "FrameResult") -> None:
        """Write what one direction says of a frame; where the other was there before, both are fused."""
        t, new = result.t, result.objects
        if self.written[t].any():
            stored = self.records.read(t)
            self.put(t, {o.object_id: self.fused(t, stored.get(o.object_id), o) for o in new}, stored)
            return
        frame = FrameTable.empty(t, self.records.object_ids, self.records.side)
        for one in new:
            frame.put(one)
        self._commit(frame, (o.object_id for o in new), result.labels, as_bytes(result.confidence))

    def fused(self, t: int, stored: "ObjectResult | None", new: "ObjectResult") -> "ObjectResult":
        """What is new of an object on frame `t`, or what is stored of the other direction where that is better."""
        if stored is None:
            return new
        way = way_since_prompt(self._prompted.get(new.object_id, ()), t)
        return merge_directions(stored, new, self._shape_yx, way)

    def put(self, t: int, results: "Mapping[int, ObjectResult | None]", stored: FrameTable | None = None) -> None:
        """Replace results (None: forget them) and compose the frame anew; locked ones stay as they are.

        Parameters
        ----------
        t : int
        results : mapping of int to ObjectResult or None
            By object id.
        stored : FrameTable, optional
            All results of the frame, where they are already read.
        """
        frame = stored if stored is not None else self.records.read(t)
        locked = locked_ids(self._group, self.records.object_ids, t)
        for object_id, result in results.items():
            if object_id in locked:
                continue
            if result is None:
                frame.clear(object_id)
            else:
                frame.put(result)
        fixed = Locked(locked, self._group["labels"][t], self._group["confidence"][t]) if locked else None
        labels, confidence = compose(frame, self._shape_yx, self._dtype, fixed, prune=self._prune)
        frame.set_areas(areas_of(labels))
        self._commit(frame, results, labels, confidence)

    def _commit(
        self, frame: FrameTable, object_ids: Iterable[int], labels: "NDArray[Any]", confidence: "NDArray[np.uint8]"
    ) -> None:
        """The table comes last: what it tells of is there, whatever ends the process."""
        self._check_there()
        self._group["labels"][frame.t] = labels
        self._group["confidence"][frame.t] = confidence
        self.records.write(frame)
        self.written[frame.t, [self.records.object_ids.index(i) for i in object_ids]] = True

    def _check_there(self) -> None:
        """A store makes the folders it misses, so a moved or deleted one would come back without its head."""
        if _identity(self._path) != self._folder or not (self._path / "zarr.json").is_file():
            raise ResultGoneError(
                f"'{self._path}' was moved or deleted while it was written; nothing more is written there"
            )

    def finish(self) -> None:
        """Mark the result as complete."""
        self._check_there()
        self._group.attrs["complete"] = True


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another of the same name; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
