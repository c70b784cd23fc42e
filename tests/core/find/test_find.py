"""Every cell of a frame found without a mark: what is proposed, what is known already, and where it is stopped."""

import numpy as np
import pytest
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam import Prompts, find
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.find.frame import find_cells
from napari_mosam.core.find.proposals import Proposals
from napari_mosam.core.find.request import FindRequest
from napari_mosam.core.find.scan import cut_off, views
from napari_mosam.core.find.seeds import blobs, grid, liveliest
from napari_mosam.core.find.suppression import Found, strongest
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.window import Window

PLACES = [(20, 20), (24, 60), (70, 30), (75, 75), (2, 92)]
IMAGES, LABELS = disks([PLACES], radius=6)


def found(**options):
    return find(IMAGES, 0, model=FakeSegmenter(), **{"diameter": 12.0, **options})


def found_down_to(down_to, min_score):
    config = RunConfig(diameter=12.0)
    request = FindRequest.build(Movie.open(IMAGES), 0, config, None, min_score, down_to)
    return find_cells(request, FakeSegmenter())


def covering(proposals, k):
    """The proposal that is disk `k`."""
    return max(proposals.ids, key=lambda i: iou(proposals.labels == i, LABELS[0] == k))


@pytest.fixture(scope="module")
def proposals():
    return found()


def test_every_cell_is_proposed_once_also_one_that_the_frame_cuts_off(proposals):
    assert len(proposals) == len(PLACES)
    for k in range(1, len(PLACES) + 1):
        assert iou(proposals.labels == covering(proposals, k), LABELS[0] == k) > 0.7
    assert proposals.complete
    assert proposals.diameter == 12.0
    assert proposals.scores.max() <= 0.9


def test_the_size_of_a_typical_cell_is_estimated():
    assert found(diameter=None).diameter == pytest.approx(12, rel=0.3)


def test_what_is_known_already_is_not_proposed_again():
    known = np.where(LABELS[0] == 2, 7, 0)
    new = found(covered=known)
    assert len(new) == len(PLACES) - 1
    assert not (new.labels[known > 0]).any()


def test_weak_ones_that_are_asked_for_change_nothing_of_the_sure_ones(proposals):
    between = float(np.median(proposals.scores)) + 1e-4
    with_weak = found_down_to(0.2, between)
    sure, alone = with_weak.above(between), found(min_score=between)
    np.testing.assert_array_equal(sure.labels, alone.labels)
    np.testing.assert_array_equal(sure.scores, alone.scores)
    assert len(alone) < len(with_weak) == len(PLACES)


def test_no_pixel_of_what_is_known_is_proposed():
    known = np.zeros_like(LABELS[0])
    known[:, :18] = 9  # a strip, which reaches over a third of the first disk
    new = found(covered=known)
    assert len(new) == len(PLACES) and not new.labels[known > 0].any()


def test_a_score_that_nothing_has_leaves_nothing():
    assert len(found(min_score=0.95)) == 0


def test_nothing_is_found_on_an_empty_frame():
    empty = find(np.zeros((1, 64, 64), np.uint8), 0, model=FakeSegmenter(), limits=(0, 1))
    assert len(empty) == 0
    assert len(empty.prompts()) == 0


def test_the_views_are_counted():
    told = []
    found(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (9, 9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"covered": np.zeros((3, 3), int)}, r"ids \(Y, X\) of shape \(96, 96\)"),
        ({"min_score": 2.0}, "0 to 1"),
        ({"diameter": -1.0}, "diameter"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        found(**options)


def test_a_frame_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="frames 0 to 0"):
        find(IMAGES, 1, model=FakeSegmenter())


# ---- the proposals


def square(y, x, side=4):
    return Region((y, x), np.ones((side, side), bool))


def test_a_pixel_of_two_proposals_is_that_of_the_surer_one():
    two = Proposals.of(3, (10, 10), [(square(0, 0), 0.5), (square(2, 2), 0.9)], 4.0)
    assert two.scores.tolist() == pytest.approx([0.9, 0.5])
    assert (two.labels == 1).sum() == 16
    assert (two.labels == 2).sum() == 12


