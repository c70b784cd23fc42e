"""A click far from the cell in hand is the next cell; near it, it is more of the same."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.widgets.mouse import LEFT, canvas_position, press

from napari_mosam import BoxPrompt, MaskPrompt, PointPrompt
from napari_mosam.widgets.layers.next_cell import DIAMETER, object_meant

MASK = np.zeros((120, 200), int)
MASK[40:60, 40:60] = 1  # 22.6 px wide, as a circle
MASK[40:60, 150:170] = 2


def click(y, x, object_id=1, frame=0):
    return PointPrompt(object_id, frame, (float(y), float(x)))


@pytest.mark.parametrize(
    ("at", "marks", "options", "meant"),
    [
        (click(50, 50), [], {}, 1),
        (click(50, 50 + DIAMETER), [click(50, 50)], {}, 1),
        (click(50, 51 + DIAMETER), [click(50, 50)], {}, None),
        (click(50, 51 + DIAMETER), [click(50, 50, frame=3)], {}, 1),
        (click(50, 51 + DIAMETER), [click(50, 50, 2)], {}, 1),
        (click(50, 62), [click(50, 50)], {"diameter": 10.0}, None),
        (click(50, 79), [BoxPrompt(1, 0, (40, 40, 60, 60))], {}, 1),
        (click(50, 81), [BoxPrompt(1, 0, (40, 40, 60, 60))], {}, None),
        (click(50, 81), [MaskPrompt.from_frame(1, 0, MASK == 1)], {}, 1),
        (click(50, 82.5), [MaskPrompt.from_frame(1, 0, MASK == 1)], {}, None),
        (click(50, 81), [], {"labels": MASK}, 1),
        (click(50, 83), [], {"labels": MASK}, None),
        (click(50, 160), [], {"labels": MASK}, 2),
        (click(50, 160, 3), [], {"labels": MASK}, 3),
        (click(-5, 500), [], {"labels": MASK}, None),
    ],
)
def test_the_object_that_a_click_is_meant_for(at, marks, options, meant):
    assert object_meant(at, marks, **options) == meant


def test_three_clicks_on_three_cells_are_three_objects(open_widget, qtbot):
    """Tried by a new user of an earlier version: they were one."""
    widget = open_widget(np.zeros((4, 200, 300), np.uint8), show=True)
    widget.controls.plus.click()
    for x in (40, 140, 240):
        press(widget.viewer, qtbot, (100, x))
    press(widget.viewer, qtbot, (110, 245))
    assert [int(i) for i in widget.prompts.points.features["object_id"]] == [1, 2, 3, 3]
    native = widget.viewer.window._qt_viewer.canvas.native
    QTest.mouseClick(native, LEFT, Qt.KeyboardModifier.ShiftModifier, canvas_position(widget.viewer, (30, 40)))
    qtbot.wait(50)
    assert widget.controls.object_id.value() in (3, 4)
