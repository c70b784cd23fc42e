"""A session as the viewer shows it: its labels and confidence, strokes that go into it, and what it tells."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.marks import BOXES, layers_of, recolor
from napari_mosam.widgets.layers.outputs import ConfidenceOutput, LabelsOutput, find_output
from napari_mosam.widgets.layers.result_view import FrameView, LabelsView
from napari_mosam.widgets.layers.strokes import Strokes
from napari_mosam.widgets.picture.colors import COLORS, kept, label_colors, told_apart
from napari_mosam.widgets.picture.heat import inside_rims
from napari_mosam.widgets.picture.numbers import Numbers
from napari_mosam.widgets.preview.layer import outline_width

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_mosam.core.config.run import Limits
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import GuiThread, JobEnd, Worker


N_CACHED = 2
"""Frames that stay decoded: the one shown, and the first one, whose type napari asks for at every touch of a brush."""


@dataclass(frozen=True, slots=True)
class Told:
    """Whom a session's view tells of what happens, in the GUI thread.

    Attributes
    ----------
    marks, result : callable
        The session has other marks, or another result.
    busy : callable
        Something is being done, by whomever; given what, '' at its end.
    draw : callable
        Makes what of a frame's result is shown; given that, in the thread of the run.
    frame : callable
        A frame of a run is done; given its result, the number of steps done and their total.
    painted : callable
        A stroke was written; given its frame and the objects that it changed.
    fail : callable
        A stroke could not be written; given the error.
    """

    marks: Callable[[], object]
    result: Callable[[], object]
    busy: Callable[[str], object]
    draw: "Callable[[FrameResult], object]"
    frame: "Callable[[FrameResult, int, int], object]"
    painted: Callable[[int, tuple[int, ...]], object]
    fail: Callable[[Exception], object]


class SessionView:
    """Shows one session.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    session : Session
    source : MovieSource
        Its movie in the viewer.
    gui : GuiThread
        Where everything that the session tells is carried to.
    edits : Worker
        Writes strokes.
    told : Told
    """

    def __init__(
        self, viewer: Any, session: "Session", source: "MovieSource", gui: "GuiThread", edits: "Worker", told: Told
    ) -> None:
        self.session, self.source = session, source
        self.reading: tuple[Limits, str | None] = (None, None)  # limits and memory that the movie was opened with
        self._viewer, self._told, self._edits, self._gui, self._later = viewer, told, edits, gui, gui.later
        self._strokes = Strokes(session, edits, told.fail, self._stroke_done)
        self._cached: OrderedDict[int, NDArray[Any]] = OrderedDict()  # frames as they are stored
        self._labels: LabelsOutput | None = None
        self._numbers: Numbers | None = None
        self._wants_numbers = True
        self._confidence: ConfidenceOutput | None = None
        shape, axis = source.layer_shape, source.time_axis
        self.labels_view = self._known_view() or LabelsView(shape, axis, self._label_dtype, self._label_frame)
        self.labels_view.connect(self._label_dtype, self._label_frame, self._strokes.painted)
        self._strokes.view = self.labels_view
        self._confidence_view = FrameView(shape, axis, lambda: np.uint8, self._confidence_frame)
        events = session.events
        self._slots: list[tuple[Any, Callable[..., None]]] = [
            (events.marks, lambda: gui.post(self._marks_changed)),
            (events.result, lambda: gui.post(self._result_changed)),
            (events.waiting, lambda t: gui.post(partial(self._stroke_moved, t))),
            (events.busy, lambda words: gui.post(partial(told.busy, words))),
            (events.frame, self._frame_told),
        ]
        for signal, slot in self._slots:
            signal.connect(slot)
        self._strokes.painted(list(self.labels_view.held))  # without a dock nobody wrote them

    @property
    def labels(self) -> "Labels | None":
        """The layer of the labels, if it is shown."""
        return None if self._labels is None else self._labels.layer

    @property
    def colors(self) -> dict[int, int]:
        """Objects that do not have their own colour, since a neighbour has it, and the index of theirs."""
        return kept(self.session.view)

    @property
    def painting(self) -> bool:
        """Whether a stroke is on its way into the result."""
        return self._strokes.pending

    def show(self) -> None:
        """Have the labels of the result in the viewer, where there is one."""
        if not self._slots:  # closed meanwhile
            return
        if self.session.result is None:
            self._remove()
            return
        if self._labels is None or self._labels.layer not in self._viewer.layers:
            self._use(self._known_view() or self.labels_view)
            self._labels = LabelsOutput(self._viewer, self.source, self.labels_view, self._later)
            self._labels.layer.events.data.connect(self._array_given)
            layer, time_axis = self._labels.layer, self.source.time_axis
            self._numbers = Numbers(self._viewer, layer, time_axis, self._centers, self._name_of)
            self._recolor()
            self._later(self._write_numbers)

    def _write_numbers(self) -> None:
        if self._numbers is not None:
            self._numbers.show(self._wants_numbers)

    def _name_of(self, object_id: int) -> str:
        result = self.session.result
        return str(object_id) if result is None else result.names.get(object_id, str(object_id))

    def show_numbers(self, wanted: bool) -> None:
        """Have the numbers of objects drawn on the labels, or not."""
        if self._numbers is not None and wanted != self._wants_numbers:
            self._numbers.show(wanted)
        self._wants_numbers = wanted

    def show_confidence(self, wanted: bool) -> None:
        """Have a layer of the confidence of the result, or none."""
        if not wanted or self.session.result is None:
            self._remove_confidence()
        elif self._confidence is None or self._confidence.layer not in self._viewer.layers:
            self._confidence = ConfidenceOutput(self._viewer, self.source, self._confidence_view, self._later)

    def forget(self, layer: "Layer") -> None:
        """A layer was removed by the user."""
        if layer is self.labels:
            self._forget_labels()
        if self._confidence is not None and self._confidence.layer is layer:
            self._confidence = None

    def settle(self) -> None:
        """Let everything that was painted be on its way to the result."""
        self._strokes.send()

    def close(self) -> None:
        """Leave the session alone; the layers stay and show its result."""
        self._strokes.close()
        for signal, slot in self._slots:
            signal.disconnect(slot)
        self._slots = []
        self.labels_view.disconnect(self._strokes.painted)
        self._forget_labels()

    def end(self) -> None:
        """Leave it since the movie is gone: the labels stay, and nobody paints what would be kept nowhere."""
        labels = self.labels
        self.close()
        if labels is not None:
            labels.editable = False

    # ---- what the session tells

    def _marks_changed(self) -> None:
        self._told.marks()

    def _result_changed(self) -> None:
        self.show()
        self._settle()
        self._edits.start(self._find_colors, self._colors_found)
        self._told.result()

    def _stroke_done(self, t: int, ids: tuple[int, ...]) -> None:
        self._settle()
        self._told.painted(t, ids)

    def _stroke_moved(self, t: int) -> None:
        self._strokes.taken_back(t)
        if self._labels is not None:
            self._labels.renewed(draw=True)

    def _settle(self) -> None:
        """Show the frame as it is stored now: read in the thread of edits, and drawn only if it looks another way."""
        t = self.source.frame_at(self._viewer.dims.point)
        self._edits.start(partial(self._read_anew, t), partial(self._settled, t))

    def _read_anew(self, t: int) -> "tuple[NDArray[Any], bool]":
        """A frame as it is stored, and whether that is what is shown."""
        frame = self._stored_labels(t)
        return frame, np.array_equal(frame, self.labels_view.frame(t))

    def _settled(self, t: int, outcome: "JobEnd") -> None:
        if not self._slots:
            return
        frame, same = outcome.value or (None, False)
        self._cached.clear()
        if frame is not None:
            self._cached[t] = frame
        self._strokes.settle()
        if self._labels is not None:
            self._labels.renewed(draw=not same)
        if self._numbers is not None:
            self._numbers.renew()
        if self._confidence is not None and not same:
            self._confidence.refresh()

    def _find_colors(self) -> dict[int, int]:
        result = self.session.result
        return {} if result is None else told_apart(result.object_ids, result.places(), self.colors)

    def _colors_found(self, outcome: "JobEnd") -> None:
        """Show objects in other colours than before, in the labels and in their marks."""
        if outcome.error is None and self._slots and outcome.value != self.colors:
            self.session.view[COLORS] = {str(i): color for i, color in outcome.value.items()}
            self._recolor()

    def _recolor(self) -> None:
        if self._labels is not None:
            self._labels.layer.colormap = label_colors(self.colors)
        for layer in layers_of(self._viewer, BOXES, self.source.image):
            layer.metadata[COLORS] = self.colors
            recolor(layer)
        self._told.result()

    def _frame_told(self, result: "FrameResult", done: int, total: int) -> None:
        """In the thread of the run."""
        self._told.draw(result)
        self._gui.post(partial(self._frame_done, result, done, total))

    def _frame_done(self, result: "FrameResult", done: int, total: int) -> None:
        self._cached.pop(result.t, None)
        self.labels_view.renew(result.t)
        if self.source.frame_at(self._viewer.dims.point) == result.t:
            for output in (self._labels, self._confidence):
                if output is not None:
                    output.refresh()
            if self._numbers is not None:
                self._numbers.renew()
        self._told.frame(result, done, total)

    # ---- what the layers show

    def _label_dtype(self) -> Any:
        result = self.session.result
        return np.uint16 if result is None else result.labels.dtype

    def _label_frame(self, t: int) -> "NDArray[Any]":
        frame = self._cached.pop(t, None)
        self._cached[t] = self._stored_labels(t) if frame is None else frame
        if len(self._cached) > N_CACHED:
            self._cached.popitem(last=False)
        return self._cached[t]

    def _stored_labels(self, t: int) -> "NDArray[Any]":
        result = self.session.result
        return np.zeros(self.source.shape[1:], np.uint16) if result is None else np.asarray(result.labels[t])

    def _confidence_frame(self, t: int) -> "NDArray[Any]":
        result = self.session.result
        if result is None:
            return np.zeros(self.source.shape[1:], np.uint8)
        labels = self._label_frame(t)
        return inside_rims(np.asarray(result.confidence[t]), labels, max(1, outline_width(labels.shape) - 1))

    def _centers(self, t: int) -> dict[int, tuple[float, float]]:
        """Middles of the objects of a frame; none where the result is being replaced or damaged."""
        result = self.session.result
        with suppress(OSError, ValueError):
            return {} if result is None else result.centers(t)
        return {}

    # ---- layers that come and go

    def _use(self, view: LabelsView) -> None:
        """Write what is painted in a view, which another dock may have made."""
        if view is not self.labels_view:
            self.labels_view.disconnect(self._strokes.painted)
            self.labels_view = self._strokes.view = view
            view.connect(self._label_dtype, self._label_frame, self._strokes.painted)

    def _known_view(self) -> LabelsView | None:
        """That of a layer which another dock made: what was painted in it since is not lost."""
        layer = find_output(self._viewer, "labels", self.source)
        known = None if layer is None else layer.data
        return known if isinstance(known, LabelsView) else None

    def _array_given(self, *_: Any) -> None:
        assert self._labels is not None
        if not self._labels.take_over():  # labels of something else: they are the user's
            self._labels.layer.metadata.clear()
            self._forget_labels()

    def _forget_labels(self) -> None:
        if self._labels is not None:
            self._labels.layer.events.data.disconnect(self._array_given)
        if self._numbers is not None:
            self._numbers.close()
        self._labels = self._numbers = None

    def _remove(self) -> None:
        """Have no layer of a result that is not there any more."""
        self._forget_labels()
        layer = find_output(self._viewer, "labels", self.source)
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._remove_confidence()

    def _remove_confidence(self) -> None:
        output, self._confidence = self._confidence, None
        if output is not None and output.layer in self._viewer.layers:
            self._viewer.layers.remove(output.layer)
