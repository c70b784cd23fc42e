"""The masks of what is being marked, while it is marked: asked for in the thread of runs, shown if they still count."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.prompts.collection import MaskPrompt, Prompts
from napari_mosam.widgets.layers.outputs import Later, at_once
from napari_mosam.widgets.messages import refusal
from napari_mosam.widgets.picture.colors import kept
from napari_mosam.widgets.preview.layer import PreviewLayer, outline_width
from napari_mosam.widgets.preview.outlines import Asked, Outline, Outlines, asked_on, label_frame_of
from napari_mosam.widgets.preview.sentences import outlined, waiting_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import JobEnd, Worker

DEBOUNCE_MS = 150
"""After the last change of a mark; two clicks of one gesture lie closer together. Not measured."""

AT_ONCE = 4
"""Objects asked for together, those marked last first, so that a newer mark need not wait for a whole frame: a
click takes .1 to .2 s on two cores."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What can be previewed now.

    Attributes
    ----------
    source : MovieSource
        As the viewer shows it.
    session : Session
        Its settings are those of the dock.
    frame : int
        The one that is shown.
    how : object
        What answers depend on besides marks; None where the session cannot be asked, for whatever is wrong with it.
    live : bool
        Whether what is not known is asked for.
    """

    source: "MovieSource"
    session: "Session"
    frame: int
    how: Any
    live: bool


class LivePreview:
    """Shows the masks of the marks on the frame shown, and asks for those that are not known yet.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    worker : Worker
        In whose thread it is computed, after whatever else is done there.
    scene : callable
        Gives the :class:`Scene`; None where there is nothing to preview, as while a run is going.
    compute : callable
        Segments objects of a scene; called in that thread.
    say : callable
        Shows a line.
    later : callable
        See :func:`insert_layer`.
    """

    def __init__(
        self,
        viewer: Any,
        worker: "Worker",
        scene: Callable[[], Scene | None],
        compute: "Callable[[Scene, Sequence[int]], FrameResult]",
        say: Callable[[str], object],
        later: Later = at_once,
    ) -> None:
        self._worker, self._scene, self._compute, self._say = worker, scene, compute, say
        self._layer, self._later = PreviewLayer(viewer, self._lines_on, later), later
        self._outlines = Outlines()
        self._refused: set[Asked] = set()
        self._of: Scene | None = None
        self._result: Result | None = None
        self._followed: Prompts | None = None  # what the result was made with, once somebody asks
        self._drawn: tuple[Asked, ...] = ()
        self._lines: tuple[Any, Any] = None, None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._ask)

    @property
    def outlined(self) -> tuple[int, ...]:
        """Objects whose marks on the frame shown are outlined."""
        return tuple(one.object_id for one in self._drawn)

    @property
    def busy(self) -> bool:
        """Whether something is asked for, or will be in a moment."""
        return self._timer.isActive() or self._worker.busy

    def update(self, *_: Any) -> None:
        """Marks, settings, the frame or the result may be others: show what is known of them, and ask for the rest."""
        scene = self._of = self._scene()
        if scene is None:
            self._hide()
            return
        self._follow(scene.session)
        known = tuple(one for one in self._asked(scene.frame) if one in self._outlines)
        if known != self._drawn:
            self._draw(scene, known)
        if scene.live and self._missing(scene):
            self._timer.start(DEBOUNCE_MS)

    def show(self, result: "FrameResult", marks: Prompts) -> None:
        """Show a preview that was made on demand, of the marks as they were then."""
        if self._of is not None:
            asked = asked_on(marks, result.t, self._of.how)
            self._learn(
                [one for one in asked if any(one.object_id == item.object_id for item in result.objects)], result
            )
        self.update()

    def ids_on(self, frame: int) -> "NDArray[np.int32] | None":
        """The ids (Y, X) that are outlined on a frame; None where nothing can be."""
        if self._of is None:
            return None
        return label_frame_of(self._outlines.among(self._asked(frame)), self._of.source.shape[1:])

    def forget(self, *_: Any) -> None:
        """Show nothing of what is known, and ask anew where that is wanted."""
        self._outlines.clear()
        self._refused.clear()
        self._drawn = ()
        self._layer.remove()
        self.update()

    def close(self) -> None:
        """Ask for nothing any more, and leave no layer."""
        self._timer.stop()
        self._scene = lambda: None
        self.forget()

    # ---- inside

    def _draw(self, scene: Scene, known: tuple[Asked, ...]) -> None:
        ids = scene.session.prompts.object_ids
        if not known and (not ids or not self._outlines):
            self._hide()
            return
        self._drawn = known  # the layer stays on frames without any, since it takes long to make
        if self._layer.is_there:
            self._show_lines()
        else:
            self._later(self._show_lines)

    def _show_lines(self) -> None:
        scene = self._of
        if scene is not None and (self._drawn or self._layer.is_there):
            ids = scene.session.prompts.object_ids
            self._layer.show(scene.source, label_dtype(max(ids, default=0)), kept(scene.session.view))

    def _lines_on(self, frame: int) -> "NDArray[Any] | None":
        if self._of is None:
            return None
        shape = self._of.source.shape[1:]
        dtype = label_dtype(max(self._of.session.prompts.object_ids, default=0))
        key = shape, dtype, tuple(self._outlines.among(self._asked(frame)))
        if key != self._lines[0]:  # napari reads a frame up to five times for one picture
            self._lines = key, label_frame_of(key[2], shape, dtype, width=outline_width(shape))
        return self._lines[1]

    def _hide(self) -> None:
        if self._drawn:
            self._drawn = ()
            self._layer.blank()

    def _follow(self, session: "Session") -> None:
        """Clicks change the masks of the result, so that another result has other answers."""
        result = session.result
        if result is not self._result:
            self._result, self._followed = result, None
            self._outlines.clear()
            self._refused.clear()

    def _asked(self, frame: int) -> list[Asked]:
        return [] if self._of is None else asked_on(self._of.session.prompts, frame, self._of.how)

    def _missing(self, scene: Scene) -> list[Asked]:
        """What is to be asked for, the object that was marked last at first; masks that a person drew are known."""
        asked = self._asked(scene.frame)
        if asked and self._followed is None:
            self._followed = Prompts() if self._result is None else self._result.prompts
        followed = {} if self._followed is None else self._followed.at(scene.frame)
        wanted = [one for one in asked if Counter(one.here) != Counter(followed.get(one.object_id))]
        for one in wanted:
            if len(one.here) == 1 and isinstance(one.here[0], MaskPrompt):
                self._outlines.put(one, Outline(one.here[0], 1.0))
        return [one for one in reversed(wanted) if one not in self._outlines and one not in self._refused]

    def _ask(self) -> None:
        scene = self._of = self._scene()
        if scene is None or not scene.live or self._worker.busy:  # its end asks again
            return
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._timer.start(DEBOUNCE_MS)
            return
        asked = self._missing(scene)[:AT_ONCE]
        if asked:
            self._say_waiting(scene, asked)
            job = partial(self._compute, scene, [one.object_id for one in asked])
            self._worker.start(job, partial(self._answered, asked))

    def _say_waiting(self, scene: Scene, asked: Sequence[Asked]) -> None:
        if not scene.session.model_ready:
            self._say(waiting_for(scene.session.settings.model, [one.object_id for one in asked]))

    def _answered(self, asked: Sequence[Asked], outcome: "JobEnd") -> None:
        if outcome.error is not None:
            self._refused |= set(asked)
        else:
            self._learn(asked, outcome.value)
        self.update()
        still = set(asked) & set(self._asked(asked[0].frame))
        if still and self._of is not None:
            self._say(refusal(outcome.error, 0)[1] if outcome.error is not None else outlined(self._named(still)))

    def _learn(self, asked: Iterable[Asked], result: "FrameResult") -> None:
        for one in asked:
            self._outlines.put(one, Outline.of(result, one.object_id))

    def _named(self, asked: Iterable[Asked]) -> list[Outline]:
        return list(self._outlines.among(asked))
