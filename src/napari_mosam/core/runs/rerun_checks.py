"""What is looked up and refused before objects are followed again."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import whole_number
from napari_mosam.core.config.run import FrameRange, RunConfig
from napari_mosam.core.files.places import ResultError, shown
from napari_mosam.core.images.grey.limits import GreyLimits
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import MaskPrompt, Prompts
from napari_mosam.core.prompts.records import changed_frames, from_records
from napari_mosam.core.results.doubts import Pause
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.results.progress import RERUN, tell_pause
from napari_mosam.core.runs.provenance import from_attributes
from napari_mosam.core.runs.request import RunRequest, listed, subject
from napari_mosam.core.runs.rerun_plan import PromptHistory, ResultRange
from napari_mosam.core.runs.rerun_ranges import Reach, RerunScope
from napari_mosam.core.store.compose import touches
from napari_mosam.core.store.edits import CORRECT, corrected, edits_of, prompts_at
from napari_mosam.core.store.layout import open_group
from napari_mosam.core.store.layout import reading as reading_of
from napari_mosam.core.store.records import region_of

if TYPE_CHECKING:
    from napari_mosam.core.model.protocol import Segmenter
    from napari_mosam.core.results.frame import ObjectResult
    from napari_mosam.core.store.records import FrameTable
    from napari_mosam.core.store.result import Result

REACHED = "reached"
"""Attribute of a result whose extension was stopped: how far that came, see :class:`Reach`."""


def same_movie(stored: "Result", movie: Any, **reading: Any) -> Movie:
    """The movie, scaled as it was when the result was made; ValueError for another shape."""
    with reading_of(stored.path):
        asked = stored.attrs.get("provenance", {}).get("movie", {}).get("asked", {})
    if not isinstance(movie, Movie):
        reading = {"series": asked.get("series")} | reading
    opened = Movie.open(movie, **reading)
    if asked.get("skip_bad_frames"):
        opened = opened.skipping()
    if opened.shape != tuple(stored.labels.shape):
        raise ValueError(
            f"the movie has the shape {opened.shape} and '{shown(stored.path)}' {tuple(stored.labels.shape)} (T, Y, "
            "X); give the movie it was made from"
        )
    with reading_of(stored.path):
        limits = stored_limits(stored.attrs)
    return opened.with_limits(limits)


def stored_limits(attrs: Mapping[str, Any]) -> GreyLimits:
    """Grey limits kept with a result; those of earlier versions are two numbers."""
    if "grey_limits" in attrs:
        return GreyLimits.from_dict(attrs["grey_limits"])
    low, high = attrs["limits"]
    return GreyLimits(low, high)


def same_model(stored: "Result", model: "Segmenter") -> "Segmenter":
    """The model; ValueError if it is not the one that made the result."""
    made_by = stored.attrs["model"]
    if model.name != made_by:
        raise ValueError(f"'{shown(stored.path)}' was made by the model '{made_by}', not '{model.name}'; give that one")
    return model


def with_corrections(given: Prompts, stored: "Result") -> Prompts:
    """Prompts in which what a user corrected is a mask of its object, in place of what else is said of it there.

    Only of objects that are prompted; an object that was said to be absent has no mask.
    """
    places = [(i, t) for i, t in corrected(stored.path) if i in given.object_ids]
    masks = [MaskPrompt.from_frame(i, t, np.asarray(stored.labels[t]) == i) for i, t in places]
    painted = {(mask.object_id, mask.frame): mask for mask in masks if mask.mask.size}
    return Prompts([*(p for p in given if (p.object_id, p.frame) not in painted), *painted.values()])


# ---- frames


def scope_of(
    stored: "Result", made_with: RunConfig, frames: FrameRange | None, n_frames: int, *, anew: bool = False
) -> RerunScope:
    """Which frames a re-run is about; ValueError for frames that the movie does not have."""
    window = None if frames is None else replace(made_with, frames=frames).range_in(n_frames)
    with reading_of(stored.path):
        there = made_with.range_in(n_frames)
        made = ResultRange(there.start, there.stop, made_with.direction)
        scope = RerunScope.of(Reach.whole(made) if window is None else _reach(stored, made), window, anew=anew)
        absent = absences(stored)
        return replace(scope, absent=absent, denied=_denied(stored, absent))


def absences(stored: "Result") -> dict[int, frozenset[int]]:
    """Frames on which a person said that an object is not there, by object."""
    column = {object_id: at for at, object_id in enumerate(stored.object_ids)}
    empty = [(i, t) for i, t in corrected(stored.path) if not stored.area[t, column[i]] > 0]
    return {i: frozenset(t for other, t in empty if other == i) for i, _ in empty}


def _denied(stored: "Result", absent: Mapping[int, frozenset[int]]) -> dict[int, frozenset[int]]:
    """Those from which the object was not followed again since, as the list of what was done tells."""
    open_ones: set[tuple[int, int]] = set()
    for edit in edits_of(open_group(stored.path, "r")) or ():
        if edit["kind"] == CORRECT:
            open_ones.add((edit["object"], edit["frame"]))
        elif edit["kind"] == RERUN:
            open_ones -= {(int(i), t) for i, frames in edit["changes"].items() for t in frames}
    return {i: frozenset(t for t in frames if (i, t) in open_ones) for i, frames in absent.items()}


def _reach(stored: "Result", made: ResultRange) -> Reach:
    group = open_group(stored.path, "r")
    edits = edits_of(group)
    if stored.attrs.get("complete", True):
        return Reach.whole(made)
    if REACHED in stored.attrs:
        return Reach.from_json(made, stored.attrs[REACHED])
    if not edits:
        raise ResultError(
            f"'{shown(stored.path)}' was stopped under an earlier version, which does not say how far it came; run "
            "'mosam track' again"
        )
    prompts = from_records(edits[0]["prompts"], stored.labels.shape[1:])
    return Reach.half(made, prompts, int(edits[0]["results"]))


def note_reach(group: Any, reach: Reach, *, complete: bool, pause: Pause | None) -> None:
    """Keep with a result how far it came, and why it asks."""
    tell_pause(group, pause)
    group.attrs.update({"frames": [reach.made.start, reach.made.stop], "complete": complete})
    if not complete:
        group.attrs[REACHED] = reach.to_json()
    elif REACHED in group.attrs:
        del group.attrs[REACHED]


def check_objects(scope: RerunScope, object_ids: Sequence[int] | None, path: Path) -> None:
    """Refuse to follow some objects alone where none was followed."""
    if scope.onward and object_ids is not None:
        there = scope.reach.followed
        raise ValueError(
            f"frames {scope.window.start} to {scope.window.stop - 1} are more than '{shown(path)}' has, frames "
            f"{there.start} to {there.stop - 1}; there all objects are followed together: name none"
        )


def asked(scope: RerunScope, movie: Movie, prompts: Any, stored: "Result") -> RunRequest:
    """The prompts of now where they count, and those of the result elsewhere; refuses what a run would."""
    frames = scope.frames
    config = replace(from_attributes(stored.attrs), frames=(frames.start, frames.stop))
    given = with_corrections(RunRequest.build(movie, prompts, config, empty=True).prompts, stored)
    return RunRequest.build(movie, scope.counted(stored.prompts, given), config, empty=True)


# ---- what changed


def past_of(
    request: RunRequest,
    before: Prompts,
    states: Sequence[ObjectState | None],
    object_id: int,
    scope: RerunScope,
    skipped: Collection[int] = (),
) -> PromptHistory:
    """What is known of an object, of which `states` are stored; nobody looked at the frames `skipped`."""
    now = request.requests_of(object_id)
    absent = scope.absent.get(object_id, frozenset()) if now else frozenset[int]()
    return PromptHistory(
        object_id,
        dict.fromkeys(absent, False) | {t: asked.is_positive for t, asked in now.items()},
        frozenset(t for t, asked in now.items() if asked.only_clicks),
        frozenset(before.of(object_id)) | (absent - scope.denied.get(object_id, frozenset())),
        lambda t: 0 <= t < len(states) and states[t] is not None,
        lambda t: states[t] if 0 <= t < len(states) else None,
        skipped,
    )


def find_changes(
    before: Prompts, given: Prompts, object_ids: Iterable[int] | None, named: Mapping[int, Iterable[int]], frames: range
) -> dict[int, set[int]]:
    """Frames to be done again, by object.

    Parameters
    ----------
    before, given : Prompts
        Of the result, and as they are now.
    object_ids : iterable of int, optional
        The only objects whose prompts are compared; those of `given` by default.
    named : mapping of int to iterable of int
        Further frames by object.
    frames : range
        Of the result.

    Raises
    ------
    ValueError
        For objects that were never prompted and frames that were not followed.
    """
    ids = {whole_number(i, "an object") for i in (given.object_ids if object_ids is None else object_ids)}
    changes = {i: set(changed) for i, changed in changed_frames(before, given).items() if i in ids}
    for i, further in named.items():
        changes.setdefault(whole_number(i, "an object"), set()).update(whole_number(t, "a frame") for t in further)
    check_changes(changes, ids, {*given.object_ids, *before.object_ids}, frames)
    return changes


def check_changes(changes: Mapping[int, Iterable[int]], named: Iterable[int], known: set[int], frames: range) -> None:
    """Refuse objects that were never prompted and frames that were not followed."""
    unknown = sorted({*changes, *named} - known)
    if unknown:
        which = subject("object", unknown, "has", "have")
        raise ValueError(f"{which} no prompt; there are {listed(sorted(known))}")
    outside = sorted(t for changed in changes.values() for t in changed if t not in frames)
    if outside:
        which = subject("frame", outside, "is", "are")
        raise ValueError(f"{which} not in the result; it has frames {frames.start}:{frames.stop}")


# ---- what was done


def edit_of(request: RunRequest, changes: Mapping[int, Iterable[int]], *, neighbours: bool) -> dict[str, Any]:
    """What is needed to follow the same objects again, as JSON types."""
    frames = {i: sorted(changed) for i, changed in changes.items()}
    return {
        "kind": RERUN,
        "changes": {str(i): changed for i, changed in frames.items()},
        "prompts": prompts_at(request.prompts.items, frames),
        "neighbours": neighbours,
    }


def touched_by(
    results: "Mapping[int, ObjectResult]", stored: "FrameTable", shape_yx: tuple[int, int]
) -> Collection[int]:
    """Other objects of a frame beside which something is new: results by object, and the frame as it was before."""
    old = [stored.get(i) for i in results]
    mine = [region_of(r, shape_yx) for r in (*results.values(), *old) if r is not None]
    others = (other for other in stored if other.object_id not in results)
    return {other.object_id for other in others if touches(region_of(other, shape_yx), mine)}
