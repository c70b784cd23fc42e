"""The picture of the heat strip: one bad frame stays in sight however many share a pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.core.review.test_queue import table

from napari_mosam.widgets.review.heat import FIXED, KIND_COLORS, LEFT, MARKED, NOT_FOLLOWED, Heat, ramp
from napari_mosam.widgets.review.strip_dock import StripView
from napari_mosam.widgets.support import NUMBER_PX, numbered

BAD = ramp(np.array([0.05]))[0].tolist()


def heat(expected, **where):
    return Heat.of(table(expected, **where))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.data())
def test_a_single_bad_frame_is_seen_and_found_by_a_click(n_frames, n_objects, height, width, data):
    t, row = data.draw(st.integers(0, n_frames - 1)), data.draw(st.integers(0, n_objects - 1))
    expected = np.full((n_frames, n_objects), 0.9)
    expected[t, row] = 0.05
    made = heat(expected)
    picture = made.painted(range(n_frames), height, width)
    assert picture.shape == (height, width, 3)
    seen = np.argwhere((picture == BAD).all(-1))
    if height >= 1 and width >= 1:
        assert len(seen)
        assert made.place(*seen[0].tolist(), range(n_frames), height, width) == (row + 1, t)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 60), st.integers(1, 60), st.data())
def test_every_pixel_is_of_the_object_and_frame_that_a_click_on_it_goes_to(n_frames, n_objects, height, width, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    made = heat(rng.random((n_frames, n_objects)))
    first = data.draw(st.integers(0, n_frames - 1))
    frames = range(first, data.draw(st.integers(first + 1, n_frames)))
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    object_id, t = made.place(y, x, frames, height, width)
    assert t in frames
    shown = made.painted(frames, height, width)[y, x]
    assert (shown == ramp(made.value[object_id - 1, t : t + 1])[0]).all()


def test_what_has_no_expected_iou_has_colours_of_its_own():
    expected = [[0.9, 0.9, 0.9, np.nan]]
    made = heat(expected, fixed=[(0, 0)], ended=[(0, 1)], prompted=[(0, 2)])
    assert made.kind[:, 0].tolist() == [FIXED, LEFT, MARKED, NOT_FOLLOWED]
    picture = made.painted(range(1), 4, 1)[:, 0].tolist()
    assert picture == [list(KIND_COLORS[kind]) for kind in (FIXED, LEFT, MARKED, NOT_FOLLOWED)]


def test_colours_run_from_bright_where_wrong_to_dark_and_none_is_taken_for_another():
    from napari_mosam.widgets.picture.colors import PALETTE

    assert PALETTE
    luminance = ramp(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) < 0.5).all() and luminance[0] > 3 * luminance[-1]


def test_rows_are_chosen_and_sorted():
    made = heat([[0.9, 0.1, 0.6], [0.9, 0.9, 0.1]])
    assert made.unsure().object_ids == (2, 3)
    assert made.worst_first().object_ids == (3, 2, 1)
    assert made.worst_first().by_id().object_ids == (1, 2, 3)


def test_beside_the_picture_there_is_nothing():
    made = heat([[0.9]])
    assert made.place(5, 0, range(1), 5, 5) is None and made.place(0, -1, range(1), 5, 5) is None
    assert heat(np.zeros((0, 0))).place(0, 0, range(0), 5, 5) is None


def test_hundreds_of_objects_on_thousands_of_frames_are_painted_at_once():
    import time

    made = heat(np.random.default_rng(0).random((4000, 500)))
    begin = time.perf_counter()
    made.painted(range(4000), 100, 900)
    assert time.perf_counter() - begin < 0.5


@given(st.integers(0, 500), st.integers(8, 3000), st.floats(280, 2000))
def test_numbers_of_frames_stand_at_even_steps_with_room_for_each(first, n, width):
    frames = range(first, first + n)
    shown = numbered(frames, width / n)
    assert len(shown) >= 2 and set(shown) <= set(frames) and shown.start % shown.step == 0
    assert shown.step * width / n >= NUMBER_PX and str(shown.step)[0] in "125"


def test_menus_and_legend_of_the_strip_stand_below_each_other_where_the_picture_is_narrow(qtbot):
    view = StripView()
    qtbot.addWidget(view)
    assert view.minimumSizeHint().width() < 200
    assert view.layout().heightForWidth(200) > view.layout().heightForWidth(600)
