"""What a table says of a mask and of the way to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.results.track_evidence import FEATURES, anchors, evidence, ways

DIRECTIONS = ("both", "forward", "backward")


def table(iou, consistency=None, state=None):
    iou = np.array(iou, np.float32)[:, None]
    nothing = np.full_like(iou, np.nan)
    return {
        "predicted_iou": iou,
        "consistency": nothing if consistency is None else np.array(consistency, np.float32)[:, None],
        "state": np.ones_like(iou) if state is None else np.array(state, np.float32)[:, None],
        "locked": nothing,
    }


def marked(n, *frames):
    found = np.zeros((n, 1), bool)
    found[list(frames)] = True
    return found


def share(found, name):
    return 1 / (1 + np.exp(-found[:, 0, FEATURES.index(name)]))


def test_the_worst_on_the_way_is_counted_from_the_mark_both_ways():
    found = evidence(table([0.9, 0.3, 0.8, 0.95, 0.7, 0.9]), marked(6, 3), marked(6), "both")
    assert share(found, "worst_predicted_iou") == pytest.approx([0.3, 0.3, 0.8, 0.95, 0.7, 0.7], abs=1e-3)


def test_a_mask_that_a_person_gave_is_sure_and_the_way_begins_anew_there():
    found = evidence(table([0.9, 0.3, 0.8, 0.4, 0.9]), marked(5, 0), marked(5, 3), "both")
    assert share(found, "worst_predicted_iou") == pytest.approx([0.9, 0.3, 0.8, 0.999, 0.9], abs=1e-3)


def test_an_object_that_was_not_seen_has_no_evidence_and_spoils_none():
    found = evidence(table([0.9, 0.1, 0.8], state=[1, 2, 1]), marked(3, 0), marked(3), "both")
    assert np.isnan(found[1]).all()
    assert share(found, "worst_predicted_iou")[[0, 2]] == pytest.approx([0.9, 0.8], abs=1e-3)


def test_a_consistency_that_is_not_known_is_the_usual_one():
    found = evidence(table([0.9] * 3, [np.nan, 0.5, 0.95]), marked(3, 0), marked(3), "both")
    assert share(found, "consistency") == pytest.approx([0.88, 0.5, 0.95], abs=1e-2)


def test_what_nobody_marked_is_known_where_it_is_seen_first():
    seen = np.array([[False, False], [True, False], [True, False]])
    assert np.array_equal(anchors(seen, np.zeros((3, 2), bool)), [[False, False], [True, False], [False, False]])


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any), st.sampled_from(DIRECTIONS))
def test_every_frame_is_reached_from_the_nearest_mark_of_the_directions_followed(known, direction):
    at, reached = np.flatnonzero(known), {}
    for way in ways(np.array(known), direction):
        for t in way.tolist():
            assert reached.setdefault(t, way[0]) == way[0]
    allowed = {
        "both": lambda t: at,
        "forward": lambda t: at[at <= t] if (at <= t).any() else at[:1],
        "backward": lambda t: at[at >= t] if (at >= t).any() else at[-1:],
    }[direction]
    assert sorted(reached) == list(range(len(known)))
    assert all(abs(t - a) == np.abs(allowed(t) - t).min() for t, a in reached.items())
