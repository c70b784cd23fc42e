"""Nothing long is done in one go: layers come one per turn of the event loop, imports beside a live window."""

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, QTimer

from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.controls import advanced
from napari_mosam.widgets.controls.run_bar import RunBar
from napari_mosam.widgets.picture.beside import SWITCH_S, NoCollections, ShortTurns
from napari_mosam.widgets.sessions.threads import TURN_S, GuiThread


@pytest.fixture
def turns(qtbot):
    """Counts the turns of the event loop in which timers fire, as those of a viewer that is alive do."""
    count = [0]
    timer = QTimer()
    timer.timeout.connect(lambda: count.__setitem__(0, count[0] + 1))
    timer.start(1)
    yield lambda: count[0]
    timer.stop()


def test_every_call_for_later_has_a_turn_of_its_own(qtbot, turns):
    gui, done = GuiThread(), []
    for name in "abc":
        gui.later(lambda name=name: (time.sleep(0.005), done.append((name, turns()))))
    assert not done and gui.waits
    qtbot.waitUntil(lambda: not gui.waits)
    names, at = zip(*done, strict=True)
    assert names == ("a", "b", "c") and len(set(at)) == 3


def test_what_comes_from_a_thread_is_spread_over_turns_where_it_takes_long(qtbot, turns):
    gui, long, short = GuiThread(), [], []

    def post():
        for _ in range(3):
            gui.post(lambda: (time.sleep(2 * TURN_S), long.append(turns())))
        for _ in range(5):
            gui.post(lambda: short.append(turns()))

    thread = threading.Thread(target=post)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: len(short) == 5)
    assert len(set(long)) == 3 and len(set(short)) < 5


def test_a_closed_one_does_nothing_that_waits(qtbot):
    gui, done = GuiThread(), []
    gui.later(lambda: done.append(1))
    gui.close()
    qtbot.wait(20)
    assert not done and not gui.waits


def added_in(viewer, turns):
    """The turns in which layers are added from now on."""
    found = []
    viewer.layers.events.inserted.connect(lambda event: found.append((turns(), event.value.name)))
    return found


def test_opening_a_result_adds_one_layer_per_turn(after_a_run, open_widget, hands, make_napari_viewer, turns, tmp_path):
    followed, labels = after_a_run(1, 2)
    hands.click(followed, 0, 44.0, 40.0)
    hands.settle(followed)
    before = np.asarray(labels.data[...])
    followed.session.save(tmp_path / "kept.zarr")
    followed.shut_down()
    viewer = make_napari_viewer()
    widget = open_widget(None, viewer=viewer)
    widget.viewer.add_image(followed.viewer.layers["movie"].data, name="movie")
    added = added_in(viewer, turns)
    widget.files.open(tmp_path / "kept.zarr")
    qt_ready(hands, widget)
    at, names = zip(*added, strict=True)
    assert sorted(names) == ["MoSAM boxes", "MoSAM labels", "MoSAM points"] and len(set(at)) == 3
    np.testing.assert_array_equal(hands.shown(widget), before)
    assert widget.prompts.counts()["click"] == 1 and all(layer.visible for layer in viewer.layers)


def qt_ready(hands, widget):
    hands.qtbot.waitUntil(lambda: "Opened" in hands.says(widget), timeout=20_000)
    hands.settle(widget)


def test_a_layer_is_added_in_one_turn_and_seen_in_the_next(open_widget, movie, truth, hands):
    widget = open_widget(movie)
    widget.viewer.add_labels(truth.astype(np.uint16), name="truth")
    widget.viewer.layers.selection.active = widget.viewer.layers["movie"]
    widget.viewer.dims.set_point(0, 0)
    widget.controls.seed.click()
    points = widget.prompts.points
    assert len(points.data) == 3 and not points.visible and not points.text.visible
    hands.settle(widget)
    assert points.visible and points.text.visible


