"""Losses: known values, what they teach and what they leave alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training.config import LossConfig
from training.rollout.losses import (
    EntropyWeights,
    Target,
    balanced_entropy,
    decode_losses,
    dice,
    mask_losses,
    mean_over,
    true_ious,
)

from napari_mosam.core.model.protocol import MaskCandidates

CONFIG = LossConfig()
WEIGHTS = EntropyWeights(8.0, 1.0)
SIDE = 16


def square(low: int, high: int) -> torch.Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[low:high, low:high] = 1
    return mask


def decoded(logits: torch.Tensor, ious: torch.Tensor, score: torch.Tensor) -> MaskCandidates:
    return MaskCandidates(logits, ious, score, torch.zeros(*ious.shape, 4))


def target(*masks: torch.Tensor) -> Target:
    stacked = torch.stack(masks)
    area = stacked.flatten(1).sum(1)
    return Target(stacked, area > 0, area == 0)


def test_dice_of_a_perfect_and_of_an_empty_mask():
    mask = square(4, 12)
    assert float(dice(40 * (2 * mask - 1), mask)) == pytest.approx(0, abs=1e-4)
    assert float(dice(torch.full_like(mask, -40.0), mask)) == pytest.approx(1 - 1 / 65, abs=1e-4)


def test_the_balanced_entropy_weighs_inside_and_outside_alike():
    mask = square(7, 9)
    entropy = torch.where(mask > 0, 3.0, 1.0)
    assert float(balanced_entropy(entropy, mask)) == pytest.approx(0.5 * (12 / 5 + 252 / 253))


def test_undecided_logits_cost_log_two():
    mask = square(4, 12)
    loss = mask_losses(torch.zeros(1, 1, SIDE, SIDE), mask[None, None], LossConfig(dice=0.0), EntropyWeights(1.0, 0.0))
    assert float(loss) == pytest.approx(math.log(2))


def test_the_weights_of_the_entropies_change_and_settle():
    config = LossConfig(balanced=(4.0, 0.2), bce=(2.0, 8.0), settled=0.5)
    found = [EntropyWeights.at(p, config) for p in (0, 0.25, 0.5, 1)]
    assert [w.balanced for w in found] == pytest.approx([4.0, 2.1, 0.2, 0.2])
    assert [w.bce for w in found] == pytest.approx([2.0, 5.0, 8.0, 8.0])
    assert EntropyWeights.at(0.0, LossConfig(balanced=(1.0, 0.2), settled=0.0)).balanced == pytest.approx(0.2)


def test_ious_of_candidates_are_exact():
    mask = square(4, 12)
    logits = torch.stack([20 * (2 * m - 1) for m in (mask, square(4, 8), torch.zeros_like(mask))])[None]
    assert true_ious(logits, mask[None]).tolist() == [[1.0, 0.25, 0.0]]


def test_only_the_best_candidate_is_taught():
    mask = square(4, 12)
    good, bad = 3 * (2 * mask - 1), -3 * (2 * mask - 1)
    logits = torch.stack([bad, good, bad])[None].requires_grad_()
    losses = decode_losses(decoded(logits, torch.full((1, 3), 0.5), torch.zeros(1)), target(mask), CONFIG, WEIGHTS)
    losses.mask.backward()
    touched = logits.grad.abs().sum((0, 2, 3)) > 0
    assert touched.tolist() == [False, True, False]


def test_masks_are_taught_whatever_the_object_score_says():
    mask = square(4, 12)
    logits = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
    losses = decode_losses(decoded(logits, torch.ones(1, 1), torch.full((1,), -9.0)), target(mask), CONFIG, WEIGHTS)
    losses.mask.backward()
    assert float(logits.grad[0, 0][mask > 0].max()) < 0
    assert float(logits.grad[0, 0][mask == 0].min()) > 0


def test_an_absent_object_teaches_its_score_and_its_iou_but_no_mask():
    logits = torch.ones(1, 3, SIDE, SIDE, requires_grad=True)
    ious = torch.full((1, 3), 0.5, requires_grad=True)
    score = torch.ones(1, requires_grad=True)
    losses = decode_losses(decoded(logits, ious, score), target(torch.zeros(SIDE, SIDE)), CONFIG, WEIGHTS)
    losses.total.backward()
    assert float(losses.mask.detach()) == 0
    assert not logits.grad.any()
    assert float(losses.iou.detach()) == pytest.approx(CONFIG.absent_iou * 0.5)
    assert (ious.grad > 0).all()
    assert (score.grad > 0).all()
    assert float(losses.score.detach()) == pytest.approx(math.log1p(math.e))


def test_a_sliver_at_the_edge_is_neither_there_nor_away():
    masks = torch.zeros(2, 2 * SIDE, 2 * SIDE, dtype=torch.bool)
    masks[0, :2, :2], masks[1, :8, :8] = True, True
    seen = Target.of(masks, torch.tensor([100, 100]))
    assert seen.present.tolist() == [False, True]
    assert seen.absent.tolist() == [False, False]
    losses = decode_losses(
        decoded(torch.zeros(2, 1, SIDE, SIDE), torch.ones(2, 1), torch.tensor([-50.0, 50.0])), seen, CONFIG, WEIGHTS
    )
    assert float(losses.score) == pytest.approx(0, abs=1e-6)


def test_the_predicted_iou_is_taught_the_true_one():
    mask = square(4, 12)
    logits = (20 * (2 * square(4, 8) - 1))[None, None]
    losses = decode_losses(decoded(logits, torch.full((1, 1), 0.9), torch.ones(1)), target(mask), CONFIG, WEIGHTS)
    assert float(losses.iou) == pytest.approx(0.65, abs=1e-5)


def test_nobody_gives_no_loss():
    assert float(mean_over(torch.ones(3), torch.zeros(3, dtype=torch.bool))) == 0


@given(st.floats(-30, 30), st.integers(1, 14))
def test_losses_are_finite_and_not_negative(level, high):
    logits = torch.full((1, 2, SIDE, SIDE), level)
    losses = decode_losses(
        decoded(logits, torch.zeros(1, 2), torch.tensor([level])), target(square(0, high)), CONFIG, WEIGHTS
    )
    assert all(0 <= float(part) < 1000 for part in (losses.mask, losses.iou, losses.score))
