"""Several movies in one viewer: whose marks they are, which one is chosen, and whether it can be seen."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.widgets.mouse import drag, press

HIDDEN = 'Runs on "movie", which is hidden.'


@pytest.fixture
def two(open_widget, movie):
    """A function: a widget with 'movie' and, on top and selected, 'other', which is brighter by one."""

    def opened(other=None, show=False, **options):
        widget = open_widget(movie, show=show)
        widget.viewer.add_image(movie + 1 if other is None else other, name="other", **options)
        return widget, *(widget.viewer.layers[name] for name in ("movie", "other"))

    return opened


def click_in_layer_list(viewer, qtbot, layer, *, eye=False):
    """Click the name of a layer in napari's list, or the eye beside it."""
    view = viewer.window._qt_viewer.layers
    model = view.model()
    rows = [model.index(row, 0) for row in range(model.rowCount())]
    (index,) = [row for row in rows if row.data() == layer.name]
    rect = view.visualRect(index)
    place = rect.center()
    if eye:
        from qtpy.QtWidgets import QStyle, QStyleOptionViewItem

        option = QStyleOptionViewItem()
        option.rect, option.widget = rect, view
        view.itemDelegate().initStyleOption(option, index)
        place = view.style().subElementRect(QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, view).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    qtbot.wait(50)


def test_the_menu_follows_the_image_selected_in_the_layer_list(two, qtbot):
    widget, movie, other = two(show=True)
    assert widget.controls.image.layer is other
    click_in_layer_list(widget.viewer, qtbot, movie)
    assert widget.controls.image.layer is movie
    assert widget.controls.image_note.text() == '8 frames, 64 x 64 px (Y, X). Runs on "movie", which "other" covers.'
    click_in_layer_list(widget.viewer, qtbot, other)
    assert widget.controls.image.layer is other
    assert widget.controls.image_note.text() == "8 frames, 64 x 64 px (Y, X)"


@pytest.mark.slow
def test_the_menu_follows_the_only_image_that_is_shown(two, qtbot):
    widget, movie, other = two(show=True)
    click_in_layer_list(widget.viewer, qtbot, other, eye=True)
    assert not other.visible and widget.controls.image.layer is movie
    click_in_layer_list(widget.viewer, qtbot, other, eye=True)
    assert other.visible and widget.viewer.layers.selection.active is other
    assert widget.controls.image.layer is other and "Runs on" not in widget.controls.image_note.text()


@pytest.mark.slow
def test_an_image_that_is_not_selected_does_not_take_the_menu_by_being_shown(two):
    widget, movie, other = two()
    widget.viewer.layers.selection.active = movie
    other.visible = False
    other.visible = True
    assert widget.controls.image.layer is movie
    assert 'Runs on "movie", which "other" covers.' in widget.controls.image_note.text()


@pytest.mark.slow
def test_the_menu_does_not_follow_while_a_run_goes_on(two, hands, held):
    widget, movie, other = two()
    hands.mark(widget, 1)
    hands.start(widget, held)
    session = widget.session
    widget.viewer.layers.selection.active = movie
    other.visible = False
    assert widget.controls.image.layer is other
    assert 'Runs on "other", which is hidden.' in widget.controls.image_note.text()
    assert widget.session is session
    held.let_go()
    hands.finish(widget)
    assert widget.controls.image.layer is other and session.result.complete
    assert "Done" in widget.controls.status.text()


