"""One run as the viewer sees it: results into layers, progress into words."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_mosam.core.results import ObjectState
from napari_mosam.widgets._output_layers import ConfidenceOutput, FlowOutput, LabelsOutput

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mosam.core.results import FrameResult
    from napari_mosam.widgets._runner import RunEnd
    from napari_mosam.widgets._session import Session
    from napari_mosam.widgets._source import MovieSource


@dataclass(eq=False)
class RunView:
    """Layers and counters of one run.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    session : Session
        Where their arrays are.
    source : MovieSource
        The movie.
    labels : LabelsOutput
        Where the labels go.
    total : int
        Results to come.
    """

    viewer: Any
    session: "Session"
    source: "MovieSource"
    labels: LabelsOutput
    total: int
    device: str = ""
    reason: str = ""
    done: int = 0
    confidence: ConfidenceOutput | None = None
    flow: FlowOutput | None = None
    frames: set[int] = field(default_factory=set)
    lost: dict[int, int] = field(default_factory=dict)
    _first: float = 0.0

    def handle(self, result: "FrameResult", *, confidence: bool, flow: bool) -> None:
        """Write one result into the layers that are switched on and still there."""
        if self.labels.layer not in self.viewer.layers:
            return
        self.labels.write(result)
        if confidence:
            self.confidence = self.confidence or ConfidenceOutput(self.viewer, self.session, self.source)
            self.confidence.write(result)
        if flow:
            self.flow = self.flow or FlowOutput(self.viewer, self.source)
            self.flow.write(result)
        self._count(result)

    def needs(self, layer: "Layer") -> bool:
        """Whether the run makes no sense without this layer."""
        return layer is self.source.image or layer is self.labels.layer

    def forget(self, layer: "Layer") -> None:
        """A layer was removed by the user; a later frame makes it anew if it is still switched on."""
        if self.confidence is not None and self.confidence.layer is layer:
            self.confidence = None
        if self.flow is not None and self.flow.layer is layer:
            self.flow = None

    def progress(self, result: "FrameResult") -> str:
        """One line while the run goes on."""
        n = len(result.objects)
        parts = [f"{self.done} of {self.total} done", _count_of(n, "object")]
        if self.done > 1:
            parts.append(f"{(self.done - 1) / (time.perf_counter() - self._first):.1f} frames/s")
        return " · ".join([*parts, *([self.device] if self.device else [])])

    def summary(self, end: "RunEnd") -> str:
        """One or two lines at the end."""
        n_frames = _count_of(len(self.frames), "frame")
        if end.stopped:
            return f"{self.reason or 'Cancelled.'} {n_frames} done and kept."
        rate = end.n_results / max(end.seconds, 1e-6)
        text = f"Done: {n_frames} in {end.seconds:.1f} s ({rate:.1f} frames/s, {self.device})."
        if not self.lost:
            return f"{text} Every object was found on every frame."
        names = ", ".join(f"{i} from frame {t}" for i, t in sorted(self.lost.items())[:6])
        more = " …" if len(self.lost) > 6 else ""
        return f"{text} Not found on some frames: object {names}{more}."

    def _count(self, result: "FrameResult") -> None:
        self._first = self._first or time.perf_counter()
        self.done += 1
        self.frames.add(result.t)
        for found in result.objects:
            if found.state is ObjectState.LOST:
                self.lost.setdefault(found.object_id, result.t)


def _count_of(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
