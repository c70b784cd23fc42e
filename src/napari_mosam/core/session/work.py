"""What a session has computed and written: its only door to the engine and the store, which load torch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files.journal import Journal
from napari_mosam.core.files.places import RUN, Place, ResultError, alone, shown
from napari_mosam.core.files.zarr_files import open_zarr_earlier
from napari_mosam.core.find.frame import find_cells
from napari_mosam.core.find.request import FindRequest
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.inspection.inspect import compare_memory, inspect_object, motion_between
from napari_mosam.core.lineage.edits import deny, divide, link, plan_division
from napari_mosam.core.lineage.propose import masks_at, propose_division, propose_divisions
from napari_mosam.core.prompts.collection import MaskPrompt, PointPrompt, Prompts
from napari_mosam.core.prompts.records import changed_frames
from napari_mosam.core.results.columns import labels_of, read_table
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.review.audit import AUDIT, Audit, last_step
from napari_mosam.core.review.table import ReviewTable
from napari_mosam.core.runs.provenance import from_attributes
from napari_mosam.core.runs.recreate import movie_of
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.rerun import rerun_result
from napari_mosam.core.runs.rerun_checks import same_movie, stored_limits, with_corrections
from napari_mosam.core.runs.run import load, preview_frame
from napari_mosam.core.runs.write import OtherRunError, write_run
from napari_mosam.core.store.edits import remark_transaction
from napari_mosam.core.store.history import Step, ready_for_edit, ready_for_rerun
from napari_mosam.core.store.lineage.edits import inherit
from napari_mosam.core.store.result import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.config.run import RunConfig
    from napari_mosam.core.model.protocol import Segmenter

    Masks = Mapping[int, NDArray[np.bool_] | None]

Progress = Callable[[FrameResult, int, int], None]

__all__ = [
    "Engine",
    "FindRequest",
    "Result",
    "Stopped",
    "compare_memory",
    "deny",
    "divide",
    "find_cells",
    "from_attributes",
    "inspect_object",
    "link",
    "load",
    "masks_at",
    "motion_between",
    "movie_of",
    "plan_division",
    "preview_frame",
    "propose_division",
    "propose_divisions",
    "same_movie",
]


class Stopped(Exception):
    """Somebody stopped a run."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Carries out requests on results.

    Attributes
    ----------
    model : Segmenter
        Loaded.
    new_place : callable
        Gives a path for a new result.
    progress : callable
        Told of every frame; may raise :class:`Stopped`.
    patience : int, optional
        Frames in a row on which an object may be unsure, where a result is extended.
    """

    model: "Segmenter"
    new_place: Callable[[], Path]
    progress: Progress
    patience: int | None = None

    def run(
        self, request: RunRequest, stored: Result | None, frames: range, *, anew: bool = False, again: bool = False
    ) -> Path:
        """Bring a result up to date with a request on some frames; returns where it lies now, maybe in another place.

        A stopped run goes on, changed objects are followed again, further frames are added. Where the settings are
        others, or all is followed anew, a new result is made, which keeps what a person corrected and locked. `again`
        follows all anew where nothing is new on these frames.
        """
        if stored is not None and made_alike(stored, request, self.model.name):
            made = made_frames(stored)
            if not anew:
                path, new = self._up_to_date(request, stored, None if frames == made else frames)
                if new or (frames == made and not again):
                    return path
                if not again:
                    raise Refused(
                        f"nothing is new on frames {frames.start} to {frames.stop - 1}; mark or paint something there, "
                        "or follow the objects anew there (anew=True)"
                    )
            if stored.complete and _hull(made, frames) != frames:
                return self.follow(stored, request.movie, request.prompts, frames=frames, anew=True)
        request = RunRequest.build(request.movie, request.prompts, with_frames(request.config, frames))
        if stored is None:
            return self._written(request, self.new_place())
        given = with_corrections(request.prompts, stored).between(request.start, request.stop)
        path = self._written(replace(request, prompts=given), self.new_place())
        carry_over(stored, Result.open(path))
        return path

    def _up_to_date(self, request: RunRequest, stored: Result, frames: range | None) -> tuple[Path, bool]:
        """Where the result lies, and whether anything was new."""
        if frames is None and goes_on(stored, request.prompts):
            with suppress(OtherRunError):  # then it goes on from its last frame
                return self.resume(request, stored), True
        if not stored.complete:
            frames = frames or made_frames(stored)
        before = steps_done(stored.path)[-1:]
        path = self.follow(stored, request.movie, request.prompts, frames=frames)
        return path, steps_done(path)[-1:] != before

    def follow_some(
        self, request: RunRequest, stored: Result, ids: Sequence[int], frames: range, *, again: bool = False
    ) -> Path:
        """Follow some objects again, on those of the frames that a result has; half a result stays half.

        `again` follows them where nothing is new too.
        """
        all_there = not stored.complete or frames == made_frames(stored)
        inside = None if all_there else frames
        before = steps_done(stored.path)[-1:]
        path = self.follow(stored, request.movie, request.prompts, ids, frames=inside)
        if again and steps_done(path)[-1:] == before:
            every = dict.fromkeys(ids, frames)
            return self.follow(stored, request.movie, request.prompts, ids, frames=inside, changed=every)
        return path

    def resume(self, request: RunRequest, stored: Result) -> Path:
        """Go on with a run that was stopped, to the same bytes; ValueError where it was another."""
        return self._written(request, stored.path, resume=True)

    def follow(
        self,
        stored: Result,
        movie: Movie,
        prompts: Prompts,
        ids: Sequence[int] | None = None,
        *,
        frames: range | None = None,
        anew: bool = False,
        changed: Mapping[int, Sequence[int]] | None = None,
    ) -> Path:
        """Follow objects of a result again; what is not followed onward is rolled back where it is stopped."""
        try:
            rerun_result(
                stored.path,
                movie,
                prompts,
                ids,
                model=lambda _: self.model,
                frames=None if frames is None else (frames.start, frames.stop),
                anew=anew,
                changed_frames=changed,
                progress=self.progress,
                stop_after_unsure=self.patience,
            )
        except BaseException:
            with suppress(OSError), alone(stored.path):
                ready_for_rerun(stored.path)
            raise
        return stored.path

    def _written(self, request: RunRequest, path: Path, *, resume: bool = False) -> Path:
        with suppress(Stopped):  # what was followed until then stays, and can be gone on with
            write_run(request, path, resume=resume, progress=self.progress, model=self.model)
        return path


def made_alike(stored: Result, request: RunRequest, model_name: str) -> bool:
    """Whether a result was made with the settings of a request, whatever its frames."""
    same = _alike(stored, request.config) and stored.attrs["model"] == model_name
    return same and stored_limits(stored.attrs) == request.movie.grey_limits


def _alike(stored: Result, asked: "RunConfig") -> bool:
    """As :func:`made_alike`, of what is known before a model is loaded and a frame is read."""
    made = from_attributes(stored.attrs)
    return (made.direction, made.diameter, made.engine) == (asked.direction, asked.diameter, asked.engine)


def made_frames(stored: Result) -> range:
    """Frames that a result is about."""
    return range(*stored.attrs["frames"])


def reaching(stored: Result, asked: "RunConfig", n_frames: int) -> "RunConfig":
    """Settings of a run that extends a result: also about its frames; those of another run stay as they are."""
    return with_frames(asked, _hull(made_frames(stored), asked.range_in(n_frames))) if _alike(stored, asked) else asked


def with_frames(settings: "RunConfig", frames: range) -> "RunConfig":
    """Settings about these frames."""
    return replace(settings, frames=(frames.start, frames.stop))


def _hull(one: range, other: range) -> range:
    return range(min(one.start, other.start), max(one.stop, other.stop))


def goes_on(stored: Result, prompts: Prompts) -> bool:
    """Whether the run that makes a result was stopped, and these are its prompts."""
    stopped = Place.of(stored.path).unfinished_run() is not None
    return stopped and not changed_frames(stored.prompts, prompts)


def why_not_resumed(stored: Result) -> str:
    """What is said where a result has no run that could go on to the same bytes."""
    if stored.complete:
        return f"the run of '{shown(stored.path)}' was not stopped, so there is nothing to resume"
    return f"'{shown(stored.path)}' was changed after it had been stopped; run() goes on from its last frame"


def carry_over(old: Result, new: Result) -> None:
    """Give a new result the pixels that a person corrected or locked in an earlier one, and lock them; and kin."""
    for t in range(old.labels.shape[0]):
        ids = [i for i in old.locked(t) if i in new.object_ids or old.record(i, t) is not None]
        if ids:
            labels = np.asarray(old.labels[t])
            new.paint(t, {i: (labels == i) if (labels == i).any() else None for i in ids})
    with alone(new.path):
        inherit(old.attrs, new.path, new.object_ids)


def on_masks(request: RunRequest, frame: int, stored: Result | None) -> RunRequest:
    """A preview of clicks on a frame: where a run takes them as corrections of a mask, on top of that mask."""
    given = request.prompts.at(frame)
    clicked = [i for i in given if request.starts[i] != frame and all(isinstance(p, PointPrompt) for p in given[i])]
    if stored is None or not clicked:
        return request
    labels = np.asarray(stored.labels[frame])
    masks = [MaskPrompt.from_frame(i, frame, labels == i) for i in clicked]
    return replace(request, prompts=Prompts([*request.prompts, *(m for m in masks if m.mask.size)]))


def frame_of(labels: "NDArray[Any]", shape: tuple[int, int]) -> "NDArray[Any]":
    """The labels of a frame; Refused for an array of another shape or type."""
    given = np.asarray(labels)
    if given.shape != shape or given.dtype.kind not in "iu":
        raise Refused(f"the labels are {given.dtype} {given.shape}; give whole numbers of shape (Y, X) = {shape}")
    return given


def painted(stored: Result | None, t: int, labels: "NDArray[Any]") -> "Masks":
    """Masks of the objects that a person changed on a frame, those that lost pixels first; None for absent ones.

    An object that only lost pixels to another, and is not locked there, is not among them.
    """
    before = np.zeros_like(labels) if stored is None else np.asarray(stored.labels[t])
    changed = labels != before
    lost, gained = _ids(before[changed]), _ids(labels[changed])
    erased = _ids(before[changed & (labels == 0)])
    fixed = set(() if stored is None else stored.locked(t))
    first = [i for i in lost if (i in erased or i in fixed) and i not in gained]
    return {i: (labels == i) if (labels == i).any() else None for i in (*first, *gained)}


def _ids(values: "NDArray[Any]") -> list[int]:
    return [int(i) for i in np.unique(values) if i]


def with_masks(prompts: Prompts, t: int, masks: "Masks", ids: Iterable[int]) -> Prompts:
    """Prompts in which the masks of these objects on frame `t` are those given."""
    new = [MaskPrompt.from_frame(i, t, mask) for i in ids if (mask := masks[i]) is not None]
    there = {(p.object_id, p.frame) for p in new}
    kept = (p for p in prompts if not (isinstance(p, MaskPrompt) and (p.object_id, p.frame) in there))
    return Prompts([*kept, *new])


def still_marked(masks: "Masks", t: int, by_mark: set[tuple[int, int]], prompts: Prompts) -> "Masks":
    """Masks that wait to be written, without those that came with a mark which is gone."""
    marked = {(p.object_id, p.frame) for p in prompts if isinstance(p, MaskPrompt)}
    return {i: mask for i, mask in masks.items() if (i, t) not in by_mark or (i, t) in marked}


# ---- what changed


def changed_by(stored: Result, numbers: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Frames on which the last steps of a result left other pixels of an object than before, ascending, by object.

    Frames on which it was not followed before are none of them.
    """
    before = open_zarr_earlier(stored.path, numbers)
    labels, ids = labels_of(before), [int(i) for i in before["table/object_ids"][:]]
    state = np.nan_to_num(read_table(before["table"], (labels.shape[0], len(ids)), ["state"])["state"])
    found: dict[int, list[int]] = {}
    for t in _rewritten(before, labels):
        old, new = np.asarray(labels[t]), np.asarray(stored.labels[t])
        differ = old != new
        others = {*_ids(old[differ]), *_ids(new[differ])}
        for object_id in (i for at, i in enumerate(ids) if state[t, at] > 0 and i in others):
            found.setdefault(object_id, []).append(t)
    return {object_id: tuple(frames) for object_id, frames in sorted(found.items())}


