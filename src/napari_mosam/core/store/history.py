"""What was done to a result, taken back and done again; for who is alone with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mosam.core.files.entries import Entry
from napari_mosam.core.files.journal import Journal, Transaction
from napari_mosam.core.files.places import RUN, ResultError, shown
from napari_mosam.core.results.progress import RERUN
from napari_mosam.core.store.convert import to_present_schema
from napari_mosam.core.store.edits import close_run
from napari_mosam.core.store.writer import close


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done to a result.

    Attributes
    ----------
    number : int
        Rising with time.
    words : str
        What it was.
    state : {'done', 'undone', 'unfinished'}
    """

    number: int
    words: str
    state: str

    @classmethod
    def of(cls, entry: Entry) -> "Step":
        """What a transaction was."""
        return cls(entry.number, _words(entry.note), {"open": "unfinished"}.get(entry.state, entry.state))


def _words(note: Mapping[str, Any]) -> str:
    ids = [str(i) for i in note.get("objects", ())]
    shown = ", ".join(ids[:6]) + (" …" if len(ids) > 6 else "")
    objects = f"object{'s' * (len(ids) > 1)} {shown}"
    if note.get("kind") == RUN:
        return f"the run that followed {objects}"
    if note.get("kind") == RERUN:
        start, stop = note.get("span", (0, 0))
        return f"the re-run of {objects}" + (f" on frames {start} to {stop - 1}" if stop else "")
    return f"the {note.get('kind', 'change')}{f' of {objects}' if ids else ''}{_where(note)}"


def _where(note: Mapping[str, Any]) -> str:
    if "first" in note:
        return f" from frame {note['first']} on" if note["first"] else ""
    frames: Sequence[int] = note.get("frames", ())
    return f" on frame {frames[0]}" if len(frames) == 1 else f" on {len(frames)} frames" if frames else ""


def steps(path: Path) -> tuple[Step, ...]:
    """From the oldest to the newest."""
    entries = [entry for entry in Journal(path).entries() if entry.state in ("open", "done", "undone")]
    return tuple(Step.of(entry) for entry in entries)


def undo(path: Path) -> Step:
    """Take the last step back; ResultError where there is none."""
    journal = Journal(path)
    entry = journal.last("open") or journal.last("done")
    if entry is None:
        raise ResultError(f"there is nothing to undo in '{shown(path)}'")
    step = Step.of(entry)
    if entry.state == "done":
        journal.undo(entry)
    elif entry.note.get("kind") == RUN:
        raise ResultError(
            f"the run that makes '{shown(path)}' was stopped: go on with it (--resume), or begin anew (--overwrite)"
        )
    else:
        journal.roll_back(entry)
    return step


def redo(path: Path) -> Step:
    """Do again what was undone last; ResultError where that is not possible."""
    journal = Journal(path)
    entry = journal.next_undone()
    if journal.last("open") is not None:
        raise ResultError(f"'{shown(path)}' was being changed when that was stopped; undo that first")
    if entry is None:
        raise ResultError(f"there is nothing to redo in '{shown(path)}'")
    step = Step.of(entry)
    journal.redo(entry)
    return step


def ready_for_rerun(path: Path) -> None:
    """Bring a result to where it can be changed: a run that was stopped is closed as it is, all else is rolled back."""
    cut_off = _cut_off(path)
    if cut_off is None:
        return
    if cut_off.entry.note.get("kind") == RUN:
        close_run(cut_off)
    else:
        cut_off.journal.roll_back(cut_off.entry)


def ready_for_edit(path: Path) -> None:
    """As :func:`ready_for_rerun`; ResultError where a re-run was stopped, which may have taken long."""
    cut_off = _cut_off(path)
    if cut_off is not None and cut_off.entry.note.get("kind") == RERUN:
        words = _words(cut_off.entry.note)
        raise ResultError(f"{words} in '{shown(path)}' was stopped; do it again, or undo it (mosam undo) first")
    ready_for_rerun(path)


def _cut_off(path: Path) -> Transaction | None:
    """The transaction that did not come to its end; one that lacks nothing but the end gets it."""
    to_present_schema(path)
    journal = Journal(path)
    entry = journal.last("open")
    if entry is None:
        return None
    transaction = Transaction(journal, entry)
    if not transaction.ended:
        return transaction
    close(transaction)
    return None
