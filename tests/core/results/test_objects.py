"""Summaries of objects: where they were seen, and where a look is needed most."""

import numpy as np

from napari_mosam.core.results.objects import summaries


def test_an_object_is_summed_up_over_its_frames():
    state = np.array([["present", "", ""], ["lost", "present", ""], ["present", "present", "lost"], ["ended", "", ""]])
    area = np.array([[9, np.nan, np.nan], [0, 5, np.nan], [7, 6, 0], [0, np.nan, np.nan]])
    iou = np.array([[0.9, np.nan, np.nan], [0.1, 0.8, np.nan], [0.5, 0.6, 0.2], [0.0, np.nan, np.nan]], np.float32)
    one, two, three = summaries((4, 7, 9), state, area, iou)
    assert (one.object_id, one.first, one.last, one.n_seen, one.n_followed) == (4, 0, 2, 2, 4)
    assert (one.worst_frame, round(one.worst_iou, 3), round(one.mean_iou, 3)) == (1, 0.5, 0.7)
    assert (two.first, two.last, two.n_seen, two.n_followed, two.worst_frame) == (1, 2, 2, 2, 2)
    assert (three.first, three.last, three.n_seen, three.worst_frame) == (None, None, 0, None)
    assert np.isnan([three.mean_iou, three.worst_iou]).all()