def test_a_layer_of_the_plugin_leaves_the_choice_of_layers_alone(after_a_run, movie, hands):
    widget, labels = after_a_run(1)
    told = []
    widget.viewer.layers.selection.events.active.connect(lambda event: told.append(event.value))
    chosen = widget.viewer.layers.selection.active
    widget.controls.show_confidence.setChecked(True)
    hands.settle(widget)
    assert hands.layer(widget, "confidence") is not None
    assert not told and widget.viewer.layers.selection.active is chosen and chosen is not labels


def test_a_new_dock_makes_no_engine_controls_until_they_are_unfolded(open_widget, movie, monkeypatch, qtbot):
    made = []
    make = advanced.make_control
    monkeypatch.setattr(advanced, "make_control", lambda setting: (made.append(setting), make(setting))[1])
    widget = open_widget(movie, show=True)
    settings = widget.controls.settings
    assert not made and not widget.controls.engine.is_made
    widget.controls.advanced.expand()
    assert not made
    widget.controls.engine_box.expand()
    panel = widget.controls.engine
    qtbot.waitUntil(lambda: panel.height() >= panel.sizeHint().height() > 200)  # all of it is seen
    assert len(made) > 20 and widget.controls.settings == settings


def test_a_new_dock_is_there_before_anything_is_imported_for_runs(make_napari_viewer, engine, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(type(engine), "warm_up", lambda self: asked.append(threading.current_thread().name))
    viewer = make_napari_viewer()
    widget = MosamWidget(viewer, engine)
    viewer.window.add_dock_widget(widget, name="MoSAM")
    assert not asked and not any(thread.name == "first use" for thread in threading.enumerate())
    qtbot.waitUntil(lambda: widget.controls.device.count() > 1 and widget.first_use.ready, timeout=60_000)
    assert asked and asked[0] != threading.main_thread().name
    widget.shut_down()


class Paints(QObject):
    """Counts how often a widget is drawn."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def eventFilter(self, _, event):
        self.n += event.type() == QEvent.Type.Paint
        return False


def test_progress_is_drawn_with_the_next_picture_and_not_before(qtbot):
    bar, paints = RunBar(), Paints()
    qtbot.addWidget(bar)
    bar.set_busy(True)
    bar.show()
    qtbot.waitExposed(bar)
    bar.bar.installEventFilter(paints)
    qtbot.wait(20)
    before = paints.n
    for done in range(1, 6):
        bar.show_progress(done, 5, "")
    assert paints.n == before
    qtbot.waitUntil(lambda: paints.n > before)


# ---- imports


@pytest.fixture
def thawed():
    """Nothing that somebody else has frozen."""
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.freeze()


def test_garbage_is_collected_again_after_the_last_import(thawed):
    calm = NoCollections()
    with calm:
        with calm:
            assert not gc.isenabled()
        assert not gc.isenabled() and not gc.get_freeze_count()
    assert gc.isenabled() and gc.get_freeze_count()
    calm.thaw()
    assert not gc.get_freeze_count()


def test_what_the_user_takes_away_can_be_collected(open_widget, movie, thawed, hands):
    widget = open_widget(movie)
    hands.qtbot.waitUntil(lambda: gc.isenabled() and gc.get_freeze_count() > 0, timeout=60_000)
    hands.mark(widget, 1)
    hands.settle(widget)
    widget.viewer.layers.remove(widget.prompts.shapes)
    assert gc.get_freeze_count(), "a layer of the plugin is none of the user's"
    widget.viewer.layers.remove(widget.viewer.layers["movie"])
    assert not gc.get_freeze_count()


def test_threads_take_short_turns_while_a_dock_is_open():
    before = sys.getswitchinterval()
    one, other = ShortTurns(), ShortTurns()
    assert sys.getswitchinterval() == pytest.approx(min(SWITCH_S, before))
    one.close()
    other.close()
    assert sys.getswitchinterval() == pytest.approx(before)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_library_of_torch_is_loaded_before_torch_is():
    code = """
import sys
from napari_mosam.widgets.picture.beside import load_torch_library
load_torch_library()
assert "torch" not in sys.modules
assert "libtorch_python" in open("/proc/self/maps").read()
import torch
assert torch.ones(2).sum() == 2
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
