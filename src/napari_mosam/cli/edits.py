"""What ``mosam rerun``, ``replay`` and the edits by hand do; what they change is a step of the journal."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_mosam.cli.places import Input, Output, UsageError, check_apart, inputs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.runs.recreate import Comparison
    from napari_mosam.core.store.history import Step
    from napari_mosam.core.store.result import Result


class Reporter(Protocol):
    """Who shows how far a run is."""

    def note(self, kept: str) -> None:
        """Remember what is kept where it is stopped."""

    def start_bar(self) -> Any:
        """A context in which `progress` may be called."""

    def progress(self, result: "FrameResult", done: int, total: int) -> None:
        """A frame is done."""


# ---- follow again


def rerun_command(arguments: argparse.Namespace, run: Reporter) -> str:
    """Follow objects again and return the text to print.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    from napari_mosam.core.api_results import rerun
    from napari_mosam.core.runs.recreate import movie_of
    from napari_mosam.core.store.result import Result

    result = Result.open(arguments.result)
    prompts = _prompts(arguments, result)
    movie = movie_of(result, arguments.movie, other=arguments.other_movie, **_reading(arguments))
    done = _done(result)
    run.note(f"'mosam undo {arguments.result}' takes back what was begun, the same command does it anew")
    with run.start_bar():
        after = rerun(
            result,
            movie,
            prompts,
            arguments.objects,
            neighbours=arguments.neighbours,
            progress=run.progress,
            model=arguments.model,
            device=arguments.device,
            stop_after_unsure=arguments.stop_after_unsure,
            **_asked_frames(arguments, result, prompts),
        )
    return _told(done, after)


def _prompts(arguments: argparse.Namespace, result: "Result") -> "Prompts":
    from napari_mosam.core.prompts.files import load_prompts

    if not arguments.prompts:
        return result.prompts
    pixel_um = result.attrs.get("pixel_size_um")
    frames, shape = arguments.prompt_frames, result.labels.shape
    return load_prompts(arguments.prompts, shape, frames=frames, pixel_um=pixel_um and tuple(pixel_um))


def _asked_frames(arguments: argparse.Namespace, result: "Result", prompts: "Prompts") -> "dict[str, Any]":
    """Frames to do again; or those on which half a result, or one with fewer frames, goes on."""
    if arguments.frames is None:
        return {}
    from napari_mosam.core.store.layout import reading

    n_frames = result.labels.shape[0]
    with reading(result.path):
        start, stop = result.attrs.get("frames", (0, n_frames))
    first, last = arguments.frames
    frames = _frames((start if first is None else first, stop if last is None else last), 0, n_frames)
    if (result.complete or arguments.objects) and frames.start >= start and frames.stop <= stop:
        return {"changed_frames": dict.fromkeys(arguments.objects or prompts.object_ids, frames)}
    return {"frames": (frames.start, frames.stop)}


def _reading(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("axes", "channel", "z")}


# ---- by hand


def by_hand_command(verb: str, arguments: argparse.Namespace) -> str:
    """Do what a verb of :data:`BY_HAND` says; else as :func:`rerun_command`."""
    from napari_mosam.core.store.result import Result

    result = Result.open(arguments.result)
    if verb in ("lock", "unlock"):
        return _locked(arguments, result, lock=verb == "lock")
    changes = {"correct": _corrected, "swap": _swapped, "split": _split, "merge": _merged, "rename": _renamed}
    return _told(_done(result), changes[verb](arguments, result))


def _locked(arguments: argparse.Namespace, result: "Result", *, lock: bool) -> str:
    start, stop = arguments.frames
    frames = range(start or 0, result.labels.shape[0] if stop is None else stop)
    try:
        result.lock_frames(arguments.object, frames, lock=lock)
    except IndexError as error:
        raise UsageError(str(error)) from error
    where = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
    said = f"object {arguments.object} is {'' if lock else 'no longer '}locked on {where}"
    return said + half_words(type(result).open(result.path))


def _corrected(arguments: argparse.Namespace, result: "Result") -> "Result":
    t = _frame(arguments, result)
    return result.correct(arguments.object, t, None if arguments.absent else _mask(arguments.mask, arguments.object))


def _swapped(arguments: argparse.Namespace, result: "Result") -> "Result":
    return result.swap(*_pair(arguments), _frame(arguments, result))


def _split(arguments: argparse.Namespace, result: "Result") -> "Result":
    return result.split(arguments.object, _frame(arguments, result), daughter=arguments.daughter)


