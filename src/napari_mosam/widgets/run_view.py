"""One run as the viewer sees it: results into layers, progress into words."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.doubts import Doubts
from napari_mosam.widgets.layers.outputs import ConfidenceOutput, FlowOutput, LabelsOutput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer

    from napari_mosam.core.results.frame import FrameResult, ObjectResult
    from napari_mosam.widgets.layers.label_store import Painted
    from napari_mosam.widgets.layers.scratch_store import ScratchStore
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.worker import RunEnd


@dataclass(eq=False)
class RunView:
    """Layers and counters of one run.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    session : ScratchStore
        Where their arrays are.
    source : MovieSource
        The movie.
    labels : LabelsOutput
        Where the labels go.
    total : int
        Results to come.
    """

    viewer: Any
    session: "ScratchStore"
    source: "MovieSource"
    labels: LabelsOutput
    total: int
    device: str = ""
    reason: str = ""
    done: int = 0
    confidence: ConfidenceOutput | None = None
    flow: FlowOutput | None = None
    frames: set[int] = field(default_factory=set)
    painted: set[int] = field(default_factory=set)
    doubts: Doubts = field(default_factory=Doubts)
    _first: float = 0.0

    def handle(self, result: "FrameResult", *, confidence: bool, flow: bool) -> "Painted | None":
        """Write one result into the layers that are switched on and still there; returns what a person painted."""
        if not self.kept:
            return None
        taken, painted = self.labels.write(result)
        if confidence:
            self.confidence = self.confidence or ConfidenceOutput(self.viewer, self.session, self.source)
            self.confidence.write(result)
        if flow:
            self.flow = self.flow or FlowOutput(self.viewer, self.source)
            self.flow.write(result)
        self._count(result, taken, painted)
        return painted

    @property
    def kept(self) -> bool:
        """Whether the labels are still in the viewer."""
        return self.labels.layer in self.viewer.layers

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
        parts = [f"{self.done} of {self.total} done", count_of(n, "object")]
        if self.done > 1:
            parts.append(f"{(self.done - 1) / (time.perf_counter() - self._first):.1f} frames/s")
        return " · ".join([*parts, *([self.device] if self.device else [])])

    def summary(self, end: "RunEnd") -> str:
        """A few sentences at the end."""
        if not self.kept:
            return f"Stopped: the layer '{self.labels.layer.name}' was removed, and the result with it."
        if end.stopped and self.done < self.total:
            return " ".join(filter(None, [self._stopped(), self._painted()]))
        n_frames, rate = len(self.frames), len(self.frames) / max(end.seconds, 1e-6)
        done = f"Done: {count_of(n_frames, 'frame')} in {end.seconds:.1f} s ({rate:.1f} frames/s, {self.device})."
        return " ".join(filter(None, [done, self.doubts.sentences(painted=bool(self.painted)), self._painted()]))

    def _stopped(self) -> str:
        why = self.reason or "Cancelled"
        if not self.frames:
            return f"{why} before the first frame was done; no label was changed."
        return f"{why}. {count_of(len(self.frames), 'frame')} done and kept."

    def _painted(self) -> str:
        return f"What you painted or erased on {count_of(len(self.painted), 'frame')} was kept." if self.painted else ""

    def _count(self, result: "FrameResult", taken: "Iterable[ObjectResult]", painted: "Painted") -> None:
        self._first = self._first or time.perf_counter()
        self.done += 1
        self.frames.add(result.t)
        self.doubts.follow(result.t, [item.object_id for item in result.objects])
        for item in taken:
            self.doubts.note(result.t, item)
        if painted.n_pixels:
            self.painted.add(result.t)


def count_of(n: int, what: str) -> str:
    """Such as '1 frame' and '2 frames'."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
