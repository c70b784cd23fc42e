"""Previews, confidence and motion, and what is refused before a layer is made."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.motion.flow import FrameFlow
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.widgets.layers.outputs import FlowOutput


def test_confidence_and_motion_layers(open_widget, movie, hands):
    widget = open_widget(movie, scale=(1, 0.5, 0.5))
    widget.controls.settings = RunConfig(engine=EngineConfig(motion=replace(MotionConfig.off(), flow=True)))
    widget.controls.show_confidence.setChecked(True)
    widget.controls.show_flow.setChecked(True)
    widget.viewer.dims.set_point(0, 4)
    hands.mark(widget, 1)
    labels = hands.run(widget)
    confidence = hands.layer(widget, "confidence")
    stored = np.asarray(widget.session.result.confidence[:])
    shown = np.asarray(confidence.data[...])
    drawn = shown > 0
    assert drawn[4][labels[4] == 1].mean() > 0.2 and not drawn[labels == 0].any()
    np.testing.assert_allclose((shown[drawn] - 1) / 253, stored[drawn] / 255, atol=0.01)
    assert stored[4][labels[4] == 1].min() > 127 and stored.dtype == confidence.data.dtype == np.uint8
    assert widget.viewer.layers.index(confidence) > widget.viewer.layers.index(hands.labels(widget))
    assert widget.controls.switches.bar.isVisibleTo(widget.controls)
    np.testing.assert_allclose(confidence.scale, (1, 0.5, 0.5))
    vectors = hands.layer(widget, "flow").data
    assert len(vectors) and set(vectors[:, 0, 0]) == {4}
    widget.controls.show_confidence.setChecked(False)
    assert hands.layer(widget, "confidence") is None
    widget.controls.show_confidence.setChecked(True)
    np.testing.assert_array_equal(hands.layer(widget, "confidence").data[...], shown)
    hands.undo(widget)
    assert hands.layer(widget, "confidence") is None and hands.labels(widget) is None


@pytest.mark.parametrize("shown", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_motion_is_made_in_the_thread_of_the_run_where_it_is_shown(open_widget, movie, hands, monkeypatch, shown):
    made, full = [], FrameFlow.full
    monkeypatch.setattr(
        FrameFlow, "full", lambda flow: made.append(threading.current_thread() is threading.main_thread()) or full(flow)
    )
    widget = open_widget(movie)
    widget.controls.settings = RunConfig(engine=EngineConfig(motion=replace(MotionConfig.off(), flow=True)))
    widget.controls.show_flow.setChecked(shown)
    hands.mark(widget, 1)
    hands.run(widget)
    assert made == [False] * (len(movie) - 1 if shown else 0)


def flow_of(t):
    """A frame that moves 2 px down and to the right."""
    nothing = np.zeros((64, 64))
    return FrameResult(t, "forward", nothing.astype(np.uint16), nothing, (), np.full((2, 64, 64), 2.0, np.float32))


def test_preview_outlines_the_frame_shown_and_goes_with_the_run(open_widget, movie, hands):
    widget = open_widget(movie)
    widget.viewer.dims.set_point(0, 3)
    hands.mark(widget, 1, frame=3)
    widget.controls.preview.click()
    hands.finish(widget)
    preview = hands.layer(widget, "preview")
    assert set(np.unique(preview.data[3])) == {0, 1} and not preview.data[2].any() and hands.labels(widget) is None
    hands.run(widget)
    assert not hands.layer(widget, "preview").data[3].any()


@pytest.mark.slow
def test_a_preview_is_told_the_marks_of_the_run_and_of_its_own_frame(open_widget, movie, hands):
    """Marks outside the range of the run have no part in it: they tell it no size."""
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.viewer.dims.set_point(0, 3)
    hands.click(widget, 3, 20, 23)
    widget.new_object()
    hands.mark(widget, 2, frame=5)
    widget.controls.preview.click()
    hands.finish(widget)
    assert widget.session.preview_request(3).prompts.frames == (0, 3, 5)
    assert hands.says(widget) == "Frame 3: 1 of 1 objects outlined. If they look right, press Track."
    widget.controls.first.setValue(3)
    widget.controls.preview.click()
    hands.finish(widget)
    assert widget.session.preview_request(3).prompts.frames == (3, 5) and "press Track" in hands.says(widget)


@pytest.mark.slow
def test_a_preview_outside_the_range_of_the_run_says_so(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.new_object()
    hands.mark(widget, 2, frame=7)
    widget.viewer.dims.set_point(0, 0)
    widget.controls.first.setValue(4)
    widget.controls.last.setValue(6)
    widget.controls.preview.click()
    hands.finish(widget)
    assert hands.layer(widget, "preview") is not None
    assert hands.says(widget) == (
        "Frame 0: 1 of 1 objects outlined. Track works on frames 4 to 6 only; widen that range to start here."
    )
    widget.controls.propagate.click()
    assert hands.says(widget).startswith("Objects 1, 2 have no prompt on frames 4 to 6; prompt them there")


@pytest.mark.slow
def test_a_preview_of_a_frame_without_prompts_is_refused(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1, frame=4)
    widget.viewer.dims.set_point(0, 2)
    widget.controls.preview.click()
    assert "prompted frames: 4" in widget.controls.status.text() and not widget.jobs.busy


@pytest.mark.slow
def test_motion_is_sent_to_the_screen_only_for_the_frame_shown(open_widget, movie):
    widget = open_widget(movie)
    widget.viewer.dims.set_point(0, 0)
    output = FlowOutput(widget.viewer, widget.source)
    sent = []
    output.layer.events.data.connect(lambda event: sent.append(1))
    output.layer.events.set_data.connect(lambda event: sent.append(1))
    output.write(flow_of(0))
    assert sent and set(output.layer.data[:, 0, 0]) == {0}
    sent.clear()
    output.write(flow_of(1))
    assert not sent
    widget.viewer.dims.set_point(0, 1)
    output.show()
    assert set(output.layer.data[:, 0, 0]) == {1}


@pytest.mark.slow
def test_a_range_without_the_prompts_is_refused_before_a_layer_is_made(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    widget.controls.first.setValue(4)
    widget.controls.propagate.click()
    assert "has no prompt on frames 4 to 7" in widget.controls.status.text()
    assert not widget.jobs.busy and hands.labels(widget) is None