def _merged(arguments: argparse.Namespace, result: "Result") -> "Result":
    return result.merge(*_pair(arguments), _frame(arguments, result))


def _renamed(arguments: argparse.Namespace, result: "Result") -> "Result":
    return result.rename(arguments.object, arguments.name)


def _frame(arguments: argparse.Namespace, result: "Result") -> int:
    return _frames((arguments.frame, arguments.frame + 1), 0, result.labels.shape[0]).start


def _pair(arguments: argparse.Namespace) -> tuple[int, int]:
    if len(arguments.objects) != 2:
        raise UsageError(f"--objects names {len(arguments.objects)} objects; give two, such as 1,2")
    one, other = arguments.objects
    return one, other


def _mask(path: Path, object_id: int) -> "NDArray[np.bool_]":
    """The pixels of an object in a label image: those of its id, or of the only id that is there."""
    from napari_mosam.core.images.label_images.label_files import open_labels

    stack = open_labels(path)
    if len(stack.frames) != 1:
        raise UsageError(f"--mask {path} has {len(stack.frames)} frames; give one image (Y, X)")
    labels = np.asarray(stack[stack.frames[0]])
    ids = [i for i in np.unique(labels).tolist() if i]
    if object_id in ids or len(ids) <= 1:
        return np.asarray(labels == (object_id if object_id in ids else ids[0] if ids else object_id))
    raise UsageError(f"--mask {path} holds {len(ids)} ids, none of which is {object_id}; leave one, or name it so")


# ---- again


def replay_command(arguments: argparse.Namespace, run: Reporter) -> str:
    """Make a result again and compare both; else as :func:`rerun_command`."""
    from napari_mosam.core.api_results import replay
    from napari_mosam.core.runs.provenance import differences
    from napari_mosam.core.runs.recreate import Comparison
    from napari_mosam.core.store.result import Result

    out = arguments.out or _beside(arguments.result)
    check_apart([Output(out, replaced=True)], [*inputs_of(arguments), Input(arguments.result, whole=True)])
    run.note(f"{out}, if it is there, is half of the new result")
    with run.start_bar():
        made = replay(
            arguments.result,
            out,
            movie=arguments.movie,
            other_movie=arguments.other_movie,
            all_at_once=arguments.all_at_once,
            overwrite=arguments.overwrite,
            progress=run.progress,
            model=arguments.model,
            device=arguments.device,
        )
    stored = Result.open(arguments.result)
    other = differences(stored.attrs, made.attrs)
    why = f"; made with other values of: {', '.join(other)}" if other else ""
    return f"{_compared(Comparison.of(stored, made), arguments.result)}{why}: {out}"


def _beside(result: Path) -> Path:
    return result.with_name(f"{result.stem}-replay.zarr")


def _compared(found: "Comparison", result: Path) -> str:
    if not found.frames:
        return f"the same labels as {result}, bit for bit"
    return (
        f"the labels differ from {result} on {len(found.frames)} frames, most of all object {found.object_id} on frame "
        f"{found.t} (IoU {found.worst_iou:.3f})"
    )


# ---- words


def _frames(given: tuple[int | None, int | None], first: int, last: int) -> range:
    start, stop = given[0] if given[0] is not None else first, given[1] if given[1] is not None else last
    if not first <= start < stop <= last:
        raise UsageError(f"frames {start}:{stop} are not all there; allowed: within {first}:{last}")
    return range(start, stop)


def _done(result: "Result") -> "tuple[Step, ...]":
    return tuple(step for step in result.history if step.state == "done")


def _told(before: "tuple[Step, ...]", after: "Result") -> str:
    """What was done since, and whether the result is half."""
    new = [step for step in _done(after) if step.number > max((step.number for step in before), default=0)]
    done = f"done: {new[-1].words}" if new else "nothing is to be done: the prompts are those of the result"
    return done + half_words(after)


def half_words(changed: "Result") -> str:
    """A line on what a change means for a run that was stopped; nothing where the result is whole."""
    from napari_mosam.core.files.places import shown

    if changed.complete:
        return ""
    return (
        f"\n{shown(changed.path)} is half a result: {changed.progress}; its run cannot go on (--resume) unless this is "
        "undone (mosam undo); 'mosam rerun --frames' goes on from its last frame"
    )


def step_words(result: Path, *, back: bool) -> str:
    """Take a step back or forth; returns what it was."""
    from napari_mosam.core.files.places import alone
    from napari_mosam.core.store.history import redo, undo
    from napari_mosam.core.store.layout import open_group

    open_group(result, "r")
    with alone(result):
        return (undo if back else redo)(result).words