def test_proposals_are_thinned_out_and_numbered_anew():
    three = Proposals.of(0, (20, 20), [(square(0, 0), 0.7), (square(8, 8), 0.9), (square(15, 15), 0.8)], 4.0)
    some = three.without([2])
    assert some.scores.tolist() == pytest.approx([0.9, 0.7])
    assert np.array_equal(some.labels == 2, three.labels == 3)
    assert len(three.above(0.75)) == 2
    assert np.array_equal(three.only([3]).labels > 0, three.labels == 3)
    with pytest.raises(ValueError, match="no proposal 4; allowed: 1 to 3"):
        three.only([4])


def test_proposals_become_masks_of_new_objects(proposals):
    prompts = proposals.prompts(first_id=5)
    assert prompts.object_ids == (5, 6, 7, 8, 9)
    assert prompts == Prompts.from_labels(np.where(proposals.labels > 0, proposals.labels + 4, 0))


# ---- rules


def test_of_masks_of_the_same_cell_the_surest_is_kept_and_a_part_of_it_is_not():
    whole, shifted, part, other = square(0, 0, 10), square(1, 1, 10), square(0, 0, 5), square(0, 20, 10)
    kept = strongest([Found(shifted, 0.6), Found(whole, 0.8), Found(part, 0.7), Found(other, 0.5)])
    assert [one.region for one in kept] == [whole, other]
    assert strongest([Found(whole, 0.8)], known=[shifted]) == []


@pytest.mark.parametrize("radius", [5, 12])
def test_blobs_are_found_in_their_middle_whether_bright_or_dark(radius):
    images, _ = disks([[(30, 30), (64, 70)]], radius=radius)
    grey = (images[0] / 1000).astype(np.float32)
    for image in (grey, 1 - grey):
        centres, strengths = blobs(image, 2 * radius)
        assert np.allclose(sorted(centres[:2].tolist()), [[30, 30], [64, 70]], atol=2)
        assert (np.diff(strengths) <= 0).all()


def test_a_proposal_has_one_piece_and_no_hole():
    ring = np.ones((9, 9), bool)
    ring[3:5, 3:5] = False
    ring[:, 7] = False
    one = Proposals.of(0, (20, 20), [(Region((4, 4), ring), 0.9)], 9.0)
    assert (one.labels > 0).sum() == 9 * 7


def test_masks_of_which_the_model_is_unsure_are_looked_at_again_in_a_window_of_their_own():
    sure, unsure = FakeSegmenter(present_iou=0.9), FakeSegmenter(present_iou=0.55)
    for model in (sure, unsure):
        assert len(find(IMAGES, 0, model=model, diameter=12.0)) == len(PLACES)
    assert unsure.encoded == sure.encoded + len(PLACES)


@pytest.mark.parametrize(
    ("origin", "cut"), [((20, 20), False), ((11, 20), True), ((20, 46), True), ((0, 20), True), ((46, 20), True)]
)
def test_a_mask_is_cut_off_where_it_comes_near_an_edge_of_its_window_inside_the_frame(origin, cut):
    window = Window.square((30, 30), 40)
    assert cut_off(square(*origin), window, (100, 100), logits_side=32) is cut


def test_the_edge_of_the_frame_cuts_no_mask_off():
    window = Window.square((5, 95), 40)
    assert not cut_off(square(0, 96), window, (100, 100), logits_side=32)


def test_a_frame_of_small_cells_has_no_more_windows_than_can_be_looked_at():
    assert len(views((96, 96), 12)) == 9
    many = views((3000, 3000), 10)
    assert len(many) <= 256
    assert many[0].window.size_yx[0] == pytest.approx((3000**2 / 250) ** 0.5 + 20)


def test_places_where_all_is_flat_are_left_out_first():
    grey = (IMAGES[0] / 1000).astype(np.float32)
    chosen = liveliest(grid((96, 96), 12), grey, 12, most=12)
    assert len(chosen) == 12
    assert all(min(np.hypot(y - cy, x - cx) for cy, cx in PLACES) < 14 for y, x in chosen)
