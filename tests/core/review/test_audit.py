"""Audits: masks drawn at random, Wilson's interval, and the sentence for a methods section."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from tests.core.review.test_queue import table

from napari_mosam.core.review.audit import NOT_SURE, RIGHT, WRONG, Audit, wilson

MASKS = table(np.full((40, 31), 0.9), missing=[(t, 3) for t in range(40)])


def judged(audit, *said):
    for place, verdict in zip(audit.places, said, strict=False):
        audit = audit.judge(*place, verdict)
    return audit


@given(st.integers(1, 400), st.data())
def test_the_interval_is_that_of_scipy(n, data):
    right = data.draw(st.integers(0, n))
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_masks_are_drawn_without_return_and_none_that_is_not_there():
    audit = Audit.draw(MASKS, 60, seed=1)
    assert audit.n_masks == 1200 and len(set(audit.places)) == 60
    assert not [place for place in audit.places if place[0] == 4]
    assert audit == Audit.draw(MASKS, 60, seed=1) != Audit.draw(MASKS, 60, seed=2)
    assert len(Audit.draw(MASKS, 5000).places) == 1200


def test_every_mask_is_drawn_as_often_as_any_other():
    few = table(np.full((3, 4), 0.9))
    counts = Counter(place for seed in range(1200) for place in Audit.draw(few, 3, seed).places)
    assert len(counts) == 12 and min(counts.values()) > 240 and max(counts.values()) < 360  # 300 are expected


def test_the_sentence_for_a_methods_section():
    audit = judged(Audit.draw(MASKS, 60), *[RIGHT] * 57, *[WRONG] * 3)
    assert audit.sentence() == (
        "Of 60 masks drawn at random from 1,200, 57 were judged correct (95 %; 95 % CI 86-98 %)."
    )
    assert audit.n_judged == 60 and audit.left == ()


def test_a_mask_of_which_one_is_not_sure_counts_as_wrong_and_the_sentence_says_so():
    audit = judged(Audit.draw(MASKS, 60), *[RIGHT] * 8, NOT_SURE, WRONG)
    assert audit.interval == wilson(8, 10) and len(audit.left) == 50
    said = audit.sentence()
    assert said.startswith("Of 10 masks drawn at random from 1,200, 8 were judged correct (80 %; 95 % CI 49-94 %).")
    assert said.endswith("1 could not be judged and counts as wrong.")


def test_what_is_said_can_be_changed_and_taken_back():
    audit = Audit.draw(MASKS, 3)
    place = audit.places[1]
    wrong = audit.judge(*place, WRONG)
    assert wrong.verdict(*place) == WRONG and wrong.judge(*place, RIGHT).count(RIGHT) == 1
    assert wrong.judge(*place, "") == audit
    assert "none is judged yet" in audit.sentence()


def test_it_is_kept_as_json():
    audit = judged(Audit.draw(MASKS, 5, seed=3, step=8), RIGHT, NOT_SURE)
    assert Audit.among({"audit": audit.to_json()}) == audit
    assert Audit.among({}) is None


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: Audit.draw(MASKS, 0), "0 masks cannot be drawn; give 1 or more"),
        (lambda: Audit.draw(table(np.zeros((0, 0)))), "has no mask yet"),
        (lambda: Audit.draw(MASKS, 5).judge(4, 0, RIGHT), "object 4 on frame 0 is not among the 5 masks drawn"),
        (lambda: (a := Audit.draw(MASKS, 5)).judge(*a.places[0], "good"), "say 'right', 'wrong' or 'not sure'"),
    ],
)
def test_what_cannot_be_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act()


@pytest.mark.parametrize("said", [{"masks": []}, {"masks": [[1, 2]], "n_masks": 1, "seed": 0, "step": 0}, [3], "x"])
def test_what_is_damaged_is_refused(said):
    with pytest.raises(ValueError, match="the audit of the result is damaged"):
        Audit.among({"audit": said})
