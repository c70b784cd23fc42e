"""Which piece of a mask stays, and where the pixels of the others go."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from napari_mosam.core.masks.label_frames import in_one_piece
from napari_mosam.core.masks.overlap import SUPPRESSED, FixedMask
from napari_mosam.core.masks.pieces import settle, share_out
from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.window import Window

SHAPE = (48, 48)
WHOLE = Window.full(SHAPE)
EIGHT = np.ones((3, 3))


def claim(object_id, rows, columns, logit=4.0, **more):
    logits = torch.full(SHAPE, -6.0)
    logits[slice(*rows), slice(*columns)] = logit
    return FixedMask(object_id, WHOLE, logits, 0.9, **more)


def cut(**more):
    """An object that a narrow one cuts into 10 columns on the left and 16 on the right, and a weak one below both."""
    bar = claim(2, (0, 48), (14, 20), 9.0)
    return [claim(1, (8, 20), (4, 36), **more), bar, claim(3, (8, 20), (4, 12), 1.0)]


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ({}, {5: 3, 21: 1}),
        ({"expected": Region((10, 4), np.ones((6, 9), bool))}, {5: 1, 21: 0}),
        ({"expected": Region((0, 40), np.ones((2, 2), bool))}, {5: 3, 21: 1}),
        ({"painted": True}, {5: 1, 21: 1}),
    ],
    ids=["the largest", "the one that is expected", "nothing is where it is expected", "painted"],
)
def test_one_piece_stays(more, stays):
    logits, shares = settle(cut(**more), (), SHAPE)
    for column, object_id in stays.items():
        assert shares.labels[12, column] == object_id
    again = share_out(
        [FixedMask(i, WHOLE, own, 0.9, i == 1 and "painted" in more) for i, own in enumerate(logits, 1)], SHAPE
    )
    assert np.array_equal(again.labels, shares.labels)
    assert np.array_equal(shares.labels > 0, shares.contest.confidence([0.9] * 3) > 0)


def test_dropped_pixels_are_suppressed_and_go_to_the_next_best_object():
    logits, shares = settle(cut(), (), SHAPE)
    assert shares.labels[12, 6] == 3
    assert logits[0][12, 6] <= SUPPRESSED
    assert logits[0][12, 30] == 4


def test_without_the_rule_both_pieces_stay():
    logits, shares = settle(cut(), (), SHAPE, prune=False)
    assert (shares.labels[12, 5], shares.labels[12, 21]) == (1, 1)
    assert torch.equal(logits[0], cut()[0].logits)


def test_nobody_gets_pixels_that_are_held():
    held = np.zeros(SHAPE, bool)
    held[:, 25:28] = True
    labels = share_out([claim(1, (8, 20), (4, 36))], SHAPE, held=held).labels
    assert not labels[held].any()
    assert (labels[12, 6], labels[12, 30]) == (1, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 12))
def test_every_object_is_one_piece_and_what_is_stored_gives_it_again(seed, n, side):
    rng = np.random.default_rng(seed)
    windows = [Window.square(tuple(rng.uniform(0, 40, 2)), rng.uniform(6, 50)) for _ in range(n)]
    claims = [
        FixedMask(k + 1, window, torch.from_numpy(rng.normal(0, 5, (side, side)).astype(np.float32)), 0.9)
        for k, window in enumerate(windows)
    ]
    shares = settle(claims, (), SHAPE)[1]
    assert all(label(shares.labels == k + 1, EIGHT)[1] <= 1 for k in range(n))


@given(st.integers(0, 10_000), st.sets(st.integers(0, 6), max_size=5))
def test_a_label_frame_is_brought_into_one_piece_per_object(seed, ids):
    labels = np.random.default_rng(seed).integers(0, 5, (14, 17)).astype(np.uint16)
    whole = in_one_piece(labels, ids)
    assert whole.dtype == labels.dtype
    assert np.isin(whole, [0]).sum() >= (labels == 0).sum()
    for i in range(1, 5):
        kept = whole == i
        if i not in ids:
            assert np.array_equal(kept, labels == i)
            continue
        sizes = np.bincount(label(labels == i, EIGHT)[0].ravel())[1:]
        assert label(kept, EIGHT)[1] == min(1, len(sizes))
        assert kept.sum() == max(sizes, default=0)
