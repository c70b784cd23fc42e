"""Marking objects in a real viewer: mouse, ids, coordinates, labels, errors."""

import numpy as np
import pytest
from tests.widgets.mouse import drag, press

from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt


def test_a_real_click_adds_a_point_of_the_object_and_sign(open_widget, movie, qtbot):
    widget = open_widget(movie, show=True, scale=(1, 0.5, 0.5))
    widget.viewer.dims.set_point(0, 3)
    widget.controls.object_id.setValue(7)
    for tool, where in ((widget.controls.plus, (10.0, 12.0)), (widget.controls.minus, (20.0, 22.0))):
        tool.click()
        assert tool.isChecked()
        press(widget.viewer, qtbot, where)
    points = widget.prompts.points
    assert list(points.features["object_id"]) == [7, 7] and list(points.features["sign"]) == ["+", "-"]
    green, red = np.asarray(points.face_color)
    assert green[1] > green[0] and red[0] > red[1]
    plus, minus = widget.prompts.prompts(widget.source).items
    assert (plus.frame, plus.positive, minus.positive) == (3, True, False)
    np.testing.assert_allclose(plus.yx, (20, 24), atol=1)
    np.testing.assert_allclose(minus.yx, (40, 44), atol=1)


def test_a_real_drag_draws_the_box_of_a_new_object(open_widget, movie, qtbot):
    widget = open_widget(movie, show=True)
    widget.viewer.dims.set_point(0, 2)
    widget.controls.new_object.click()
    drag(widget.viewer, qtbot, (10, 20), (20, 30), (30, 40))
    (box,) = widget.prompts.prompts(widget.source).items
    assert (box.object_id, box.frame) == (1, 2)
    np.testing.assert_allclose(box.box, (10, 20, 30, 40), atol=1.5)


@pytest.mark.slow
def test_boxes_are_bounds_in_pixels_of_a_scaled_moved_and_turned_image(open_widget, movie, hands):
    widget = open_widget(movie, scale=(3, 0.25, 0.5), translate=(10, -7, 20), rotate=30)
    hands.box(widget, 4, 5, 6, 15, 26)
    hands.click(widget, 4, 10.25, 11.5)
    click, box = widget.prompts.prompts(widget.source).items
    assert (click.frame, box.frame) == (4, 4)
    np.testing.assert_allclose(click.yx, (10.25, 11.5), atol=1e-6)
    np.testing.assert_allclose(box.box, (5, 6, 15, 26), atol=1e-5)


@pytest.mark.slow
def test_prompt_layers_with_another_scale_are_converted_through_the_world(open_widget, movie, hands):
    widget = open_widget(movie, scale=(1, 0.5, 0.5))
    hands.click(widget, 2, 10, 12)
    widget.prompts.points.scale = (1, 1, 1)
    (click,) = widget.prompts.prompts(widget.source).items
    np.testing.assert_allclose(click.yx, (20, 24))


@pytest.mark.slow
def test_an_ellipse_is_a_box_and_a_polygon_is_a_mask(open_widget, movie, hands):
    widget = open_widget(movie)
    widget.controls.box.click()
    corners = np.array([(1, 10, 10), (1, 10, 30), (1, 20, 30), (1, 20, 10)], float)
    widget.prompts.shapes.add(corners, shape_type="ellipse")
    widget.prompts.shapes.add(corners + np.array([0, 20, 0]), shape_type="polygon")
    box, mask = widget.prompts.prompts(widget.source).items
    assert isinstance(box, BoxPrompt) and isinstance(mask, MaskPrompt)
    assert 180 < mask.to_frame((64, 64)).sum() < 240


