"""Scores computed by hand, and CTC measures held against the libraries' own readers."""

import builtins
import math
from itertools import pairwise

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.support.fake_model import CountingMovie

from napari_mosam.core.evaluation.evaluate import (
    boundary_f,
    ctc_measures,
    evaluate,
    match_ids,
    track_ious,
)
from napari_mosam.core.evaluation.scores import FrameScore, count_switches, frames_to_loss
from napari_mosam.core.export.ctc import export_ctc
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.simulation import disk_divides, touching_cells

SHAPE = (20, 40)


def rectangles(*frames, shape=SHAPE):
    """A stack of rectangles; a frame is {id: (y0, x0, y1, x1)}, ends excluded."""
    stack = np.zeros((len(frames), *shape), np.uint32)
    for image, boxes in zip(stack, frames, strict=True):
        for object_id, (y0, x0, y1, x1) in boxes.items():
            image[y0:y1, x0:x1] = object_id
    return stack


A, B = (2, 2, 8, 8), (2, 20, 8, 26)
FAR = (12, 30, 18, 36)
HALF_A = (2, 5, 8, 11)  # shares 18 of 36 px with A: IoU 1/3


def stacks(max_id=3):
    return hnp.arrays(np.uint8, (2, 6, 7), elements=st.integers(0, max_id))


def masks():
    return hnp.arrays(bool, (9, 11))


# --- J ---------------------------------------------------------------------------------------------------------------


def test_the_iou_of_two_rectangles_is_shared_over_joint_pixels():
    ious = track_ious(rectangles({1: HALF_A}, {1: FAR}), rectangles({1: A}, {1: A}), [1])
    np.testing.assert_allclose(ious[1], [18 / 54, 0])


def test_frames_without_the_true_object_are_nan_and_a_missing_track_is_0():
    truth, labels = rectangles({1: A}, {}, {1: A}), rectangles({1: A}, {1: A}, {})
    np.testing.assert_array_equal(track_ious(labels, truth, [1, 9])[1], [1, np.nan, 0])
    assert np.isnan(track_ious(labels, truth, [9])[9]).all()


def test_frames_that_are_not_read_are_nan():
    stack = rectangles({1: A}, {1: A}, {1: A})
    np.testing.assert_array_equal(track_ious(stack, stack, [1], frames=range(1, 2))[1], [np.nan, 1, np.nan])


@given(stacks(), stacks())
@settings(max_examples=50, deadline=None)
def test_ious_agree_with_their_definition_and_are_symmetric_where_both_are_there(a, b):
    forth, back = track_ious(a, b, [1, 2, 3]), track_ious(b, a, [1, 2, 3])
    for i in (1, 2, 3):
        for t in range(2):
            mine, true = a[t] == i, b[t] == i
            expected = (mine & true).sum() / (mine | true).sum() if true.any() else np.nan
            assert forth[i][t] == pytest.approx(expected, nan_ok=True)
            if mine.any() and true.any():
                assert forth[i][t] == back[i][t]


@pytest.mark.parametrize("object_id", [256, 65536, 2**31])
def test_large_ids_are_kept_apart(object_id):
    truth = rectangles({object_id: A, object_id % 256 + 1: B})
    found = evaluate(truth, truth)
    assert [s.object_id for s in found.scores] == sorted([object_id % 256 + 1, object_id])
    assert found.j == 1


# --- F ---------------------------------------------------------------------------------------------------------------


def box_mask(y0, x0, y1, x1, shape=(100, 100)):
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_boundary_measure_is_1_for_identical_and_0_for_far_masks():
    near, far = box_mask(10, 10, 30, 30), box_mask(60, 60, 80, 80)
    assert boundary_f(near, near) == 1
    assert boundary_f(near, far) == 0


def test_contours_within_the_tolerance_count_fully():
    a, b = box_mask(10, 10, 30, 30), box_mask(10, 12, 30, 32)  # the default is ceil(0.008 x 141.4) = 2 px
    assert boundary_f(a, b) == boundary_f(a, b, 2) == 1
    assert boundary_f(a, b, 1.9) < 1


