"""The sessions that a dock shows, one of them at a time, and what is changed in it by hand."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.layers.result_view import take_label
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.messages import mark_words, movie_gone_sentence, not_kept, removed_sentence
from napari_mosam.widgets.sessions.registry import Key, key_of, sessions_of
from napari_mosam.widgets.sessions.threads import GuiThread, JobEnd, Worker
from napari_mosam.widgets.sessions.view import SessionView, Told

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.images.grey.limits import GreyLimits
    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.controls.controls import Controls
    from napari_mosam.widgets.engine import Engine
    from napari_mosam.widgets.layers.source import MovieSource


class ShownSessions(ABC):
    """Which session is shown, and edits of it, in a thread of their own.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    controls : Controls
        Give the settings and show the progress.
    engine : Engine
        Makes sessions.
    marks : callable
        Told that the session shown has other marks.
    result : callable
        Told that it has another result, or that other frames were painted.
    fail : callable
        Shows an error, and how many frames were done before it; returns what it said.
    """

    def __init__(
        self,
        viewer: Any,
        controls: "Controls",
        engine: "Engine",
        marks: Callable[[], object],
        result: Callable[[], object],
        fail: Callable[..., str],
    ) -> None:
        self.sessions = sessions_of(viewer, engine)
        self.view: SessionView | None = None
        self.missed = False  # whether another movie was to be shown while something was going
        self.painted: dict[int, int] = {}  # masks of a person by frame
        self._viewer, self._controls, self._engine, self._fail = viewer, controls, engine, fail
        self._tell_marks, self._tell_result = marks, result
        self._gui = GuiThread()
        self._edits = Worker("MoSAM edits", self._gui)
        self._views: dict[Key, SessionView] = {}

    # ---- what a run makes of it

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a run or a preview is going."""

    @abstractmethod
    def _busy_changed(self, words: str) -> None:
        """The session does something, given what, or is done with it ('')."""

    @abstractmethod
    def _draw(self, result: "FrameResult") -> None:
        """Make what is shown of a frame of a run; in the thread of the run."""

    @abstractmethod
    def _handle(self, result: "FrameResult", done: int, total: int) -> None:
        """A frame of a run is done."""

    @abstractmethod
    def _tell(self, words: str) -> None:
        """Say what was done; no hint takes its place."""

    @abstractmethod
    def _stroke_done(self, t: int, ids: tuple[int, ...]) -> None:
        """A stroke on a frame is in the result, and changed objects."""

    # ---- which session

    @property
    def session(self) -> "Session | None":
        """That of the movie shown."""
        return None if self.view is None else self.view.session

    def follow(self, source: "MovieSource | None") -> None:
        """Show the session of a movie; stays with the one that a run is about."""
        self.missed = self.busy
        if self.busy:
            return
        view = None if source is None else self._view_of(source)
        if view is self.view:
            return
        self.view = view
        self.sessions.shown = self.session
        if view is not None:
            self.later(view.show)
        self._result_changed()

    def replace(self, source: "MovieSource", session: "Session") -> None:
        """Let another session be that of a movie, such as one that was opened."""
        old = self.sessions.find(source)
        if old is not None and old is not session:
            self._drop_view(key_of(source))
            old.close()
        self.sessions.put(source, session)
        self.view = None
        self.follow(source)

    def take_marks(self, prompts: "Prompts") -> None:
        """Let the session have the marks of the layers; ValueError for marks that cannot be.

        What a folder that cannot be written keeps from being kept is said; the next mark tries again.
        """
        session = self.session
        if session is not None and Counter(session.prompts) != Counter(prompts):  # layers keep an order of their own
            gone = removed_sentence(session.prompts, prompts)
            try:
                session.set_prompts(prompts, mark_words(session.prompts, prompts))
            except OSError as error:  # the folder of the result is gone, or full
                self._fail(not_kept(error))
                return
            if gone and not self.busy:  # a run says how far it is
                self._tell(gone)
            if session.movie.path is None and self.view is not None:  # of a movie on the disk the marks are kept too
                self._edits.start(partial(self._find_movie, session, self.view.source), lambda _: None)

    def _find_movie(self, session: "Session", source: "MovieSource") -> None:
        """Let the session have the movie as it lies on the disk, if it does."""
        ram = None if self.view is None else self.view.reading[1]
        session.movie = self._engine.on_disk(source, session.movie, ram)

    def labels_shown(self, t: int) -> "NDArray[Any] | None":
        """The labels (Y, X) of the result on a frame, as they are shown; None without one that can be read."""
        view = self.view
        if view is not None and view.session.result is not None:
            with suppress(OSError, ValueError):  # such as a folder that was moved away
                return view.labels_view.frame(t)
        return None

    # ---- edits

    def undo(self) -> None:
        """Take back what was done last, whatever it was."""
        self._controls.changes.show_places(())
        self.edit(lambda session: f"Undone: {session.undo()}.")

    def redo(self) -> None:
        """Do again what was undone last."""
        self._controls.changes.show_places(())
        self.edit(lambda session: f"Done again: {session.redo()}.")

    def release_painted(self) -> None:
        """Let the next run change what was painted; no pixel changes now."""

        def release(session: "Session") -> str:
            from napari_mosam.core.store.edits import corrected

            frames: dict[int, list[int]] = {}
            for object_id, t in corrected(session.path) if session.path is not None else ():
                frames.setdefault(object_id, []).append(t)
            for object_id, mine in frames.items():
                session.release(object_id, *mine)
            return f"The next run may change {sum(map(len, frames.values()))} masks made by hand."

        self.edit(release)

    def edit(self, change: "Callable[[Session], str]", on_done: Callable[[], object] = lambda: None) -> None:
        """Change the session in the thread of edits, after the strokes that were painted before; then say what it did.

        Raises
        ------
        ValueError
            If no movie is shown.
        """
        if self.view is None:
            raise SourceError("there is no movie; open a time-lapse with the axes (T, Y, X) first")
        self.view.settle()

        def ended(outcome: JobEnd) -> None:
            if outcome.error is not None:
                self._fail(outcome.error)
                return
            self._controls.say(outcome.value)
            self._result_changed()
            on_done()

        self._edits.start(partial(change, self.view.session), ended)

    def select(self, object_id: int) -> None:
        """Let the next stroke in the labels be of an object."""
        if self.view is not None and self.view.labels is not None:
            take_label(self.view.labels, object_id)

    def settle(self) -> None:
        """Let everything that was painted be on its way to its session."""
        if self.view is not None:
            self.view.settle()

    def background(self, job: Callable[[], Any], on_end: Callable[[JobEnd], object]) -> None:
        """Do something in the thread of edits, after what was started before."""
        self._edits.start(job, on_end)

    @property
    def waits(self) -> bool:
        """Whether something is to be done in a later turn of the event loop."""
        return self._gui.waits

    def later(self, call: Callable[[], object]) -> None:
        """Do something in a later turn of the event loop; each such call in its own where it takes long."""
        self._gui.later(call)

    # ---- inside

    def _view_of(self, source: "MovieSource") -> SessionView:
        key, session = key_of(source), self.sessions.of(source)
        known = self._views.get(key)
        if known is not None and known.session is session:
            return known
        self._drop_view(key)
        self._views[key] = SessionView(self._viewer, session, source, self._gui, self._edits, self._told(key))
        return self._views[key]

    def _drop_view(self, key: Key) -> None:
        if key in self._views:
            self._views.pop(key).close()

    def _let_go(self) -> None:
        """End the views of movies that were removed, unless something is going."""
        layers = self._viewer.layers
        for key, view in [(k, v) for k, v in self._views.items() if not (self.busy or v.source.image in layers)]:
            labels = view.labels
            self._views.pop(key).end()
            self.view = None if self.view is view else self.view
            if view.session.result is not None:  # said after the hint that nothing is marked
                self.later(partial(self._say_gone, view.source.image.name, labels))

    def _say_gone(self, movie: str, labels: Any) -> None:
        self._controls.say(movie_gone_sentence(movie, labels_left=labels in self._viewer.layers))

    def _told(self, key: Key) -> Told:
        """What the view of a session tells, as long as that is the one shown."""

        def shown(call: Callable[..., object]) -> Callable[..., None]:
            def told(*args: Any) -> None:
                if self.view is not None and self.view is self._views.get(key):
                    call(*args)

            return told

        return Told(
            marks=shown(self._tell_marks),
            result=shown(self._result_changed),
            busy=shown(self._busy_changed),
            draw=self._draw,
            frame=shown(self._handle),
            painted=shown(self._stroke_done),
            fail=self._fail,
        )

    def show_confidence(self) -> None:
        """Have the layer of confidence, or not, as the controls say."""
        if self.view is not None:
            self.view.show_confidence(self._controls.show_confidence.isChecked())

    def show_numbers(self) -> None:
        """Have numbers on the cells, or not, as the controls say."""
        if self.view is not None:
            self.view.show_numbers(self._controls.switches.numbers.isChecked())

    def _result_changed(self) -> None:
        self.show_confidence()
        self.show_numbers()
        self._tell_result()
        session = self.session
        result = None if session is None else session.result
        self._controls.run_bar.set_goes_on(result is not None and not result.attrs.get("complete", True))
        if session is None or session.path is None:
            self._painted_known(JobEnd({}))
        elif not self.busy:
            self._edits.start(partial(_painted, session.path), self._painted_known)
            self._edits.start(
                partial(self._tell_limits, session), lambda _: None
            )  # an unreadable movie is said elsewhere

    def _tell_limits(self, session: "Session") -> None:
        """Let the controls show between which limits a movie is seen; in any thread but that of the GUI."""
        self._gui.post(partial(self._limits_known, session, session.movie.grey_limits))

    def _limits_known(self, session: "Session", limits: "GreyLimits") -> None:
        if session is self.session:
            self._controls.show_limits(limits)

    def _painted_known(self, outcome: JobEnd) -> None:
        self.painted = outcome.value if outcome.error is None else {}
        self._tell_result()


def _painted(path: Path) -> dict[int, int]:
    """How many masks of a person each frame of a result has."""
    from napari_mosam.core.store.edits import corrected

    with suppress(OSError, ValueError):
        return dict(Counter(t for _, t in corrected(path)))
    return {}
