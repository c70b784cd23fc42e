"""One run as the viewer sees it: how far it is, and what came of it, in words; and the motion of its frames."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.doubts import Doubts
from napari_mosam.widgets.layers.outputs import FlowOutput

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.layers.source import MovieSource


@dataclass(eq=False)
class RunView:
    """Counters of one run, and its layer of motion.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is.
    source : MovieSource
        The movie.
    marks : Prompts
        Those that it follows.
    """

    viewer: Any
    source: "MovieSource"
    marks: "Prompts | None" = None
    device: str = ""
    reason: str = ""
    done: int = 0
    total: int = 0
    flow: FlowOutput | None = None
    frames: set[int] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    _started: float = field(default_factory=time.perf_counter)
    _first: float = 0.0

    def handle(self, result: "FrameResult", done: int, total: int, *, flow: bool) -> None:
        """Count a frame, and show its motion where that is wanted."""
        if flow:
            self.flow = self.flow or FlowOutput(self.viewer, self.source)
            self.flow.write(result)
        self._first = self._first or time.perf_counter()
        self.done, self.total = done, total
        self.frames.add(result.t)
        self.ids |= {item.object_id for item in result.objects}

    def forget(self, layer: "Layer") -> None:
        """A layer was removed by the user; a later frame makes it anew if it is still switched on."""
        if self.flow is not None and self.flow.layer is layer:
            self.flow = None

    def progress(self, result: "FrameResult") -> str:
        """One line while the run goes on."""
        n = len(result.objects)
        parts = [f"{self.done} of {self.total} done", count_of(n, "object")]
        if self.done > 1:
            parts.append(f"{(self.done - 1) / (time.perf_counter() - self._first):.1f} frames/s")
        return " · ".join([*parts, *([self.device] if self.device else [])])

    def summary(self, result: "Result | None", painted: dict[int, int], *, stopped: bool) -> str:
        """A few sentences at the end; `painted` are the frames with masks of a person, and how many each has."""
        kept = _kept(sum(t in painted for t in self.frames))
        if stopped:
            return " ".join(filter(None, [self._stopped(result), kept]))
        if not self.frames or result is None:
            return "Nothing has changed since the last run. Mark or correct something, then press Propagate."
        seconds = max(time.perf_counter() - self._started, 1e-6)
        n_frames = len(self.frames)
        done = f"Done: {count_of(n_frames, 'frame')} in {seconds:.1f} s ({n_frames / seconds:.1f} frames/s, "
        doubts = Doubts.of(result, self.ids, self.frames).sentences(painted=bool(kept))
        return " ".join(filter(None, [f"{done}{self.device}).", doubts, kept]))

    def _stopped(self, result: "Result | None") -> str:
        why = self.reason or "Cancelled"
        if result is None or not self.frames:
            return f"{why} before the first frame was done; no label was changed."
        if result.complete:
            return f"{why}. The labels are as they were before."
        return f"{why}. {count_of(len(self.frames), 'frame')} done and kept; Propagate goes on there."


def _kept(n_frames: int) -> str:
    return f"What you painted or erased on {count_of(n_frames, 'frame')} was kept." if n_frames else ""


def count_of(n: int, what: str) -> str:
    """Such as '1 frame' and '2 frames'."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