def test_precision_and_recall_of_the_contour_are_those_counted_by_hand():
    # 10 x 10 has a contour of 36 px, 10 x 20 of 56: without tolerance they share 10 + 2 x 9 px.
    small, large = box_mask(10, 10, 20, 20), box_mask(10, 10, 20, 30)
    precision, recall = 28 / 36, 28 / 56
    assert boundary_f(small, large, 0) == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_frame_edge_is_no_contour():
    a, b = box_mask(0, 0, 20, 20), box_mask(0, 0, 20, 40)  # contours of 39 and 59 px, the last row of a is shared
    assert boundary_f(a, b, 0) == pytest.approx(2 * 20 / (39 + 59))


@pytest.mark.parametrize(("a", "b", "expected"), [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_empty_and_full_masks_have_a_measure(a, b, expected):
    assert boundary_f(np.full((5, 5), a), np.full((5, 5), b)) == expected


def brute_force_f(a, b, reach):
    def contour(m):
        p = np.pad(m, 1, mode="edge")
        return np.argwhere(m & ~(p[:-2, 1:-1] & p[2:, 1:-1] & p[1:-1, :-2] & p[1:-1, 2:]))

    pa, pb = contour(a), contour(b)
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    if not len(pa) or not len(pb):
        return float(len(pa) == len(pb))
    near = np.linalg.norm(pa[:, None] - pb[None], axis=2) <= reach
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(masks(), masks(), st.sampled_from([0, 1, 1.5, 3]))
@settings(max_examples=100, deadline=None)
def test_the_boundary_measure_follows_its_definition_and_is_symmetric(a, b, reach):
    assert boundary_f(a, b, reach) == pytest.approx(brute_force_f(a, b, reach))
    assert boundary_f(a, b, reach) == pytest.approx(boundary_f(b, a, reach))


def test_masks_of_unequal_shape_and_negative_tolerances_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 5\) and \(5, 6\)"):
        boundary_f(np.ones((5, 5)), np.ones((5, 6)))
    with pytest.raises(ValueError, match="tolerance_px=-1"):
        boundary_f(np.ones((5, 5)), np.ones((5, 5)), -1)


# --- scores of tracks ------------------------------------------------------------------------------------------------


def test_a_perfect_result_scores_1_everywhere():
    truth = rectangles(*[{1: A, 300: B}] * 4)
    found = evaluate(truth, truth, prompts_frame=0)
    assert (found.j, found.f, found.jf, found.matched, found.switches, found.lost) == (1, 1, 1, 1, 0, 0)
    assert [(s.object_id, s.n_frames, s.frames_to_loss) for s in found.scores] == [(1, 3, 3), (300, 3, 3)]


def test_means_are_over_scored_frames_and_then_over_tracks():
    truth = rectangles({1: A, 2: B}, {1: A, 2: B}, {1: A, 2: B}, {2: B})
    labels = rectangles({1: A, 2: B}, {1: HALF_A, 2: B}, {1: A}, {1: FAR})
    found = evaluate(labels, truth, prompts_frame=0, tolerance_px=0)
    one, two = found.scores
    assert one.j == pytest.approx((1 / 3 + 1) / 2) and two.j == pytest.approx(1 / 3)
    assert two.f == pytest.approx(1 / 3) and two.jf == pytest.approx(1 / 3)
    assert found.j == pytest.approx((one.j + two.j) / 2)
    assert found.of(2) is two
    np.testing.assert_allclose(found.ious[1], [1, 1 / 3, 1, np.nan])


def test_the_prompted_frames_are_not_scored():
    truth = rectangles(*[{1: A, 2: B}] * 4)
    counts = {
        tuple(s.n_frames for s in evaluate(truth, truth, prompts_frame=given).scores)
        for given in (2, {1: 0, 2: 3}, {1: [1], 2: (3,)})
    }
    assert counts == {(3, 3)}
    assert [s.n_frames for s in evaluate(truth, truth, prompts_frame={1: [0, 2], 2: 1}).scores] == [2, 3]
    assert evaluate(truth, truth, prompts_frame=2, skip_prompted=False).of(1).n_frames == 4
    assert evaluate(truth, truth).of(1).n_frames == 4


def test_a_division_ends_what_is_scored():
    movie = disk_divides()
    mother = next(iter(movie.parents.values()))
    lasting = np.where(movie.labels > 0, mother, 0)  # follows both daughters
    n = int((movie.labels == mother).any((1, 2)).sum())
    score = evaluate(lasting, movie.labels).of(mother)
    assert 0 < n < len(lasting)
    assert (score.n_frames, score.j, score.switches, score.lost) == (n, 1, 0, False)


def test_without_ids_those_in_both_stacks_are_scored_and_prompted_ones_even_if_never_found():
    truth, labels = rectangles({1: A, 2: B}), rectangles({1: A, 3: B})
    assert [s.object_id for s in evaluate(labels, truth).scores] == [1]
    found = evaluate(labels, truth, prompts_frame={1: 0, 2: 0}, skip_prompted=False)
    assert [(s.object_id, s.j) for s in found.scores] == [(1, 1), (2, 0)]
    assert found.truth_ids == {1, 2}


def test_an_object_that_is_not_in_the_truth_has_no_score_and_leaves_the_means_alone():
    truth = rectangles({1: A})
    found = evaluate(truth, truth, ids=[1, 9])
    nine = found.of(9)
    assert (nine.n_frames, nine.switches, nine.lost) == (0, 0, False) and math.isnan(nine.j)
    assert found.j == 1
    with pytest.raises(KeyError, match="object 5 was not evaluated"):
        found.of(5)


@pytest.mark.parametrize(
    ("ious", "expected"),
    [
        ([], 0),
        ([1, 1, 1], 3),
        ([0, 0, 0], 0),
        ([1, 0, 0, 1, 1], 5),  # two frames are no loss
        ([1, 0, 0, 0, 1], 1),  # three are
        ([1, 1, 0], 2),  # the end of the movie is
        ([0, 1, 0.09, 0.1, 0, 0], 4),  # 0.1 is not below 0.1
    ],
)
def test_frames_to_loss(ious, expected):
    assert frames_to_loss(ious) == expected


@given(st.lists(st.sampled_from([0.0, 0.05, 0.5, 1.0]), max_size=12))
def test_a_loss_is_the_first_point_from_which_three_or_all_frames_are_bad(ious):
    bad = [iou < 0.1 for iou in ious]
    losses = [i for i in range(len(bad)) if all(bad[i : i + 3]) and (i + 3 <= len(bad) or all(bad[i:]))]
    assert frames_to_loss(ious) == (losses[0] if losses else len(ious))


def test_a_track_is_lost_by_its_last_five_frames():
    truth = rectangles(*[{1: A}] * 8)
    lost = rectangles(*[{1: A}] * 3, *[{}] * 5)
    back = rectangles(*[{1: A}] * 3, *[{}] * 4, {1: A})
    assert (evaluate(lost, truth).lost, evaluate(back, truth).lost) == (1, 0)
    assert evaluate(back, truth).of(1).frames_to_loss == 3


# --- identity switches -----------------------------------------------------------------------------------------------


def switches(labels, truth, **options):
    return {s.object_id: s.switches for s in evaluate(labels, truth, **options).scores}


def test_swapped_tracks_switch_once_each_and_twice_if_they_come_back():
    truth = rectangles(*[{1: A, 2: B}] * 5)
    swapped = rectangles(*[{1: A, 2: B}] * 2, *[{1: B, 2: A}] * 3)
    back = rectangles({1: A, 2: B}, {1: B, 2: A}, *[{1: A, 2: B}] * 3)
    assert switches(swapped, truth, prompts_frame=0) == {1: 1, 2: 1}
    assert switches(back, truth, prompts_frame=0) == {1: 2, 2: 2}
    assert evaluate(swapped, truth, prompts_frame=0).of(1).matched == pytest.approx(1 / 4)


def test_a_track_that_leaves_its_prompted_object_at_once_switches():
    truth = rectangles(*[{1: A, 2: B}] * 3)
    assert switches(rectangles({1: A}, {1: B}, {1: B}), truth, prompts_frame=0, ids=[1]) == {1: 1}


def test_frames_on_background_or_without_the_track_are_skipped():
    truth = rectangles(*[{1: A, 2: B}] * 5)
    assert switches(rectangles({1: A}, {1: FAR}, {}, {1: A}, {1: A}), truth, ids=[1]) == {1: 0}
    assert switches(rectangles({1: A}, {1: FAR}, {}, {1: B}, {1: B}), truth, ids=[1]) == {1: 1}


def test_a_neighbour_taken_while_the_own_object_is_out_of_sight_is_a_switch():
    truth = rectangles({1: A, 2: B}, {2: B}, {1: A, 2: B})
    assert switches(rectangles({1: A}, {1: B}, {1: A}), truth, ids=[1]) == {1: 2}


def test_what_happens_after_the_own_object_is_gone_is_no_switch():
    truth = rectangles({1: A, 2: B}, {1: A, 2: B}, {2: B})
    assert switches(rectangles({1: A}, {1: A}, {1: B}), truth, ids=[1]) == {1: 0}


def test_a_prompt_that_puts_a_track_back_is_no_switch():
    truth = rectangles(*[{1: A, 2: B}] * 4)
    labels = rectangles({1: A}, {1: B}, {1: A}, {1: A})
    assert switches(labels, truth, ids=[1], prompts_frame={1: [0, 2]}) == {1: 1}


def test_a_track_that_grazes_a_neighbour_lies_on_nothing():
    truth = rectangles({1: A, 2: B}, {1: A, 2: B})
    grazing = rectangles({1: A}, {1: (7, 20, 17, 40)})  # 6 of its 200 px, IoU 6/230
    assert switches(grazing, truth, ids=[1]) == {1: 0}


def test_a_small_track_inside_a_large_object_lies_on_it():
    truth = rectangles({1: A, 2: (0, 10, 20, 40)}, {1: A, 2: (0, 10, 20, 40)})
    inside = rectangles({1: A}, {1: (5, 20, 7, 22)})  # IoU 4/600, but all of the track
    assert switches(inside, truth, ids=[1]) == {1: 1}


def test_of_two_equally_overlapped_objects_the_own_one_counts():
    truth = rectangles(*[{1: (2, 2, 8, 8), 2: (2, 8, 8, 14)}] * 2)
    both = rectangles({1: (2, 2, 8, 14), 2: FAR}, {1: FAR, 2: (2, 2, 8, 14)})
    assert switches(both, truth) == {1: 0, 2: 0}
    assert evaluate(both, truth).of(2).matched == 0.5


def test_tracks_followed_backwards_are_judged_in_that_order():
    truth = rectangles(*[{1: A}] * 4)
    labels = rectangles({1: FAR}, {1: FAR}, {1: FAR}, {1: A})
    assert evaluate(labels, truth, frames=range(3, -1, -1)).of(1).frames_to_loss == 1
    assert evaluate(labels, truth).of(1).frames_to_loss == 0


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=10))
def test_switches_are_changes_of_what_is_matched(matches):
    sights = [FrameScore(iou=0.5, f=0.5, match=m, scored=True) for m in matches]
    known = [m for m in matches if m]
    assert count_switches(sights) == sum(a != b for a, b in pairwise(known))


