"""True mouse and key events on the canvas of a shown viewer."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

LEFT, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def canvas_position(viewer: Any, world_yx: tuple[float, float]) -> QPoint:
    """Where a point of the world lies on the canvas, by searching the canvas' own mapping."""
    canvas = viewer.window._qt_viewer.canvas
    height, width = canvas.size
    ys = [canvas._map_canvas2world((0, y), canvas.view)[-2] for y in (0, height)]
    xs = [canvas._map_canvas2world((x, 0), canvas.view)[-1] for x in (0, width)]
    y = (world_yx[0] - ys[0]) / (ys[1] - ys[0]) * height
    x = (world_yx[1] - xs[0]) / (xs[1] - xs[0]) * width
    return QPoint(round(x), round(y))


def press(viewer: Any, qtbot: Any, world_yx: tuple[float, float]) -> None:
    """Click."""
    native = viewer.window._qt_viewer.canvas.native
    place = canvas_position(viewer, world_yx)
    QTest.mouseMove(native, place)
    qtbot.wait(50)
    QTest.mouseClick(native, LEFT, NO_KEY, place)
    qtbot.wait(50)


def double_click(viewer: Any, qtbot: Any, world_yx: tuple[float, float]) -> None:
    """Click twice; Qt's own double click never lets the button go."""
    press(viewer, qtbot, world_yx)
    QTest.mouseDClick(viewer.window._qt_viewer.canvas.native, LEFT, NO_KEY, canvas_position(viewer, world_yx))
    release(viewer, qtbot, world_yx)


def hold(viewer: Any, qtbot: Any, *world_yx: tuple[float, float]) -> None:
    """Press at the first place and move on to the others, with the button down."""
    native = viewer.window._qt_viewer.canvas.native
    start, *way = (canvas_position(viewer, yx) for yx in world_yx)
    QTest.mouseMove(native, start)
    qtbot.wait(20)
    QTest.mousePress(native, LEFT, NO_KEY, start)
    for place in way:
        QTest.mouseMove(native, place)
        qtbot.wait(50)


def release(viewer: Any, qtbot: Any, world_yx: tuple[float, float]) -> None:
    """Let the button go."""
    QTest.mouseRelease(viewer.window._qt_viewer.canvas.native, LEFT, NO_KEY, canvas_position(viewer, world_yx))
    qtbot.wait(50)


def drag(viewer: Any, qtbot: Any, *world_yx: tuple[float, float]) -> None:
    """Press, move and let go."""
    hold(viewer, qtbot, *world_yx)
    release(viewer, qtbot, world_yx[-1])


def key(viewer: Any, qtbot: Any, pressed: Qt.Key, modifiers: Any = NO_KEY, on: Any = None) -> None:
    """Press a key on a widget; on the canvas where none is given."""
    QTest.keyClick(on or viewer.window._qt_viewer.canvas.native, pressed, modifiers)
    qtbot.wait(30)


def undo_key(viewer: Any, qtbot: Any, on: Any = None) -> None:
    """Press Ctrl+Z."""
    key(viewer, qtbot, Qt.Key.Key_Z, CONTROL, on)


def redo_key(viewer: Any, qtbot: Any, on: Any = None) -> None:
    """Press Ctrl+Shift+Z."""
    key(viewer, qtbot, Qt.Key.Key_Z, CONTROL | SHIFT, on)