def test_a_second_box_on_a_frame_is_another_object_on_another_frame_the_same(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.mark(widget, 1, frame=5)
    hands.mark(widget, 2, frame=5)
    assert list(widget.prompts.shapes.features["object_id"]) == [1, 1, 2]
    assert widget.controls.summary.text() == "2 objects: 3 boxes"
    assert widget.controls.object_id.value() == 2


def test_new_object_takes_an_id_above_prompts_and_labels(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.click(widget, 0, 5, 5)
    labels = np.zeros(movie.shape, np.uint16)
    labels[:, 30:40, 30:40] = 311
    widget.viewer.add_labels(labels)
    widget.new_object()
    assert widget.prompts.object_id == 312
    assert widget.viewer.layers.selection.active is widget.prompts.shapes
    assert widget.prompts.shapes.mode == "add_rectangle"


def test_labels_of_the_frame_shown_become_objects_even_above_255(open_widget, movie, hands, truth):
    widget = open_widget(movie, scale=(1, 0.5, 0.5))
    labels = np.zeros(movie.shape, np.uint16)
    labels[2, 5:10, 5:10], labels[2, 38:50, 34:46], labels[3] = 3, 1000, 9
    widget.viewer.add_labels(labels, scale=(1, 0.5, 0.5), name="painted")
    widget.viewer.dims.set_point(0, 2)
    widget.controls.seed.click()
    masks = widget.prompts.prompts(widget.source).items
    assert [(m.object_id, m.frame) for m in masks] == [(3, 2), (1000, 2)]
    np.testing.assert_array_equal(masks[1].to_frame((64, 64)), labels[2] == 1000)
    hands.run(widget)
    assert ((hands.shown(widget)[5] == 1000) & (truth[5] == 2)).sum() > 0.8 * (truth[5] == 2).sum()


@pytest.mark.slow
def test_labels_of_all_frames_or_of_the_first_of_each_object_are_taken(open_widget, movie):
    widget = open_widget(movie)
    labels = np.zeros((4, 64, 64), np.uint16)  # ends before the movie does
    labels[1:, 5:10, 5:10], labels[3, 20:24, 20:30] = 3, 1000
    widget.viewer.add_labels(labels)
    for row, frames in ((1, [(3, 1), (1000, 3)]), (2, [(3, 1), (3, 2), (3, 3), (1000, 3)])):
        widget.prompts.clear()
        widget.controls.seed_frames.setCurrentIndex(row)
        widget.controls.seed.click()
        assert [(m.object_id, m.frame) for m in widget.prompts.prompts(widget.source)] == frames
    assert "2 labels of 'labels' taken from all frames." in widget.controls.status.text()


@pytest.mark.slow
def test_empty_labels_and_labels_of_another_size_are_refused(open_widget, movie):
    widget = open_widget(movie)
    widget.viewer.add_labels(np.zeros((8, 64, 64), int), name="empty")
    widget.controls.seed.click()
    assert "no object on frame" in widget.controls.status.text()
    widget.viewer.add_labels(np.ones((8, 32, 32), int), name="small")
    widget.controls.seed_labels.layer = widget.viewer.layers["small"]
    widget.controls.seed.click()
    assert "same size" in widget.controls.status.text()


def test_bad_prompts_are_refused_in_plain_words(open_widget, movie, hands):
    widget = open_widget(movie)
    marks = [(None, "Nothing is marked"), ((0, 5, 5, "-"), "negative points only"), ((30, 5, 5), "0 to 7")]
    for mark, message in [*marks, ((0, 500, 5), "outside")]:
        widget.prompts.clear()
        if mark:
            hands.click(widget, *mark)
        widget.controls.propagate.click()
        assert message in widget.controls.status.text()
    assert not widget.jobs.busy and hands.labels(widget) is None


@pytest.mark.slow
def test_clear_removes_all_prompts_and_no_result(open_widget, movie, hands):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.click(widget, 0, 5, 5)
    hands.run(widget)
    widget.controls.clear.click()
    assert widget.prompts.ids() == set()
    assert np.asarray(hands.labels(widget).data[5]).any()


@pytest.mark.slow
def test_prompts_of_a_single_image(open_widget, movie, hands):
    widget = open_widget(movie[0])
    widget.controls.plus.click()
    widget.prompts.points.add((5, 6))
    (click,) = widget.prompts.prompts(widget.source).items
    assert click == PointPrompt(1, 0, (5.0, 6.0), True)
    assert hands.run(widget).shape == (64, 64)
    assert widget.source.open().shape == (1, 64, 64)


@pytest.mark.slow
def test_a_stack_in_z_is_followed_in_the_plane_shown(open_widget, hands):
    stack = np.random.default_rng(1).integers(0, 9, (4, 3, 64, 48)).astype(np.uint8)
    stack[:, 2, 1:10, 1:12] = 200
    widget = open_widget(stack, scale=(1, 2, 0.5, 0.5), translate=(0, 5, 0, 0))
    widget.viewer.dims.set_point((0, 1), (2, 9))
    source = widget.source
    assert source.plane == (0, 2) and source.shape == (4, 64, 48) and widget.frame == 2
    assert source.open().shape == (4, 64, 48)
    np.testing.assert_array_equal(source.open().raw(1), stack[1, 2])
    widget.controls.plus.click()
    widget.prompts.points.add([(0, 2, 5, 5), (0, 0, 9, 9)])
    here, elsewhere = widget.prompts.prompts(source).items
    assert (here.frame, here.yx) == (elsewhere.frame, (5, 5)) and elsewhere.yx == (9, 9)
    hands.run(widget)
    layer = hands.labels(widget)
    assert layer.data.shape == (4, 1, 64, 48)
    np.testing.assert_allclose(layer.translate, (0, 9, 0, 0))


@pytest.mark.slow
def test_colour_images_are_movies_too(open_widget):
    widget = open_widget(np.zeros((5, 32, 40, 3), np.uint8), rgb=True)
    assert widget.source.axes == "TYXS" and widget.source.open().shape == (5, 32, 40)


@pytest.mark.slow
def test_the_diameter_is_measured_in_pixels_with_a_drawn_line(open_widget, movie, hands, qtbot):
    widget = open_widget(movie, scale=(1, 0.5, 0.5), units=("s", "um", "um"))
    hands.click(widget, 0, 5, 5)
    widget.controls.draw.click()
    layer = widget.viewer.layers["MoSAM diameter"]
    layer.add(np.array([(0, 10, 10), (0, 10, 30)], float), shape_type="line")
    assert widget.controls.diameter.value() == 20
    assert widget.controls.diameter_note.text() == "= 10 µm"
    qtbot.waitUntil(lambda: layer not in widget.viewer.layers)
    assert widget.viewer.layers.selection.active is widget.prompts.points


@pytest.mark.slow
def test_marks_count_for_their_frame_whatever_plane_is_shown(open_widget):
    stack = np.zeros((3, 4, 64, 48), np.uint8)
    widget = open_widget(stack, axis_labels=("z", "t", "y", "x"))
    widget.viewer.dims.set_point((0, 1), (1, 2))
    widget.controls.plus.click()
    widget.prompts.points.add([(1, 3, 5, 6), (0, 2, 9, 9)])
    widget.controls.box.click()
    corners = np.array([(1, 3, 4, 5), (1, 3, 4, 9), (1, 3, 8, 9), (1, 3, 8, 5)], float)
    widget.prompts.shapes.add(corners, shape_type="rectangle")
    widget.prompts.shapes.add(corners + np.array([1, 0, 20, 0]), shape_type="rectangle")  # the same frame: another cell
    widget.viewer.add_labels(np.pad(np.full((3, 4, 4, 4), 7), ((0, 0), (0, 0), (40, 20), (30, 14))), name="painted")
    widget.viewer.dims.set_point((0, 1), (0, 3))
    widget.controls.seed.click()
    for plane in (0, 1, 2):
        widget.viewer.dims.set_point(0, plane)
        first, second, box, other, mask = widget.prompts.prompts(widget.source).items
        assert [(p.frame, p.yx) for p in (first, second)] == [(3, (5, 6)), (2, (9, 9))]
        assert (box.frame, other.frame) == (3, 3) and other.object_id == box.object_id + 1
        assert (mask.frame, mask.origin) == (3, (40, 30))


@pytest.mark.slow
def test_clicks_that_were_saved_and_opened_again_keep_their_objects(open_widget, movie, hands, tmp_path):
    widget = open_widget(movie, scale=(1, 0.5, 0.5), translate=(0, 3, 4))
    hands.click(widget, 2, 10.25, 12)
    hands.click(widget, 2, 20, 22, "-")
    before = widget.prompts.prompts(widget.source)
    (path,) = widget.prompts.points.save(str(tmp_path / "clicks.csv"))
    widget.viewer.layers.remove(widget.prompts.points)
    assert not len(widget.prompts.prompts(widget.source))
    widget.viewer.open(path, plugin="napari")
    assert widget.prompts.prompts(widget.source) == before and widget.prompts.counts()["click"] == 2
    green, red = np.asarray(widget.prompts.points.face_color)
    assert green[1] > green[0] and red[0] > red[1]
    hands.click(widget, 2, 30, 30)
    assert len(widget.prompts.prompts(widget.source)) == 3
    widget.viewer.open(path, plugin="napari")
    widget.prompts.clear()
    assert widget.prompts.ids() == set()


@pytest.mark.slow
def test_a_reopened_dock_takes_over_the_marks_and_their_layers(open_widget, movie, hands):
    first = open_widget(movie)
    hands.mark(first, 1)
    hands.click(first, 0, 10, 10)
    viewer = first.viewer
    viewer.window.remove_dock_widget(first)
    second = open_widget(None, viewer=viewer)
    assert second.controls.summary.text() == "1 object: 1 box, 1 click"
    assert second.controls.object_id.value() == second.prompts.object_id == 2
    second.prompts.points.add((0, 40, 40))  # with the tool that was in hand
    hands.click(second, 0, 44, 44, "-")
    hands.box(second, 0, 40, 40, 50, 50)
    points = second.prompts.points
    assert list(points.features["object_id"]) == [1, 2, 2] and list(points.features["sign"]) == ["+", "+", "-"]
    assert list(second.prompts.shapes.features["object_id"]) == [1, 2]
    assert (first.prompts.object_id, first.prompts.sign) == (1, "+")
    assert second.controls.summary.text() == "2 objects: 2 boxes, 3 clicks"
    second.controls.plus.click()
    assert second.controls.plus.isChecked()


@pytest.mark.slow
def test_the_diameter_is_measured_with_a_circle_dragged_on_the_image(open_widget, movie, qtbot):
    widget = open_widget(movie, show=True)
    widget.controls.draw.click()
    assert "ellipse tool" in widget.controls.status.text()
    widget.viewer.layers["MoSAM diameter"].mode = "add_ellipse"
    drag(widget.viewer, qtbot, (10, 20), (20, 30), (30, 40))
    assert abs(widget.controls.diameter.value() - 20) < 2
    qtbot.waitUntil(lambda: "MoSAM diameter" not in widget.viewer.layers)
