"""Controls and settings, and import time."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from magicgui.widgets import Container
from tests.widgets.conftest import QUICK

from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig, MemoryConfig, MotionConfig, WindowConfig
from napari_mosam.core.config.fields import settings_of
from napari_mosam.core.config.run import ComputeConfig, MovieConfig, RunConfig
from napari_mosam.widgets.controls.advanced import EnginePanel, PairBox
from napari_mosam.widgets.controls.builders import choose
from napari_mosam.widgets.controls.controls import Controls


@pytest.mark.parametrize(
    "settings",
    [
        RunConfig(),
        RunConfig(
            model="tiny",
            device="cpu",
            frames=(2, 7),
            direction="backward",
            diameter=21.5,
            movie=MovieConfig(limits=(-1.5, 4095.0)),
            engine=EngineConfig.plain(),
        ),
        RunConfig(engine=EngineConfig(window=WindowConfig(ratio=4), motion=MotionConfig(flow=False))),
        RunConfig(engine=EngineConfig(memory=MemoryConfig(n_frames=3), compete=False), direction="forward"),
        RunConfig(diameter=21.5678, movie=MovieConfig(limits="exact")),
        RunConfig(model="mine.pt", checkpoint_config="mine.yaml", model_folder="here", compute=ComputeConfig(3, 2)),
        RunConfig(movie=MovieConfig("TCYX", 1, "max", (0.1, 1e9))),
        RunConfig(movie=MovieConfig(ram="2512MB")),
    ],
)
def test_settings_to_controls_and_back(controls, settings):
    controls.settings = settings
    assert controls.settings == settings
    controls.settings = RunConfig()
    assert controls.settings == RunConfig()


def test_a_control_changes_its_own_setting_and_no_other(controls):
    given = RunConfig(
        model="mine.pt",
        checkpoint_config="mine.yaml",
        model_folder="here",
        frames=(2, 5),
        diameter=21.5678,
        movie=MovieConfig("TCYX", 1, "max", "exact"),
        compute=ComputeConfig(chunk=3),
    )
    controls.settings = given
    controls.direction.setCurrentIndex(controls.direction.findData("backward"))
    given = replace(given, direction="backward")
    assert controls.settings == given
    controls.diameter.setValue(30)
    given = replace(given, diameter=30.0)
    assert controls.settings == given
    assert controls.low.placeholderText() == "exact"
    controls.low.setText("10")
    controls.high.setText("20.5")
    given = replace(given, movie=MovieConfig("TCYX", 1, "max", (10.0, 20.5)))
    assert controls.settings == given
    controls.last.setValue(9)
    given = replace(given, frames=(2, 10))
    assert controls.settings == given
    choose(controls.model, "nano")
    assert controls.settings == replace(given, model="nano", checkpoint_config=None)


def test_frames_that_the_movie_shown_does_not_have_are_not_taken(controls):
    with pytest.raises(ValueError, match="frames 2:12 are not possible; the movie has frames 0:10"):
        controls.settings = RunConfig(frames=(2, 12), model="tiny")
    assert controls.settings == RunConfig()
    controls.settings = RunConfig(frames=(2, None))
    assert controls.settings.frames == (2, 10)


@pytest.mark.slow
def test_a_model_of_ones_own_stays_in_the_menu_when_the_models_are_known(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    given = replace(QUICK, model="mine.pt", checkpoint_config="mine.yaml", compute=ComputeConfig(chunk=2))
    widget.controls.settings = given
    widget.model_download.set_choices(engine.models())
    engine.model.name = "mine.pt"
    hands.mark(widget, 1)
    hands.run(widget)
    assert widget.session.settings == given and widget.session.result.attrs["model"] == "mine.pt"


@pytest.fixture
def controls(qtbot):
    controls = Controls()
    qtbot.addWidget(controls)
    controls.set_n_frames(10)
    return controls


def test_every_control_has_a_tooltip_and_the_dock_is_narrow(qtbot):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox

    controls = Controls()
    qtbot.addWidget(controls)
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox)
    inputs = [child for value in vars(controls).values() for child in [value] if isinstance(child, kinds)]
    assert len(inputs) > 20
    assert [child for child in inputs if not child.toolTip()] == []
    assert controls.minimumSizeHint().width() <= 320


# --- the panel of engine settings ------------------------------------------------------------------------------------

LABELLED = [setting for setting in settings_of(EngineConfig) if setting.meta.label]


@pytest.fixture
def panel(qtbot):
    panel = EnginePanel()
    qtbot.addWidget(panel.container.native)
    return panel


def test_the_panel_has_a_control_with_a_tooltip_for_every_labelled_setting(panel):
    assert list(panel.controls) == [setting.path for setting in LABELLED]
    shown = {id(w) for group in panel.container if isinstance(group, Container) for w in group}
    assert {id(control) for control in panel.controls.values()} == shown
    for setting in LABELLED:
        assert setting.description in panel.controls[setting.path].tooltip
    assert panel.config == EngineConfig()


@pytest.mark.parametrize("setting", LABELLED, ids=lambda setting: setting.name)
def test_both_ends_of_every_control_are_possible_and_reach_the_configuration(panel, setting):
    control = panel.controls[setting.path]
    for end in ends(control):
        control.value = end
        found = panel.config
        for name in setting.path:
            found = getattr(found, name)
        assert found == end


def ends(control):
    if isinstance(control, PairBox):
        return list(zip(*(ends(box) for box in control), strict=True))
    if hasattr(control, "choices"):
        return list(control.choices)
    return [True, False] if isinstance(control.value, bool) else [control.min, control.max]


def test_what_a_control_cannot_show_is_kept_until_it_is_changed(panel):
    config = EngineConfig(
        window=WindowConfig(ratio=4.123456, ladder_max=3),
        memory=MemoryConfig(area_range=(0.123456, 1e6), max_conditioning=10**6),
    )
    panel.config = config
    assert panel.config == config
    panel.controls["window", "ratio"].value = 6
    assert panel.config == replace(config, window=WindowConfig(ratio=6, ladder_max=3))


def test_reset_gives_the_defaults(panel):
    panel.config = EngineConfig.plain()
    panel.controls["window", "mode"].value = "full"
    panel.reset.changed.emit(True)
    assert panel.config == EngineConfig()


def test_the_panel_reaches_the_run(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    assert not widget.controls.advanced.isExpanded() and not widget.controls.engine_box.isExpanded()
    hands.mark(widget, 1)
    widget.controls.engine.controls["window", "ratio"].value = 7.5
    widget.controls.engine.controls["life", "gate_area"].value = (0.5, 3)
    widget.controls.compete.setChecked(False)
    hands.run(widget)
    assert widget.session.settings.engine == EngineConfig(
        window=WindowConfig(ratio=7.5),
        life=LifecycleConfig(gate_area=(0.5, 3)),
        motion=MotionConfig.off(),
        compete=False,
    )


@pytest.mark.slow
def test_the_panel_fits_into_a_narrow_dock_of_the_viewer(open_widget, movie, qtbot):
    controls = open_widget(movie, show=True).controls
    controls.advanced.expand()
    controls.engine_box.expand()
    qtbot.wait(50)
    assert controls.minimumSizeHint().width() <= 330
    for control in controls.engine.controls.values():
        assert control.native.width() >= control.native.minimumSizeHint().width()


def test_following_motion_and_its_cues_say_the_same(qtbot):
    controls = Controls()
    qtbot.addWidget(controls)
    cues = [controls.engine.controls["motion", name] for name in ("drift", "flow", "keypoints", "kalman")]
    controls.motion.setChecked(False)
    assert [cue.value for cue in cues] == [False] * 4
    assert controls.settings.engine == EngineConfig(motion=MotionConfig.off())
    cues[1].value = True
    assert controls.motion.isChecked()
    assert controls.settings.engine.motion == replace(MotionConfig.off(), flow=True)
    controls.engine.reset.changed.emit(True)
    assert controls.motion.isChecked() and controls.settings.engine == EngineConfig()


def test_automatic_grey_limits_are_shown_and_what_took_no_part(open_widget, movie, hands):
    movie[3] = 65_535
    widget = open_widget(movie)
    assert widget.controls.low.placeholderText() == widget.controls.high.placeholderText() == "automatic"
    widget.viewer.dims.set_point(0, 0)
    hands.mark(widget, 1)
    widget.controls.preview.click()
    hands.finish(widget)
    limits = widget.session.movie.grey_limits
    shown = (widget.controls.low.placeholderText(), widget.controls.high.placeholderText())
    assert shown == (f"{limits.low:.6g}", f"{limits.high:.6g}") and limits.high < 2000
    note = widget.controls.limits_note
    said = f"Seen from {shown[0]} to {shown[1]} (change). Frame 3 took no part (unlike all others)"
    assert plain(note.text()) == said
    widget.viewer.add_image(movie[:5], name="another")
    widget.controls.image.setCurrentText("another")
    assert widget.controls.low.placeholderText() == "automatic"
    assert plain(note.text()) == "Grey limits: automatic, known with the first outline (change)"


def test_grey_limits_are_known_after_a_search_and_where_a_result_is_shown_again(open_widget, movie, hands):
    widget = open_widget(movie)
    note = widget.controls.limits_note
    widget.controls.finding.find.click()
    hands.finish(widget)
    said = f"Seen from {widget.session.movie.limits[0]:.6g} to {widget.session.movie.limits[1]:.6g} (change)"
    assert plain(note.text()) == said
    widget.controls.finding.accept.click()
    hands.settle(widget)
    assert plain(note.text()) == said
    hands.run(widget)
    widget.viewer.add_image(movie[:5], name="another")
    for name in ("another", "movie"):
        widget.controls.image.setCurrentText(name)
        hands.settle(widget)
    assert plain(note.text()) == said


def plain(text):
    """A text without its links."""
    return re.sub(r"<[^>]*>", "", text)


def test_a_click_on_the_grey_limits_leads_to_where_they_are_typed(open_widget, movie, qtbot):
    controls = open_widget(movie, show=True).controls
    assert controls.low.visibleRegion().isEmpty()
    controls.limits_note.linkActivated.emit("limits")
    qtbot.waitUntil(lambda: not controls.low.visibleRegion().isEmpty())
    assert controls.window().focusWidget() is controls.low
    controls.low.setText("120")
    assert "not possible" in controls.limits_note.text()
    controls.high.setText("3400")
    assert plain(controls.limits_note.text()) == "Seen from 120 to 3400, as typed (change)"
    controls.low.clear()
    controls.high.clear()
    assert "automatic" in controls.limits_note.text()


@pytest.mark.slow
def test_memory_that_a_run_may_take_is_kept_to(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.controls.ram.setValue(4)
    assert widget.controls.settings.movie.ram == "4GB"
    hands.run(widget)
    assert widget.session.movie.bounded and widget.session.result.complete
    widget.controls.ram.setValue(0.1)
    hands.run(widget)
    assert "0.1 GB of memory are given" in widget.controls.status.text()
    widget.controls.ram.setValue(0)
    assert widget.controls.settings.movie.ram is None


def test_impossible_grey_limits_are_refused(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    for low, high in (("9", "3"), ("5", ""), ("a", "b"), ("0", "inf"), ("7", "7")):
        widget.controls.low.setText(low)
        widget.controls.high.setText(high)
        widget.controls.propagate.click()
        assert widget.controls.status.text() == (
            f"Grey limits '{low}' to '{high}' are not possible; give two numbers, a dark and a brighter value, or "
            "leave both empty"
        )
        assert widget.run is None


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


@pytest.mark.slow
def test_frames_that_end_before_they_begin_are_refused(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.controls.first.setValue(5)
    widget.controls.last.setValue(2)
    for button in (widget.controls.propagate, widget.controls.preview):
        widget.controls.say("")
        button.click()
        assert widget.controls.status.text() == (
            "Frames 5 to 2 are empty; choose a last frame that is not before the first"
        )


def test_import_loads_no_torch():
    names = "[m for m in ('torch', 'sam2') if m in sys.modules]"
    code = f"import sys, napari_mosam.widgets as w; w.MosamWidget; print({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
