"""What Preview, Propagate and Cancel start and stop: a worker's results go into layers, its progress into words."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets._output_layers import LabelsOutput, PreviewOutput
from napari_mosam.widgets._prompt_layers import check_frame
from napari_mosam.widgets._run_view import RunView
from napari_mosam.widgets._runner import RunEnd, Runner
from napari_mosam.widgets._source import SourceError

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mosam.core.grey_limits import GreyLimits
    from napari_mosam.core.prompts import Prompts
    from napari_mosam.core.results import FrameResult
    from napari_mosam.widgets._controls import Controls
    from napari_mosam.widgets._engine import Engine
    from napari_mosam.widgets._label_ids import LabelIds
    from napari_mosam.widgets._session import Session
    from napari_mosam.widgets._settings import RunSettings
    from napari_mosam.widgets._source import MovieSource


class Jobs:
    """Previews and runs of one widget, one at a time.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    controls : Controls
        Give the settings and show the progress.
    engine : Engine
        What computes.
    session : Session
        Where results are stored.
    label_ids : LabelIds
        Is told which ids a run writes.
    fail : callable
        Shows an error, and how many frames were done before it.
    """

    def __init__(
        self,
        viewer: Any,
        controls: "Controls",
        engine: "Engine",
        session: "Session",
        label_ids: "LabelIds",
        fail: Callable[..., None],
    ) -> None:
        self.runner = Runner()
        self.run: RunView | None = None
        self.preview_output = PreviewOutput(viewer)
        self._viewer, self._controls, self._engine, self._session = viewer, controls, engine, session
        self._label_ids, self._fail = label_ids, fail
        self._grey_limits: GreyLimits | None = None
        self._closed = False

    def preview(self, source: "MovieSource", prompts: "Prompts", frame: int) -> None:
        """Outline the objects prompted on a frame.

        Raises
        ------
        ValueError
            If a run is going, or nothing is prompted there.
        """
        self._refuse_if_busy()
        check_frame(prompts, frame)
        engine, settings = self._engine, self._controls.settings
        self.runner.start(
            lambda: iter([engine.preview(self._open(source, settings), prompts, frame, settings)]),
            total=1,
            title="MoSAM preview",
            on_result=partial(self._show_preview, source),
            on_end=self._preview_ended,
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
        engine, settings = self._engine, self._controls.settings
        total = engine.count_steps(source.shape, prompts, settings)
        self.preview_output.remove()
        labels = LabelsOutput(self._viewer, self._session, source, max(prompts.object_ids))
        self._label_ids.watch(labels.layer, prompts.object_ids)
        run = self.run = RunView(self._viewer, self._session, source, labels, total)

        def steps() -> Any:
            run.device = engine.device_name(settings)
            return engine.segment(self._open(source, settings), prompts, settings)

        self.runner.start(
            steps, total=total, title="MoSAM", on_result=partial(self._handle, run), on_end=partial(self._ended, run)
        )
        self._controls.set_busy(True)
        self._controls.say("Loading the model…")

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
        """A layer was removed; a run that needs it stops."""
        self._engine.forget(layer)
        if self.run is None or not self.runner.busy:
            return
        self.run.forget(layer)
        if self.run.needs(layer):
            self.run.reason = f"Stopped: the layer '{layer.name}' was removed."
            self.cancel()

    def frame_changed(self) -> None:
        """Show the motion of the frame which the viewer shows."""
        if self.run is not None and self.run.flow is not None:
            self.run.flow.show()

    def _refuse_if_busy(self) -> None:
        if self.runner.busy:
            raise SourceError("a run is going; press Cancel, or wait for its end, before you start another")

    def _open(self, source: "MovieSource", settings: "RunSettings") -> Any:
        """The movie and its grey limits, found in the worker thread."""
        movie = self._engine.open(source, settings.limits)
        self._grey_limits = self._engine.grey_limits(movie)
        return movie

    def _handle(self, run: RunView, result: "FrameResult") -> None:
        if self._closed:
            return
        controls = self._controls
        run.handle(result, confidence=controls.show_confidence.isChecked(), flow=controls.show_flow.isChecked())
        controls.show_limits(self._grey_limits)
        if not self.runner.stopping:
            controls.say(run.progress(result))

    def _ended(self, run: RunView, end: RunEnd) -> None:
        run.labels.close()
        if self._closed:
            return
        self._controls.set_busy(False)
        if end.error is not None:
            self._fail(end.error, kept=len(run.frames))
        else:
            self._controls.say(run.summary(end))

    def _show_preview(self, source: "MovieSource", result: "FrameResult") -> None:
        if self._closed or source.image not in self._viewer.layers:
            return
        self.preview_output.show(source, result)
        self._controls.show_limits(self._grey_limits)
        found = sum(o.area > 0 for o in result.objects)
        self._controls.say(
            f"Frame {result.t}: {found} of {len(result.objects)} objects outlined. If they look right, press Propagate."
        )

    def _preview_ended(self, end: RunEnd) -> None:
        if self._closed:
            return
        self._controls.set_busy(False)
        if end.error is not None:
            self._fail(end.error)
        elif end.stopped:
            self._controls.say("Cancelled.")
