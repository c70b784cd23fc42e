import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mosam.core.masks.cleanup import prune
from napari_mosam.core.masks.label_frames import label_dtype, regions_of
from napari_mosam.core.masks.overlap import SUPPRESSED, resolve_overlaps, suppress, suppress_duplicates
from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.sampling import NO_LOGIT, paste
from napari_mosam.core.windows.window import Window

SHAPE = (40, 50)
EVERYWHERE = slice(0, SHAPE[0]), slice(0, SHAPE[1])


def contenders(n, seed):
    """Random logits over random windows, some partly or wholly outside the frame."""
    rng = np.random.default_rng(seed)
    windows = [Window.square(tuple(rng.uniform(-20, 70, 2)), rng.uniform(6, 60)) for _ in range(n)]
    return [torch.from_numpy(rng.normal(0, 4, (8, 8)).astype(np.float32)) for _ in range(n)], windows


def stacked(logits, windows):
    """Every object's logits on its own frame, by brute force."""
    canvas = torch.full((len(logits), *SHAPE), NO_LOGIT)
    for row, (own, window) in enumerate(zip(logits, windows, strict=True)):
        region, values = paste(own, window, SHAPE)
        canvas[row][region] = values
    return canvas


@pytest.mark.parametrize(
    ("max_id", "dtype"),
    [(0, np.uint16), (255, np.uint16), (65535, np.uint16), (65536, np.uint32), (2**32 - 1, np.uint32)],
)
def test_ids_choose_the_dtype(max_id, dtype):
    assert label_dtype(max_id) is dtype


def test_an_id_that_no_label_image_holds_is_refused():
    with pytest.raises(ValueError, match="4294967296 is too large.*4294967295"):
        label_dtype(2**32)


@settings(max_examples=30)
@given(st.integers(0, 6), st.integers(0, 10_000))
def test_the_largest_positive_logit_takes_the_pixel(n, seed):
    logits, windows = contenders(n, seed)
    ids = [7 * k + 3 for k in range(n)]
    labels = resolve_overlaps(logits, windows, SHAPE).labels(ids)
    canvas = torch.cat([torch.full((1, *SHAPE), NO_LOGIT), stacked(logits, windows)])
    best, row = canvas.max(0)
    expected = np.where(best.numpy() > 0, np.array([0, *ids])[row.numpy()], 0)
    assert np.array_equal(labels, expected)


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(0, 10_000), st.randoms())
def test_the_order_of_the_objects_does_not_matter(n, seed, random):
    logits, windows = contenders(n, seed)
    ids, quality = [11 * k + 1 for k in range(n)], [0.5 + 0.05 * k for k in range(n)]
    order = random.sample(range(n), n)
    one = resolve_overlaps(logits, windows, SHAPE)
    other = resolve_overlaps([logits[k] for k in order], [windows[k] for k in order], SHAPE)
    assert np.array_equal(one.labels(ids), other.labels([ids[k] for k in order]))
    assert np.array_equal(one.confidence(quality), other.confidence([quality[k] for k in order]))
    held, others = one.over(EVERYWHERE), other.over(EVERYWHERE)
    assert torch.equal(held.best, others.best)
    assert torch.equal(held.second, others.second)


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 10_000))
def test_rivals_are_the_strongest_other_logits(n, seed):
    logits, windows = contenders(n, seed)
    contest, canvas = resolve_overlaps(logits, windows, SHAPE), stacked(logits, windows)
    for row in range(n):
        others = torch.cat([canvas[:row], canvas[row + 1 :], torch.full((1, *SHAPE), NO_LOGIT)]).max(0).values
        # A window of one model pixel per frame pixel reads the frame without resampling.
        view = Window((19.5, 19.5), (40.0, 40.0))
        assert torch.allclose(contest.rivals([row], [view], 40)[0], others[:, :40], atol=1e-3)