def _rewritten(before: Any, labels: Any) -> list[int]:
    """Frames of the labels that were written since."""
    names = {labels.metadata.encode_chunk_key((t, 0, 0)): t for t in range(labels.shape[0])}
    keys = (key.removeprefix(f"{labels.path}/") for key in before.store.replaced if key.startswith(f"{labels.path}/"))
    return sorted(names[key] for key in keys if key in names)


# ---- steps of a result


def steps_done(path: Path | None) -> list[Step]:
    """Steps of a result that can be undone, from the oldest to the newest."""
    return [] if path is None else [step for step in Result.open(path).history if step.state == "done"]


def edits_done(path: Path) -> list[Step]:
    """Steps of a result after its run."""
    done = (entry for entry in Journal(path).entries() if entry.state == "done")
    return [Step.of(entry) for entry in done if entry.note.get("kind") != RUN]


def take_back(path: Path, numbers: Sequence[int]) -> None:
    """Undo steps of a result, the last first; ResultError where they are not the last ones any more."""
    for number in reversed(numbers):
        _check_next(path, [step.number for step in steps_done(path)][-1:], number)
        Result.open(path).undo()


def do_again(path: Path, numbers: Sequence[int]) -> None:
    """Redo steps of a result; else as :func:`take_back`."""
    for number in numbers:
        undone = [step.number for step in Result.open(path).history if step.state == "undone"]
        _check_next(path, undone[:1], number)
        Result.open(path).redo()


def _check_next(path: Path, there: Sequence[int], wanted: int) -> None:
    if list(there) != [wanted]:
        raise ResultError(
            f"'{path}' was changed by another program since, or keeps older steps no longer; open it again to go on"
        )


def settings_of(stored: Result) -> "RunConfig":
    """The settings that a result was made with."""
    return from_attributes(stored.attrs)


# ---- audits


def drawn_audit(result: Result, n: int, seed: int) -> Audit:
    """Masks of a result, drawn at random."""
    return Audit.draw(ReviewTable.read(result), n, seed, last_step(result.path))


def keep_audit(result: Result, audit: Audit, kind: str, where: tuple[int, int] | None = None) -> None:
    """Write an audit into its result, as a step of its history; `where` is the mask that was judged."""
    with alone(result.path):
        ready_for_edit(result.path)
        remark_transaction(result.path, kind, AUDIT, audit.to_json(), where)
