"""How the expected IoU is fitted and judged."""

import numpy as np
import pytest
from benchmarks.calibration import Masks, auroc, bins, calibration_error, fit, left_out, rows
from benchmarks.calibration_takes import Take, all_takes, true_ious

from napari_mosam.core.results.track_evidence import FEATURES

TRUE = 0.4, np.array([0.5, 0.8, 0.2])


def masks(n=3000, n_movies=6, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(0.5, 1.5, (n, len(FEATURES)))
    iou = 1 / (1 + np.exp(-(TRUE[0] + features @ TRUE[1])))
    movie = np.array([f"m{k % n_movies}" for k in range(n)])
    return Masks(movie, np.where(movie == "m0", "odd", "other"), rng.random(n), iou, features)


def test_the_fit_finds_what_the_masks_were_made_with():
    intercept, coefficients = fit(masks(), FEATURES)
    assert intercept == pytest.approx(TRUE[0], abs=0.02)
    assert coefficients == pytest.approx(TRUE[1], abs=0.02)


def test_a_movie_weighs_the_same_however_many_masks_it_has():
    many = masks()
    few = many.at((many.movie != "m1") | (np.arange(len(many.iou)) < 60))
    assert few.weights[few.movie == "m1"].sum() == pytest.approx(few.weights[few.movie == "m2"].sum())


def test_no_mask_is_judged_by_a_fit_to_its_own_movie():
    honest = masks()
    told_wrong = Masks(
        honest.movie, honest.kind, honest.predicted, np.where(honest.movie == "m0", 0.01, honest.iou), honest.features
    )
    here = honest.movie == "m0"
    assert np.array_equal(left_out(honest, FEATURES)[here], left_out(told_wrong, FEATURES)[here])
    assert not np.allclose(left_out(honest, FEATURES)[~here], left_out(told_wrong, FEATURES)[~here], atol=0.01)


def test_without_features_the_network_is_believed():
    some = masks(60)
    assert np.array_equal(left_out(some, ()), some.predicted)


def test_the_calibration_error_is_the_distance_in_bins_weighted_by_their_masks():
    expected, iou = np.array([0.95, 0.95, 0.95, 0.15]), np.array([0.9, 0.7, 0.8, 0.25])
    assert calibration_error(expected, iou) == pytest.approx((3 * 0.15 + 0.1) / 4)
    assert [n for n, _, _ in bins(np.array([0.0, 1.0, 0.999]), np.zeros(3))] == [1, 2]


def test_auroc_is_the_chance_to_rank_a_bad_mask_below_a_good_one():
    expected, bad = np.arange(10) / 10, np.arange(10) < 5
    assert auroc(expected, bad) == 1 and auroc(1 - expected, bad) == 0
    assert auroc(np.full(10, 0.5), bad) == 0.5
    assert np.isnan(auroc(expected, np.arange(10) < 4))  # too few bad ones


def test_the_table_has_a_row_of_each_kind_their_mean_and_all_masks():
    some = masks(600)
    lines = rows(some, {"network": some.predicted, "expected IoU": left_out(some, FEATURES)}, some.kind)
    assert [line[:3] for line in lines] == [
        ["odd", "100", "1"],
        ["other", "500", "5"],
        ["mean of the rows", "", ""],
        ["all masks", "600", "6"],
    ]


def test_the_iou_of_a_mask_is_unknown_where_its_cell_is_not_there():
    truth = np.zeros((2, 4, 4), int)
    truth[0, :2] = 7
    labels = np.zeros_like(truth)
    labels[:, 1:3] = 7
    assert true_ious(labels, truth, [7])[:, 0] == pytest.approx([4 / 12, np.nan], nan_ok=True)


def test_takes_have_names_of_their_own_and_prompt_frames_that_they_have():
    takes = all_takes()
    assert len({take.name for take in takes}) == len(takes)
    assert all(max(take.prompted) < take.n_frames for take in takes)


def test_cells_are_prompted_on_every_prompted_frame_on_which_they_are_seen():
    truth = np.zeros((20, 40, 40), int)
    truth[:, 5:15, 5:15] = 1
    truth[:16, 20:30, 20:30] = 2
    take = Take("any", "kind", 0, 20, "box", (0, 19))
    ids = take.ids(truth)
    assert ids == (1, 2)
    assert sorted((p.object_id, p.frame) for p in take.prompts(truth, ids)) == [(1, 0), (1, 19), (2, 0)]
