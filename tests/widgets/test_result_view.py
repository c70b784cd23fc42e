"""Frames of a result as an array: indexed as numpy indexes, with strokes on top that somebody has to write."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, basic_indices, integer_array_indices

from napari_mosam.widgets.layers.result_view import FrameView, LabelsView

T, Y, X = 5, 4, 3
LAYOUTS = [
    ((T, Y, X), 0),
    ((T, 1, Y, X), 0),
    ((1, T, Y, X), 1),
    ((1, 1, T, Y, X), 2),
    ((Y, X), None),
    ((1, Y, X), None),
]
"""Shapes of layers, and which axis is time."""


def frames_of(time_axis):
    n = 1 if time_axis is None else T
    return np.arange(n * Y * X, dtype=np.uint16).reshape(n, Y, X)


def labels_view(shape, time_axis, stored=None, on_write=lambda frames: None):
    stored = frames_of(time_axis) if stored is None else stored
    view = LabelsView(shape, time_axis, lambda: stored.dtype, stored.__getitem__)
    view.connect(lambda: stored.dtype, stored.__getitem__, on_write)
    return view


def keys(shape):
    """Whatever numpy takes, but new axes."""
    few = arrays(bool, shape).map(lambda mask: mask & (np.arange(mask.size).reshape(shape) % 3 == 0))
    lists = st.lists(st.integers(-shape[0], shape[0] - 1), max_size=4)
    mixed = st.tuples(st.integers(-shape[-1], shape[-1] - 1), lists).map(lambda both: (both[1], ..., both[0]))
    return st.one_of(
        basic_indices(shape, allow_newaxis=False),
        integer_array_indices(shape),
        few,
        arrays(bool, shape[:1]),
        st.tuples(arrays(bool, shape[:2])),
        mixed,
    )


@st.composite
def cases(draw):
    shape, time_axis = draw(st.sampled_from(LAYOUTS))
    return shape, time_axis, draw(keys(shape))


@given(cases())
def test_every_key_gives_what_numpy_gives(case):
    shape, time_axis, key = case
    plain = frames_of(time_axis).reshape(shape)
    for view in (
        labels_view(shape, time_axis),
        FrameView(shape, time_axis, lambda: np.uint16, frames_of(time_axis).__getitem__),
    ):
        found = view[key]
        np.testing.assert_array_equal(found, plain[key])
        assert found.dtype == plain.dtype and found.shape == plain[key].shape


@given(cases(), st.integers(0, 70_000))
def test_every_key_sets_what_numpy_sets_and_tells_the_frames(case, value):
    shape, time_axis, key = case
    stored, told = frames_of(time_axis), []
    plain, unchanged = stored.reshape(shape).astype(np.uint32), stored.copy()
    view = labels_view(shape, time_axis, stored, told.extend)
    before = plain.copy()
    view[key] = value
    plain[key] = value
    np.testing.assert_array_equal(view[...], plain)
    changed = (plain != before).reshape(-1, Y, X).any((1, 2))
    assert set(np.flatnonzero(changed)) <= set(told) == set(view.held)
    np.testing.assert_array_equal(stored, unchanged)


@given(cases(), st.randoms())
def test_arrays_are_set_as_numpy_sets_them(case, random):
    shape, time_axis, key = case
    plain = frames_of(time_axis).reshape(shape).copy()
    view = labels_view(shape, time_axis)
    new = np.array([random.randrange(9) for _ in range(plain[key].size)], np.uint8).reshape(plain[key].shape)
    if isinstance(key, tuple) and any(isinstance(part, list) for part in key):
        new[...] = 7  # an index may be there twice
    elif isinstance(key, tuple) and any(isinstance(part, np.ndarray) and part.dtype != bool for part in key):
        new[...] = 7
    view[key] = new
    plain[key] = new
    np.testing.assert_array_equal(view[...], plain)


@pytest.mark.parametrize(("shape", "time_axis"), LAYOUTS)
def test_it_looks_like_an_array(shape, time_axis):
    view, plain = labels_view(shape, time_axis), frames_of(time_axis).reshape(shape)
    assert (view.shape, view.ndim, view.size, len(view)) == (plain.shape, plain.ndim, plain.size, len(plain))
    assert view.dtype == np.uint16 and np.asarray(view, np.int32).dtype == np.int32
    np.testing.assert_array_equal(np.asarray(view), plain)
    np.testing.assert_array_equal(np.max(view), plain.max())


def test_frames_that_are_not_asked_for_are_not_read():
    read = []
    view = FrameView((T, Y, X), 0, lambda: np.uint16, lambda t: read.append(t) or frames_of(0)[t])
    for key, wanted in ((3, [3]), ((slice(1, 5, 2), 0), [1, 3]), (([4, 1, 4], [0, 0, 1], [0, 1, 2]), [1, 4])):
        view[key]
        assert read == wanted
        read.clear()


@pytest.mark.parametrize("key", [T, (0, Y), (0, 0, 0, 0), None, (None, 0), "x", 1.5])
def test_what_is_no_index_is_refused_and_nothing_is_held(key):
    view = labels_view((T, Y, X), 0)
    with pytest.raises(IndexError):
        view[key]
    with pytest.raises(IndexError):
        view[key] = 1
    np.testing.assert_array_equal(view[...], frames_of(0))


def test_a_copy_is_an_array_of_its_own():
    for shape, time_axis in LAYOUTS:
        view = labels_view(shape, time_axis)
        view[..., 0, 0] = 9
        copy = deepcopy(view)
        np.testing.assert_array_equal(copy[...], view[...])
        copy[...] = 3
        assert view[..., 0, 0].max() == 9 and view[..., 1, 1].max() != 3
        view[..., 1] = 4
        assert (copy[...] == 3).all() and copy.dtype == view.dtype


# ---- the type of a pixel


def test_pixels_grow_for_an_id_that_is_painted():
    view = labels_view((T, Y, X), 0)
    view[1, 0, 0] = 5
    view[2, 0, 0] = 70_000
    assert view.dtype == view[1].dtype == np.uint32
    assert (view[1, 0, 0], view[2, 0, 0]) == (5, 70_000) and view.frame(2).dtype == np.uint32


def test_pixels_grow_with_the_result_and_strokes_stay():
    stored = np.zeros((T, Y, X), np.uint8)
    view = LabelsView((T, Y, X), 0, lambda: stored.dtype, lambda t: stored[t])
    view[1, 0, 0] = 5
    stored = stored.astype(np.uint32)
    stored[:, 3, 2] = 70_000
    assert view.dtype == view[0].dtype == np.uint32 and view[0, 3, 2] == 70_000
    view[1, 1, 1] = 80_000  # into the frame that was held before
    view.renew(1)
    assert view[1][[0, 1, 3], [0, 1, 2]].tolist() == [5, 80_000, 70_000]


def test_negative_ids_are_refused_and_change_nothing():
    view = labels_view((T, Y, X), 0)
    for value in (-1, np.array([[-5]]), np.full((Y, X), -1)):
        with pytest.raises(ValueError, match="negative"):
            view[2] = value
    assert not view.held
    np.testing.assert_array_equal(view[...], frames_of(0))


# ---- what is held


def test_a_held_frame_keeps_strokes_over_what_is_stored_anew():
    stored = np.zeros((T, Y, X), np.uint16)
    view = labels_view((T, Y, X), 0, stored)
    stored[2] = 4
    view[2, 0, :2] = 1
    view[2, 1, 1] = 0
    stored[2] = 6
    assert (view[2, 3] == 4).all(), "what is held is shown until it is said that the result is another"
    view.renew(2)
    view.renew(3)
    assert view[2].tolist() == [[1, 1, 6], [6, 0, 6], [6, 6, 6], [6, 6, 6]] and list(view.held) == [2]


def test_a_frame_is_released_unless_it_was_painted_since():
    stored = np.zeros((T, Y, X), np.uint16)
    view = labels_view((T, Y, X), 0, stored)
    view[2, 0, 0] = 1
    seen = view.held[2]
    view[2, 0, 1] = 1
    assert not view.release(2, seen) and view[2].sum() == 2
    assert view.release(2, view.held[2]) and not view[2].any() and view.release(2) and view.release(0, 7)


def test_what_was_read_before_is_not_changed_by_strokes():
    view = labels_view((T, Y, X), 0)
    view[2, 0, 0] = 1
    seen = view[2]
    view[2, 0, 1] = 1
    assert seen[0, 1] == frames_of(0)[2, 0, 1]
    seen[...] = 99
    assert view[2, 3, 2] == frames_of(0)[2, 3, 2]