@pytest.mark.parametrize(
    "tool", ["drag", pytest.param("click", marks=pytest.mark.slow), pytest.param("masks", marks=pytest.mark.slow)]
)
def test_marks_run_on_their_own_movie_only_and_are_not_lost(two, hands, qtbot, tool):
    widget, movie, other = two(show=True)
    widget.controls.image.layer = movie
    if tool == "drag":
        widget.controls.new_object.click()
        drag(widget.viewer, qtbot, (10, 20), (20, 30), (30, 40))
    elif tool == "click":
        widget.controls.plus.click()
        press(widget.viewer, qtbot, (20, 30))
    else:
        labels = widget.viewer.add_labels(np.full((8, 64, 64), 4, np.uint16))
        widget.controls.seed.click()
        widget.viewer.layers.remove(labels)
    marks = widget.prompts.prompts(widget.source).items
    assert len(marks) == 1
    widget.controls.image.layer = other
    assert widget.controls.summary.text() == "Nothing marked yet"
    widget.controls.propagate.click()
    assert "Nothing is marked" in widget.controls.status.text() and not widget.jobs.busy
    hands.box(widget, 3, 40, 40, 50, 50)
    assert [item.frame for item in widget.prompts.prompts(widget.source).items] == [3]
    widget.controls.image.layer = movie
    np.testing.assert_array_equal(repr(widget.prompts.prompts(widget.source).items), repr(marks))
    hands.run(widget)
    assert widget.session.movie.raw(0)[0, 0] == movie.data[0, 0, 0]
    assert repr(widget.session.prompts.items) == repr(marks) and widget.session.result.prompts.frames == (
        marks[0].frame,
    )
    widget.controls.clear.click()
    widget.controls.image.layer = other
    assert [item.frame for item in widget.prompts.prompts(widget.source).items] == [3]


@pytest.mark.slow
def test_marks_of_the_other_movie_are_put_away_and_come_back_unless_the_user_hid_them(two, hands):
    widget, movie, other = two()
    hands.mark(widget, 1)
    hands.click(widget, 0, 5, 5)
    boxes, points = widget.prompts.shapes, widget.prompts.points
    points.visible = False
    widget.controls.image.layer = movie
    assert (boxes.visible, points.visible) == (False, False) and widget.prompts.shapes is None
    assert widget.viewer.layers.selection.active is movie, "the tool in hand was the other movie's"
    hands.mark(widget, 1)
    mine = widget.prompts.shapes
    assert mine is not boxes and mine.name == "MoSAM boxes of movie"
    widget.viewer.layers.selection.active = other
    assert (boxes.visible, points.visible, mine.visible) == (True, False, False)
    assert widget.prompts.shapes is boxes
    widget.viewer.layers.selection.active = mine
    assert widget.controls.image.layer is movie and mine.visible and not boxes.visible


@pytest.mark.slow
def test_objects_are_numbered_in_each_movie(two, hands):
    widget, movie, other = two()
    hands.mark(widget, 1)
    hands.mark(widget, 2)
    hands.run(widget)
    assert widget.controls.object_id.value() == 2
    widget.controls.image.layer = movie
    assert widget.controls.object_id.value() == 1
    hands.mark(widget, 1)
    assert list(widget.prompts.shapes.features["object_id"]) == [1]
    widget.controls.image.layer = other
    assert widget.controls.object_id.value() == 2
    widget.new_object()
    assert widget.prompts.object_id == 3


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        pytest.param((4, 32, 48), (1, 1, 1), marks=pytest.mark.slow),
        ((8, 64, 64), (1, 0.5, 0.5)),
        pytest.param((64, 64), (1, 1), marks=pytest.mark.slow),
    ],
)
def test_movies_of_other_shapes_and_scales_keep_to_themselves(two, hands, shape, scale):
    data = np.full(shape, 100, np.uint16)
    data[..., 2:9, 3:10] = 1000
    widget, movie, other = two(data, scale=scale)
    widget.controls.plus.click()
    widget.prompts.points.add((0,) * (len(shape) - 2) + (5, 6))
    widget.controls.image.layer = movie
    hands.click(widget, 6, 44, 40)
    n_frames = shape[0] if len(shape) == 3 else 1
    for image, expected, frames in ((other, (0, (5, 6)), n_frames), (movie, (6, (44, 40)), 8)):
        widget.viewer.layers.selection.active = image
        assert widget.controls.last.maximum() == frames - 1
        labels = hands.run(widget)
        (mark,) = widget.session.result.prompts
        assert (mark.frame, mark.yx) == expected and labels.shape == image.data.shape and labels.any()


@pytest.mark.slow
def test_a_movie_removed_and_put_back_has_its_marks_and_results(two, hands):
    widget, movie, other = two()
    hands.mark(widget, 1, frame=2)
    hands.run(widget)
    labels, boxes = hands.labels(widget), widget.prompts.shapes
    widget.viewer.layers.remove(other)
    assert widget.controls.image.layer is movie and not boxes.visible
    assert widget.controls.summary.text() == "Nothing marked yet"
    assert widget.controls.status.text().startswith("Press New object")
    widget.viewer.layers.append(other)
    assert widget.controls.image.layer is other and boxes.visible
    assert widget.controls.summary.text() == "1 object: 1 box"
    hands.run(widget)
    assert hands.labels(widget) is labels


