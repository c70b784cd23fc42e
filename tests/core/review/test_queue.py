"""The queue of what to look at: one item for each stretch, what is expected to be wrong most first."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.session.test_session import IMAGES, LABELS, QUICK, TWO, N
from tests.support.fake_model import FakeSegmenter

from napari_mosam import BoxPrompt, Result, track
from napari_mosam.core.review.queue import ReviewItem, queue_of, review_queue
from napari_mosam.core.review.table import ReviewTable


def table(expected, **where):
    """Of frames x objects; `where` says which are missing, ended, prompted, fixed, and how far directions disagree."""
    expected = np.array(expected, np.float32)
    given = {name: np.zeros(expected.shape, bool) for name in ("missing", "ended", "prompted", "fixed")}
    for name in given:
        for place in where.get(name, ()):
            given[name][place] = True
    disagreement = np.full(expected.shape, np.nan, np.float32)
    for place in where.get("disagree", ()):
        disagreement[place] = 0.9
    followed = np.isfinite(expected)
    return ReviewTable(
        object_ids=tuple(range(1, expected.shape[1] + 1)),
        expected_iou=expected,
        disagreement=disagreement,
        followed=followed,
        found=followed & ~given["missing"] & ~given["ended"],
        ended=given["ended"],
        prompted=given["prompted"],
        fixed=given["fixed"],
    )


def column(*values):
    return [[value] for value in values]


def test_a_stretch_is_one_item():
    (item,) = queue_of(table(column(0.9, 0.6, 0.4, 0.1, 0.9)))
    assert item == ReviewItem(1, 1, 4, 2, pytest.approx(0.4), pytest.approx(1.9), "unsure")
    assert list(item.frames) == [1, 2, 3] and str(item) == "object 1, frames 1 to 3: unsure"


def test_a_short_stretch_shows_its_worst_frame():
    assert queue_of(table(column(0.65, 0.55, 0.6)))[0].frame == 1


def test_a_long_stretch_shows_the_middle_of_what_is_expected_to_be_wrong():
    assert queue_of(table(column(0.9, *[0.5] * 9, 0.9)))[0].frame == 5
    assert queue_of(table(column(0.6, 0.6, 0.6, 0.1, 0.1)))[0].frame == 3


def test_the_longer_stretch_comes_first_where_as_much_is_expected_to_be_wrong_on_each_frame():
    items = queue_of(table([[0.4, 0.9], [0.9, 0.4], [0.9, 0.4], [0.9, 0.9]]))
    assert [(item.object_id, item.start, item.stop) for item in items] == [(2, 1, 3), (1, 0, 1)]


@pytest.mark.parametrize("said", ["fixed", "prompted"])
def test_what_a_person_said_is_not_listed(said):
    items = queue_of(table(column(0.2, 0.2, 0.2, 0.2), **{said: [(1, 0)]}))
    assert sorted((item.start, item.stop) for item in items) == [(0, 1), (2, 4)]
    everywhere = table(column(0.2, 0.2), **{said: [(0, 0), (1, 0)]})
    assert queue_of(everywhere) == ()


def test_frames_after_a_cell_left_are_one_item_at_the_end_of_the_queue():
    items = queue_of(table([[0.1, 0.9], [0.0, 0.9], [0.0, 0.6]], ended=[(1, 0), (2, 0)]))
    assert [(item.object_id, item.reason) for item in items] == [(1, "unsure"), (2, "unsure")]
    assert (items[0].start, items[0].stop, items[0].loss) == (0, 3, pytest.approx(0.9))
    (gone,) = queue_of(table(column(0.9, 0.0, 0.0), ended=[(1, 0), (2, 0)]))
    assert (gone.reason, gone.frame, gone.loss) == ("left the picture?", 1, 0)


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"missing": [(1, 0)]}, "not found"),
        ({"missing": [(1, 0)], "ended": [(2, 0)]}, "not found, then left the picture?"),
        ({"disagree": [(1, 0)]}, "both directions disagree"),
        ({}, "unsure"),
    ],
)
def test_reasons(where, reason):
    assert queue_of(table(column(0.9, 0.1, 0.9), **where))[0].reason == reason


def test_frames_on_which_nobody_looked_for_it_are_not_listed():
    assert queue_of(table(column(np.nan, 0.9, np.nan))) == ()
    assert queue_of(table(np.zeros((0, 0)))) == ()


@given(st.lists(st.lists(st.sampled_from([0.1, 0.6, 0.9, np.nan]), min_size=3, max_size=3), min_size=1, max_size=12))
def test_every_unsure_frame_is_in_just_one_item(expected):
    made = table(expected)
    listed = [(t, item.object_id - 1) for item in queue_of(made) for t in item.frames]
    assert sorted(listed) == sorted(map(tuple, np.argwhere(made.unsure()).tolist()))
    assert [item.loss for item in queue_of(made)] == sorted((item.loss for item in queue_of(made)), reverse=True)


# ---- of a result


@pytest.fixture(scope="module")
def vanished(tmp_path_factory):
    """Object 1 is there; object 2 is not on frames 2 and 3."""
    images = IMAGES.copy()
    images[2:4][LABELS[2:4] == 2] = 0
    out = tmp_path_factory.mktemp("review") / "cells.zarr"
    return track(images, TWO, out=out, model=FakeSegmenter(), config=QUICK)


def test_the_queue_of_a_result_names_the_frames_on_which_an_object_was_not_found(vanished):
    (item,) = review_queue(vanished)
    assert (item.object_id, item.start, item.stop, item.reason) == (2, 2, 4, "not found")
    assert item.frame == 2 and item.expected_iou == 0


def test_marks_locks_and_corrections_take_frames_off_the_queue(vanished, tmp_path):
    path = shutil.copytree(vanished.path, tmp_path / "cells.zarr")
    result = Result.open(path)
    result.lock(2, 2)
    assert [(item.start, item.stop) for item in review_queue(Result.open(path))] == [(3, 4)]
    result = Result.open(path).correct(2, 3, LABELS[3] == 2)
    assert review_queue(result) == ()
    result.undo(), result.undo()
    assert len(review_queue(Result.open(path))) == 1


def test_a_marked_frame_is_not_listed_where_the_model_found_nothing(tmp_path):
    images = np.zeros_like(IMAGES)
    images[:, 20:30, 20:30] = IMAGES.max()
    far = BoxPrompt(7, 0, (50, 50, 58, 58))
    out = tmp_path / "cells.zarr"
    result = track(images, [far, TWO[0]], out=out, model=FakeSegmenter(), config=QUICK, direction="forward")
    listed = {t for item in review_queue(result) if item.object_id == 7 for t in item.frames}
    assert 0 not in listed and listed == set(range(1, N))


def test_what_was_unsure_and_what_is_sure_is_a_choice(vanished):
    assert len(review_queue(vanished, sure=1.0)) > len(review_queue(vanished))
