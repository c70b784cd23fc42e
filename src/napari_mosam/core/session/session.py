"""One movie, what is said of it, and the result that comes of it: everything that the widget does is one call here."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.engine import Direction, EngineConfig, MemoryConfig, MotionConfig, Selection
from napari_mosam.core.config.run import Limits, MovieConfig, RunConfig
from napari_mosam.core.files.places import Place, is_result
from napari_mosam.core.prompts.collection import Prompt, Prompts
from napari_mosam.core.runs.arguments import Frames, frame_range, merged_config, movie_config, run_config
from napari_mosam.core.runs.request import RunRequest, open_movie
from napari_mosam.core.session.abilities.dividing import Dividing
from napari_mosam.core.session.abilities.finding import Finding
from napari_mosam.core.session.abilities.inspection import Inspecting
from napari_mosam.core.session.abilities.loaded import KeptModel
from napari_mosam.core.session.abilities.object_edits import ObjectEdits
from napari_mosam.core.session.abilities.reviewing import Reviewing
from napari_mosam.core.session.asking import AnyPrompts, checked_marks, preview_request, run_request
from napari_mosam.core.session.events import PREVIEW
from napari_mosam.core.session.history import Change, History
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session_file import Kept, KeptMarks, kept_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.model.protocol import Segmenter
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.store.result import Result

    Progress = Callable[[FrameResult, int, int], None]


class Session(ObjectEdits, Dividing, Finding, Inspecting, Reviewing):
    """A movie with its prompts and its result; whatever is done can be undone in order.

    Until it is saved the result lies in a folder of recent results, from which nothing is ever removed.

    Parameters
    ----------
    movie : Movie, array or path
        Whatever :meth:`Movie.open` takes.
    prompts : Prompts, sequence of prompts, or path
        What is known already.
    model, diameter, frames, direction, device, motion, memory, compete, config
        As in :func:`napari_mosam.track`; changed later by :attr:`settings`.
    axes, channel, z, limits, pixel_size, interval, series, skip_bad_frames
        As in :func:`napari_mosam.track`.
    recent : path, optional
        Folder of recent results; one of the user by default.

    Attributes
    ----------
    movie : Movie
    settings : RunConfig
        Of the next run.
    view : dict
        What a program that shows the session wants to remember with it, as JSON types.
    follows_corrections : bool
        Whether :meth:`correct` follows the object again.
    events : SessionEvents

    Raises
    ------
    MovieError, PromptError, ValueError
        On bad input.
    """

    def __init__(
        self,
        movie: Any,
        prompts: AnyPrompts = (),
        *,
        model: "str | Path | Segmenter" = "nano",
        diameter: float | None = None,
        frames: Frames = None,
        direction: Direction = "both",
        device: Any = None,
        motion: MotionConfig | bool | Literal["classical", "learned"] | None = None,
        memory: MemoryConfig | Selection | None = None,
        compete: bool | None = None,
        config: EngineConfig | None = None,
        axes: str | None = None,
        channel: int | None = None,
        z: int | Literal["max"] | None = None,
        limits: Limits = None,
        pixel_size: float | None = None,
        interval: float | None = None,
        series: int | None = None,
        skip_bad_frames: bool = False,
        recent: str | Path | None = None,
    ) -> None:
        asked = run_config(
            model=model,
            device=device,
            frames=frames,
            direction=direction,
            diameter=diameter,
            engine=merged_config(config, motion, memory, compete),
            movie=movie_config(
                axes=axes,
                channel=channel,
                z=z,
                limits=limits,
                pixel_size=pixel_size,
                interval=interval,
                series=series,
                skip_bad_frames=skip_bad_frames,
            ),
        )
        place = Recent(Path(recent)) if recent is not None else Recent.of_user()
        super().__init__(open_movie(movie, asked.movie), prompts, asked, place)
        self.follows_corrections = True
        self._models = KeptModel(None if isinstance(model, str | Path) else model)
        self._flows = {}

    @classmethod
    def open(
        cls,
        path: str | Path,
        movie: Any = None,
        *,
        other_movie: bool = False,
        model: "str | Path | Segmenter | None" = None,
        recent: str | Path | None = None,
    ) -> Self:
        """Go on with a result of a session or of :func:`napari_mosam.track`, or with marks before the first run.

        Parameters
        ----------
        path : path
            Of the result, or of :class:`RecentMarks`.
        movie : Movie, array or path, optional
            The movie it was made from; by default the place that the result keeps.
        other_movie : bool
            Allow a movie of the same shape that shows something else.
        model : str, path or Segmenter, optional
            By default the one that made the result.
        recent : path, optional
            As in :class:`Session`.

        Raises
        ------
        FileNotFoundError, ResultError
            If there is no result, or it is damaged.
        ValueError
            If the movie is not there, or another.
        """
        from napari_mosam.core.session import work

        place = Place.of(path).path
        waiting = kept_in(place)
        if waiting is not None and not is_result(place):
            return cls._of_marks(place, waiting, movie, model, recent)
        stored = work.Result.open(place)
        kept = Kept.read(place, stored.labels.shape[1:])
        given = kept.movie_place if movie is None and kept is not None else movie
        session = cls(work.movie_of(stored, given, other=other_movie), model=model or "nano", recent=recent)
        made = work.settings_of(stored) if kept is None else kept.settings
        session.settings = made if model is None else replace(made, model=session.settings.model)
        session.view = dict(kept.view) if kept is not None else {}
        session._prompts = stored.prompts if kept is None else kept.marks_for(stored.prompts)
        session._show(place)
        session._history = History(tuple(Change(s.words, steps=(s.number,)) for s in work.edits_done(place)))
        session._recent.note(place)
        session._recent.take(place)
        return session

    @classmethod
    def _of_marks(cls, folder: Path, marks: KeptMarks, movie: Any, model: Any, recent: str | Path | None) -> Self:
        opened = open_movie(marks.movie if movie is None else movie, marks.settings.movie)
        session = cls(opened, model=model or marks.settings.model, recent=recent)
        kept = Kept.read(folder, opened.frame_shape)
        if kept is None:
            raise Refused(f"the marks in '{folder}' cannot be read; mark the movie '{marks.movie}' again")
        session.settings = replace(kept.settings, movie=MovieConfig(), model=session.settings.model)
        session._reading, session.view, session._marks_folder = kept.settings.movie, dict(kept.view), folder
        session._prompts = checked_marks(kept.prompts, opened)
        session._recent.take(folder)
        return session

    # ---- marks

    def mark(self, *prompts: Prompt) -> None:
        """Add points, boxes or masks; followed by the next :meth:`run`."""
        self._mark(Prompts([*self._prompts, *prompts]), f"{len(prompts)} mark{'s' * (len(prompts) != 1)}")

    # ---- runs

    def request(self, objects: Sequence[int] | None = None, frames: Frames = None) -> RunRequest:
        """What the next run is asked; raises what it would refuse. Reads no frame and loads no torch."""
        return run_request(self.movie, self._marks(), self._reaching(self._asked(frames)), objects)

    def preview(self, frame: int, objects: Sequence[int] | None = None) -> "FrameResult":
        """Segment what is marked on a frame, or some objects of it, without following anything.

        Clicks on a frame on which an object was followed change its mask there.

        Raises
        ------
        PromptError
            If nothing is marked there.
        """
        request = self.preview_request(frame, objects)
        with self._working(PREVIEW) as work:
            asked = work.on_masks(request, frame, self._result)
            found: FrameResult = work.preview_frame(asked, frame, self._model(work))
        return found

    def preview_request(self, frame: int, objects: Sequence[int] | None = None) -> RunRequest:
        """What a preview is asked: the marks of any frame, and those of the run, which tell the size of objects."""
        return preview_request(self.movie, self._prompts, self.settings, frame, objects)

    def run(
        self,
        objects: Sequence[int] | None = None,
        *,
        frames: Frames = None,
        anew: bool = False,
        progress: "Progress | None" = None,
    ) -> "Result":
        """Follow what is marked, and bring the result up to date with marks and settings.

        The first run gives the bytes of :func:`napari_mosam.track`. Later ones go on where one was stopped, or follow
        only what is new or changed, see :func:`napari_mosam.rerun`; with other settings all is followed anew, and what
        was corrected or locked stays. An object whose marks are all gone stays as it is, see :meth:`remove`.

        The frames of the settings are those on which something may change. Where they are more than the result has, it
        is extended from the last masks, across a gap too; where they are fewer, all others stay as they are, and marks
        on them wait.

        Parameters
        ----------
        objects : sequence of int, optional
            The only objects to follow.
        frames : slice or (start, stop), optional
            Of this run, in place of those of the settings; where nothing is new on them, all is followed anew there.
        anew : bool
            Follow all again: as a new result, or where the settings have fewer frames than it, on these.
        progress : callable, optional
            Called after each frame with its result, the number of steps done and their total.

        Returns
        -------
        Result
            Half of one where :meth:`stop` was called, or where the run stopped to ask, see its `progress`.

        Raises
        ------
        ValueError
            If the settings have fewer frames than the result and nothing is new there, among others.
        """
        request = self.request(objects if self._result is None else None, frames)
        span = self._asked(frames).range_in(self.movie.n_frames)
        try:
            with self._working("a run") as work, self._change("the run"):
                engine, again = self._engine(work, progress), frames is not None
                try:
                    if self._result is not None and objects is not None:
                        path = engine.follow_some(request, self._result, objects, span, again=again)
                    else:
                        path = engine.run(request, self._result, span, anew=anew, again=again)
                except work.Stopped:
                    path = self._path
                self._show(path)
        finally:
            self._write_waiting()
        return self._there()

    def resume(self, progress: "Progress | None" = None) -> "Result":
        """Go on with a run that was stopped or killed, with its own prompts and settings, to the same bytes.

        Raises
        ------
        ValueError
            If there is none, or it was made by other versions or on another machine.
        """
        result = self._there()
        with self._working("a run") as work, self._change("the rest of the run"):
            if not work.goes_on(result, result.prompts):
                raise Refused(work.why_not_resumed(result))
            settings = replace(work.settings_of(result), stop_after_unsure=self.settings.stop_after_unsure)
            request = RunRequest.build(self.movie, result.prompts, settings)
            self._show(self._engine(work, progress).resume(request, result))
        self._write_waiting()
        return self._there()

    # ---- by hand

    def correct(self, object_id: int, frame: int, mask: "NDArray[Any] | None", *, follow: bool | None = None) -> None:
        """Say which pixels an object has on a frame, and follow it again from there.

        Parameters
        ----------
        object_id : int
            Of the result.
        frame : int
        mask : ndarray of bool or int, shape (Y, X), or None
            Its pixels; None where it is absent. They are locked, and a mask prompt whenever the object is followed.
        follow : bool, optional
            Follow this object again, and on no locked frame; :attr:`follows_corrections` by default.
        """
        result, again = self._there(), self.follows_corrections if follow is None else follow
        with self._working("a correction") as work, self._change(f"the correction of object {object_id} on {frame}"):
            corrected = result.correct(object_id, frame, mask)
            if again:
                with suppress(work.Stopped):  # what was followed until then stays
                    self._engine(work).follow(corrected, self.movie, self._marks(), [object_id])
            self._show(self._path)

    def paint(self, frame: int, labels: "NDArray[Any]") -> tuple[int, ...]:
        """Say how a frame of the labels looks; what differs from the result was painted or erased, in one step.

        Painted objects are locked there, and followed from there by the next run; one without a pixel left is absent.
        New ids become objects. Before the first run, and while one is going, it waits for the end of the run.

        Parameters
        ----------
        frame : int
        labels : ndarray of int, shape (Y, X)

        Returns
        -------
        tuple of int
            Objects that were painted or erased.
        """
        from napari_mosam.core.session import work

        masks = work.painted(self._result, frame, work.frame_of(labels, self.movie.frame_shape))
        if not masks:
            return ()
        with self._state:
            since = len(self._history.done) if self._result is not None else None
            self._waiting.add(frame, masks, since)
        if self._result is None:
            self._by_mark |= {(i, frame) for i in masks}
            self._mark(work.with_masks(self._prompts, frame, masks, masks), f"painting on frame {frame}")
        self._write_waiting()
        return tuple(masks)

    def remove(self, *object_ids: int) -> None:
        """Take objects, their marks and their masks out, but on frames on which they are locked; in one step.

        Raises
        ------
        ValueError
            Without any object.
        """
        if not object_ids:
            raise Refused("no object was given; give the ids of those to take out")
        result, marks = self._there(), self._marks()
        which = f"object{'s' * (len(object_ids) > 1)} {' and '.join(map(str, object_ids))}"
        with self._working("removing") as work, self._change(f"removing {which}"):
            self._prompts = Prompts(p for p in self._prompts if p.object_id not in object_ids)
            kept = Prompts(p for p in marks if p.object_id not in object_ids)
            self._engine(work).follow(result, self.movie, kept, list(object_ids))
            self._show(self._path)

    def export(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the labels in the format of the Cell Tracking Challenge, see :func:`export_result`."""
        from napari_mosam.core.export.ctc import export_result

        return export_result(self._there(), folder, overwrite=overwrite)

    # ---- inside

    def _asked(self, frames: Frames) -> RunConfig:
        """The settings, with other frames where those are given."""
        return self.settings if frames is None else replace(self.settings, frames=frame_range(frames))

    def _engine(self, work: Any, progress: "Progress | None" = None) -> Any:
        coming = [self._path]

        def new_place() -> Path:
            coming[0] = place = self._recent.new_place(self.movie.name)
            return place

        def told(result: "FrameResult", done: int, total: int) -> None:
            if coming:  # with its first frame: found again whatever ends the run, and of a type that holds new ids
                self._show(coming.pop())
                self._keep()
            self.events.frame.emit(result, done, total)
            if progress is not None:
                progress(result, done, total)
            if self._stop.is_set():
                raise work.Stopped

        return work.Engine(self._model(work), new_place, told, self.settings.stop_after_unsure)
