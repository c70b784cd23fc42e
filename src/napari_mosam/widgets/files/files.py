"""Where the results of a dock lie: saved, opened, recent ones, left ones. Files are read and written in a thread."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.run import MovieConfig
from napari_mosam.core.files.places import Place
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.widgets.files import questions
from napari_mosam.widgets.files.closing import Closing
from napari_mosam.widgets.files.opening import Found, MovieMissingError, NoResultError, find, image_of
from napari_mosam.widgets.files.reader import as_layers, result_of
from napari_mosam.widgets.files.recents import Recents
from napari_mosam.widgets.layers.source import MovieSource, SourceError
from napari_mosam.widgets.layers.tags import movie_id
from napari_mosam.widgets.run_view import count_of
from napari_mosam.widgets.support import Reporting, ViewerLink, go_to

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.engine import Engine
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.widget import MosamWidget


class Files:
    """The places of the results that a dock shows.

    Parameters
    ----------
    dock : MosamWidget
    engine : Engine
        Opens sessions, and knows the recent results.
    fail : callable
        Shows an error.
    """

    def __init__(self, dock: "MosamWidget", engine: "Engine", fail: Callable[[Exception], object]) -> None:
        self._dock, self._engine, self._fail = dock, engine, fail
        self._viewer, self._jobs, self._controls = dock.viewer, dock.jobs, dock.controls
        self.recents = Recents(dock, engine, self.open, fail)
        self._link = ViewerLink(self._viewer, [(self._viewer.dims.events.current_step, self._note_frame)])
        self._closing = Closing(dock, self._save_all)
        self._connect()

    def start(self) -> None:
        """Take results that are dropped; go on with one that was dropped before, and offer those that were left."""
        self._jobs.sessions.dock = self
        self._adopt()
        self.recents.look()

    def show_result(self) -> None:
        """Say where the result of the movie shown is, and what can be undone."""
        row, session = self._controls.result, self._jobs.session
        row.show_history(*((), ()) if session is None else (session.history, session.undone))
        row.show_place(None if session is None else session.path, saved=session is not None and session.saved)

    def close(self) -> None:
        """The dock is going away."""
        self._link.close()
        self._closing.close()
        self._jobs.sessions.dock = None

    def take_marks(self, path: Path) -> bool:
        """Add the marks of a file to those of the movie shown, in one step; False where none is shown."""
        if self._jobs.session is None:
            return False

        def take(session: "Session") -> str:
            new = load_prompts(path, session.movie.shape)
            session.set_prompts(Prompts([*session.prompts, *new]), f"the marks of '{path.name}'")
            return f"{count_of(len(new), 'mark')} of {count_of(len(new.object_ids), 'object')} from '{path.name}'."

        self._jobs.edit(take)
        return True

    def flush(self) -> None:
        """Wait until everything that was painted is in its session."""
        done = Event()
        self._jobs.settle()
        self._jobs.background(done.set, lambda _: None)
        done.wait()

    # ---- save

    def save(self, *_: Any) -> None:
        """Give the result a place, which is asked for the first time."""
        with self._reporting():
            session = self._session()
            self._refuse_if_busy("save")
            if session.saved:
                self._jobs.edit(lambda s: f"'{s.save().name}' is up to date.")
            elif self._is_sample():
                self._controls.say("Results of sample data stay under Recent; Save as… gives this one a place.")
            else:
                self._save_at(questions.place_to_save(self._dock, "Save the result", self._default(session)))

    def save_as(self, *_: Any) -> None:
        """Copy the result to a place, and go on there."""
        with self._reporting():
            default = self._default(self._session())
            self._refuse_if_busy("save")
            self._save_at(questions.place_to_save(self._dock, "Save the result as", default), copy=True)

    def _save_at(self, path: Path | None, *, copy: bool = False) -> None:
        if path is None or not self._may_take(path):
            return
        there = path.exists()

        def saved(session: "Session") -> str:
            done = (session.save_as if copy and session.saved else session.save)(path, overwrite=there)
            return f"Saved as '{done.name}'. What you do from now on is there at once."

        self._jobs.edit(saved)

    def _may_take(self, path: Path) -> bool:
        if not path.exists() or path == self._session().path:
            return True
        return questions.may_replace(self._dock, f"'{path.name}' exists already. Replace it by this result?")

    def _session(self) -> "Session":
        session = self._jobs.session
        if session is None or session.path is None:
            raise Refused("there is no result yet; mark cells, then press Track")
        return session

    def _default(self, session: "Session") -> Path:
        """Beside the movie, with its name; where that is not possible, in the home folder."""
        movie, image = self._movie_file(session), self._image_of(session)
        return next(_free_names(self._folder(session), movie.stem if movie else image.name if image else "cells"))

    def _folder(self, session: "Session | None") -> Path:
        """That of a movie, or the home folder."""
        movie = None if session is None else self._movie_file(session)
        return movie.parent if movie is not None and movie.parent.is_dir() else Path.home()

    def _movie_file(self, session: "Session") -> Path | None:
        image = self._image_of(session)
        lies = session.movie.path or (None if image is None else image.source.path)
        return Path(lies) if lies else None

    def _image_of(self, session: "Session") -> "Image | None":
        movie = self._jobs.sessions.movie_of(session)
        return next((layer for layer in self._viewer.layers if movie_id(layer) == movie), None)

    def _is_sample(self) -> bool:
        image = self._controls.image.layer
        return image is not None and image.source.sample is not None

    def _save_all(self, sessions: "list[Session]", on_done: Callable[[], object]) -> None:
        """Ask for a place for each, save them, and tell when all are saved; nothing is told where nobody answered."""
        places: list[tuple[Session, Path]] = []
        for session in sessions:
            path = questions.place_to_save(
                self._dock, f"Save the result of {session.movie.name}", self._default(session)
            )
            if path is None or not self._may_take(path):
                return
            places.append((session, path))

        def ended(outcome: "JobEnd") -> None:
            if outcome.error is None:
                on_done()
            else:
                self._fail(outcome.error)

        self._when_idle(partial(self._jobs.background, partial(_save_each, places), ended))

    def _when_idle(self, then: Callable[[], object]) -> None:
        """Do something once no run is going any more, if the dock is there still."""
        if self._jobs.sessions.dock is self:
            QTimer.singleShot(50, partial(self._when_idle, then)) if self._jobs.busy else then()

    # ---- open

    def choose(self, *_: Any) -> None:
        """Ask for a result and open it."""
        with self._reporting():
            path = questions.result_to_open(self._dock, self._folder(self._jobs.session))
            if path is not None:
                self.open(path)

    def open(self, path: Path, movie: Path | None = None, *, quietly: bool = False) -> None:
        """Go on with a result: movie, labels, marks, settings and frame come back.

        Parameters
        ----------
        path : Path
            Of the result.
        movie : Path, optional
            A movie that a person chose.
        quietly : bool
            Leave all as it is where the result cannot be gone on with.
        """
        with self._reporting():
            self._refuse_if_busy("open a result")
            place = Place.of(path).path
            if not self._show_open(place):
                self._controls.say(f"Opening '{place.name}'…")
                sources = list(self._sources())
                self._jobs.settle()
                on_end = partial(self._found, place, quietly)
                self._jobs.background(partial(find, self._engine, place, sources, movie), on_end)

    def _found(self, path: Path, quietly: bool, outcome: "JobEnd") -> None:
        if outcome.error is None:
            self._show(outcome.value)
        elif quietly:
            self._controls.say(f"'{path.name}' is only shown: {outcome.error}.")
        elif isinstance(outcome.error, MovieMissingError):
            self._ask_for_movie(path, outcome.error)
        elif isinstance(outcome.error, NoResultError):
            self._fail(outcome.error)
        else:
            self._as_layers(path, outcome.error, outcome.error)

    def _ask_for_movie(self, path: Path, why: MovieMissingError) -> None:
        movie = questions.movie_to_open(self._dock, f"{why}. Where is its movie?", path.parent)
        if movie is not None:
            self.open(path, movie)
            return
        words = f"{why}; only its labels are shown. Open the movie in napari, then open the result again"
        self._as_layers(path, why, Refused(words))

    def _as_layers(self, path: Path, why: Exception, shown: Exception) -> None:
        """Show what can be read of a result with which a session cannot go on, and why; `shown` where it is shown."""
        try:
            if not any(result_of(layer) == path for layer in self._viewer.layers):
                for layer in as_layers(path):
                    self._viewer.add_layer(layer)
        except (ValueError, OSError):  # of two reasons the first
            self._fail(why)
        else:
            self._fail(shown)

    def _show(self, found: Found) -> None:
        source, session, frame = found.source, found.session, found.session.view.get("frame", 0)
        if source is None:
            image, source = image_of(session.movie)
            self._jobs.sessions.put(source, session)
            self._viewer.add_layer(image)
        elif source.image not in self._viewer.layers or not self._may_drop_marks(source):
            session.close()
            return
        frame = frame if isinstance(frame, int) else 0
        self._jobs.later(partial(self._show_result, found, source, frame))  # napari draws in between

    def _show_result(self, found: Found, source: MovieSource, frame: int) -> None:
        if source.image in self._viewer.layers:
            go_to(self._viewer, source, frame)
            self._viewer.layers.selection.active = self._controls.image.layer = source.image
            self._remove_labels(found.session.path)
            self._jobs.replace(source, found.session)
            self._jobs.later(partial(self._show_marks, found, source))

    def _show_marks(self, found: Found, source: MovieSource) -> None:
        again = partial(self._show_marks, found, source)
        if self._jobs.session is found.session and self._dock.prompts.apply(source, found.session.prompts, again):
            self._controls.settings = replace(found.session.settings, movie=MovieConfig())
            self._say_opened(found)

    def _may_drop_marks(self, source: MovieSource) -> bool:
        """Whether marks may go of which no result knows."""
        old = self._jobs.sessions.find(source)
        if old is None or not old.prompts or old.path is not None:
            return True
        words = f"The marks on '{source.image.name}' were not followed yet. Replace them by those of the result?"
        return questions.may_replace(self._dock, words)

    def _say_opened(self, found: Found) -> None:
        session = found.session
        if session.result is None or session.path is None:
            self._controls.say(f"{count_of(len(session.prompts), 'mark')} opened; Track follows them.")
            return
        n_objects, n_frames = len(session.result.object_ids), session.result.labels.shape[0]
        half = "" if found.progress == "complete" else f" Half a result: {found.progress}; Continue goes on there."
        words = f"Opened '{session.path.name}': {count_of(n_objects, 'object')}, {count_of(n_frames, 'frame')}."
        self._controls.say(words + half)

    def _remove_labels(self, path: Path | None) -> None:
        """Layers of the result that was here, and those that the reader made of the one that is opened."""
        view = self._jobs.view
        mine = None if view is None or view.session.path == path else view.labels
        for layer in list(self._viewer.layers):
            if layer is mine or (path is not None and result_of(layer) == path):
                self._viewer.layers.remove(layer)

    def _show_open(self, path: Path) -> bool:
        """Go to the movie whose result it is, where one has it open; whether there was one."""
        session = next((session for session in self._jobs.sessions.all() if session.path == path), None)
        image = None if session is None else self._image_of(session)
        if session is not None and image is None:
            self._jobs.sessions.drop(session)
        if image is not None:
            self._controls.image.layer = image
            self._controls.say(f"'{path.name}' is open already.")
        return image is not None

    def _sources(self) -> Iterator[MovieSource]:
        for image in self._images():
            with suppress(SourceError):
                yield MovieSource.from_layer(image, self._viewer.dims.point)

    def _images(self) -> "list[Image]":
        """All that can be a movie, the one that is chosen first."""
        menu = self._controls.image
        images = [menu.itemData(row) for row in range(menu.count()) if menu.itemData(row) is not None]
        return sorted(images, key=lambda image: image is not menu.layer)

    def _adopt(self) -> None:
        """Go on with a result that was dropped onto napari before there was a dock."""
        paths = [path for layer in self._viewer.layers if (path := result_of(layer)) is not None]
        for path in dict.fromkeys(paths[-1:]):
            self.open(path, quietly=True)

    # ---- a new one

    def start_over(self, *_: Any) -> None:
        """A new result of the same movie with the same marks; the one that is here stays where it is."""
        with self._reporting():
            self._refuse_if_busy("start over")
            old, source = self._session(), self._dock.source
            saved = old.saved

            def started() -> None:
                session = self._engine.session(source, self._controls.settings)
                session.set_prompts(old.prompts, "the marks")
                self._remove_labels(None)
                self._jobs.replace(source, session)
                where = f"at '{old.path}'" if saved else "under Recent"
                self._controls.say(f"Started over with the same marks. The earlier result stays {where}.")

            self._jobs.edit(lambda _: "Starting over…", started)

    # ---- inside

    def _note_frame(self, *_: Any) -> None:
        """Remember the frame that is shown, with the session."""
        session = self._jobs.session
        if session is not None:
            with suppress(SourceError):
                session.view = {**session.view, "frame": self._dock.frame}

    def _refuse_if_busy(self, before: str) -> None:
        if self._jobs.busy:
            raise SourceError(f"a run is going; press Cancel, or wait for its end, before you {before}")

    def _reporting(self) -> Reporting:
        return Reporting(self._fail)

    def _connect(self) -> None:
        row = self._controls.result
        row.save.clicked.connect(self.save)
        row.save_as.clicked.connect(self.save_as)
        row.open.clicked.connect(self.choose)
        row.start_over.clicked.connect(self.start_over)


def _free_names(folder: Path, stem: str) -> Iterator[Path]:
    """Names for a result at which nothing is."""
    names = (f"{stem}.zarr", *(f"{stem}-{n}.zarr" for n in range(2, 1000)))
    yield from (folder / name for name in names if not (folder / name).exists())
    yield folder / f"{stem}.zarr"


def _save_each(places: "list[tuple[Session, Path]]") -> None:
    for session, path in places:
        session.save(path, overwrite=path.exists())
