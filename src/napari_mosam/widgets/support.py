"""What the dock widget leans on: its link to the viewer, its manners with errors, numbers along frames."""

import atexit
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit, QWidget

if TYPE_CHECKING:
    from napari_mosam.widgets.layers.source import MovieSource

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


class HistoryKeys(QObject):
    """Lets the keys of undo and redo do the same wherever the focus is: in the viewer, our layers, the dock's fields.

    A field in which something was typed takes that back first. Labels of the user keep napari's own undo.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    undo, redo : callable
    """

    def __init__(self, viewer: Any, undo: Callable[[], object], redo: Callable[[], object]) -> None:
        super().__init__()
        self._actions = {"Control-Z": lambda _: undo(), "Control-Shift-Z": lambda _: redo()}
        self._keys = ((QKeySequence.StandardKey.Undo, undo), (QKeySequence.StandardKey.Redo, redo))
        self._bound: list[Any] = []
        self._fields: list[QWidget] = []
        self.bind(viewer)

    def bind(self, provider: Any) -> None:
        """Bind the keys where a layer, or the viewer, looks for them first."""
        if not any(known is provider for known in self._bound):
            self._bound.append(provider)
            for key, action in self._actions.items():
                provider.bind_key(key, action, overwrite=True)

    def watch_fields(self, dock: QWidget) -> None:
        """Watch the fields of the dock, or of a part that was made later, which would keep the keys to themselves."""
        fields = [*dock.findChildren(QAbstractSpinBox), *dock.findChildren(QLineEdit)]
        for field in fields:
            field.installEventFilter(self)
        self._fields += fields

    def eventFilter(self, field: Any, event: Any) -> bool:
        """Take the key where the field has nothing to take back."""
        if event.type() != QEvent.Type.KeyPress:
            return False
        edit = field.lineEdit() if isinstance(field, QAbstractSpinBox) else field
        available = (edit.isUndoAvailable(), edit.isRedoAvailable())
        for (key, action), own in zip(self._keys, available, strict=True):
            if event.matches(key) and not own:
                action()
                return True
        return False

    def close(self) -> None:
        """Give the keys back; those that somebody else has bound since stay."""
        for provider in self._bound:
            for key, action in self._actions.items():
                if action in provider.keymap.values():
                    provider.bind_key(key, None)
        for field in self._fields:
            field.removeEventFilter(self)
        self._bound, self._fields = [], []


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


def go_to(viewer: Any, source: "MovieSource", frame: int) -> None:
    """Let the viewer show a frame of a movie, and its plane of the other axes."""
    image, dims = source.image, viewer.dims
    world = image.data_to_world(source.corner(min(max(frame, 0), source.shape[0] - 1)))
    for axis in range(len(source.plane)):
        dims.set_point(dims.ndim - image.ndim + axis, world[axis])


NUMBER_PX = 36
"""Px of the screen that the number of a frame takes."""

_STEPS = tuple(factor * 10**power for power in range(7) for factor in (1, 2, 5))


def numbered(frames: range, px: float) -> range:
    """Frames at which their number is written: at even steps, as many as there is room for.

    Parameters
    ----------
    frames : range
        Those in sight.
    px : float
        Width of a frame on the screen.
    """
    step = next(n for n in _STEPS if n * px >= NUMBER_PX or n >= len(frames))
    return range(-(-frames.start // step) * step, frames.stop, step)


def shut_down_at_end(widget: Any) -> None:
    """Shut a widget down when Qt deletes it, as a closing viewer does without a word, or at the end of a script."""
    end = partial(_shut_down, ref(widget))
    widget.destroyed.connect(end)
    atexit.register(end)


def _shut_down(widget: ref[Any], *_: Any) -> None:
    """Shut a widget down if Python still knows it."""
    alive = widget()
    if alive is not None:
        with suppress(RuntimeError):  # at the end of a program Qt deletes its objects in any order
            alive.shut_down()
