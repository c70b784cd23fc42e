"""A run whose results are written to a result on disk as they come; and one that goes on where it was stopped."""

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.core.files.places import Place, alone, is_result
from napari_mosam.core.model.protocol import LOGIT_STRIDE
from napari_mosam.core.prompts.records import changed_frames
from napari_mosam.core.results.doubts import PAUSED, Pause, UnsureWatch
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.results.progress import tell_pause
from napari_mosam.core.runs.provenance import SKIPPED_FRAMES, differences, origin, to_attributes
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import load, run, settled, telling
from napari_mosam.core.store.layout import reading
from napari_mosam.core.store.result import Result
from napari_mosam.core.store.schema import Shape
from napari_mosam.core.store.writer import ResultWriter

if TYPE_CHECKING:
    from napari_mosam.core.model.protocol import Segmenter


class OtherRunError(ValueError):
    """A run that was stopped was another, or was changed since, so that it cannot go on to the same bytes."""


Progress = Callable[[FrameResult, int, int], None]


def write_run(
    request: RunRequest,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    model: "Segmenter | None" = None,
    most: int | None = None,
) -> Result:
    """Carry out a request and write its label frames; see :func:`napari_mosam.track`.

    `most` is the number of results after which it is stopped, as if somebody had. One that stops to ask is half a
    result; where it was to replace another, that stays until the run is gone on with to its end.
    """
    if overwrite and resume:
        raise ValueError("overwrite and resume exclude each other; give one of them")
    with alone(out, make_folder=True, replacing=True) as place:
        folder = place.replacement() or place.path
        goes_on = resume and is_result(folder)
        if not goes_on:
            check_place(request, place, out, overwrite=overwrite)
        asked, loaded, _ = settled(request, load(request.config) if model is None else model)
        results = run(asked, loaded)
        attributes = to_attributes(asked, loaded.name) | origin(asked.movie, loaded, place.path)
        if goes_on:
            _check_same(folder, place.path, asked, attributes)
        else:
            folder = begin(asked, loaded, place, attributes)
        if not goes_on or not Result.open(folder).complete:
            watch = UnsureWatch(asked.config.stop_after_unsure)
            writer = writer_of(folder, place.path, asked)
            if _write(writer, telling(results, writer, loaded), asked.n_results, progress, most, watch):
                return Result.open(Path(out) if folder == place.path else folder)
        if folder != place.path:
            place.publish(folder)
    return Result.open(Path(out))


def check_place(request: RunRequest, place: Place, out: str | Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken, or in which the movie lies; FileExistsError."""
    if overwrite or not os.path.lexists(place.path):
        place.drop_replacement()
    place.check_free(overwrite=overwrite)
    if place.holds(request.movie.path):
        raise FileExistsError(
            f"the movie '{request.movie.path}' lies in '{out}', which would be replaced; choose another name"
        )


def begin(asked: RunRequest, model: "Segmenter", place: Place, attributes: Mapping[str, Any]) -> Path:
    """An empty result: in its place, or beside an earlier one that it will replace."""
    shape = Shape(asked.movie.shape, asked.prompts.object_ids, model.image_size // LOGIT_STRIDE)
    ResultWriter.create(place.new, shape, asked.prompts, attributes)
    if os.path.lexists(place.path):
        return place.new
    place.publish(place.new)
    return place.path


def _check_same(folder: Path, path: Path, asked: RunRequest, attributes: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was another."""
    stored = Result.open(folder)
    other = differences(stored.attrs, attributes)
    other += ["prompts"] if changed_frames(stored.prompts, asked.prompts) else []
    if other:
        raise OtherRunError(
            f"'{path}' was begun with other values of: {', '.join(other)}; give the same again, or begin anew "
            "(--overwrite, without --resume)"
        )


def writer_of(folder: Path, path: Path, asked: RunRequest) -> ResultWriter:
    """The writer of a result that was begun, or of one that goes on; ValueError where it cannot."""
    entry = Place(folder).unfinished_run()
    if entry is None:
        raise OtherRunError(
            f"'{path}' was changed after its run had been stopped, so that cannot go on; undo that (mosam undo), or "
            "begin anew (--overwrite, without --resume)"
        )
    with reading(folder):
        return ResultWriter.resume(folder, entry, asked.prompts)


def _write(
    writer: ResultWriter,
    results: Iterable[FrameResult],
    total: int,
    progress: Progress | None,
    most: int | None,
    watch: UnsureWatch,
) -> Pause | None:
    """Write what is not there yet; all is computed, since what the engine remembers is not stored.

    Returns why it stopped to ask, if it did.
    """
    there, done, skipped = writer.n_written, 0, dict[str, str]()
    _note_pause(writer, None)
    for result in islice(results, most):
        done += 1  # enumerate would keep the arrays of a frame while the next one is computed
        if done > there:
            writer.write(result)
        if result.skipped and str(result.t) not in skipped:
            skipped[str(result.t)] = result.skipped
            _note_skipped(writer, skipped)
        if progress is not None:
            progress(result, done, total)
        pause = watch.seen(result)
        del result
        if pause is not None and there < done < total:
            _note_pause(writer, pause)
            return pause
    if most is None:
        writer.finish(complete=True)
    return None


def _note_pause(writer: ResultWriter, pause: Pause | None) -> None:
    """Keep with half a result why its run stopped to ask, or that it does so no longer."""
    if pause is not None or PAUSED in writer.group.attrs:
        with writer.batch():
            tell_pause(writer.group, pause)


def _note_skipped(writer: ResultWriter, skipped: Mapping[str, str]) -> None:
    """Keep with the result which frames could not be read, and why."""
    with writer.batch():
        kept = dict(writer.group.attrs["provenance"])
        writer.group.attrs["provenance"] = {**kept, "movie": {**kept["movie"], SKIPPED_FRAMES: dict(skipped)}}
