"""What a session holds, and how that changes: events, one history, one place; what is computed is in `session`."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, RLock, get_ident
from typing import TYPE_CHECKING, Any, Literal

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.run import MovieConfig, RunConfig
from napari_mosam.core.files.places import Place
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import Prompt, Prompts
from napari_mosam.core.session.asking import AnyPrompts, checked_marks
from napari_mosam.core.session.events import PREVIEW, SessionBusyError, SessionEvents
from napari_mosam.core.session.history import Change, History
from napari_mosam.core.session.moves import copy, move
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session_file import Kept
from napari_mosam.core.session.waiting import Waiting

if TYPE_CHECKING:
    from napari_mosam.core.session.waiting import Masks
    from napari_mosam.core.store.result import Result

logger = logging.getLogger(__name__)


class SessionState:
    """What a session holds, and how it changes: one thing at a time, each an entry of the history.

    Parameters
    ----------
    movie : Movie
    prompts : Prompts, sequence of prompts, or path
    settings : RunConfig
        How the movie was read is among them.
    recent : Recent
    """

    def __init__(self, movie: Movie, prompts: AnyPrompts, settings: RunConfig, recent: Recent) -> None:
        self.movie, self.settings = movie, replace(settings, movie=MovieConfig())
        asked: dict[str, Any] = {**movie.asked}
        self._reading = replace(settings.movie, **asked)
        self.view: dict[str, Any] = {}
        self.events = SessionEvents()
        self._prompts = checked_marks(prompts, movie)
        self._recent = recent
        self._path: Path | None = None
        self._marks_folder: Path | None = None  # where the marks lie before there is a result
        self._result: Result | None = None
        self._history = History()
        self._waiting = Waiting()
        self._by_mark: set[tuple[int, int]] = set()  # those of which a mark tells too, which may be undone
        self._alone, self._state, self._stop = Lock(), RLock(), Event()
        self._doing, self._worker, self._closed = "", 0, False

    # ---- what there is

    @property
    def prompts(self) -> Prompts:
        """All marks; set them to change them. May be changed while a run is going."""
        return self._prompts

    @prompts.setter
    def prompts(self, prompts: Prompts | Sequence[Prompt] | str | Path) -> None:
        self._mark(checked_marks(prompts, self.movie), "marks")

    def set_prompts(self, prompts: Prompts, words: str) -> None:
        """Change the marks, and say in the history what that was; what a run would refuse too, such as half a mark."""
        self._mark(prompts, words)

    @property
    def result(self) -> "Result | None":
        """The result as it is now; None before the first run."""
        return self._result

    @property
    def path(self) -> Path | None:
        """Where the result lies."""
        return self._path

    @property
    def saved(self) -> bool:
        """Whether somebody gave the result its place; nothing is lost where not."""
        return self._path is not None and not self._recent.holds(self._path)

    @property
    def busy(self) -> str:
        """What is being done at the moment; '' for nothing."""
        return self._doing

    @property
    def waiting(self) -> tuple[int, ...]:
        """Frames that were painted and are not written yet, ascending."""
        with self._state:
            return self._waiting.frames

    def waiting_on(self, frame: int) -> "Masks":
        """What was painted on a frame and is not written yet: masks by object, None for one that is absent."""
        with self._state:
            return self._waiting.on(frame)

    @property
    def history(self) -> tuple[str, ...]:
        """What was done and can be undone, the last at the end."""
        return self._waiting.among(tuple(change.words for change in self._history.done))

    @property
    def undone(self) -> tuple[str, ...]:
        """What was undone and can be done again, the next at the end."""
        words = [change.words for change in self._history.undone]
        return (*words, *self._waiting.undone(len(self._history.done)))

    def changed(self, since: int = -1) -> dict[int, tuple[int, ...]]:
        """Frames on which what was done left other pixels of an object than before, ascending, by object.

        Frames on which it was not followed before are none of them. `since` is the first entry of the history that
        counts; the last one by default.
        """
        with self._state:
            steps, result = self._history.steps(since), self._result
        if result is None or not steps:
            return {}
        from napari_mosam.core.session import work

        return work.changed_by(result, steps)

    def _mark(self, prompts: Prompts, words: str) -> None:
        with self._state:
            change = Change(words, marks=(self._prompts, prompts))
            self._prompts = prompts
            self._history = self._history.added(change)
            self._keep()
        self.events.marks.emit()

    def stop(self) -> None:
        """End a run after the frame that is being computed; returns at once."""
        self._stop.set()

    # ---- back and forth

    def undo(self) -> str:
        """Take back what was done last, whatever it was; returns what that is.

        Raises
        ------
        ValueError
            If there is nothing.
        ResultError
            If another program changed the result since.
        """
        return self._go("undo")

    def redo(self) -> str:
        """Do again what was undone last; else as :meth:`undo`."""
        return self._go("redo")

    def _go(self, which: Literal["undo", "redo"]) -> str:
        with self._state:
            if self._stroke_goes(which):
                return self._move_stroke(which)
            change = self._history.next(which)
            if change.only_marks:
                self._went(change, which)
                return change.words
        with self._working(which) as work:
            if change.steps and which == "undo":
                work.take_back(self._there().path, change.steps)
            elif change.steps:
                work.do_again(self._there().path, change.steps)
            self._went(change, which)
        return change.words

    def _stroke_goes(self, which: Literal["undo", "redo"]) -> bool:
        """Whether a stroke that waits for the end of a run is what was done, or undone, last."""
        since = len(self._history.done)
        return (self._waiting.last(since) if which == "undo" else self._waiting.next_undone(since)) is not None

    def _move_stroke(self, which: Literal["undo", "redo"]) -> str:
        stroke = self._waiting.back() if which == "undo" else self._waiting.forth()
        self.events.waiting.emit(stroke.frame)
        return stroke.words

    def _went(self, change: Change, which: Literal["undo", "redo"]) -> None:
        at = 0 if which == "undo" else 1
        with self._state:
            self._history = self._history.back() if which == "undo" else self._history.forth()
            if change.marks is not None:
                self._prompts = change.marks[at]
            if not change.only_marks:
                self._show(change.places[at] if change.places is not None else self._path)
            self._keep()
        if change.marks is not None:
            self.events.marks.emit()

    # ---- places

    def save(self, path: str | Path | None = None, *, overwrite: bool = False) -> Path:
        """Give the result a place; what is done later is there at once.

        Parameters
        ----------
        path : path, optional
            Where; it may be left out once the result has a place. A result that has one already is copied.
        overwrite : bool
            Let it take the place of another result, which goes to the recent ones.

        Raises
        ------
        ValueError
            If there is no result yet, or no path.
        FileExistsError, PermissionError
            If it cannot lie there.
        """
        if path is None and not self.saved:
            raise Refused("the result has no place yet; say where it shall be saved, such as 'cells.zarr'")
        if path is not None and self.saved and Place.of(path).path != self._path:
            return self.save_as(path, overwrite=overwrite)
        if path is not None and Place.of(path).path != self._path:
            with self._working("saving"):
                self._move(self._there().path, Place.of(path).path, overwrite=overwrite)
        self._keep()
        return self._there().path

    def save_as(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the result, with all that can be undone, and go on with the copy; else as :meth:`save`."""
        source, target = self._there().path, Place.of(path).path
        with self._working("saving"):
            copy(source, target, overwrite=overwrite)
            self._moved(source, target)
        return target

    def close(self, *, wait: bool = False) -> None:
        """Stop what is going, and say that nobody works on the result, or on the marks, any more; removes nothing.

        Parameters
        ----------
        wait : bool
            Return when that has ended and what was painted is written; without it, that happens where it is going on.
        """
        self._closed = True
        self._stop.set()
        if wait and self._worker != get_ident():  # a run cannot wait for its own end
            with self._alone:
                pass
            self._write_waiting()
        try:
            self._keep()
        finally:  # at the end of a process not everything can be written any more
            self._leave()

    def _leave(self) -> None:
        place = self._path or self._marks_folder
        if place is not None:
            self._recent.leave(place)

    def _move(self, source: Path, target: Path, *, overwrite: bool) -> None:
        aside = self._recent.new_place(target.name) if overwrite else None
        move(source, target, aside)
        if aside is not None:
            self._history = self._history.moved(target, aside)
        self._moved(source, target)

    def _moved(self, source: Path, target: Path) -> None:
        self._history = self._history.moved(source, target)
        self._recent.note(target)
        self._show(target)
        self._keep()

    # ---- inside

    @contextmanager
    def _working(self, what: str) -> Iterator[Any]:
        """Be the only one who computes or writes; gives the module that does it."""
        if not self._alone.acquire(blocking=self._doing == PREVIEW):  # which is short, and changes nothing
            raise SessionBusyError(
                f"{self._doing or 'something'} is going; wait for its end, or stop it, then try again"
            )
        try:
            self._stop.clear()
            self._doing, self._worker = what, get_ident()
            from napari_mosam.core.session import work

            self.events.busy.emit(what)
            yield work
        finally:
            if self._closed:  # meanwhile
                self._leave()
            self._doing, self._worker = "", 0
            self._alone.release()
            self.events.busy.emit("")

    @contextmanager
    def _change(self, words: str) -> Iterator[None]:
        """Whatever happens to marks and result inside is one entry of the history."""
        from napari_mosam.core.session import work

        marks, place, steps = self._prompts, self._path, {step.number for step in work.steps_done(self._path)}
        mine = self._history
        try:
            yield
        except BaseException:
            self._show(self._path)  # as it is on disk now
            raise
        finally:
            with self._state:
                new = () if place != self._path else work.steps_done(self._path)
                done = Change(
                    words,
                    marks=(marks, self._prompts) if mine is self._history and marks is not self._prompts else None,
                    places=(place, self._path) if place != self._path else None,
                    steps=tuple(step.number for step in new if step.number not in steps),
                )
                if done != Change(words):
                    self._history = self._history.added(done)
                self._keep()
            if done.marks is not None:
                self.events.marks.emit()

    def _write_waiting(self) -> None:
        """What was painted before there was a result, or while a run was going: a step per frame.

        Whoever is busy with the result does it at the end.
        """
        with suppress(SessionBusyError):
            self._write_all_waiting()

    def _write_all_waiting(self) -> None:
        while self._waiting and self._result is not None:
            frame = self._waiting.frames[0]
            with self._working("painting") as work, self._change(f"painting on frame {frame}"):
                with self._state:
                    masks = work.still_marked(self._waiting.take(frame), frame, self._by_mark, self._prompts)
                new = [i for i in masks if i not in self._result.object_ids]
                if new:
                    self._prompts = work.with_masks(self._prompts, frame, masks, new)
                if masks:
                    self._result.paint(frame, masks)
                    self._show(self._path)

    def _show(self, path: Path | None) -> None:
        """Let the result at a path be that of the session."""
        from napari_mosam.core.session import work

        if path != self._path and path is not None:
            self._recent.take(path)
        self._path, self._result = path, None if path is None else work.Result.open(path)
        self.events.result.emit()

    def _there(self) -> "Result":
        if self._result is None:
            raise Refused("there is no result yet; mark something, then run")
        return self._result

    def _marks(self) -> Prompts:
        """The marks, and for objects of the result that have none any more those that they were followed with."""
        if self._result is None:
            return self._prompts
        ids = self._prompts.object_ids
        return Prompts([*self._prompts, *(p for p in self._result.prompts if p.object_id not in ids)])

    def _reaching(self, asked: RunConfig) -> RunConfig:
        """Settings of a run, about the frames of the result too."""
        if self._result is None:
            return asked
        from napari_mosam.core.session import work

        return work.reaching(self._result, asked, self.movie.n_frames)

    def _keep(self) -> None:
        """Write what the result does not hold itself; before there is one, the marks of a movie that lies on disk."""
        with self._state:
            if self._path is not None and self._result is not None:
                self._kept(self._result.prompts, self.settings).write(self._path)
                self._drop_marks()
            elif self._path is None and self._prompts and self.movie.path is not None:
                self._keep_marks()
            elif self._path is None:
                self._drop_marks()

    def _kept(self, followed: Prompts, settings: RunConfig) -> Kept:
        movie = None if self.movie.path is None else str(self.movie.path)
        return Kept(self._prompts, followed, settings, movie, self.view)

    def _keep_marks(self) -> None:
        try:
            if self._marks_folder is None:
                self._marks_folder = self._recent.new_folder()
                self._recent.take(self._marks_folder)
            self._kept(Prompts(), replace(self.settings, movie=self._reading)).write(self._marks_folder)
        except OSError as error:  # no room, no rights: it is still there while the program runs
            logger.warning("marks are not kept on disk before the first run: %s", error)

    def _drop_marks(self) -> None:
        if self._marks_folder is not None:
            self._recent.drop_marks(self._marks_folder)
            self._marks_folder = None
