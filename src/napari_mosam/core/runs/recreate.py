"""A result made again from what it keeps: movie, prompts, settings, and what was done to it, in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.files.places import RUN, Place, ResultError, shown
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.prompts.kinds import MaskPrompt
from napari_mosam.core.prompts.reassign import MERGE, SPLIT, SWAP
from napari_mosam.core.prompts.records import from_records, to_records
from napari_mosam.core.results.columns import read_table
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.results.progress import RERUN
from napari_mosam.core.runs.provenance import from_attributes, movie_place
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.rerun import rerun_result
from napari_mosam.core.runs.rerun_checks import same_model, same_movie, with_corrections
from napari_mosam.core.runs.write import write_run
from napari_mosam.core.store.edits import CORRECT, LOCK, UNLOCK, corrected, edits_of, n_results
from napari_mosam.core.store.identity import RENAME
from napari_mosam.core.store.layout import open_group
from napari_mosam.core.store.layout import reading as reading_of
from napari_mosam.core.store.lineage.replay import KIN, do_again, kin_edits, numbers_of
from napari_mosam.core.store.result import Result

if TYPE_CHECKING:
    from napari_mosam.core.config.run import RunConfig
    from napari_mosam.core.model.protocol import Segmenter

Progress = Callable[[FrameResult, int, int], None]
Json = dict[str, Any]


def movie_of(stored: Result, given: Any = None, *, other: bool = False, **reading: Any) -> Movie:
    """The movie that a result was made from.

    Parameters
    ----------
    stored : Result
    given : Movie, array or path, optional
        By default the place that the result keeps.
    other : bool
        Whether it may be another of the same shape.
    **reading
        axes, channel and z, where they are not to be what they were.

    Raises
    ------
    ValueError
        If it is not there, or another.
    """
    with reading_of(stored.path):
        kept = dict(stored.attrs.get("provenance", {}).get("movie", {}))
        asked = dict(kept.get("asked", {}))
        height, width = stored.attrs.get("pixel_size_um") or (None, None)
    if given is None:
        given = _place_of(stored)
    if isinstance(given, Movie):
        given = given.skipping() if asked.get("skip_bad_frames") else given
    else:
        reading = asked | {name: value for name, value in reading.items() if value is not None}
    opened = same_movie(stored, given, **reading)
    if not other and "fingerprint" in kept and kept["fingerprint"] != opened.fingerprint:
        raise ValueError(
            f"'{opened.path or opened.name}' shows other frames than the movie of '{shown(stored.path)}'; give that "
            "one (--movie), or allow another (--other-movie)"
        )
    return opened.calibrated(height if height == width else None, stored.attrs.get("interval_s"))


def _place_of(stored: Result) -> Path:
    place = movie_place(stored.path, stored.attrs)
    if place is None:
        raise ValueError(f"'{shown(stored.path)}' does not say where its movie lies; give it (--movie)")
    if not place.exists() and not any(sign in place.name for sign in "*?["):
        raise ValueError(f"the movie of '{shown(stored.path)}' is no longer at '{place}'; say where it is (--movie)")
    return place


def replay_result(
    stored: Result,
    out: Path,
    movie: Movie,
    model: "Callable[[RunConfig], Segmenter]",
    *,
    all_at_once: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Make a result again; see :func:`napari_mosam.replay`."""
    if Place.of(out).holds(stored.path):
        raise ValueError(f"'{out}' is the result that is replayed; choose another name for the new one")
    if "imported" in stored.attrs:
        raise ResultError(
            f"'{shown(stored.path)}' was imported from {stored.attrs['imported']}, so no run can make it again"
        )
    if stored.progress.unfinished:
        raise ResultError(f"a re-run of '{shown(stored.path)}' was stopped; do it again, or undo it (mosam undo) first")
    with reading_of(stored.path):
        config = from_attributes(stored.attrs)
        edits = _final(stored) if all_at_once else _in_order(stored, edits_of(open_group(stored.path, "r")))
        _check(edits, movie.frame_shape)
    loaded = same_model(stored, model(config))
    _check_weights(stored, loaded)
    run, shape_yx = edits[0], movie.frame_shape
    first = next((tuple(edit["before"]) for edit in edits if "before" in edit), config.frames)
    request = RunRequest.build(movie, from_records(run["prompts"], shape_yx), replace(config, frames=first))
    write_run(request, out, overwrite=overwrite, progress=progress, model=loaded, most=run["results"])
    for edit in edits[1:]:
        _do(edit, out, movie, loaded, progress)
    return Result.open(out)


