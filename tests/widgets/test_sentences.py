"""What the widget says is so: at the end of a run, of a preview, after a stop, over another movie."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.widgets.conftest import changed

from napari_mosam.core.results.frame import ObjectState
from napari_mosam.widgets.doubts import Doubts, preview_sentence


def doubts_of(make_result, *frames):
    """Frames are dicts: object id -> fields of its result."""
    doubts = Doubts()
    for t, said in enumerate(frames):
        for item in make_result(t, sorted(said)).objects:
            doubts.note(t, changed(item, said[item.object_id]))
        doubts.follow(t, said)
    return doubts


LOST = {"state": ObjectState.LOST, "area": 0, "predicted_iou": 0.1}
ENDED = {"state": ObjectState.ENDED, "area": 0, "predicted_iou": 0.0}


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([{1: {}}, {1: {}}], "Every object was found on every frame."),
        ([{1: {}}, {1: {}, 2: {}}], "Every object was found on every frame that it was followed through."),
        ([{3: {}}, {3: {"predicted_iou": 0.41}}], "Unsure: object 3 on frame 1 (.41)."),
        (
            [{3: {"predicted_iou": 0.65}, 4: {}}, {3: {"predicted_iou": 0.6}, 4: {"predicted_iou": 0.2}}],
            "Unsure: object 4 on frame 1 (.20), 3 on frames 0 to 1 (.60).",
        ),
        ([{1: LOST}, {1: {}}, {1: LOST}, {1: LOST}], "Not found on some frames: object 1 on 3 frames from 0 to 3."),
        ([{1: {}}, {1: LOST}, {1: LOST}], "Not found on some frames: object 1 on frames 1 to 2."),
        (
            [{1: {}, 2: LOST}, {1: ENDED, 2: {}}],
            "Not found on some frames: object 2 on frame 0. Left the picture: object 1 on frame 1.",
        ),
        (
            [{i: {"predicted_iou": i / 10} for i in range(1, 7)}],
            "Unsure: object 1 on frame 0 (.10), 2 on frame 0 (.20), 3 on frame 0 (.30), 4 on frame 0 (.40) and 2 more.",
        ),
    ],
)
def test_what_a_run_is_not_sure_of_is_named_the_worst_first(make_result, frames, said):
    assert doubts_of(make_result, *frames).sentences() == said


def test_a_better_mask_of_the_other_direction_takes_a_doubt_away(make_result):
    doubts = doubts_of(make_result, {1: {}}, {1: LOST}, {1: {"predicted_iou": 0.5}})
    for t in (1, 2):
        (item,) = make_result(t, [1]).objects
        doubts.note(t, item)
    assert doubts.sentences() == "Every object was found on every frame."


def test_the_summary_of_a_run_names_lost_and_unsure_objects(open_widget, movie, hands, engine):
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.box(widget, 0, 2, 14, 8, 20)
    engine.doubt = lambda i, t: {"predicted_iou": 0.41} if (i, t) == (2, 6) else LOST if i == 1 and t > 7 else {}
    hands.run(widget)
    text = widget.controls.status.text()
    assert "Not found on some frames: object 1 on frames 8 to 9. Unsure: object 2 on frame 6 (.41)." in text
    assert "Every object" not in text
    engine.doubt = lambda i, t: {}
    hands.run(widget)
    assert "Every object was found on every frame." in widget.controls.status.text()
    engine.doubt = lambda i, t: LOST if t == 5 else {}
    hands.labels(widget).data[5, 40:44, 40:44] = 1
    widget.prompts.object_id = 1
    widget.controls.only_current.setChecked(True)
    hands.run(widget)
    text = widget.controls.status.text()
    assert "What you painted or erased on 1 frame was kept." in text and "Not found" not in text
    assert "Every object was found on every frame that you did not paint on." in text


def test_a_preview_says_what_it_outlined_and_what_it_doubts(make_result):
    result = make_result(3, [1, 2, 3])
    said = ({}, {"predicted_iou": 0.45}, LOST)
    objects = tuple(changed(item, one) for item, one in zip(result.objects, said, strict=True))
    result = replace(result, objects=objects)
    outlined = "Frame 3: 2 of 3 objects outlined. Not found: object 3. Unsure: object 2 (.45). "
    assert preview_sentence(result, range(2, 4)) == outlined + "If they look right, press Propagate."
    outside = "Propagate works on frames 4 to 6 only; widen that range to start here."
    assert preview_sentence(result, range(4, 7)) == outlined + outside
    result = replace(result, objects=objects[2:])
    clearer = (
        "Frame 3: 0 of 1 objects outlined. Not found: object 3. Mark them more clearly, with a box around each cell."
    )
    assert preview_sentence(result, range(2, 4)) == clearer


@pytest.fixture
def held(engine):
    """Events: the run stands before frame 2; let it go on."""
    reached, go_on = threading.Event(), threading.Event()
    engine.before = lambda t: (reached.set(), go_on.wait(10)) if t == 2 else None
    yield reached, go_on
    go_on.set()


@pytest.mark.parametrize(
    "gone",
    [
        "labels",
        "image",
        "labels after the end",
        *(pytest.param(e, marks=pytest.mark.slow) for e in ("cancel", "error", "error without labels")),
    ],
)
def test_nothing_is_called_kept_that_is_gone(open_widget, movie, hands, engine, held, qtbot, gone):
    widget = open_widget(movie)
    image = widget.controls.image.layer
    hands.box(widget, 0, 2, 4, 8, 10)
    if gone.startswith("error"):
        wait = engine.before

        def fail(t):
            wait(t)
            if t == 2:
                raise ValueError("out of memory")

        engine.before = fail
    widget.controls.propagate.click()
    qtbot.waitUntil(lambda: held[0].is_set() and widget.run.done == 2)
    layers, labels = widget.viewer.layers, hands.labels(widget)
    if gone == "cancel" or gone == "labels after the end":
        widget.controls.propagate.click()
    if gone in ("labels", "image", "error without labels"):
        layers.remove(image if gone == "image" else labels)
    held[1].set()
    hands.finish(widget)
    if gone == "labels after the end":
        assert "2 frames done and kept" in widget.controls.status.text()
        layers.remove(labels)
    assert widget.controls.status.text() == {
        "labels": "Stopped: the layer 'MoSAM labels' was removed, and the result with it.",
        "image": "Stopped, since the layer 'movie' was removed. 2 frames done and kept.",
        "cancel": "Cancelled. 2 frames done and kept.",
        "labels after the end": "Mark more cells, preview, or press Propagate.",
        "error": "Out of memory. 2 frames were done and are kept.",
        "error without labels": "Out of memory",
    }[gone].replace("Out of memory.", "Out of memory")


@pytest.mark.slow
def test_a_run_cancelled_before_its_first_frame_changed_nothing(open_widget, movie, hands, engine):
    go_on = threading.Event()
    engine.before = lambda t: go_on.wait(10)
    widget = open_widget(movie)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.propagate.click()
    widget.controls.propagate.click()
    go_on.set()
    hands.finish(widget)
    assert widget.controls.status.text() == "Cancelled before the first frame was done; no label was changed."


def test_another_movie_brings_its_hint_and_not_the_old_result(open_widget, movie, hands):
    widget = open_widget(movie)
    first = widget.controls.image.layer
    hands.box(widget, 0, 2, 4, 8, 10)
    hands.run(widget)
    assert "Done" in widget.controls.status.text()
    hands.box(widget, 0, 22, 4, 28, 10)
    assert "Done" in widget.controls.status.text(), "the result of this movie stays"
    widget.viewer.add_image(movie[:4], name="new")
    assert widget.controls.status.text() == "Press New object and drag a box around a cell."
    widget.controls.image.layer = first
    assert widget.controls.status.text() == "Mark more cells, preview, or press Propagate."


@pytest.mark.slow
def test_an_image_that_is_no_movie_gets_no_hint_to_mark_cells(open_widget):
    widget = open_widget(np.zeros((2, 2, 2, 2, 8, 8), np.uint8))
    assert widget.controls.status.text() == "Choose an image that can be read as a movie."


@pytest.mark.slow
def test_a_preview_whose_image_goes_ends_with_a_hint(open_widget, movie, hands, engine, qtbot):
    go_on = threading.Event()
    preview = engine.preview
    engine.preview = lambda *given: go_on.wait(10) and preview(*given)
    widget = open_widget(movie)
    widget.viewer.dims.set_point(0, 0)
    hands.box(widget, 0, 2, 4, 8, 10)
    widget.controls.preview.click()
    widget.propagate()
    assert widget.controls.status.text().startswith("A preview is going")
    widget.viewer.layers.remove(widget.controls.image.layer)
    go_on.set()
    hands.finish(widget)
    assert widget.controls.status.text() == "Open a time-lapse, or File > Open Sample > MoSAM."


@pytest.mark.slow
def test_outlines_are_not_called_boxes(open_widget, movie):
    widget = open_widget(movie)
    widget.controls.box.click()
    corners = np.array([(1, 10, 10), (1, 10, 30), (1, 20, 30)], float)
    widget.prompts.shapes.add(corners, shape_type="polygon")
    assert widget.controls.summary.text() == "1 object: 1 outline"