def test_rivals_of_a_window_that_misses_the_frame():
    contest = resolve_overlaps([torch.full((8, 8), 5.0)], [Window.full(SHAPE)], SHAPE)
    assert torch.all(contest.rivals([1], [Window.square((-300, 0), 20)], 16)[0] == NO_LOGIT)
    assert torch.allclose(contest.rivals([1], [Window.square((20, 20), 20)], 16)[0], torch.tensor(5.0))
    assert torch.allclose(contest.rivals([0], [Window.square((20, 20), 20)], 16)[0], torch.tensor(NO_LOGIT))


def test_suppress_takes_only_what_a_rival_holds():
    own = torch.tensor([5.0, 5.0, -20.0, -3.0])
    rivals = torch.tensor([6.0, 4.0, 1.0, NO_LOGIT])
    assert suppress(own, rivals).tolist() == [SUPPRESSED, 5.0, -20.0, -3.0]


def test_no_objects_give_an_empty_frame():
    contest = resolve_overlaps([], [], SHAPE)
    labels, confidence = contest.labels([]), contest.confidence([])
    assert (labels.dtype, labels.shape, labels.any()) == (np.uint16, SHAPE, False)
    assert (confidence.dtype, confidence.shape, confidence.any()) == (np.float32, SHAPE, False)


@pytest.mark.parametrize("ids", [(1, 300), (300, 70000)])
def test_large_ids_are_kept(ids):
    logits = [torch.full((8, 8), 3.0), torch.full((8, 8), 3.0)]
    windows = [Window.square((10, 10), 12), Window.square((30, 40), 12)]
    labels = resolve_overlaps(logits, windows, SHAPE).labels(ids)
    assert labels.dtype == label_dtype(max(ids))
    assert set(np.unique(labels)) == {0, *ids}
    assert labels[10, 10] == ids[0]
    assert labels[30, 40] == ids[1]


def test_confidence_is_the_probability_times_the_predicted_iou():
    windows = [Window.square((10, 10), 12), Window.square((30, 40), 12)]
    contest = resolve_overlaps([torch.full((8, 8), 2.0), torch.full((8, 8), -2.0)], windows, SHAPE)
    confidence = contest.confidence([0.5, 0.9])
    assert confidence[10, 10] == pytest.approx(0.5 / (1 + np.exp(-2)))
    assert confidence[30, 40] == 0
    assert np.array_equal(confidence > 0, contest.labels([1, 2]) > 0)


def test_an_object_that_is_not_there_claims_nothing():
    everywhere = [Window.full(SHAPE), Window.full(SHAPE)]
    contest = resolve_overlaps([torch.full((8, 8), -1024.0), torch.full((8, 8), 1.0)], everywhere, SHAPE)
    assert np.all(contest.labels([1, 2]) == 2)
    assert contest.over(EVERYWHERE).second.min() >= NO_LOGIT


def test_regions_are_found_in_the_label_frame():
    labels = np.zeros(SHAPE, np.uint16)
    labels[5:9, 6:8] = 4
    here = Window.square((8, 8), 20)
    mine, other, outside = regions_of(labels, [4, 5, 4], [here, here, Window.square((500, 500), 20)])
    assert (mine.box, mine.area) == ((5, 6, 8, 7), 8)
    assert other is None
    assert outside is None


# ---- pieces of a mask


def pieces(*columns):
    """Logits of 20 x 30 with a positive block of rows 5 to 9 for each (first, last) column."""
    logits = torch.full((20, 30), -4.0)
    for first, last in columns:
        logits[5:10, first : last + 1] = 3
    return logits


def covered(first, last):
    return (pieces((first, last)) > 0).float()