def _in_order(stored: Result, listed: list[Json] | None) -> list[Json]:
    """The run as it was, and all that followed."""
    if listed is None:
        raise ResultError(
            f"'{shown(stored.path)}' does not say in which order it was changed, since an earlier version made it; "
            "replay its prompts all at once (--all-at-once)"
        )
    if listed:
        return listed
    run, group = Place.of(stored.path).unfinished_run(), open_group(stored.path, "r")
    return [_run(group["prompts"].attrs["records"], n_results(run) if run is not None else None)]


def _final(stored: Result) -> list[Json]:
    """One run with all prompts of now, corrections among them; then corrections and locks as they are now."""
    fixed = corrected(stored.path)
    edits = [_run(to_records(with_corrections(stored.prompts, stored)), None)]
    for i, t in fixed:
        mask = np.asarray(stored.labels[t]) == i
        record = to_records([MaskPrompt.from_frame(i, t, mask)])[0]["mask"] if mask.any() else None
        edits.append({"kind": CORRECT, "object": i, "frame": t, "mask": record})
    locked = [stored.locked(t) for t in range(stored.labels.shape[0])]
    accepted = _accepted(stored)
    for i in stored.object_ids:
        frames = [t for t, ids in enumerate(locked) if i in ids and (i, t) not in fixed]
        absent = [t for t in frames if stored.record(i, t) is None]
        edits += [{"kind": CORRECT, "object": i, "frame": t, "mask": None} for t in absent]
        frames = sorted({*frames} - {*absent})
        for said, more in ((False, {}), (True, {"accepted": True})):
            mine = [t for t in frames if ((i, t) in accepted) is said]
            edits += [{"kind": LOCK, "object": i, "frames": mine, **more}] if mine else []
    edits += [{"kind": RENAME, "object": i, "name": name} for i, name in stored.names.items()]
    return edits + kin_edits(stored.attrs)


def _accepted(stored: Result) -> set[tuple[int, int]]:
    """Objects and frames that a person accepted."""
    shape = stored.labels.shape[0], len(stored.object_ids)
    (column,) = read_table(open_group(stored.path, "r")["table"], shape, ("accepted",)).values()
    return {(stored.object_ids[row], int(t)) for t, row in np.argwhere(np.nan_to_num(column) > 0)}


def _run(prompts: Sequence[Mapping[str, Any]], results: int | None) -> Json:
    return {"kind": RUN, "prompts": list(prompts), "results": results}


def _check_weights(stored: Result, model: "Segmenter") -> None:
    kept, now = stored.attrs.get("provenance", {}).get("weights"), getattr(model, "weights_sha256", None)
    if kept is not None and now is not None and kept != now:
        raise ValueError(
            f"the weights of the model '{model.name}' are not those that '{shown(stored.path)}' was made with; give "
            "those (--model)"
        )


def _do(edit: Json, out: Path, movie: Movie, model: "Segmenter", progress: Progress | None) -> None:
    """Do again what was done."""
    result, kind = Result.open(out), edit["kind"]
    if kind in (LOCK, UNLOCK):
        accept = bool(edit.get("accepted"))
        result.lock_frames(edit["object"], edit["frames"], lock=kind == LOCK, accept=accept)
    elif kind == CORRECT:
        result.paint(edit["frame"], {edit["object"]: _mask_of(edit, movie.frame_shape)})
    elif kind in (SWAP, SPLIT, MERGE):
        first, second = edit["objects"]
        result.reassign(kind, first, second, edit["frame"], daughter=edit["daughter"])
    elif kind == RENAME:
        result.rename(edit["object"], edit["name"])
    elif kind in KIN:
        do_again(out, edit, movie.frame_shape)
    else:
        _rerun(edit, result, movie, model, progress)


