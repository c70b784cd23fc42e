"""Tells the user how much they painted in the results, and lets go of it when asked."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_mosam.widgets.layers.label_store import LabelStore
from napari_mosam.widgets.layers.outputs import find_output

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_mosam.widgets.layers.source import MovieSource

TICK_MS = 30
"""Time after which strokes that came meanwhile are counted together; not measured."""


class PaintWatch:
    """Counts, frame by frame and when Qt has time, what was painted in the results of the chosen movie.

    Only the count is late: what is painted is compared anew whenever a run writes a frame.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the results are.
    on_count : callable
        Told after every change of :attr:`n_pixels`.
    """

    def __init__(self, viewer: Any, on_count: Callable[[], None]) -> None:
        self._viewer, self._on_count = viewer, on_count
        self._layer: Labels | None = None
        self._store: LabelStore | None = None
        self._source: MovieSource | None = None
        self._counts: dict[int, int] = {}
        self._waiting: dict[int, None] = {}  # frames to compare, in this order
        self._shown = -1
        self._is_due = False

    @property
    def n_pixels(self) -> int:
        """Pixels painted or erased, as far as they were counted."""
        return sum(self._counts.values())

    @property
    def n_frames(self) -> int:
        """Frames with such pixels."""
        return sum(n > 0 for n in self._counts.values())

    def follow(self, source: "MovieSource | None") -> "Labels | None":
        """Watch the results of another movie, or none; returns their layer."""
        layer = None if source is None else find_output(self._viewer, "labels", source)
        self._source = source
        if layer is not self._layer:
            self.close()
            self._layer = layer
            if source is not None and layer is not None:
                self._store = LabelStore(layer, source)
                self._connect(layer)
                self._look_everywhere()
            self._on_count()
        return layer

    def note(self, t: int, n_pixels: int) -> None:
        """A run has compared a frame."""
        if self._counts.get(t, 0) != n_pixels:
            self._counts[t] = n_pixels
            self._on_count()

    def forget(self) -> tuple[int, int]:
        """Let runs change what was painted; no pixel changes now. Returns the numbers of pixels and of frames."""
        if self._store is None or self._source is None or not self._store.fits:
            return 0, 0
        let_go = [self._store.forget(t) for t in range(self._source.shape[0])]
        self._counts.clear()
        self._on_count()
        return sum(let_go), sum(n > 0 for n in let_go)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._layer is not None:
            self._layer.events.paint.disconnect(self._painted)
            self._layer.events.set_data.disconnect(self._redrawn)
            self._layer.events.data.disconnect(self._look_everywhere)
        self._layer = self._store = None
        self._counts.clear()
        self._waiting.clear()

    def _connect(self, layer: "Labels") -> None:
        layer.events.paint.connect(self._painted)
        layer.events.set_data.connect(self._redrawn)
        layer.events.data.connect(self._look_everywhere)

    def _painted(self, event: Any) -> None:
        assert self._source is not None
        axis = self._source.time_axis
        for atom in event.value:
            where = getattr(atom, "slice_key", None) or atom[0]  # before napari 0.9, and of data_setitem: indices
            times: Any = 0 if axis is None else where[axis]
            is_slice = isinstance(times, slice)
            self._look_at(range(times.start, times.stop) if is_slice else np.unique(times).tolist())

    def _redrawn(self, _: Any) -> None:
        """The layer was drawn anew: at another frame, or after undo, redo or an edit without a brush."""
        assert self._source is not None
        t = self._source.frame_at(self._viewer.dims.point)
        self._look_at([t] if t != self._shown else [t, *self._counts])
        self._shown = t

    def _look_everywhere(self, *_: Any) -> None:
        assert self._source is not None
        self._look_at(range(self._source.shape[0]))

    def _look_at(self, frames: Iterable[int]) -> None:
        self._waiting |= dict.fromkeys(frames)
        self._tick_later()

    def _tick_later(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            QTimer.singleShot(TICK_MS, self._tick)

    def _tick(self) -> None:
        self._is_due = False
        if self._store is None or not self._waiting or not self._store.fits:
            return
        t = next(iter(self._waiting))
        del self._waiting[t]
        self.note(t, self._store.painted(t).n_pixels)
        self._tick_later()