# --- input -----------------------------------------------------------------------------------------------------------


def test_every_frame_is_read_once_and_alone(tmp_path):
    truth = rectangles(*[{1: A, 2: B}] * 5)
    labels, true = CountingMovie(truth), CountingMovie(truth)
    evaluate(labels, true, frames=range(1, 4))
    assert labels.reads == true.reads == [1, 2, 3]
    ctc_measures(labels, true, frames=[4])
    assert labels.reads == true.reads == [1, 2, 3, 4]


def test_zarr_and_lists_are_fine(tmp_path):
    truth = rectangles({1: A}, {1: HALF_A})
    stored = zarr.create_array(tmp_path / "t.zarr", data=truth, chunks=(1, *SHAPE))
    assert evaluate(stored, truth.tolist()).j == 1


def test_one_frame_is_enough():
    truth = rectangles({1: A})
    found = evaluate(truth, truth)
    assert (found.j, found.of(1).frames_to_loss, found.switches) == (1, 1, 0)
    assert math.isnan(evaluate(truth, truth, prompts_frame=0).j)


@pytest.mark.parametrize(
    ("labels", "truth", "options", "message"),
    [
        (np.zeros((2, 4, 5), int), np.zeros((2, 5, 4), int), {}, r"\(2, 5, 4\) and the label array has \(2, 4, 5\)"),
        (np.zeros((2, 4, 5), int), np.zeros((3, 4, 5), int), {}, r"\(3, 4, 5\) and the label array has \(2, 4, 5\)"),
        (np.zeros(5, int), np.zeros((4, 5), int), {}, r"the label array has the shape \(5,\)"),
        (np.full((1, 4, 5), 0.5), np.zeros((1, 4, 5), int), {}, "frame 0 of the label array holds fractions"),
        (np.zeros((1, 4, 5), int), np.full((1, 4, 5), -1), {}, "frame 0 of the truth array holds -1"),
        (np.zeros((2, 4, 5), int), np.zeros((2, 4, 5), int), {"frames": [2]}, "frame 2 is not in .* 0 to 1"),
    ],
)
def test_stacks_that_cannot_be_compared_are_refused(labels, truth, options, message):
    for compare in (evaluate, ctc_measures):
        with pytest.raises(ValueError, match=message):
            compare(labels, truth, **options)


