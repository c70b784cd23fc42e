"""What the widget says is so: at the end of a run, of a preview, after a stop, over another movie."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.core.review.test_queue import table
from tests.support.fake_model import disks

from napari_mosam.widgets.doubts import Doubts, preview_sentence

LOST, ENDED, MARKED, ACCEPTED = ({name: True} for name in ("missing", "ended", "prompted", "fixed"))


NOTHING_NEW = "There is nothing new to follow. Mark or correct something, then press Track."
AWAY = "except where you said, or locked, that it is not there"


def doubts_of(*frames):
    """Frames are dicts: object id -> what a result says of it that is not as if it was found."""
    ids = sorted({object_id for frame in frames for object_id in frame})
    cells = [[frame.get(i) for i in ids] for frame in frames]
    expected = [[np.nan if cell is None else cell.get("expected_iou", 0.9) for cell in row] for row in cells]
    kinds = {name: [] for name in ("missing", "ended", "prompted", "fixed")}
    for t, row in enumerate(cells):
        for at, cell in enumerate(row):
            for name in kinds.keys() & (cell or {}).keys():
                kinds[name].append((t, at))
    return Doubts.of(replace(table(expected, **kinds), object_ids=tuple(ids)))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([{1: {}}, {1: {}}], "Every object was found on every frame."),
        ([{1: {}}, {1: {}, 2: {}}], "Every object was found on every frame that it was followed through."),
        ([{3: {}}, {3: {"expected_iou": 0.41}}], "Unsure: object 3 on frame 1 (.41)."),
        (
            [{3: {"expected_iou": 0.65}, 4: {}}, {3: {"expected_iou": 0.6}, 4: {"expected_iou": 0.2}}],
            "Unsure: object 4 on frame 1 (.20), 3 on frames 0 to 1 (.60).",
        ),
        ([{1: LOST}, {1: {}}, {1: LOST}, {1: LOST}], "Not found on some frames: object 1 on 3 frames from 0 to 3."),
        ([{1: {}}, {1: LOST}, {1: LOST}], "Not found on some frames: object 1 on frames 1 to 2."),
        ([{1: {}}, {1: LOST | ACCEPTED}, {1: ENDED | ACCEPTED}], f"Every object was found on every frame, {AWAY}."),
        (
            [{1: LOST | ACCEPTED}, {1: {}, 2: {}}],
            f"Every object was found on every frame that it was followed through, {AWAY}.",
        ),
        ([{1: LOST | MARKED, 2: MARKED}, {1: {}, 2: {}}], "No mask where it is marked: object 1 on frame 0."),
        (
            [{1: LOST | MARKED}, {1: LOST}],
            "No mask where it is marked: object 1 on frame 0. Not found on some frames: object 1 on frame 1.",
        ),
        ([{1: LOST | MARKED | ACCEPTED}, {1: {}}], f"Every object was found on every frame, {AWAY}."),
        (
            [{1: {}, 2: LOST}, {1: ENDED, 2: {}}],
            "Not found on some frames: object 2 on frame 0. Left the picture: object 1 on frame 1.",
        ),
        (
            [{i: {"expected_iou": i / 10} for i in range(1, 7)}],
            "Unsure: object 1 on frame 0 (.10), 2 on frame 0 (.20), 3 on frame 0 (.30), 4 on frame 0 (.40) and 2 more.",
        ),
    ],
)
def test_what_a_run_is_not_sure_of_is_named_the_worst_first(frames, said):
    assert doubts_of(*frames).sentences() == said


def test_frames_on_which_nothing_was_followed_say_nothing_of_the_others():
    made = table([[np.nan, np.nan], [0.9, 0.9], [np.nan, np.nan]])
    assert Doubts.of(made).sentences() == "Every object was found on every frame."


def test_after_a_correction_the_other_objects_are_still_unsure(open_widget, hands):
    places = [[(20, 20), (44, 40) if t < 7 else None] for t in range(8)]
    widget = open_widget(disks(places, shape=(64, 64), radius=6)[0])
    row = widget.controls.doubts
    hands.mark(widget, 1, 2)
    hands.run(widget)
    assert not row.isHidden()
    hands.mark(widget, 1, frame=4)
    hands.run(widget)
    assert hands.says(widget).endswith("Not found on some frames: object 2 on frame 7.")
    assert not row.isHidden() and row.here.text() == "Look at what is unsure (1)"
    widget.jobs.absent(widget.source, 2, 7)
    hands.finish(widget)
    assert hands.says(widget).startswith(NOTHING_NEW) and row.isHidden()
    hands.mark(widget, 1, frame=2)
    hands.run(widget)
    assert f"Every object was found on every frame, {AWAY}." in hands.says(widget) and row.isHidden()


@pytest.mark.slow
def test_what_a_swap_and_a_split_change_is_not_called_painted(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1, 2)
    hands.run(widget)
    widget.viewer.dims.set_point(0, 4)
    widget.objects.swap(1, 2)
    widget.objects.split(1)
    hands.settle(widget)
    hands.mark(widget, 3)
    hands.run(widget)
    assert "What you did by hand on 1 frame was kept." in hands.says(widget) and "painted" not in hands.says(widget)


def test_the_summary_of_a_run_names_lost_and_unsure_objects(open_widget, hands, engine):
    places = [[(20, 20), (44, 40) if t < 6 else None] for t in range(8)]
    widget = open_widget(disks(places, shape=(64, 64), radius=6)[0])
    hands.mark(widget, 1, 2)
    hands.run(widget)
    assert hands.says(widget).endswith("Not found on some frames: object 2 on frames 6 to 7.")
    hands.paint(widget, 6, np.indices((64, 64))[0] > 58, 2)
    hands.paint(widget, 7, np.indices((64, 64))[0] > 58, 2)
    hands.run(widget)
    text = hands.says(widget)
    assert "What you did by hand on 2 frames was kept." in text and "Not found" not in text
    engine.model.present_iou = 0.41
    widget.session.prompts = list(widget.session.prompts)[:1]
    hands.settle(widget)
    widget.controls.direction.setCurrentIndex(1)
    hands.run(widget)
    assert "Unsure: object 1 on frames 1 to 7 (.4" in hands.says(widget)


@pytest.mark.slow
def test_a_run_that_has_nothing_to_do_says_so(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    first = hands.run(widget)
    np.testing.assert_array_equal(hands.run(widget), first)
    assert hands.says(widget) == NOTHING_NEW


def item(object_id, **said):
    scores = SimpleNamespace(predicted_iou=said.get("predicted_iou", 0.9))
    return SimpleNamespace(object_id=object_id, area=said.get("area", 36), predicted_iou=scores.predicted_iou)


def test_a_preview_says_what_it_outlined_and_what_it_doubts():
    objects = (item(1), item(2, predicted_iou=0.45), item(3, area=0, predicted_iou=0.1))
    result = SimpleNamespace(t=3, objects=objects)
    outlined = "Frame 3: 2 of 3 objects outlined. Not found: object 3. Unsure: object 2 (.45). "
    assert preview_sentence(result, range(2, 4)) == outlined + "If they look right, press Track."
    outside = "Track works on frames 4 to 6 only; widen that range to start here."
    assert preview_sentence(result, range(4, 7)) == outlined + outside
    result = SimpleNamespace(t=3, objects=objects[2:])
    clearer = (
        "Frame 3: 0 of 1 objects outlined. Not found: object 3. Mark them more clearly, with a box around each cell."
    )
    assert preview_sentence(result, range(2, 4)) == clearer


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (
            "labels",
            "Stopped, since the layer 'MoSAM labels' was removed. 3 frames done and kept; Continue goes on there.",
        ),
        pytest.param(
            "image",
            "Stopped, since the layer 'movie' was removed. 3 frames done and kept; Continue goes on there.",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "both",
            "Stopped, since the layer 'MoSAM labels' was removed. 3 frames done and kept; Continue goes on there.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_called_kept_is_there(open_widget, movie, hands, held, qtbot, gone, said):
    widget = open_widget(movie)
    image = widget.controls.image.layer
    hands.mark(widget, 1)
    hands.start(widget, held)
    session, layers, labels = widget.session, widget.viewer.layers, hands.labels(widget)
    for layer in {"labels": [labels], "image": [image], "both": [labels, image]}[gone]:
        layers.remove(layer)
    held.let_go()
    qtbot.waitUntil(lambda: not widget.jobs.busy, timeout=10_000)
    assert hands.says(widget) == said
    assert session.result.progress.frames == (0, 1, 2) and session.path.exists()


def test_another_movie_brings_its_hint_and_not_the_old_result(open_widget, movie, hands):
    widget = open_widget(movie)
    first = widget.controls.image.layer
    hands.mark(widget, 1)
    hands.run(widget)
    assert "Done" in widget.controls.status.text()
    hands.mark(widget, 2)
    assert "Done" in widget.controls.status.text(), "the result of this movie stays"
    widget.viewer.add_image(movie[:4], name="new")
    assert widget.controls.status.text() == "Press New object and drag a box around a cell."
    widget.controls.image.layer = first
    assert widget.controls.status.text() == "Mark more cells, preview, or press Track."


@pytest.mark.slow
def test_an_image_that_is_no_movie_gets_no_hint_to_mark_cells(open_widget):
    widget = open_widget(np.zeros((2, 2, 2, 2, 8, 8), np.uint8))
    assert widget.controls.status.text() == "Choose an image that can be read as a movie."


@pytest.mark.slow
def test_a_preview_whose_image_goes_says_so(open_widget, movie, hands, engine):
    go_on = threading.Event()
    engine.model.waits = lambda: go_on.wait(10)
    widget = open_widget(movie)
    widget.viewer.dims.set_point(0, 0)
    hands.mark(widget, 1)
    widget.controls.preview.click()
    widget.propagate()
    assert hands.says(widget).startswith("A preview is going")
    widget.viewer.layers.remove(widget.controls.image.layer)
    go_on.set()
    hands.qtbot.waitUntil(lambda: not widget.jobs.busy, timeout=10_000)
    assert hands.says(widget) == "No preview, since the layer 'movie' was removed."


@pytest.mark.slow
def test_outlines_are_not_called_boxes(open_widget, movie):
    widget = open_widget(movie)
    widget.controls.box.click()
    corners = np.array([(1, 10, 10), (1, 10, 30), (1, 20, 30)], float)
    widget.prompts.shapes.add(corners, shape_type="polygon")
    assert widget.controls.summary.text() == "1 object: 1 outline"
