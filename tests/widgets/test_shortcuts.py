"""Keys of the dock: they work wherever the focus is, take nobody's key away, and are given back."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel

from napari_mosam.widgets.picture.shortcuts import SHORTCUTS


def letters():
    return {shortcut.key for shortcut in SHORTCUTS if shortcut.action is not None}


def test_no_key_is_one_of_naparis_own():
    from napari.layers import Image, Labels, Points, Shapes, Tracks, Vectors
    from napari.utils.action_manager import action_manager

    own = {str(key) for keys in action_manager._shortcuts.values() for key in keys}
    own |= {str(key) for layer in (Image, Labels, Points, Shapes, Tracks, Vectors) for key in layer.class_keymap}
    assert letters() and not letters() & own
    assert len({shortcut.key for shortcut in SHORTCUTS}) == len(SHORTCUTS)


@pytest.mark.parametrize(
    "place",
    [
        "canvas",
        "number",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("menu", "button")),
        "layer list",
        "layer controls",
    ],
)
def test_keys_work_wherever_the_focus_is(open_widget, movie, qtbot, place):
    widget = open_widget(movie, show=True)
    window = widget.viewer.window._qt_viewer
    c = widget.controls
    widget.viewer.add_labels(movie.astype(int))
    field = {
        "canvas": window.canvas.native,
        "number": c.object_id,
        "menu": c.model,
        "button": c.box,
        "layer list": window.layers,
        "layer controls": window.controls.widgets[widget.viewer.layers[-1]],
    }[place]
    field.window().activateWindow()
    field.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is not None)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_W)
    assert not c.switches.numbers.isChecked()


def test_letters_are_text_where_text_is_typed(open_widget, movie):
    widget = open_widget(movie, show=True)
    field = widget.controls.low
    field.setFocus()
    QTest.keyClick(field, Qt.Key.Key_W)
    assert field.text() == "w" and widget.controls.switches.numbers.isChecked()


def test_keys_of_others_stay_theirs(make_napari_viewer, open_widget, movie):
    viewer, theirs = make_napari_viewer(), lambda _: None
    viewer.bind_key("W", theirs)
    widget = open_widget(movie, viewer=viewer)
    listed = [label.text() for label in widget.controls.switches.keys.findChildren(QLabel)]
    assert "<b>N</b>" in listed and "<b>W</b>" not in listed, "what does not work is not listed"
    viewer.bind_key("N", theirs, overwrite=True)
    widget.shut_down()
    assert {str(key): action for key, action in viewer.keymap.items()} == {"W": theirs, "N": theirs}