def _rerun(edit: Json, result: Result, movie: Movie, model: "Segmenter", progress: Progress | None) -> None:
    changes = {int(i): list(frames) for i, frames in edit["changes"].items()}
    kept = (p for p in result.prompts if p.frame not in changes.get(p.object_id, ()))
    with suppress(_Enough):
        rerun_result(
            result.path,
            movie,
            Prompts([*kept, *from_records(edit["prompts"], movie.frame_shape)]),
            None if "frames" in edit else sorted(changes),
            model=lambda _: model,
            neighbours=bool(edit["neighbours"]),
            changed_frames=changes,
            frames=tuple(edit["frames"]) if "frames" in edit else None,
            anew=bool(edit.get("anew")),
            progress=_ending(progress, edit.get("results")),
        )


class _Enough(Exception):
    """As much was done as before a stop."""


def _ending(progress: Progress | None, results: int | None) -> Progress:
    """Called after each frame; ends a re-run where the one that is done again was stopped."""

    def told(result: FrameResult, done: int, total: int) -> None:
        if progress is not None:
            progress(result, done, total)
        if done == results:
            raise _Enough

    return told


def _check(edits: Sequence[Json], shape_yx: tuple[int, int]) -> None:
    """Read all that is going to be read, so that what is damaged is found before anything is computed."""
    from_records(edits[0]["prompts"], shape_yx)
    if edits[0]["kind"] != RUN or not isinstance(edits[0]["results"], int | None):
        raise ValueError("the list of what was done to it does not begin with its run")
    for edit in edits[1:]:
        if edit["kind"] == RERUN:
            from_records(edit["prompts"], shape_yx)
            numbers = [int(i) for i in edit["changes"]] + [t for frames in edit["changes"].values() for t in frames]
            numbers += [*edit.get("frames", ()), *edit.get("before", ()), edit.get("results") or 0]
        elif edit["kind"] == CORRECT:
            numbers = [edit["object"], edit["frame"], *(() if _mask_of(edit, shape_yx) is None else (1,))]
        elif edit["kind"] in (LOCK, UNLOCK):
            numbers = [edit["object"], *edit["frames"]]
        elif edit["kind"] in (SWAP, SPLIT, MERGE):
            numbers = [*edit["objects"], edit["frame"], edit["daughter"]]
        elif edit["kind"] == RENAME:
            numbers = [edit["object"], len(edit["name"])]
        elif edit["kind"] in KIN:
            numbers = numbers_of(edit, shape_yx)
        else:
            raise ValueError(f"a '{edit['kind']}' is not known to this version")
        if not all(isinstance(number, int) for number in numbers):
            raise ValueError("the list of what was done to it is damaged")


def _mask_of(edit: Json, shape_yx: tuple[int, int]) -> Any:
    if edit["mask"] is None:
        return None
    record = {"object": edit["object"], "frame": edit["frame"], "mask": edit["mask"]}
    (prompt,) = from_records([record], shape_yx)
    return prompt.to_frame(shape_yx) if isinstance(prompt, MaskPrompt) else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far the labels of two results are the same.

    Attributes
    ----------
    frames : tuple of int
        On which they differ.
    worst_iou : float
        The lowest of an object on a frame; 1 without any difference.
    object_id, t : int
        Where that is.
    """

    frames: tuple[int, ...] = ()
    worst_iou: float = 1.0
    object_id: int = 0
    t: int = 0

    @classmethod
    def of(cls, one: Result, other: Result) -> "Comparison":
        """Compare frame by frame."""
        found = list(_differences(one, other))
        if not found:
            return cls()
        frames = tuple(sorted({t for *_, t in found}))
        return cls(frames, *min(found))


def _differences(one: Result, other: Result) -> Iterator[tuple[float, int, int]]:
    for t in range(one.labels.shape[0]):
        a, b = np.asarray(one.labels[t]), np.asarray(other.labels[t])
        if np.array_equal(a, b):
            continue
        for i in np.union1d(a[a != b], b[a != b]).tolist():
            if i:
                mine, theirs = a == i, b == i
                yield float((mine & theirs).sum() / (mine | theirs).sum()), i, t
