"""What the dock's buttons do to the session of the movie that is shown, and what is said of it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_mosam.core.config.run import MovieConfig
from napari_mosam.core.results.doubts import Pause
from napari_mosam.widgets.doubts import preview_sentence
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.messages import stroke_sentence
from napari_mosam.widgets.preview.live import LivePreview, Scene
from napari_mosam.widgets.run_view import NOTHING_NEW, Followed, RunView, followed_by, frames_of_half
from napari_mosam.widgets.sessions.shown import ShownSessions
from napari_mosam.widgets.sessions.threads import JobEnd, Worker
from napari_mosam.widgets.support import Reporting, go_to

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.layers.source import MovieSource


RUN_WORDS = "a run"
"""What a session calls its runs."""


class Controller(ShownSessions):
    """Previews and runs of one dock, on the session that it shows; else as :class:`ShownSessions`."""

    def __init__(self, viewer: Any, *others: Any) -> None:
        super().__init__(viewer, *others)
        self.run: RunView | None = None
        self._runs = Worker("MoSAM run", self._gui)
        said = self._controls.say
        self.live = LivePreview(viewer, self._runs.beside(), self._scene, self._preview_some, said, self.later)
        self._stopping = self._elsewhere = self._draws_flow = False
        self._controls.show_flow.toggled.connect(partial(setattr, self, "_draws_flow"))
        self._asking = ""  # what is asked of the session, such as a preview: it changes nothing
        self._coming: int | None = None  # the frame that the viewer is about to show
        self._said = ""

    @property
    def busy(self) -> bool:
        """Whether a run or a preview is going, from here or from elsewhere."""
        return self._runs.busy or self._elsewhere

    def shows_result(self, image: "Layer | None") -> bool:
        """Whether the controls say what a run or a person did last, and the image is the one that was run on."""
        return self.run is not None and self.run.source.image is image and self._controls.status.text() == self._said

    def _tell(self, words: str) -> None:
        """Say what was done; no hint takes its place."""
        self._said = words
        self._controls.say(words)

    # ---- marks and settings

    def _take_settings(self, source: "MovieSource") -> "Session":
        """The session, with the settings of the controls and marks as they are."""
        self.follow(source)
        assert self.view is not None
        session, config = self.view.session, self._controls.settings
        reading = config.movie.limits, config.movie.ram
        if reading != self.view.reading:
            session.movie, self.view.reading = source.open(*reading), reading
        session.settings = replace(config, movie=MovieConfig())
        return session

    # ---- previews and runs

    def preview(self, source: "MovieSource", frame: int) -> None:
        """Outline the objects prompted on a frame.

        Raises
        ------
        ValueError
            If a run is going, or nothing is prompted there.
        """
        self._refuse_if_busy()
        session = self._take_settings(source)
        session.preview_request(frame)
        followed = session.settings.range_in(session.movie.n_frames)
        self._previewed = source, followed, session.prompts
        self._ask(source, "a preview", partial(session.preview, frame), self._preview_ended)
        self._controls.say(f"Segmenting frame {frame}…")

    def ask(
        self, source: "MovieSource", what: str, question: "Callable[[Session], object]", on_end: Callable[..., object]
    ) -> None:
        """Ask the session something that takes long and changes nothing; the run button is 'Cancel' until its end.

        Parameters
        ----------
        source : MovieSource
        what : str
            It is, such as 'a comparison'.
        question : callable
            Called in the thread of runs.
        on_end : callable
            Given the :class:`JobEnd`, whose value is None where it was cancelled before it began.

        Raises
        ------
        ValueError
            If something is going.
        """
        self._refuse_if_busy()
        session = self._take_settings(source)
        self._ask(source, what, partial(question, session), on_end)

    def asked_so_far(self, done: int, total: int, unit: str) -> None:
        """Show how far that is; from any thread."""
        self._gui.post(lambda: self._controls.run_bar.show_progress(done, total, "", unit))

    def _ask(
        self, source: "MovieSource", what: str, question: Callable[[], object], on_end: Callable[[JobEnd], object]
    ) -> None:
        def ended(outcome: JobEnd) -> None:
            self._asking = ""
            self._controls.set_busy(False)
            if outcome.error is not None:
                self._fail(outcome.error)
            on_end(outcome)
            self._let_go()
            if self.missed:
                self._tell_result()
            self.live.update()

        assert self.session is not None
        self._asking = what
        self._start(partial(self._compute, self.session, source, question), ended)

    def propagate(
        self,
        source: "MovieSource",
        only: int | None = None,
        frames: tuple[int, int] | None = None,
        *,
        anew: bool = False,
    ) -> None:
        """Follow what is marked, or one object, and bring the result up to date.

        Raises
        ------
        ValueError
            If a run is going, or this one would be refused.
        """
        self._refuse_if_busy()
        session = self._take_settings(source)
        objects = None if only is None else [only]
        session.request(objects, frames)
        self._begin(session, source, partial(session.run, objects, frames=frames, anew=anew))

    def absent(self, source: "MovieSource", object_id: int, frame: int) -> None:
        """Take the mask of an object away on a frame, where it is not, and follow it again; else as `propagate`.

        Where the result is half, it is followed when that is gone on with.
        """
        self._refuse_if_busy()
        session = self._take_settings(source)
        if session.result is None or object_id not in session.result.object_ids:
            raise SourceError(f"object {object_id} was not followed yet; press Track first")
        follow = not frames_of_half(session.result)
        self._begin(session, source, partial(session.correct, object_id, frame, None, follow=follow))

    def follow_with(self, source: "MovieSource", job: "Callable[[Session], str]") -> None:
        """Do something that marks and follows objects, and says what it did; else as `propagate`."""
        self._refuse_if_busy()
        session = self._take_settings(source)

        def told() -> None:
            said = job(session)
            if self.run is not None:
                self.run.said, self.run.marks = said, session.prompts

        self._begin(session, source, told)

    def _begin(self, session: "Session", source: "MovieSource", job: Callable[[], object]) -> None:
        assert self.view is not None
        self.view.settle()
        self._look(NOTHING_NEW)
        frame = source.frame_at(self._viewer.dims.point)
        known = frames_of_half(session.result)
        self.run = RunView(self._viewer, source, marks=session.prompts, began_at=frame, known=known)
        self._start(partial(self._compute, session, source, partial(followed_by, session, job)), self._run_ended)
        self._controls.say("Getting the model and the movie ready…")

    def cancel(self) -> None:
        """Stop after the frame being computed; what is done stays. Returns at once."""
        session = self.session
        if self.busy and session is not None:
            self._stopping = True
            session.stop()
            self._controls.set_busy(True, cancelling=True)

    def _start(self, job: Callable[[], Any], on_end: Callable[[JobEnd], object]) -> None:
        self._stopping = False
        self._controls.set_busy(True)
        self._runs.start(job, on_end)
        self.live.update()

    def _scene(self) -> Scene | None:
        """What can be previewed while it is marked; nothing while a run is going."""
        view = self.view
        gone = view is None or view.source.image not in self._viewer.layers or self._viewer.dims.ndisplay == 3
        if view is None or gone or (self.busy and not self._asking):
            return None
        with suppress(ValueError):
            session = view.session if self.busy else self._take_settings(view.source)
            live = self._controls.live.isChecked() and not self.busy
            frame = view.source.frame_at(self._viewer.dims.point)
            return Scene(view.source, session, frame, (session.settings, view.reading), live)
        return None

    def ids_shown(self, t: int) -> "NDArray[Any] | None":
        """The ids (Y, X) on a frame as they are seen: previews on top of the labels of the result; None without any."""
        labels, outlined = self.labels_shown(t), self.live.ids_on(t)
        if labels is None or outlined is None:
            return outlined if labels is None else labels
        return np.where(outlined > 0, outlined, labels)

    def _preview_some(self, scene: Scene, objects: Sequence[int]) -> "FrameResult":
        """In the thread of runs."""
        self._edits.drain()
        found = scene.session.preview(scene.frame, objects)
        self._tell_limits(scene.session)
        return found

    def _compute(self, session: "Session", source: "MovieSource", job: Callable[[], Any]) -> Any:
        """In the thread of runs: what takes time before the first frame, and then the job."""
        self._edits.drain()
        self._find_movie(session, source)
        if self.run is not None:
            self.run.device = self._engine.device_name(session.settings)
        self._tell_limits(session)
        return None if self._stopping else job()

    def _draw(self, result: "FrameResult") -> None:
        if self._draws_flow:
            _ = result.flow  # of a large frame it takes the time of 20 cells: none that the GUI thread has

    def _handle(self, result: "FrameResult", done: int, total: int) -> None:
        run, controls = self.run, self._controls
        if run is None:
            return
        if self._stopping and self.session is not None:
            self.session.stop()  # it may have been asked for before the run began
        run.handle(result, done, total, flow=controls.show_flow.isChecked())
        controls.run_bar.show_progress(done, total, run.pace.left(total))
        self._show_coming(result.t)
        self.show_confidence()
        if not self._stopping:
            controls.say(run.progress(result))

    def _busy_changed(self, words: str) -> None:
        """Show a run that the console or a script began."""
        if words == RUN_WORDS and not self._runs.busy and self.view is not None:
            self._elsewhere, self._stopping = True, False
            self.run = RunView(self._viewer, self.view.source, device="elsewhere", marks=self.view.session.prompts)
            self._controls.set_busy(True)
            self._controls.say("A run is going that was begun elsewhere, such as in the console.")
        elif self._elsewhere and not words:
            self._elsewhere = False
            if self.session is not None:
                self._edits.start(partial(followed_by, self.session, lambda: None), self._run_ended)

    def _show_coming(self, t: int) -> None:
        """Let the viewer show the frame that came last, where that is wanted and nobody is painting."""
        if self._controls.follow_frames.isChecked():
            if self._coming is None:
                QTimer.singleShot(0, self._show_last)
            self._coming = t

    def _show_last(self) -> None:
        t, self._coming = self._coming, None
        shown = self.run is not None and self.run.source.image in self._viewer.layers and not self._gui.closed
        if shown and t is not None and QApplication.mouseButtons() == Qt.MouseButton.NoButton:
            assert self.run is not None
            self.run.showed = t
            go_to(self._viewer, self.run.source, t)

    def _go_back(self, run: RunView) -> None:
        """Show the frame from which a run was begun, where the viewer still shows the last one of the run."""
        if run.source.image in self._viewer.layers and run.source.frame_at(self._viewer.dims.point) == run.showed:
            go_to(self._viewer, run.source, run.began_at)

    def _look(self, followed: Followed) -> None:
        """Offer to go to what is unsure, and to what changed."""
        self._controls.doubts.show_places(followed.unsure)
        self._controls.changes.show_places(followed.places)

    def _run_ended(self, outcome: JobEnd) -> None:
        run, session, followed = self.run, self.session, outcome.value or NOTHING_NEW
        pause = None if session is None or session.result is None else Pause.among(session.result.attrs)
        self._controls.set_busy(False)
        if run is None or session is None:
            return
        if outcome.error is not None:
            self._said = self._fail(outcome.error, kept=len(run.frames) if session.result is not None else 0)
        else:
            stopped = self._stopping and not run.whole
            self._said = run.summary(session.result, self.painted, stopped=stopped, followed=followed, pause=pause)
            self._tell(f"{run.said} {self._said}".strip())
            self._look(followed)
        whole = outcome.error is None and not self._stopping and pause is None
        go_on = whole and run.marks != session.prompts
        if whole:
            self._go_back(run)
        self._stopping = False
        self._let_go()
        self._result_changed()
        if go_on:  # marks that were made meanwhile
            with Reporting(self._fail):
                self.propagate(run.source)
        self.live.update()

    def _stroke_done(self, t: int, ids: tuple[int, ...]) -> None:
        """Say what was painted, and follow it where that is wanted; a run says how far it is."""
        view = self.view
        if view is None or self.busy:
            return
        if ids:
            self._tell(stroke_sentence(t, ids))
        if view.painting or not self._controls.follow_painted.isChecked():
            return
        if view.session.result is not None and view.session.result.complete:
            with Reporting(self._fail):
                self.propagate(view.source)

    def _preview_ended(self, outcome: JobEnd) -> None:
        source, followed, marks = self._previewed
        if outcome.error is not None:
            return
        if source.image not in self._viewer.layers:
            self._controls.say(f"No preview, since the layer '{source.image.name}' was removed.")
        elif outcome.value is None or self._stopping:
            self._controls.say("Preview cancelled.")
        else:
            self.live.show(outcome.value, marks)
            self._controls.say(preview_sentence(outcome.value, followed))

    def _refuse_if_busy(self) -> None:
        if self.busy:
            raise SourceError(
                f"{self._asking or 'a run'} is going; press Cancel, or wait for its end, before you start another"
            )

    # ---- what is shown

    def forget(self, layer: "Layer") -> None:
        """A layer was removed; a run that needs it stops."""
        for view in self._views.values():
            needed = layer in (view.source.image, view.labels)
            if needed and self.busy and view is self.view and self.run is not None and not self.run.reason:
                self.run.reason = f"Stopped, since the layer '{layer.name}' was removed"
                self.cancel()
            view.forget(layer)
        self._let_go()
        if self.run is not None:
            self.run.forget(layer)

    def frame_changed(self) -> None:
        """Show the motion, and the preview, of the frame which the viewer shows."""
        self.live.update()
        if self.run is not None and self.run.flow is not None:
            self.run.flow.show()

    def close(self) -> None:
        """Stop quietly; the controls are going away."""
        if self.busy and self.session is not None:
            self._stopping = True
            self.session.stop()
        for key in list(self._views):
            self._drop_view(key)
        self._controls.run_bar.close_activity()
        self.live.close()
        self._gui.close()
        self._edits.close()
        self._runs.close()
