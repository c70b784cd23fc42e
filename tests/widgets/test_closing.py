"""Docks that close, open again, and stand beside each other; and what a closed one leaves behind: nothing."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tests.widgets.conftest import N, threads_of_docks

from napari_mosam.widgets.sessions import sessions_of

SQUARE = np.zeros((64, 64), bool)
SQUARE[44:60, 2:22] = True


def close(widget, what="dock"):
    viewer = widget.viewer
    viewer.close() if what == "viewer" else viewer.window.remove_dock_widget(widget)


def callbacks(viewer):
    """How many callbacks there are, by where they are: the viewer, its layers, and how it stands."""
    layers = {f"layer {k}": layer.events for k, layer in enumerate(viewer.layers)}
    groups = {"layers": viewer.layers.events, "dims": viewer.dims.events, "viewer": viewer.events, **layers}
    found = {
        f"{name}.{emitter}": len(emitters.callbacks)
        for name, group in groups.items()
        for emitter, emitters in group.emitters.items()
    }
    selected = viewer.layers.selection.events.active.callbacks
    return found | {"selection": len(selected), "keys": len(viewer.keymap)}


def new_files():
    return set(Path(tempfile.gettempdir()).iterdir())


@pytest.mark.parametrize("what", [pytest.param("viewer", marks=pytest.mark.slow), "dock"])
def test_closing_during_a_run_stops_it_and_the_result_goes_on_later(
    open_widget, movie, hands, held, qtbot, engine, what
):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    hands.labels(widget).data[1, 44:60, 2:22] = 9
    viewer, session = widget.viewer, widget.session
    close(widget, what)
    held.let_go()
    qtbot.waitUntil(lambda: not threads_of_docks(), timeout=10_000)
    assert not {"N", "U", "Ctrl+Z"} & {str(key) for key in viewer.keymap}
    assert session.result.progress.frames == (0, 1, 2) and session.busy == ""
    (found,) = engine.recent().results()
    assert found.path == session.path and not found.saved
    session.close()
    assert engine.recent().results()[0].left_open is False


def test_a_closed_dock_leaves_nothing_behind(open_widget, movie, hands, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(movie, name="movie")
    before, files = callbacks(viewer), new_files()
    widget = open_widget(None, viewer=viewer)
    hands.mark(widget, 1)
    hands.click(widget, 0, 44, 40)
    widget.controls.show_confidence.setChecked(True)
    hands.run(widget)
    hands.paint(widget, 3, SQUARE, 1)
    layers = [*viewer.layers]
    session = widget.session
    close(widget)
    qtbot.waitUntil(lambda: not threads_of_docks(), timeout=10_000)
    assert [*viewer.layers] == layers, "layers stay"
    after = callbacks(viewer)
    assert {name: after[name] for name in before if after[name] != before[name]} == {}
    assert [len(signal) for signal in (session.events.marks, session.events.result, session.events.busy)] == [0] * 3
    assert len(session.events.frame) == 1, "that of the test itself"
    assert all("Ctrl+Z" not in map(str, layer.keymap) for layer in layers)
    assert new_files() == files


def test_a_dock_that_is_opened_again_goes_on(open_widget, movie, hands, qtbot):
    first = open_widget(movie)
    hands.mark(first, 1)
    hands.run(first)
    hands.paint(first, 5, SQUARE, 7)
    session, layer, viewer = first.session, hands.labels(first), first.viewer
    close(first)
    qtbot.waitUntil(lambda: not threads_of_docks(), timeout=10_000)
    layer.data[6, 44:60, 2:22] = 7  # without a dock
    assert (np.asarray(layer.data[6])[SQUARE] == 7).all()
    second = open_widget(None, viewer=viewer)
    assert second.session is session and hands.labels(second) is layer
    hands.settle(second)
    assert (hands.stored(second)[5:7, 44:60, 2:22] == 7).all(), "what was painted meanwhile is written now"
    assert second.controls.summary.text() == "2 objects: 1 box, 1 mask"
    assert second.controls.painted.text().startswith("By hand: 2 masks on 2 frames")
    labels = hands.run(second)
    assert (labels[5:7, 44:60, 2:22] == 7).all()
    n = len(session.history)
    for _ in range(n):
        hands.undo(second)
    assert session.history == () and hands.labels(second) is None


@pytest.mark.slow
def test_marks_made_without_a_dock_are_those_of_the_session(open_widget, movie, hands):
    first = open_widget(movie)
    hands.mark(first, 1)
    hands.settle(first)
    viewer, shapes = first.viewer, first.prompts.shapes
    close(first)
    shapes.selected_data = {0}
    shapes.remove_selected()
    second = open_widget(None, viewer=viewer)
    hands.settle(second)
    assert second.session is sessions_of(viewer).shown
    shown, kept = second.prompts.prompts(second.source), second.session.prompts
    assert list(shown) == list(kept)


@pytest.mark.slow
def test_two_docks_on_one_viewer_show_the_same(open_widget, movie, hands):
    one = open_widget(movie)
    two = open_widget(None, viewer=one.viewer)
    assert one.session is two.session
    hands.mark(one, 1)
    hands.settle(one)
    assert two.controls.summary.text() == one.controls.summary.text() == "1 object: 1 box"
    hands.run(one)
    hands.settle(two)
    layer = hands.labels(one)
    assert hands.labels(two) is layer
    assert [tagged.name for tagged in one.viewer.layers].count("MoSAM labels") == 1
    np.testing.assert_array_equal(hands.shown(two), hands.stored(one))
    hands.paint(one, 5, SQUARE, 1)
    hands.settle(two)
    assert (hands.stored(one)[5][SQUARE] == 1).all()
    labels = hands.run(two)
    assert (labels[5][SQUARE] == 1).all()
    hands.undo(two)
    hands.settle(one)
    close(one)
    hands.settle(two)
    hands.paint(two, 6, SQUARE, 1)
    assert (hands.stored(two)[6][SQUARE] == 1).all()


def test_deleting_the_labels_layer_deletes_no_result(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    labels = hands.run(widget)
    hands.paint(widget, 5, SQUARE, 1)
    painted, place = hands.stored(widget), widget.session.path
    layer = hands.labels(widget)
    widget.viewer.layers.remove(layer)
    hands.settle(widget)
    np.testing.assert_array_equal(hands.stored(widget), painted)
    assert widget.session.path == place and labels.any()
    hands.undo(widget)
    assert not (hands.shown(widget)[5][SQUARE] == 1).any(), "whatever changes the result shows it"
    hands.redo(widget)
    widget.viewer.layers.remove(hands.labels(widget))
    widget.viewer.layers.append(layer)
    hands.settle(widget)
    layer.data[6, 44:60, 2:22] = 1
    hands.settle(widget)
    np.testing.assert_array_equal(np.asarray(layer.data[...]), hands.stored(widget))
    assert (hands.stored(widget)[5:7, 44:60, 2:22] == 1).all()


def test_labels_whose_movie_was_removed_are_not_painted_in_vain(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.run(widget)
    labels, image = hands.labels(widget), widget.source.image
    widget.viewer.layers.remove(image)
    hands.settle(widget)
    assert not labels.editable
    labels.mode = "paint"
    assert labels.mode != "paint"
    kept = "Its result is kept, see Recent. The labels that are left here cannot be painted."
    assert kept in widget.controls.status.text()
    widget.viewer.add_layer(image)
    hands.settle(widget)
    assert labels.editable and hands.labels(widget) is labels
    hands.paint(widget, 5, SQUARE, 1)
    assert (hands.stored(widget)[5][SQUARE] == 1).all()


def test_marks_that_cannot_be_kept_are_said_and_tried_again(open_widget, movie, hands, tmp_path):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.run(widget)
    place = widget.session.path
    place.rename(tmp_path / "away")
    hands.mark(widget, 2)
    hands.settle(widget)
    assert "could not be kept with the result" in widget.controls.status.text()
    (tmp_path / "away").rename(place)
    hands.mark(widget, 3)
    hands.settle(widget)
    assert set(widget.session.prompts.object_ids) == {1, 2, 3}


@pytest.mark.slow
def test_a_deleted_layer_of_labels_loses_no_stroke(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.run(widget)
    layer = hands.labels(widget)
    layer.data[6, 44:60, 2:22] = 1
    widget.viewer.layers.remove(layer)
    hands.settle(widget)
    assert (hands.stored(widget)[6][SQUARE] == 1).all() and len(hands.stored(widget)) == N


PROGRAM = """
import time
import napari, numpy as np
from qtpy.QtWidgets import QApplication
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.engine import Engine

class Quick(Engine):
    def warm_up(self):
        pass

viewer = napari.Viewer(show=True)
viewer.add_image(np.zeros((3, 32, 32), np.uint8))
widget = MosamWidget(viewer, Quick())
viewer.window.add_dock_widget(widget, name="MoSAM")
while widget.controls.device.count() < 2:
    QApplication.processEvents()
    time.sleep(0.01)
for _ in range(50):
    QApplication.processEvents()
    time.sleep(0.01)
{end}
print("ended")
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["viewer.close()", ""])
def test_a_program_ends_well_with_the_dock_open(end):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(end=end)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr


SOON = """
import napari, numpy as np
from qtpy.QtCore import QTimer

viewer = napari.Viewer()
viewer.add_image(np.zeros((3, 32, 32), np.uint8))
viewer.window.add_plugin_dock_widget("napari-mosam")
QTimer.singleShot({ms}, viewer.close)
napari.run()
print("ended")
"""


@pytest.mark.slow
@pytest.mark.parametrize("ms", [1, 50, 300, 1500])
def test_napari_may_be_closed_while_the_dock_still_gets_ready(ms):
    done = subprocess.run([sys.executable, "-c", SOON.format(ms=ms)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr
