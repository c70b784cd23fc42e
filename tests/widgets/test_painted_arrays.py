"""Labels as arrays: edits of a script, arrays that the user gives the layer, more axes, and large ids."""

import numpy as np
import pytest

from napari_mosam import BoxPrompt

SQUARE = np.zeros((64, 64), bool)
SQUARE[34:54, 2:22] = True


def test_edits_from_a_script_are_strokes_too(after_a_run, hands):
    widget, layer = after_a_run()
    place, view = widget.session.path, layer.data
    rows, columns = np.nonzero(SQUARE)
    for k, edit in enumerate(
        (
            lambda: layer.data.__setitem__((4, slice(34, 54), slice(2, 22)), 7),
            lambda: layer.data_setitem((np.full(400, 3), rows, columns), 7),
            lambda: setattr(layer, "data", with_square(layer, np.uint16)),
            lambda: setattr(layer, "data", with_square(layer, np.uint8)),
            lambda: setattr(layer, "data", with_square(layer, np.int64)),
            lambda: setattr(layer, "data", read_only(with_square(layer, np.uint16))),
            lambda: setattr(layer, "data", dask_array(with_square(layer, np.uint16))),
        )
    ):
        n = len(widget.session.history)
        edit()
        edited = np.asarray(layer.data[...])
        assert (edited == 7).sum() == 400 and (edited == 1).any()
        hands.settle(widget)
        np.testing.assert_array_equal(hands.stored(widget), edited)
        assert layer.data is view and widget.session.path == place and len(widget.session.history) == n + 1, k
        hands.undo(widget)
        assert not (hands.shown(widget) == 7).any()


def with_square(layer, dtype):
    data = np.asarray(layer.data[...]).astype(dtype)
    data[5][SQUARE] = 7
    return data


def read_only(array):
    array.flags.writeable = False
    return array


def dask_array(array):
    return pytest.importorskip("dask.array").from_array(array)


@pytest.mark.slow
def test_an_array_that_the_user_gave_the_layer_is_not_written(after_a_run, hands):
    widget, layer = after_a_run()
    mine = with_square(layer, np.uint16)
    copy = mine.copy()
    layer.data = mine
    hands.paint(widget, 2, SQUARE, 8)
    hands.mark(widget, 2)
    hands.run(widget)
    np.testing.assert_array_equal(mine, copy)
    assert (hands.shown(widget)[5][SQUARE] == 7).all()


@pytest.mark.slow
def test_labels_of_another_shape_are_the_users(after_a_run, hands):
    widget, layer = after_a_run()
    before, mine = hands.stored(widget), np.full((3, 32, 32), 5, np.uint8)
    layer.data = mine
    hands.settle(widget)
    np.testing.assert_array_equal(hands.stored(widget), before)
    assert layer.data is mine
    hands.mark(widget, 2, frame=4)
    hands.run(widget)
    assert hands.labels(widget) is not layer and (mine == 5).all()


@pytest.mark.slow
def test_labels_replaced_while_a_run_goes_on_are_painted_and_the_run_goes_on(open_widget, movie, hands, held):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    layer = hands.labels(widget)
    layer.data = with_square(layer, np.int32)
    held.let_go()
    hands.finish(widget)
    labels = hands.shown(widget)
    assert (labels[5][SQUARE] == 7).all() and (labels == 7).sum() == 400
    assert (labels == 1).any((1, 2)).all()
    np.testing.assert_array_equal(labels, hands.stored(widget))


@pytest.mark.slow
def test_what_is_painted_in_an_id_above_65535_widens_the_labels(after_a_run, hands):
    widget, layer = after_a_run()
    first = hands.shown(widget)
    layer.data[5, 34:54, 2:22] = 70_000  # the brush takes what the type holds
    hands.settle(widget)
    hands.paint(widget, 6, SQUARE, 80_000)
    labels = hands.shown(widget)
    np.testing.assert_array_equal(labels[6] == 80_000, SQUARE)
    hands.undo(widget)
    labels = hands.shown(widget)
    assert labels.dtype == layer.data.dtype == np.uint32 and (labels[5][SQUARE] == 70_000).all()
    np.testing.assert_array_equal(np.where(labels == 70_000, 0, labels), np.where(labels == 70_000, 0, first))
    np.testing.assert_array_equal(hands.stored(widget), labels)
    widget.viewer.dims.set_point(0, 5)
    assert (layer.get_value((5, 40, 10)), layer.get_value((5, 20, 25))) == (70_000, 1)


@pytest.mark.slow
def test_ids_that_cannot_be_are_refused_and_the_labels_are_as_before(after_a_run, hands):
    widget, layer = after_a_run()
    before = hands.shown(widget)
    with pytest.raises(ValueError, match="negative"):
        layer.data[5] = -3
    with_minus = before.astype(np.int32)
    with_minus[5][SQUARE] = -3
    layer.data = with_minus  # it is the user's from now on
    hands.settle(widget)
    np.testing.assert_array_equal(hands.stored(widget), before)
    assert layer.data is with_minus and hands.labels(widget) is not layer


@pytest.mark.parametrize(
    "axes",
    [
        pytest.param("tcyx", marks=pytest.mark.slow),
        pytest.param("ctyx", marks=pytest.mark.slow),
        pytest.param("tzyx", marks=pytest.mark.slow),
        "ctzyx",
    ],
)
def test_strokes_on_a_movie_with_more_axes(open_widget, movie, hands, axes):
    data = movie
    for axis, letter in enumerate(axes):
        if letter in "cz":
            data = np.stack([data * 0, data], axis)
    widget = open_widget(data, axis_labels=tuple(axes))
    for axis, letter in enumerate(axes):
        widget.viewer.dims.set_point(axis, 0 if letter == "t" else 1)
    place = [1 if letter in "cz" else 0 for letter in axes[:-2]]
    widget.session.mark(BoxPrompt(1, 0, (14, 14, 26, 26)))
    hands.run(widget)
    layer = hands.labels(widget)
    assert layer.data.shape == tuple(1 if letter in "cz" else n for letter, n in zip(axes, data.shape, strict=True))
    shown = np.asarray(layer.data[...]).reshape(movie.shape)
    assert (shown == 1).any((1, 2)).all()
    at = [3 if letter == "t" else p for letter, p in zip(axes, place, strict=False)]
    layer.brush_size = 6
    layer.paint(layer.world_to_data((*at, 50, 10)), 5)
    hands.settle(widget)
    stored = hands.stored(widget)
    assert (stored == 5).sum() > 20 and (stored[3] == 5).sum() == (stored == 5).sum()
    np.testing.assert_array_equal(np.asarray(layer.data[...]).reshape(movie.shape), stored)


@pytest.mark.slow
def test_strokes_on_a_single_image(open_widget, movie, hands):
    widget = open_widget(movie[0])
    widget.session.mark(BoxPrompt(1, 0, (14, 14, 26, 26)))
    hands.run(widget)
    layer = hands.labels(widget)
    layer.brush_size = 6
    layer.paint((50, 10), 5)
    hands.settle(widget)
    assert hands.stored(widget).shape == (1, 64, 64) and (hands.stored(widget) == 5).sum() > 20
    np.testing.assert_array_equal(layer.data[...], hands.stored(widget)[0])