@pytest.mark.parametrize(
    ("before", "expected", "after"),
    [
        ([(2, 6), (20, 24)], (1, 7), [(2, 6)]),
        ([(2, 6), (20, 29)], (3, 6), [(2, 6)]),
        ([(2, 6), (9, 10), (20, 24)], (1, 12), [(2, 6), (9, 10)]),
        ([(2, 6), (20, 26)], (12, 15), [(20, 26)]),
        ([(2, 6)], (20, 24), [(2, 6)]),
        ([], (20, 24), []),
    ],
    ids=[
        "a neighbour goes",
        "even a larger one",
        "a piece inside stays",
        "none touches: the largest stays",
        "one piece",
        "none",
    ],
)
def test_pieces_that_do_not_continue_the_last_mask_are_dropped(before, expected, after):
    (pruned,), _ = prune(pieces(*before)[None], covered(*expected)[None])
    assert torch.equal(pruned > 0, pieces(*after) > 0)
    assert torch.equal(pruned[pruned > 0], pieces(*before)[pruned > 0])
    assert pruned.max() <= 3


def test_holes_are_filled():
    holed = pieces((4, 20))
    holed[7, 10:12] = -3
    (filled,), _ = prune(holed[None], covered(4, 20)[None])
    assert torch.equal(filled > 0, pieces((4, 20)) > 0)
    assert (filled[7, 10:12] == 1).all()  # weaker than a rival that is sure of itself


def test_after_an_object_was_lost_the_largest_piece_stays():
    (pruned,), (division,) = prune(pieces((2, 6), (20, 26))[None], covered(0, 0)[None])
    assert torch.equal(pruned > 0, pieces((20, 26)) > 0)
    assert division == 0  # nothing tells where it was


def test_a_mask_that_has_fallen_into_two_tells_of_a_division():
    _, (division,) = prune(pieces((2, 6), (9, 15), (25, 28))[None], covered(1, 16)[None])
    assert division == pytest.approx(5 / 7)  # columns


def test_each_mask_of_a_frame_is_judged_by_itself():
    stack = torch.stack([pieces((2, 6), (20, 24)), pieces(), pieces((4, 20)), pieces((2, 6), (20, 29))])
    stack[2, 7, 10:12] = -3
    expected = torch.stack([covered(1, 7), covered(2, 6), covered(0, 0), covered(3, 6)])
    together, divisions = prune(stack, expected, [False, False, False, True])
    alone = [
        prune(own[None], there[None], [kept])[0][0]
        for own, there, kept in zip(stack, expected, [0, 0, 0, 1], strict=True)
    ]
    assert torch.equal(together, torch.stack(alone))
    assert torch.equal(together[3], stack[3])  # exempt
    assert divisions == [0.0] * 4


# ---- two objects on one cell


def block(y, x, side=10):
    return Region((y, x), np.ones((side, side), bool))


@pytest.mark.parametrize(
    ("claims", "strengths", "losers"),
    [
        ([block(0, 0), block(0, 1)], [0.9, 0.5], {1}),
        ([block(0, 0), block(0, 1)], [0.5, 0.9], {0}),
        ([block(0, 0), block(0, 1)], [0.5, 0.5], {1}),
        ([block(0, 0), block(0, 6)], [0.9, 0.5], set()),
        ([block(0, 0), block(50, 0), None], [0.9, 0.5, 1.0], set()),
        ([block(0, 0), block(0, 1), block(0, 2)], [0.1, 0.2, 0.3], {0, 1}),
        ([block(0, 0), block(0, 3), block(0, 6)], [0.1, 0.3, 0.2], {0, 2}),
        ([block(0, 0), block(2, 2, 3)], [0.9, 0.5], set()),
        ([], [], set()),
    ],
)
def test_the_stronger_of_two_equal_claims_keeps_the_cell(claims, strengths, losers):
    assert suppress_duplicates(claims, strengths, 0.5) == losers


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.floats(0, 1)), max_size=7), st.floats(0, 1))
def test_no_two_kept_claims_are_the_same_cell(places, most_iou):
    claims, strengths = [block(y, x) for y, x, _ in places], [s for *_, s in places]
    losers = suppress_duplicates(claims, strengths, most_iou)
    kept = [row for row in range(len(claims)) if row not in losers]
    assert all(claims[a].iou(claims[b]) <= most_iou for a in kept for b in kept if a < b)
    for row in losers:
        assert any(claims[row].iou(claims[k]) > most_iou and strengths[k] >= strengths[row] for k in kept)
