"""What Preview, Propagate and Cancel start and stop: a worker's results go into layers, its progress into words."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.doubts import preview_sentence
from napari_mosam.widgets.layers.outputs import LabelsOutput, PreviewOutput
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.run_view import RunView
from napari_mosam.widgets.worker import RunEnd, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Layer

    from napari_mosam.core.images.grey.limits import GreyLimits
    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.runs.request import RunRequest
    from napari_mosam.widgets.controls.controls import Controls
    from napari_mosam.widgets.engine import Engine
    from napari_mosam.widgets.layers.label_ids import LabelIds
    from napari_mosam.widgets.layers.painted import PaintWatch
    from napari_mosam.widgets.layers.scratch_store import ScratchStore
    from napari_mosam.widgets.layers.source import MovieSource


class Controller:
    """Previews and runs of one widget, one at a time.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    controls : Controls
        Give the settings and show the progress.
    engine : Engine
        What computes.
    session : ScratchStore
        Where results are stored.
    label_ids : LabelIds
        Is told which ids a run writes.
    paint : PaintWatch
        Is told what was painted on a frame.
    fail : callable
        Shows an error, and how many frames were done before it; returns what it said.
    idle : callable
        Says what to do next, when nothing came of a job.
    """

    def __init__(
        self,
        viewer: Any,
        controls: "Controls",
        engine: "Engine",
        session: "ScratchStore",
        label_ids: "LabelIds",
        paint: "PaintWatch",
        fail: Callable[..., str],
        idle: Callable[[], None],
    ) -> None:
        self.runner = Worker()
        self.run: RunView | None = None
        self.preview_output = PreviewOutput(viewer)
        self._viewer, self._controls, self._engine, self._session = viewer, controls, engine, session
        self._label_ids, self._paint, self._fail, self._idle = label_ids, paint, fail, idle
        self._going: RunView | None = None
        self._grey_limits: GreyLimits | None = None
        self._said = ""
        self._closed = False

    def shows_result(self, image: "Layer | None") -> bool:
        """Whether the controls say how the last run ended, and the image is the one it ran on."""
        return self.run is not None and self.run.source.image is image and self._controls.status.text() == self._said

    def preview(self, source: "MovieSource", prompts: "Prompts", frame: int) -> None:
        """Outline the objects prompted on a frame.

        Raises
        ------
        ValueError
            If a run is going, or nothing is prompted there.
        """
        self._refuse_if_busy()
        config = self._controls.settings
        request = self._engine.preview_request(source, prompts, frame, config)
        followed = config.range_in(request.movie.n_frames)

        def steps() -> "Iterator[FrameResult]":
            self._find_limits(request)
            yield self._engine.preview(request, frame)

        self.runner.start(
            steps,
            total=1,
            title="MoSAM preview",
            on_result=partial(self._show_preview, source, followed),
            on_end=partial(self._preview_ended, source),
        )
        self._controls.set_busy(True)
        self._controls.say(f"Segmenting frame {frame}…")

    def propagate(self, source: "MovieSource", prompts: "Prompts") -> None:
        """Follow the prompted objects through the movie.

        Raises
        ------
        ValueError
            If a run is going, or the engine would refuse this one; no layer is made then.
        """
        self._refuse_if_busy()
        request = self._engine.request(source, prompts, self._controls.settings)
        total = request.n_results
        self.preview_output.remove()
        labels = LabelsOutput(self._viewer, self._session, source, max(prompts.object_ids))
        self._label_ids.watch(labels.layer, prompts.object_ids)
        run = self.run = self._going = RunView(self._viewer, self._session, source, labels, total)

        def steps() -> "Iterator[FrameResult]":
            run.device = self._engine.device_name(request)
            self._find_limits(request)
            return self._engine.segment(request)

        self.runner.start(
            steps, total=total, title="MoSAM", on_result=partial(self._handle, run), on_end=partial(self._ended, run)
        )
        self._controls.set_busy(True)
        self._controls.say("Getting the model and the movie ready…")

    def cancel(self) -> None:
        """Stop after the frame being computed; what is done stays. Returns at once."""
        self.runner.stop()
        if self.runner.busy:
            self._controls.set_busy(True, cancelling=True)

    def close(self) -> None:
        """Stop quietly; the controls are going away."""
        self._closed = True
        self.runner.stop()

    def forget(self, layer: "Layer") -> None:
        """A layer was removed; a run that needs it stops, and the result of the last run is not spoken of any more."""
        self._engine.forget(layer)
        run = self._going
        if run is None:
            self.run = None if self.run is not None and self.run.labels.layer is layer else self.run
            return
        run.forget(layer)
        if run.needs(layer) and not run.reason:
            run.reason = f"Stopped, since the layer '{layer.name}' was removed"
            self.cancel()

    def frame_changed(self) -> None:
        """Show the motion of the frame which the viewer shows."""
        if self.run is not None and self.run.flow is not None:
            self.run.flow.show()

    def _refuse_if_busy(self) -> None:
        if self.runner.busy:
            what = "a preview" if self._going is None else "a run"
            raise SourceError(f"{what} is going; press Cancel, or wait for its end, before you start another")

    def _find_limits(self, request: "RunRequest") -> None:
        """Find the grey limits of the movie, which takes time: in the worker thread."""
        self._grey_limits = self._engine.grey_limits(request.movie)

    def _handle(self, run: RunView, result: "FrameResult") -> None:
        if self._closed:
            return
        controls = self._controls
        painted = run.handle(
            result, confidence=controls.show_confidence.isChecked(), flow=controls.show_flow.isChecked()
        )
        if painted is not None:
            self._paint.note(result.t, painted.n_pixels)
        controls.show_limits(self._grey_limits)
        if not self.runner.stopping:
            controls.say(run.progress(result))

    def _ended(self, run: RunView, end: RunEnd) -> None:
        self._going = None
        run.labels.close()
        if self._closed:
            return
        self._controls.set_busy(False)
        if end.error is not None:
            self._said = self._fail(end.error, kept=len(run.frames) if run.kept else 0)
        else:
            self._said = run.summary(end)
            self._controls.say(self._said)
        if not run.kept:
            self.run = None

    def _show_preview(self, source: "MovieSource", followed: range, result: "FrameResult") -> None:
        if not self._closed and source.image in self._viewer.layers:
            self.preview_output.show(source, result)
            self._controls.show_limits(self._grey_limits)
            self._controls.say(preview_sentence(result, followed))

    def _preview_ended(self, source: "MovieSource", end: RunEnd) -> None:
        if self._closed:
            return
        self._controls.set_busy(False)
        if end.error is not None:
            self._fail(end.error)
        elif source.image not in self._viewer.layers:
            self._idle()
        elif not end.n_results:
            self._controls.say("Preview cancelled.")