# --- other ids -------------------------------------------------------------------------------------------------------


def test_ids_are_matched_one_to_one_by_overlap():
    truth = rectangles({1: A, 2: B})
    labels = rectangles({700: HALF_A, 5: (2, 2, 8, 9), 2: FAR, 9: B})
    pairs = match_ids(labels, truth, 0)
    assert pairs == {5: 1, 9: 2}
    renamed = open_labels(labels).renamed(pairs)
    assert set(np.unique(renamed[0])) == {0, 1, 2}
    assert evaluate(renamed, truth).of(2).j == 1


# --- CTC measures ----------------------------------------------------------------------------------------------------


def test_a_perfect_result_has_perfect_ctc_measures_whatever_its_ids(capsys):
    movie = disk_divides()
    renamed = np.where(movie.labels > 0, movie.labels.astype(np.uint32) + 100_000, 0)
    parents = {100_000 + d: 100_000 + m for d, m in movie.parents.items()}
    found = ctc_measures(renamed, movie.labels, parents=parents, truth_parents=movie.parents)
    assert (found.tra, found.det, found.seg) == (1, 1, 1)
    assert capsys.readouterr() == ("", "")  # no progress bars


def test_a_swapped_pair_and_a_missing_division_lower_tra_alone():
    truth = rectangles(*[{1: A, 2: B}] * 4)
    swapped = rectangles(*[{1: A, 2: B}] * 2, *[{1: B, 2: A}] * 2)
    found = ctc_measures(swapped, truth)
    # Two wrong links (1 each) and two missing ones (1.5 each) of 8 objects (10 each) and 6 links (1.5 each).
    assert found.tra == pytest.approx(1 - 5 / 89)
    assert (found.det, found.seg) == (1, 1)
    movie = disk_divides()
    assert ctc_measures(movie.labels, movie.labels, truth_parents=movie.parents).tra < 1


