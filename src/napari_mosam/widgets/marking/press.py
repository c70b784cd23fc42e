"""The button and the keys with which a mark is made, which napari does not tell with the mark."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import hypot
from typing import Any

from qtpy.QtCore import QTimer

STILL = 5
"""Px of the canvas within which a press is a click, as napari has it for clicks."""

RIGHT = 2
"""The right button, as napari counts them."""


@dataclass(frozen=True, slots=True)
class Press:
    """How the mouse was pressed.

    Attributes
    ----------
    right : bool
        With the right button.
    keys : frozenset of str
        Such as 'Shift' and 'Control'.
    at : tuple of float or None
        Px of the canvas; None where no mouse had a part in it.
    moved : float
        How far it was moved since, px of the canvas.
    """

    right: bool = False
    keys: frozenset[str] = frozenset()
    at: tuple[float, float] | None = None
    moved: float = 0.0

    @classmethod
    def of(cls, event: Any) -> "Press":
        """That of napari's event."""
        keys = frozenset(getattr(key, "name", str(key)) for key in event.modifiers)
        return cls(event.button == RIGHT, keys, (float(event.pos[0]), float(event.pos[1])))

    @property
    def still(self) -> bool:
        """Whether it was a click, and not a drag."""
        return self.at is not None and self.moved < STILL

    @property
    def stays(self) -> bool:
        """Whether the mark is of the object in hand, wherever it lies: with Shift."""
        return "Shift" in self.keys

    @property
    def picks(self) -> bool:
        """Whether an object is taken in hand instead of marked: with Ctrl."""
        return "Control" in self.keys

    def moved_to(self, pos: Any) -> "Press":
        """The same, after the mouse was moved."""
        assert self.at is not None
        return replace(self, moved=max(self.moved, hypot(pos[0] - self.at[0], pos[1] - self.at[1])))


class PressWatch:
    """Knows how the mouse is pressed in some layers, until napari has made a mark of it."""

    def __init__(self) -> None:
        self.press = Press()
        self._layers: list[Any] = []

    def watch(self, layer: Any) -> None:
        """Listen to the mouse in a layer, beside whoever else does."""
        if self._note not in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.append(self._note)
            self._layers.append(layer)

    def close(self) -> None:
        """Listen no more; what others listen to stays."""
        for layer in self._layers:
            if self._note in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._note)
        self._layers = []

    def _note(self, layer: Any, event: Any) -> Iterator[None]:
        self.press = Press.of(event)
        yield
        while event.type == "mouse_move":
            self.press = self.press.moved_to(event.pos)
            yield
        QTimer.singleShot(0, self._let_go)

    def _let_go(self) -> None:
        self.press = Press()
