"""Results on disk: an OME-Zarr label image that grows frame by frame, and what is known of it.

Layout: ``0`` (T, Y, X) uint16 or uint32 (the labels) and ``confidence`` (T, Y, X) uint8, one chunk per frame;
``table/object_ids`` names the objects, ``table/values`` (T, N, C) holds a row for each on every frame, see
:mod:`columns`; ``records`` what is needed to compose and follow again, see :mod:`records`; the attribute ``records`` of
the group ``prompts`` holds the prompts; ``journal`` what can be undone. See docs/adr/0009-the-store.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import local_path, whole_number
from napari_mosam.core.files.places import alone, shown
from napari_mosam.core.prompts.reassign import MERGE, SPLIT, SWAP, Reassignment
from napari_mosam.core.results.columns import SCORES, STATES, labels_of, read_table
from napari_mosam.core.results.progress import ResultProgress
from napari_mosam.core.store.compose import shapes_of
from napari_mosam.core.store.edits import checked_id, checked_mask, correct_transaction, lock_transaction
from napari_mosam.core.store.history import Step, ready_for_edit, redo, steps, undo
from napari_mosam.core.store.identity import planned, reassign_transaction, rename_transaction
from napari_mosam.core.store.layout import locked_ids, names_of, open_group, parents_of, read_prompts, reading
from napari_mosam.core.store.records import FrameTable, RecordStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import ObjectResult
    from napari_mosam.core.results.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A run on disk. Tables are read when it is opened; open it again after a change.

    Attributes
    ----------
    path : Path
        The zarr group, absolute.
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
            labels = labels_of(group)
            values = read_table(group["table"], (labels.shape[0], len(ids)), ("area", *SCORES, "state"))
            state = np.array([state or "" for state in STATES])[np.nan_to_num(values.pop("state")).astype(int)]
            place, attrs = local_path(path, "a result").absolute(), dict(group.attrs)
            return cls(place, labels, group["confidence"], ids, **values, state=state, attrs=attrs)

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
        """Several aligned lines on what it is, how far it came, what was done to it, and what it has lost."""
        from napari_mosam.core.store.describe import facts, in_words

        return in_words(facts(self.path))

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
        object_id, t = self._check(object_id, t)
        with reading(self.path):
            return self._records().read_one(object_id, t)

    def frame_table(self, t: int) -> FrameTable:
        """Everything kept of all objects on a frame; else as :meth:`record`."""
        t = self._check_frame(t)
        with reading(self.path):
            return self._records().read(t)

    def timeline(self, object_id: int, frames: slice = slice(None)) -> "Timeline":
        """What the engine saw, decided and read of an object, over all frames or some; raises as :meth:`record`."""
        from napari_mosam.core.results.timeline import Timeline

        object_id, _ = self._check(object_id)
        with reading(self.path):
            return Timeline.read(self._records(), object_id, frames)

    def centers(self, t: int) -> dict[int, tuple[float, float]]:
        """Middles (y, x) of the objects with a pixel in label frame `t`, px; also of results of version 0.1.

        Raises
        ------
        IndexError
            For a frame outside the movie.
        """
        t = self._check_frame(t)
        with reading(self.path):
            group = open_group(self.path, "r")
            if "values" in group["table"] and "y" in group["table/values"].attrs["columns"]:
                return RecordStore.open(group, self.object_ids).centers(t)
            return {i: (y, x) for i, (_, y, x) in shapes_of(np.asarray(labels_of(group)[t])).items()}

    def places(self) -> "NDArray[np.float32]":
        """Middles (y, x) of all objects on all frames, px, shape (T, N, 2); NaN where one has no pixel."""
        with reading(self.path):
            shape = self.labels.shape[0], len(self.object_ids)
            found = read_table(open_group(self.path, "r")["table"], shape, ("y", "x"))
            return np.stack([found["y"], found["x"]], -1)

    def lock(self, object_id: int, t: int) -> None:
        """Fix an object's pixels and record on a frame; no later run changes them.

        A run that was stopped cannot go on after a change by hand, unless that is undone.

        Raises
        ------
        ResultBusyError
            If somebody else is writing the result.
        ResultError
            If a re-run of it was stopped, and neither done again nor undone.
        """
        self.lock_frames(object_id, (t,))

    def unlock(self, object_id: int, t: int) -> None:
        """Undo :meth:`lock`."""
        self.lock_frames(object_id, (t,), lock=False)

    def lock_frames(self, object_id: int, frames: Sequence[int], *, lock: bool = True, accept: bool = False) -> None:
        """Lock an object on several frames, maybe as accepted, or unlock it, in one step; else as :meth:`lock`."""
        (object_id, _), checked = self._check(object_id), [self._check_frame(t) for t in frames]
        with alone(self.path):
            ready_for_edit(self.path)
            lock_transaction(self.path, object_id, checked, lock, accept=accept)

    def correct(self, object_id: int, t: int, mask: "NDArray[Any] | None") -> "Result":
        """Say which pixels an object has on a frame; they are accepted and locked.

        The pixels are the object's, whoever had them: others that are not locked there lose what is covered, and keep
        one piece of what is left. What the object had beside them goes to whoever claims it, or to the background. A
        correction that is locked still is a mask prompt of its object whenever that is followed again.

        Parameters
        ----------
        object_id : int
            Of an object of the result, locked there or not.
        t : int
            Frame, from 0.
        mask : ndarray of bool or int, shape (Y, X), or None
            Its pixels, where neither 0 nor NaN; None where the object is absent.

        Returns
        -------
        Result
            Opened again.

        Raises
        ------
        ValueError
            For an unknown object, a mask that is empty, of another shape or of fractions, and for one that covers
            pixels of another object which is locked there.
        IndexError
            For a frame outside the movie.
        ResultBusyError, ResultError
            As in :meth:`lock`.
        """
        object_id, t = self._check(object_id, t)
        checked = {object_id: checked_mask(mask, tuple(self.labels.shape[1:]))}
        with alone(self.path):
            ready_for_edit(self.path)
            correct_transaction(self.path, t, checked)
        return Result.open(self.path)

    def paint(self, t: int, masks: "Mapping[int, NDArray[Any] | None]") -> "Result":
        """Correct several objects of a frame in one step, as :meth:`correct` does one; ids that are new become objects.

        Parameters
        ----------
        t : int
            Frame, from 0.
        masks : mapping of int to (ndarray of bool or int, shape (Y, X), or None)
            By object, in the order in which they are given their pixels.

        Returns
        -------
        Result
            Opened again.
        """
        t, shape = self._check_frame(t), tuple(self.labels.shape[1:])
        checked = {checked_id(i): checked_mask(mask, shape) for i, mask in masks.items()}
        with alone(self.path):
            ready_for_edit(self.path)
            correct_transaction(self.path, t, checked)
        return Result.open(self.path)

    def swap(self, one: int, other: int, t: int) -> "Result":
        """Exchange the ids of two objects from frame `t` on; see :meth:`reassign`."""
        self.reassign(SWAP, one, other, t)
        return Result.open(self.path)

    def split(self, object_id: int, t: int, new_id: int | None = None, *, daughter: bool = False) -> "Result":
        """Let an object be another one from frame `t` on, by default with the next free id; see :meth:`reassign`.

        The old one is absent and locked from there on. `daughter` notes it as the mother of the new one.
        """
        new_id = max(self.object_ids) + 1 if new_id is None else new_id
        self.reassign(SPLIT, object_id, new_id, t, daughter=daughter)
        return Result.open(self.path)

    def merge(self, kept: int, other: int, t: int = 0) -> "Result":
        """Let an object be part of another from frame `t` on; see :meth:`reassign`.

        Where both are seen their pixels are joined, which is a correction of that frame.
        """
        self.reassign(MERGE, kept, other, t)
        return Result.open(self.path)

    def reassign(self, kind: str, first: int, second: int, t: int, *, daughter: bool = False) -> Reassignment:
        """Swap, split or merge in one step, with masks, records, locks and prompts; says who is who afterwards.

        On their first frames with the other id objects count as corrected: later runs keep who is who. No pixel moves.

        Raises
        ------
        ValueError
            For unknown objects, for a new id that is taken, or where there is nothing to change.
        IndexError, ResultBusyError, ResultError
            As in :meth:`lock`.
        """
        (first, t), second = self._check(first, t), checked_id(second)
        if kind == SPLIT and second in self.object_ids:
            free = max(self.object_ids) + 1
            raise ValueError(f"{second} is no id of a new object; give one that is free, such as {free}")
        if kind != SPLIT:
            self._check(second)
        with alone(self.path):
            ready_for_edit(self.path)
            change = planned(self.path, kind, first, second, t)
            reassign_transaction(self.path, change, daughter=daughter)
        return change

    def rename(self, object_id: int, name: str) -> "Result":
        """Give an object a name, or take it with an empty one; see :attr:`names`."""
        object_id, _ = self._check(object_id)
        with alone(self.path):
            ready_for_edit(self.path)
            rename_transaction(self.path, object_id, name)
        return Result.open(self.path)

    @property
    def names(self) -> dict[int, str]:
        """Names of objects that have one."""
        return names_of(self.attrs)

    @property
    def parents(self) -> dict[int, int]:
        """Mothers by daughter."""
        return parents_of(self.attrs)

    def locked(self, t: int) -> tuple[int, ...]:
        """Objects that are locked on a frame."""
        return locked_ids(open_group(self.path, "r"), self.object_ids, t)

    @property
    def history(self) -> tuple[Step, ...]:
        """What was done to the result and can be undone, and what was undone and can be done again, oldest first."""
        with reading(self.path):
            return steps(self.path)

    def undo(self) -> "Result":
        """Take back the last step (a run, a re-run, a lock), or a re-run that was stopped before its end.

        Returns
        -------
        Result
            Opened again.

        Raises
        ------
        ResultError
            If there is nothing to undo.
        ResultBusyError
            If somebody else is writing the result.
        """
        with alone(self.path):
            undo(self.path)
        return Result.open(self.path)

    def redo(self) -> "Result":
        """Do again what :meth:`undo` took back; else as there."""
        with alone(self.path):
            redo(self.path)
        return Result.open(self.path)

    def to_dask(self) -> Any:
        """The labels as a lazy dask array, a chunk per frame."""
        import dask.array

        return dask.array.from_array(self.labels, chunks=self.labels.chunks)

    def to_dataframe(self) -> Any:
        """The table as a pandas.DataFrame: one row per object and frame on which it was followed.

        Columns are named as in the stored table; the last two hold the expected IoU and the name; state, cue are words,
        ids and frames whole numbers. What is not known is NaN.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        from napari_mosam.core.results.dataframe import to_dataframe

        with reading(self.path):
            return to_dataframe(open_group(self.path, "r"), self.object_ids)

    def _records(self) -> RecordStore:
        return RecordStore.open(open_group(self.path, "r"), self.object_ids)

    def _check(self, object_id: int, t: int = 0) -> tuple[int, int]:
        object_id = whole_number(object_id, "the object")
        if object_id not in self.object_ids:
            known = ", ".join(map(str, self.object_ids))
            raise ValueError(f"there is no object {object_id} in '{shown(self.path)}'; it holds {known}")
        return object_id, self._check_frame(t)

    def _check_frame(self, t: int) -> int:
        t = whole_number(t, "the frame")
        if not 0 <= t < self.labels.shape[0]:
            last = self.labels.shape[0] - 1
            raise IndexError(f"there is no frame {t} in '{shown(self.path)}'; it has frames 0 to {last}")
        return t