def test_seg_is_the_mean_iou_of_objects_that_are_mostly_covered():
    truth = rectangles({1: A, 2: B})
    labels = rectangles({1: (2, 4, 8, 10), 2: (2, 23, 8, 29)})  # 2/3 of A, IoU 24/48; exactly half of B
    found = ctc_measures(labels, truth)
    assert found.seg == pytest.approx(0.5 / 2)
    assert found.det == pytest.approx(1 - (10 + 1) / 20)


def test_an_empty_result_has_0_and_an_empty_truth_nothing():
    truth, empty = rectangles({1: A}, {1: A}), rectangles({}, {})
    found = ctc_measures(empty, truth)
    assert (found.tra, found.det, found.seg) == (0, 0, 0)
    nothing = ctc_measures(truth, empty)
    assert all(math.isnan(v) for v in (nothing.tra, nothing.det, nothing.seg))


def test_a_mother_that_is_still_there_is_no_mother():
    truth = rectangles({1: A}, {1: A, 2: B})
    assert ctc_measures(truth, truth, parents={2: 1, 7: 1, 1: 8}).tra == 1


def worse(movie):
    """The movie's labels with a swap, a hole in time, a missing, an extra and a half object, and two merged ones."""
    labels = movie.labels.copy()
    a, b, c, d = (int(i) for i in np.unique(labels[0])[1:5])
    late = labels[5:]
    was_a, was_b = late == a, late == b
    late[was_a], late[was_b] = b, a
    labels[3][labels[3] == c] = 0
    labels[2, :4, :4] = 200
    labels[1, :, ::2][labels[1, :, ::2] == d] = 0
    labels[7][labels[7] == c] = d
    return labels


