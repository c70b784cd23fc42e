"""Controls and settings, import time, and the session folder."""

import os
import subprocess
import sys
import time

import pytest

from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig, WindowConfig
from napari_mosam.widgets.controls.controls import Controls
from napari_mosam.widgets.controls.settings import RunSettings
from napari_mosam.widgets.layers.scratch_store import ScratchStore, remove_stale


@pytest.mark.parametrize(
    "settings",
    [
        RunSettings(),
        RunSettings("tiny", "cpu", 21.5, (2, 7), "backward", EngineConfig.plain(), (-1.5, 4095.0)),
        RunSettings(config=EngineConfig(window=WindowConfig(ratio=4), motion=MotionConfig(flow=False))),
        RunSettings(config=EngineConfig(memory=MemoryConfig(n_frames=3), compete=False), direction="forward"),
    ],
)
def test_settings_to_controls_and_back(qtbot, settings):
    controls = Controls()
    qtbot.addWidget(controls)
    controls.set_n_frames(10)
    controls.settings = settings
    assert controls.settings == settings


def test_every_control_has_a_tooltip_and_the_dock_is_narrow(qtbot):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox

    controls = Controls()
    qtbot.addWidget(controls)
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox)
    inputs = [child for value in vars(controls).values() for child in [value] if isinstance(child, kinds)]
    assert len(inputs) > 20
    assert [child for child in inputs if not child.toolTip()] == []
    assert controls.minimumSizeHint().width() <= 320


def test_automatic_grey_limits_are_shown_and_what_took_no_part(open_widget, movie, hands):
    widget = open_widget(movie)
    assert widget.controls.low.placeholderText() == widget.controls.high.placeholderText() == "automatic"
    widget.viewer.dims.set_point(0, 0)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.preview.click()
    hands.finish(widget)
    assert (widget.controls.low.placeholderText(), widget.controls.high.placeholderText()) == ("120", "3500")
    assert widget.controls.limits_note.text() == "Grey limits: frame 3 took no part (unlike all others)"
    widget.viewer.add_image(movie[:5], name="another")
    widget.controls.image.setCurrentText("another")
    assert (widget.controls.low.placeholderText(), widget.controls.limits_note.text()) == ("automatic", "")


@pytest.mark.parametrize(("low", "high", "said"), [("9", "3", "9 to 3"), ("5", "", "two numbers"), ("a", "b", "'a'")])
def test_impossible_grey_limits_are_refused(open_widget, movie, hands, low, high, said):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.low.setText(low)
    widget.controls.high.setText(high)
    widget.controls.propagate.click()
    assert said in widget.controls.status.text() and widget.run is None


def test_without_an_image_the_widget_says_what_to_do(open_widget):
    widget = open_widget(None)
    assert "Open a time-lapse" in widget.controls.status.text()
    for button in (
        widget.controls.new_object,
        widget.controls.plus,
        widget.controls.preview,
        widget.controls.propagate,
    ):
        button.click()
        assert "there is no image" in widget.controls.status.text().lower()


def test_frames_that_end_before_they_begin_are_refused(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.first.setValue(5)
    widget.controls.last.setValue(2)
    widget.controls.propagate.click()
    assert "choose a last frame" in widget.controls.status.text()


def test_import_loads_no_torch():
    names = "[m for m in ('torch', 'sam2') if m in sys.modules]"
    code = f"import sys, napari_mosam.widgets as w; w.MosamWidget; print({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_old_sessions_of_ended_processes_are_removed(tmp_path):
    old = time.time() - 10 * 86400
    for name in (f"{os.getpid()}-mine", "999999999-ended", "999999998-new"):
        (tmp_path / name).mkdir()
        if "new" not in name:
            os.utime(tmp_path / name, (old, old))
    assert [folder.name for folder in remove_stale(tmp_path)] == ["999999999-ended"]


def test_a_cache_that_cannot_be_written_falls_back_to_the_temporary_folder(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    array = ScratchStore(blocked).new_array("labels", (2, 8, 8), "uint16")
    assert array.shape == (2, 8, 8) and array.chunks == (1, 8, 8)
