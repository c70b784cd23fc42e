"""Previews, confidence and motion, and what is refused before a layer is made."""

import numpy as np

from napari_mosam.widgets.engine import Engine
from napari_mosam.widgets.layers.outputs import FlowOutput


def test_confidence_and_motion_layers(open_widget, movie, hands):
    widget = open_widget(movie, scale=(1, 0.5, 0.5))
    widget.controls.show_confidence.setChecked(True)
    widget.controls.show_flow.setChecked(True)
    hands.box(widget, 0, 2, 4, 8, 10)
    labels = hands.run(widget)
    confidence = hands.layer(widget, "confidence")
    np.testing.assert_allclose(np.asarray(confidence.data[4]), (labels[4] > 0) * 0.9, atol=1e-3)
    np.testing.assert_allclose(confidence.scale, (1, 0.5, 0.5))
    widget.viewer.dims.set_point(0, 4)
    vectors = hands.layer(widget, "flow").data
    assert set(vectors[:, 0, 0]) == {4} and (vectors[:, 1, -2:] == 2).all()


def test_preview_outlines_the_frame_shown_and_goes_with_the_run(open_widget, movie, hands):
    widget = open_widget(movie)
    widget.viewer.dims.set_point(0, 3)
    hands.box(widget, 3, 2, 4, 8, 10)
    widget.controls.preview.click()
    hands.finish(widget)
    preview = hands.layer(widget, "preview")
    assert preview.data.shape == (1, 64, 64) and preview.translate[0] == 3 and hands.labels(widget) is None
    hands.run(widget)
    assert hands.layer(widget, "preview") is None


def test_preview_gets_the_prompts_of_every_frame(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.viewer.dims.set_point(0, 3)
    hands.click(widget, 3, 5, 6)
    hands.box(widget, 5, 22, 4, 28, 10)
    widget.controls.preview.click()
    hands.finish(widget)
    assert engine.prompts.frames == (0, 3, 5)
    assert "Frame 3: 1 of 1 objects" in widget.controls.status.text()


def test_a_preview_shows_what_the_run_would_start_with(open_widget, movie, hands, engine):
    """Marks outside the range of the run have no part in it: they tell it no size."""
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.viewer.dims.set_point(0, 3)
    hands.click(widget, 3, 5, 6)
    widget.controls.first.setValue(3)
    widget.controls.preview.click()
    hands.finish(widget)
    assert engine.prompts.frames == (3,) and "press Propagate" in widget.controls.status.text()
    hands.run(widget)
    assert engine.prompts.between(3, 10).frames == (3,)


def test_a_preview_outside_the_range_of_the_run_says_so(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.box(widget, 7, 22, 4, 28, 10)
    widget.viewer.dims.set_point(0, 0)
    widget.controls.first.setValue(4)
    widget.controls.last.setValue(6)
    widget.controls.preview.click()
    hands.finish(widget)
    assert engine.prompts.frames == (0,) and hands.layer(widget, "preview") is not None
    assert widget.controls.status.text() == (
        "Frame 0: 1 of 1 objects outlined. Propagate works on frames 4 to 6 only; widen that range to start here."
    )
    widget.controls.propagate.click()
    assert "Object 1 has no prompt on frames 4 to 6" in widget.controls.status.text()


def test_a_preview_of_a_frame_without_prompts_is_refused(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.box(widget, 4, 2, 4, 8, 10)
    widget.viewer.dims.set_point(0, 2)
    widget.controls.preview.click()
    assert "prompted frames: 4" in widget.controls.status.text() and not widget.runner.busy


def test_motion_is_sent_to_the_screen_only_for_the_frame_shown(open_widget, movie, hands, make_result):
    widget = open_widget(movie)
    widget.viewer.dims.set_point(0, 0)
    output = FlowOutput(widget.viewer, widget.source)
    sent = []
    output.layer.events.data.connect(lambda event: sent.append(1))
    output.layer.events.set_data.connect(lambda event: sent.append(1))
    output.write(make_result(0, [1]))
    assert sent and set(output.layer.data[:, 0, 0]) == {0}
    sent.clear()
    output.write(make_result(1, [1]))
    assert not sent
    widget.viewer.dims.set_point(0, 1)
    output.show()
    assert set(output.layer.data[:, 0, 0]) == {1}


def test_a_range_without_the_prompts_is_refused_before_a_layer_is_made(open_widget, movie, hands):
    widget = open_widget(movie, with_engine=Engine())
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.first.setValue(4)
    widget.controls.propagate.click()
    assert "has no prompt on frames 4 to 9" in widget.controls.status.text()
    assert not widget.runner.busy and hands.labels(widget) is None