def test_the_measures_are_those_of_the_libraries_on_files_of_the_challenge(tmp_path, capsys):
    from ctc_metrics import evaluate_sequence
    from traccuracy import run_metrics
    from traccuracy.loaders import load_ctc_data
    from traccuracy.matchers import CTCMatcher
    from traccuracy.metrics import CTCMetrics

    movie = touching_cells()
    labels = worse(movie)
    found = ctc_measures(labels, movie.labels)
    result = export_ctc(labels, tmp_path / "01_RES")
    true = export_ctc(movie.labels, tmp_path / "01_GT" / "TRA")
    (true / "res_track.txt").rename(true / "man_track.txt")
    (tmp_path / "01_GT" / "SEG").mkdir()
    for t, frame in enumerate(movie.labels):
        (true / f"mask{t:03d}.tif").rename(true / f"man_track{t:03d}.tif")
        tifffile.imwrite(tmp_path / "01_GT" / "SEG" / f"man_seg{t:03d}.tif", frame)
    by_files = evaluate_sequence(str(result), str(tmp_path / "01_GT"), ["SEG", "DET", "TRA"], threads=1)
    (by_graph,), _ = run_metrics(load_ctc_data(str(true)), load_ctc_data(str(result)), CTCMatcher(), [CTCMetrics()])
    assert 0.5 < found.tra < 0.99 and 0.5 < found.seg < 0.99
    assert found.seg == pytest.approx(by_files["SEG"])
    assert found.det == pytest.approx(by_files["DET"]) == pytest.approx(by_graph["results"]["DET"])
    assert found.tra == pytest.approx(by_graph["results"]["TRA"])
    assert found.tra == pytest.approx(by_files["TRA"], abs=2e-3)  # it counts links across a gap as parent links


def test_without_the_libraries_the_extra_is_named(monkeypatch):
    def refuse(name, *args, **kwargs):
        if name == "traccuracy":
            raise ImportError("No module named 'traccuracy'")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"napari-mosam\[evaluate\]"):
        ctc_measures(rectangles({1: A}), rectangles({1: A}))
