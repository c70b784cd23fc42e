"""Two clicks in the viewer, whichever layer is active."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_mosam.widgets.layers.source import MovieSource

Place = tuple[int, float, float]
"""Frame, y and x, px of the movie."""

FARTHEST = 3.0
"""Px of the screen that the mouse may move in a click."""


class TwoClicks:
    """Waits for two clicks on the image of a movie; a drag, which moves the picture, is none. Esc ends it."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._source: MovieSource | None = None
        self._done: Callable[[list[Place]], object] = lambda places: None
        self._places: list[Place] = []
        self._mode: Any = None

    @property
    def waiting(self) -> bool:
        """Whether a click is waited for."""
        return self._source is not None

    def start(self, source: "MovieSource", done: Callable[[list[Place]], object]) -> None:
        """Wait; `done` is given both places. The image is made the active layer, so that no tool takes the clicks."""
        self.stop()
        self._source, self._done, self._places = source, done, []
        self._mode = self._viewer.layers.selection.active
        self._viewer.layers.selection.active = source.image
        self._viewer.mouse_drag_callbacks.append(self._pressed)
        self._viewer.bind_key("Escape", lambda _: self.stop(), overwrite=True)

    def stop(self) -> None:
        """Wait no longer."""
        if self._source is None:
            return
        self._source = None
        if self._pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._pressed)
        self._viewer.bind_key("Escape", None)
        if self._mode is not None and self._mode in self._viewer.layers:
            self._viewer.layers.selection.active = self._mode

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        start = np.asarray(event.pos if event.pos is not None else (0, 0), float)
        place = np.asarray(event.position, float)
        yield
        moved = 0.0
        while event.type == "mouse_move":
            moved = max(moved, float(np.abs(np.asarray(event.pos, float) - start).max()))
            yield
        if self._source is not None and moved <= FARTHEST:
            self._take(place)

    def _take(self, place: Any) -> None:
        assert self._source is not None
        image = self._source.image
        at = np.asarray(image.world_to_data(place), float)
        self._places.append((self._source.frame_at(place), float(at[-2]), float(at[-1])))
        if len(self._places) == 2:
            places, done = self._places, self._done
            self.stop()
            done(places)
