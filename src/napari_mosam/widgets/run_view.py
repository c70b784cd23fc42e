"""One run as the viewer sees it: how far it is, and what came of it, in words; and the motion of its frames."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.results.pace import Pace
from napari_mosam.core.review.queue import queue_of
from napari_mosam.core.review.table import ReviewTable
from napari_mosam.widgets.doubts import Doubts, changed_sentence
from napari_mosam.widgets.layers.outputs import FlowOutput

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.doubts import Pause
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.review.queue import ReviewItem
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.layers.source import MovieSource


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a run.

    Attributes
    ----------
    changed : mapping of int to tuple of int
        Frames on which objects have other pixels than before, by object.
    review : ReviewTable or None
        What there is to review in the result; None without one.
    queue : tuple of ReviewItem
        What is to be looked at there, the worst first.
    """

    changed: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    review: ReviewTable | None = None
    queue: "tuple[ReviewItem, ...]" = ()

    @property
    def places(self) -> list[tuple[int, int]]:
        """Objects and frames that changed, in the order of time."""
        pairs = ((t, object_id) for object_id, frames in self.changed.items() for t in frames)
        return [(object_id, t) for t, object_id in sorted(pairs)]

    @property
    def unsure(self) -> list[tuple[int, int]]:
        """Objects and frames of the result that need a look, the worst first."""
        return [(item.object_id, item.frame) for item in self.queue]


NOTHING_NEW = Followed()


def followed_by(session: "Session", job: Callable[[], object]) -> Followed:
    """Do a run; what came of it."""
    before = len(session.history)
    job()
    review = None if session.result is None else ReviewTable.read(session.result)
    return Followed(session.changed(since=before), review, () if review is None else queue_of(review))


def frames_of_half(result: "Result | None") -> frozenset[int]:
    """Frames that are done of half a result."""
    if result is None or result.attrs.get("complete", True):
        return frozenset()
    return frozenset(np.flatnonzero((result.state != "").any(axis=1)).tolist())


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
    began_at, showed : int
        The frame that the viewer showed before, and the one that it went to last by itself.
    known : frozenset of int
        Frames of half a result that is gone on with.
    """

    viewer: Any
    source: "MovieSource"
    marks: "Prompts | None" = None
    device: str = ""
    reason: str = ""
    said: str = ""
    done: int = 0
    total: int = 0
    flow: FlowOutput | None = None
    began_at: int = 0
    showed: int | None = None
    known: frozenset[int] = frozenset()
    frames: set[int] = field(default_factory=set)
    pace: Pace = field(default_factory=Pace)
    _started: float = field(default_factory=time.perf_counter)

    def handle(self, result: "FrameResult", done: int, total: int, *, flow: bool) -> None:
        """Count a frame, and show its motion where that is wanted."""
        if flow:
            self.flow = self.flow or FlowOutput(self.viewer, self.source)
            self.flow.write(result)
        self.pace.note(done, time.perf_counter())
        self.done, self.total = done, total
        self.frames.add(result.t)

    @property
    def whole(self) -> bool:
        """Whether all frames came."""
        return bool(self.total) and self.done == self.total

    def forget(self, layer: "Layer") -> None:
        """A layer was removed by the user; a later frame makes it anew if it is still switched on."""
        if self.flow is not None and self.flow.layer is layer:
            self.flow = None

    def progress(self, result: "FrameResult") -> str:
        """One line while the run goes on."""
        before = ", done before" if result.t in self.known else ""
        parts = [f"Frame {result.t}{before}", count_of(len(result.objects), "object")]
        if self.pace.rate:
            parts.append(f"{self.pace.rate:.1f} frames/s")
        return " · ".join([*parts, *([self.device] if self.device else [])])

    def summary(
        self,
        result: "Result | None",
        painted: dict[int, int],
        *,
        stopped: bool,
        followed: Followed = NOTHING_NEW,
        pause: "Pause | None" = None,
    ) -> str:
        """A few sentences at the end; `painted` are the frames with masks made by hand, and how many each has."""
        kept = _kept(sum(t in painted for t in self.frames))
        if stopped:
            return " ".join(filter(None, [self._stopped(result), kept]))
        changed = changed_sentence(followed.changed)
        if followed.review is None or not self.frames or pause is not None:
            return " ".join(filter(None, [_asks(pause) or _changed_at_all(followed), changed, kept]))
        seconds = max(time.perf_counter() - self._started, 1e-6)
        n_frames = len(self.frames)
        done = f"Done: {count_of(n_frames, 'frame')} in {seconds:.1f} s ({n_frames / seconds:.1f} frames/s, "
        said = Doubts.of(followed.review).sentences()
        return " ".join(filter(None, [f"{done}{self.device}).", changed, said, kept]))

    def _stopped(self, result: "Result | None") -> str:
        why = self.reason or "Cancelled"
        if result is None or not self.frames:
            return f"{why} before the first frame was done; no label was changed."
        if result.complete:
            return f"{why}. The labels are as they were before."
        return f"{why}. {count_of(len(self.frames), 'frame')} done and kept; Continue goes on there."


def _asks(pause: "Pause | None") -> str:
    if pause is None:
        return ""
    which = "it" if len(pause.object_ids) == 1 else "them"
    return f"Stopped to ask: {pause}. Look, correct {which} where needed, then press Continue."


def _changed_at_all(followed: Followed) -> str:
    if followed.changed:
        return "Done."
    return "There is nothing new to follow. Mark or correct something, then press Track."


def _kept(n_frames: int) -> str:
    return f"What you did by hand on {count_of(n_frames, 'frame')} was kept." if n_frames else ""


def count_of(n: int, what: str) -> str:
    """Such as '1 frame' and '2 frames'."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
