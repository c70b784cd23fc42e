"""What the dock widget leans on: its link to the viewer, its scroll area, its manners with errors."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from weakref import ref

    from napari_mosam.widgets.engine import Engine

logger = logging.getLogger(__name__)


class ViewerLink:
    """Slots and keys of one widget on a viewer, taken back together.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer.
    slots : iterable of (emitter, callable)
        What to connect.
    keys : mapping of str to callable
        What to bind on the viewer.
    """

    def __init__(
        self,
        viewer: Any,
        slots: Iterable[tuple[Any, Callable[..., None]]] = (),
        keys: Mapping[str, Callable[[Any], None]] | None = None,
    ) -> None:
        self._viewer, self._slots, self._keys = viewer, list(slots), dict(keys or {})
        for emitter, slot in self._slots:
            emitter.connect(slot)
        for key, action in self._keys.items():
            viewer.bind_key(key, action, overwrite=True)

    def close(self) -> None:
        """Disconnect; keys that somebody else has bound since stay."""
        for emitter, slot in self._slots:
            emitter.disconnect(slot)
        for key, action in self._keys.items():
            if action in self._viewer.keymap.values():
                self._viewer.bind_key(key, None)
        self._slots, self._keys = [], {}


class Reporting:
    """Turns bad input into a message; other errors pass, for they are ours."""

    def __init__(self, fail: Callable[[Exception], object]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if not isinstance(error, ValueError | OSError):
            return False
        logger.info("refused", exc_info=error)
        self._fail(error)
        return True


def put_into_scroll_area(outer: QWidget, inner: QWidget) -> None:
    """Let `inner` fill `outer`, with a scroll bar on small screens."""
    scroll = QScrollArea()
    scroll.setWidget(inner)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    column = QVBoxLayout(outer)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(scroll)
    outer.setMinimumWidth(320)


def look_around(engine: "Engine", on_found: Callable[[Any], None]) -> None:
    """Import what a run needs, and list models and devices, while the user looks at the widget."""
    from napari.qt.threading import create_worker

    def look() -> Any:
        found = engine.models(), engine.devices()
        engine.warm_up()
        return found

    create_worker(look, _connect={"returned": on_found}, _ignore_errors=True)


def shut_down(widget: "ref[Any]", *_: Any) -> None:
    """Shut a widget down if Python still knows it."""
    alive = widget()
    if alive is not None:
        alive.shut_down()