@pytest.mark.slow
def test_marks_renamed_copied_removed_and_put_back(two, hands):
    from napari.layers._layer_actions import _duplicate_layer

    widget, _, _ = two()
    viewer = widget.viewer
    hands.mark(widget, 1, frame=2)
    boxes = widget.prompts.shapes
    boxes.name = "mine"
    viewer.layers.selection.select_only(boxes)
    _duplicate_layer(viewer.layers)
    assert widget.prompts.shapes is boxes and widget.controls.summary.text() == "1 object: 1 box"
    viewer.layers.remove(boxes)
    assert widget.controls.summary.text() == "Nothing marked yet"
    viewer.layers.append(boxes)
    hands.mark(widget, 2, frame=2)
    assert widget.controls.summary.text() == "2 objects: 2 boxes" and len(boxes.data) == 2
    hands.run(widget)
    assert widget.session.result.object_ids == (1, 2)


def test_a_reopened_dock_knows_whose_marks_they_are(two, hands, open_widget):
    first, movie, other = two()
    hands.mark(first, 1)
    first.viewer.add_labels(np.full((8, 64, 64), 4, np.uint16), name="painted")
    first.controls.image.layer = movie
    hands.click(first, 0, 5, 5)
    first.controls.seed.click()
    first.viewer.window.remove_dock_widget(first)
    first.viewer.layers.selection.active = first.viewer.layers["painted"]
    second = open_widget(None, viewer=first.viewer)
    second.controls.image.layer = movie
    assert second.controls.summary.text() == "2 objects: 1 click, 1 mask"
    second.controls.image.layer = other
    assert second.controls.summary.text() == "1 object: 1 box"


@pytest.mark.slow
def test_a_copy_of_an_image_has_no_marks(two, hands):
    from napari.layers._layer_actions import _duplicate_layer

    widget, _, other = two()
    widget.viewer.add_labels(np.full((8, 64, 64), 4, np.uint16))
    widget.controls.seed.click()
    widget.viewer.layers.selection.select_only(other)
    _duplicate_layer(widget.viewer.layers)
    widget.controls.image.layer = widget.viewer.layers["other copy"]
    assert widget.controls.summary.text() == "Nothing marked yet"
    widget.controls.image.layer = other
    assert widget.controls.summary.text() == "1 object: 1 mask"


@pytest.mark.slow
def test_what_hides_the_chosen_movie_is_named(two):
    widget, movie, other = two()
    note, menu = widget.controls.image_note, widget.controls.image
    covered = 'Runs on "movie", which "other" covers.'
    menu.layer = movie
    assert covered in note.text()
    for seen in ({"opacity": 0.5}, {"blending": "additive"}, {"translate": (0, 3, 0)}):
        before = {name: getattr(other, name) for name in seen}
        for name, value in seen.items():
            setattr(other, name, value)
        widget.viewer.dims.set_point(0, 1 if widget.viewer.dims.point[0] == 0 else 0)
        assert "covers" not in note.text(), seen
        for name, value in before.items():
            setattr(other, name, value)
    widget.viewer.dims.set_point(0, 2)
    assert covered in note.text()
    other.visible, movie.visible = False, False
    assert HIDDEN in note.text()
    movie.visible = True
    assert note.text() == "8 frames, 64 x 64 px (Y, X)"
    movie.opacity = 0
    assert HIDDEN in note.text()


@pytest.mark.slow
def test_a_dock_opened_late_takes_the_image_that_is_selected_or_shown(open_widget, movie, make_napari_viewer):
    viewer = make_napari_viewer()
    first, second = (viewer.add_image(movie, name=name) for name in ("first", "second"))
    viewer.layers.selection.active = first
    assert open_widget(None, viewer=viewer).controls.image.layer is first
    viewer.layers.selection.clear()
    second.visible = False
    assert open_widget(None, viewer=viewer).controls.image.layer is first
    second.visible = True
    assert open_widget(None, viewer=viewer).controls.image.layer is second
