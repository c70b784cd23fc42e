"""How far a result came, told from its tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.files.journal import Journal
from napari_mosam.core.files.places import RUN
from napari_mosam.core.files.zarr_files import folder_of
from napari_mosam.core.results.columns import labels_of, read_table
from napari_mosam.core.results.doubts import PAUSED, Pause

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNFINISHED = "unfinished"
"""Attribute of a result of version 0.1: objects that were being followed again; they may be half new."""

RERUN = "rerun"
"""Kind of the transaction in which objects of a result are followed again."""


@dataclass(frozen=True, slots=True, eq=False)
class ResultProgress:
    """How far a result came.

    Attributes
    ----------
    complete : bool
        Whether the run that made it came to its end, and so did every correction since.
    wanted : ndarray of bool, shape (T, N)
        Pairs of frame and object that were to be followed.
    followed : ndarray of bool, shape (T, N)
        Those that were.
    unfinished : tuple of int
        Objects that were being followed again when that was stopped.
    cut_off : str
        Kind of another change that did not come to its end: a lock or a correction; '' where there is none.
    paused : Pause or None
        Why the run stopped to ask, if it did.
    """

    complete: bool
    wanted: "NDArray[np.bool_]"
    followed: "NDArray[np.bool_]"
    unfinished: tuple[int, ...] = ()
    cut_off: str = ""
    paused: Pause | None = None

    @classmethod
    def read(cls, group: Any) -> "ResultProgress":
        """That of an opened result; one that does not say whether it is complete, of an earlier version, is."""
        attrs, folder = dict(group.attrs), folder_of(group)
        ids = [int(i) for i in group["table/object_ids"][:]]
        shape = (int(labels_of(group).shape[0]), len(ids))
        followed = np.nan_to_num(read_table(group["table"], shape, ["state"])["state"]) > 0
        entry = Journal(folder).last("open") if folder is not None else None
        doing = dict(entry.note) if entry is not None else {}
        kind = str(doing.get("kind", ""))
        again = doing.get("objects", ()) if kind == RERUN else attrs.get(UNFINISHED, ())
        unfinished = tuple(int(i) for i in again)
        records = group["prompts"].attrs["records"] if "prompts" in group else ()
        return cls(
            complete=bool(attrs.get("complete", True)) and not unfinished and entry is None,
            wanted=_wanted(records, ids, attrs, shape),
            followed=followed,
            unfinished=unfinished,
            cut_off="" if kind in (RUN, RERUN) else kind,
            paused=Pause.among(attrs),
        )

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames on which everything was followed that was to be."""
        whole = self.wanted.any(axis=1) & (self.followed | ~self.wanted).all(axis=1)
        return tuple(int(t) for t in np.flatnonzero(whole))

    @property
    def begun(self) -> tuple[int, ...]:
        """Frames on which anything was followed."""
        return tuple(int(t) for t in np.flatnonzero(self.followed.any(axis=1)))

    def of(self, columns: Sequence[int]) -> "ResultProgress":
        """That of some objects."""
        return replace(self, wanted=self.wanted[:, columns], followed=self.followed[:, columns])

    def __str__(self) -> str:
        wanted = np.flatnonzero(self.wanted.any(axis=1))
        if self.complete:
            return "complete"
        if self.unfinished:
            objects = ", ".join(map(str, self.unfinished))
            return f"stopped while object {objects} was followed again"
        if self.cut_off:
            return f"stopped in the middle of a {self.cut_off}, which the next change or 'mosam undo' takes back"
        if self.paused is not None:
            return f"stopped to ask: {self.paused}"
        done, n = self.frames, len(self.wanted)
        if not self.followed.any():
            return f"stopped before the first of its {len(wanted)} frames was followed"
        if len(done) == len(wanted):
            return f"stopped before its end, after each of its {n} frames was followed at least once"
        if (self.followed & self.wanted).sum() > self.wanted[list(done)].sum():
            pairs = f"{(self.followed & self.wanted).sum()} of {self.wanted.sum()}"
            return f"stopped with {pairs} object-frames followed"
        if done == tuple(wanted[: len(done)]):
            return f"stopped at frame {wanted[len(done)]} of {n}"
        return f"stopped with {len(done)} of {len(wanted)} frames followed"


def _wanted(
    records: Iterable[Mapping[str, Any]], ids: Sequence[int], attrs: Mapping[str, Any], shape: tuple[int, int]
) -> "NDArray[np.bool_]":
    """Every object from its first prompt on, back from its last one that says where it is, or both ways."""
    wanted = np.zeros(shape, bool)
    start, stop = (int(t) for t in attrs.get("frames", (0, shape[0])))
    direction = attrs.get("direction", "both")
    for column, object_id in enumerate(ids):
        own = [record for record in records if int(record["object"]) == object_id]
        if own:
            first = min(int(record["frame"]) for record in own)
            last = max((int(r["frame"]) for r in own if r.get("positive", True)), default=first)
            wanted[
                first if direction == "forward" else start : last + 1 if direction == "backward" else stop, column
            ] = True
    return wanted


def tell_pause(group: Any, pause: Pause | None) -> None:
    """Write why a run stopped to ask into the attributes of its result, or take it out."""
    if pause is not None:
        group.attrs[PAUSED] = pause.to_json()
    elif PAUSED in group.attrs:
        del group.attrs[PAUSED]
