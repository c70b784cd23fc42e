"""Summaries of objects: where they were seen, and where a look is needed most."""

import numpy as np

from napari_mosam.core.results.objects import summaries


def test_an_object_is_summed_up_over_its_frames():
    state = np.array([["present", "", ""], ["lost", "present", ""], ["present", "present", "lost"], ["ended", "", ""]])
    area = np.array([[9, np.nan, np.nan], [0, 5, np.nan], [7, 6, 0], [0, np.nan, np.nan]])
    iou = np.array([[0.9, np.nan, np.nan], [0.1, 0.8, np.nan], [0.5, 0.6, 0.2], [0.0, np.nan, np.nan]], np.float32)
    one, two, three = summaries((4, 7, 9), state, area, iou)
    assert (one.object_id, one.first, one.last, one.n_seen, one.n_followed) == (4, 0, 2, 2, 4)
    assert (one.worst_frame, one.worst_iou, round(one.mean_iou, 3)) == (1, 0.0, 0.7)
    assert (two.first, two.last, two.n_seen, two.n_followed, two.worst_frame) == (1, 2, 2, 2, 2)
    assert round(two.worst_iou, 3) == 0.6
    assert (three.first, three.last, three.n_seen, three.worst_frame) == (None, None, 0, 2)
    assert np.isnan(three.mean_iou) and three.worst_iou == 0


def test_the_worst_of_an_object_that_was_lost_is_0_and_the_word_of_a_person_is_taken():
    state = np.array([["present"] * 4, ["lost", "present", "lost", "ended"], ["lost", "present", "lost", "ended"]])
    area = np.array([[9, 9, 9, 9], [0, 0, 0, 0], [0, 8, 0, 0]])
    iou = np.array([[1, 1, 0.9, 0.8], [0, 0.95, 1, np.nan], [0, 0.7, 1, np.nan]], np.float32)  # 1: a person said so
    lost, hidden, absent, left = summaries((1, 2, 3, 4), state, area, iou)
    assert (lost.worst_iou, lost.worst_frame) == (0, 1)
    assert (hidden.worst_iou, hidden.worst_frame) == (0, 1)
    assert (round(absent.worst_iou, 2), absent.worst_frame) == (0.9, 0)
    assert (round(left.worst_iou, 2), left.worst_frame) == (0.8, 0)
    never = summaries((1,), np.array([["ended"], ["lost"]]), np.zeros((2, 1)), np.array([[np.nan], [1]], np.float32))[0]
    assert np.isnan(never.worst_iou) and never.worst_frame is None
