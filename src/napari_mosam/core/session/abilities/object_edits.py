"""What a person says of whole objects of a result: who is who, names, locks; each is an entry of the history."""

from collections.abc import Sequence

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.prompts.reassign import MERGE, SPLIT, SWAP, Reassignment
from napari_mosam.core.session.state import SessionState


class ObjectEdits(SessionState):
    """A session in which objects are renamed, swapped, split, merged and locked."""

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name, or take it with an empty one."""
        self._there()
        with self._working("renaming"), self._change(f"the renaming of object {object_id}"):
            self._there().rename(object_id, name)
            self._show(self._path)

    def swap(self, one: int, other: int, from_frame: int) -> None:
        """Exchange the ids of two objects from a frame on: with masks, marks, corrections and locks.

        Both count as corrected on that frame, so a later run keeps who is who.

        Raises
        ------
        ValueError
            For unknown objects, or if neither is there from that frame on.
        """
        words = f"swapping objects {one} and {other} from frame {from_frame} on"
        self._reassign(SWAP, one, other, from_frame, words)

    def split(self, object_id: int, from_frame: int, *, daughter: bool = False) -> int:
        """Let an object be a new one from a frame on; returns the new id.

        The old one ends before that frame, and no run brings it back.

        Parameters
        ----------
        object_id, from_frame : int
        daughter : bool
            Note the old one as the mother of the new one.

        Raises
        ------
        ValueError
            For an unknown object, or if it is not there before that frame, or not from it on.
        """
        new = max((*self._there().object_ids, *self._prompts.object_ids)) + 1
        words = f"splitting object {object_id} from frame {from_frame} on"
        self._reassign(SPLIT, object_id, new, from_frame, words, daughter=daughter)
        return new

    def merge(self, kept: int, other: int, from_frame: int = 0) -> tuple[int, ...]:
        """Let an object be part of another from a frame on; returns frames on which both were seen and are joined.

        Raises
        ------
        ValueError
            For unknown objects, or if the other one is not there from that frame on.
        """
        since = f" from frame {from_frame} on" if from_frame else ""
        change = self._reassign(MERGE, kept, other, from_frame, f"merging object {other} into {kept}{since}")
        return tuple(t for t, holder in change.holders.items() if holder == 0)

    def lock(self, object_id: int, *frames: int) -> None:
        """Fix the pixels of an object on frames, by default on all of the result; no run changes them."""
        self._lock(object_id, frames, lock=True)

    def release(self, object_id: int, *frames: int) -> None:
        """Let runs change an object again that was locked, corrected or painted on frames, by default on all."""
        self._lock(object_id, frames, lock=False)

    def _lock(self, object_id: int, frames: Sequence[int], *, lock: bool) -> None:
        word = "locking" if lock else "releasing"
        with self._working(word), self._change(f"{word} object {object_id}"):
            result = self._there()
            result.lock_frames(object_id, frames or range(*result.attrs["frames"]), lock=lock)
            self._show(self._path)

    def _reassign(
        self, kind: str, first: int, second: int, frame: int, words: str, *, daughter: bool = False
    ) -> Reassignment:
        result = self._there()
        if self._waiting:
            raise Refused("what was painted is being written; wait a moment, then try again")
        with self._working(f"the {kind}"), self._change(words):
            change = result.reassign(kind, first, second, frame, daughter=daughter)
            self._prompts = change.prompts(self._prompts)
            self._show(self._path)
        return change
