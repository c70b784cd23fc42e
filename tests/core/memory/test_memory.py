import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_mosam.core.config.engine import MemoryConfig
from napari_mosam.core.memory.bank import KEPT_FRAMES, MemoryBank
from napari_mosam.core.memory.selection import (
    ReadContext,
    nearest_conditioning,
    recall_gated,
    recall_reliable,
    recall_sam2,
    reliability,
)
from napari_mosam.core.model.protocol import MemoryFrame

SLOTS, LENGTH = 7, 60
TIMES = st.sets(st.integers(0, LENGTH - 1), max_size=25)
STEPS = st.sampled_from([1, -1])


def memory(t, area=100.0, iou=0.9, score=5.0, rating=0.9):
    return MemoryFrame(t, torch.ones(2, 2, 2), torch.zeros(4), iou, score, area, rating=rating)


def memories(times):
    return [memory(t) for t in sorted(times)]


def slots(recall):
    return {(slot, frame.t) for slot, frame in recall.frames}


def pointers(recall):
    return {(distance, frame.t) for distance, frame in recall.pointers}


def walk(bank, frames, step=1, n_frames=LENGTH):
    """Remember frames one after another as a pass would, and recall at the next."""
    for t in frames:
        bank = bank.remembering(memory(t))
    return bank.recall(frames[-1] + step, step, n_frames)


# ---- SAM 2's rule


def sam2_rule(conditioning, tracked, t, step, n_frames):
    """SAM 2's reading of memory, restated with all prompted frames read: slots by distance, 15 pointers back."""
    frames = {(0, c) for c in conditioning}
    frames |= {(SLOTS - d, t - d * step) for d in range(1, SLOTS) if t - d * step in tracked}
    back = {(d, t - d * step) for d in range(1, min(n_frames, 16)) if t - d * step in tracked}
    return frames, back | {((t - c) * step, c) for c in conditioning if (t - c) * step >= 0}


@given(TIMES, TIMES, st.integers(0, LENGTH - 1), STEPS, st.sampled_from([3, 10, LENGTH]))
def test_sam2_reads_what_sam2_reads(conditioning, tracked, t, step, n_frames):
    tracked = {f for f in tracked if (t - f) * step > 0} - conditioning
    config = MemoryConfig(selection="sam2", max_conditioning=0)
    read = recall_sam2(memories(conditioning), memories(tracked), ReadContext(t, step, n_frames, SLOTS), config)
    assert (slots(read), pointers(read)) == sam2_rule(conditioning, tracked, t, step, n_frames)


def test_sam2_leaves_the_slots_of_missing_frames_empty():
    read = recall_sam2(memories([0]), memories([5, 9]), ReadContext(10, 1, LENGTH, SLOTS), MemoryConfig())
    assert slots(read) == {(0, 0), (2, 5), (6, 9)}
    assert pointers(read) == {(10, 0), (5, 5), (1, 9)}


def test_a_prompted_frame_beyond_the_limit_is_read_as_a_tracked_one():
    config = MemoryConfig(selection="sam2", max_conditioning=2)
    read = recall_sam2(memories([0, 8, 9]), memories([]), ReadContext(10, 1, LENGTH, SLOTS), config)
    assert slots(read) == {(0, 0), (0, 9), (5, 8)}
    assert pointers(read) == {(10, 0), (1, 9), (2, 8)}


@pytest.mark.parametrize("step", [1, -1])
def test_pointers_of_the_future_are_not_read(step):
    read = recall_sam2(memories([10, 30]), memories([]), ReadContext(20, step, LENGTH, SLOTS), MemoryConfig())
    assert {t for _, t in slots(read)} == {10, 30}
    assert pointers(read) == {(10, 20 - 10 * step)}


# ---- gated selection


@given(st.lists(st.integers(1, 59), min_size=1, unique=True), st.integers(1, 6), STEPS)
def test_gated_reads_the_most_recent_without_gaps(distances, n_frames, step):
    tracked = {60 - d * step for d in distances}
    config = MemoryConfig(n_frames=n_frames)
    read = recall_gated(memories([60 - 70 * step]), memories(tracked), ReadContext(60, step, LENGTH, SLOTS), config)
    recent = sorted(tracked, key=lambda f: abs(f - 60))[:n_frames]
    assert slots(read) == {(0, 60 - 70 * step)} | {(SLOTS - 1 - rank, f) for rank, f in enumerate(recent)}


def test_gated_memory_reaches_over_a_long_absence():
    read = recall_gated(memories([0]), memories([1, 2, 3]), ReadContext(50, 1, LENGTH, SLOTS), MemoryConfig())
    assert slots(read) == {(0, 0), (6, 3), (5, 2), (4, 1)}
    assert pointers(read) == {(50, 0), (47, 3), (48, 2), (49, 1)}
    sam2 = recall_sam2(memories([0]), memories([1, 2, 3]), ReadContext(50, 1, LENGTH, SLOTS), MemoryConfig())
    assert slots(sam2) == {(0, 0)}


@pytest.mark.parametrize("rule", [recall_gated, recall_reliable, recall_sam2])
@given(
    conditioning=st.sets(st.integers(0, LENGTH - 1), min_size=1, max_size=12),
    tracked=TIMES,
    t=st.integers(0, LENGTH - 1),
    step=STEPS,
    limit=st.integers(0, 5),
    n=st.integers(1, 6),
)
def test_bounds_of_every_selection(rule, conditioning, tracked, t, step, limit, n):
    conditioning = conditioning - {t}
    assume(conditioning)
    config = MemoryConfig(n_frames=n, max_conditioning=limit)
    read = rule(memories(conditioning), memories(tracked - conditioning), ReadContext(t, step, LENGTH, SLOTS), config)
    taken = [slot for slot, _ in read.frames if slot > 0]
    assert all(frame.t != t for _, frame in (*read.frames, *read.pointers))
    assert (
        len(set(taken))
        == len(taken)
        <= {recall_gated: n, recall_reliable: min(n + 1, SLOTS - 1), recall_sam2: SLOTS - 1}[rule]
    )
    assert set(taken) <= set(range(1, SLOTS))
    assert 1 <= len(read.frames) - len(taken) <= (limit or len(conditioning))
    assert len(read.pointers) <= 15 + (limit or len(conditioning))
    assert all(frame.t in conditioning for slot, frame in read.frames if slot == 0)


# ---- reliable selection

RATINGS = st.dictionaries(st.integers(1, 39), st.floats(0, 1), min_size=1, max_size=20)


@given(RATINGS, st.integers(1, 5), st.integers(1, 12))
def test_the_best_rated_candidates_and_the_latest_frame_are_read(ratings, n, n_candidates):
    config = MemoryConfig(selection="reliable", n_frames=n, n_candidates=n_candidates)
    tracked = [memory(t, rating=r) for t, r in sorted(ratings.items())]
    read = recall_reliable(memories([0]), tracked, ReadContext(40, 1, LENGTH, SLOTS), config)
    chosen = {f.t for slot, f in read.frames if slot}
    candidates = sorted(ratings, reverse=True)[:n_candidates]
    assert max(ratings) in chosen
    left = [ratings[t] for t in candidates if t not in chosen]
    assert len(chosen - {max(ratings)}) >= min(n, len(candidates)) - 1
    assert not left or all(ratings[t] >= max(left) for t in chosen - {max(ratings)})


def test_slots_of_reliable_frames_are_compact_and_in_the_order_of_time():
    tracked = [memory(t, rating=r) for t, r in ((2, 0.9), (5, 0.2), (7, 0.8), (9, 0.1))]
    config = MemoryConfig(selection="reliable", n_frames=2)
    read = recall_reliable(memories([0]), tracked, ReadContext(20, 1, LENGTH, SLOTS), config)
    assert slots(read) == {(0, 0), (6, 9), (5, 7), (4, 2)}
    assert pointers(read) == {(20, 0), (11, 9), (13, 7), (18, 2)}


def test_unsure_frames_are_read_only_where_nothing_better_is_left():
    config = MemoryConfig(selection="reliable", n_frames=2, min_iou=0.3)
    now = ReadContext(20, 1, LENGTH, SLOTS)
    unsure = [memory(t, iou=0.2) for t in (3, 4, 5)]
    assert slots(recall_reliable(memories([0]), unsure, now, config)) == {(0, 0), (6, 5), (5, 4)}
    assert slots(recall_reliable(memories([0]), [memory(2), *unsure], now, config)) == {(0, 0), (6, 5), (5, 2)}


def test_the_worst_rated_frame_makes_room_for_the_latest():
    ratings = {1: 1.0, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5, 6: 0.6, 7: 0.1}
    tracked = [memory(t, rating=r) for t, r in ratings.items()]
    read = recall_reliable(memories([0]), tracked, ReadContext(8, 1, LENGTH, SLOTS), MemoryConfig(n_frames=6))
    chosen = {f.t for slot, f in read.frames if slot}
    assert {1, 6, 7} <= chosen
    assert len(chosen) == 6


def test_candidates_lie_on_an_absolute_grid():
    bank = MemoryBank(MemoryConfig(selection="reliable", stride=4, n_frames=5), SLOTS)
    bank = bank.conditioned(memory(0))
    assert {f.t for slot, f in walk(bank, list(range(1, 31))).frames if slot} == {30, 28, 24, 20, 16, 12}


@given(st.floats(0, 1), st.floats(-30, 30), st.floats(0, 1))
def test_a_rating_is_a_share_of_the_predicted_iou(iou, score, consistency):
    rating = reliability(iou, score, consistency)
    assert 0 <= rating <= iou
    assert (rating == 0) == (score <= 0 or iou == 0) or rating < 1e-12
    assert reliability(iou, score, 1.0) == reliability(iou, score, math.nan) >= rating


# ---- pixels


def filtered_recall(pixels):
    bank = MemoryBank(MemoryConfig(pixels=pixels, pixel_range=(0.2, 0.6)), SLOTS)
    bank = bank.conditioned(memory(0))
    sure = torch.tensor([[0.1, 0.4], [0.6, 1.0]])
    bank = bank.remembering(replace(memory(1), confidence=sure))
    return bank.recall(2, 1, LENGTH)


def test_unsure_pixels_of_tracked_frames_weigh_less_and_prompted_frames_are_not_filtered():
    read = filtered_recall("bias")
    weights = dict(zip([slot for slot, _ in read.frames], read.weights, strict=True))
    assert weights[0] is None
    assert torch.allclose(weights[6], torch.tensor([[0.0, 0.5], [1.0, 1.0]]), atol=1e-6)
    assert all((frame.features == 1).all() for _, frame in read.frames)


def test_the_feature_variant_scales_what_is_remembered():
    read = filtered_recall("feature")
    assert read.weights == ()
    by_slot = dict(read.frames)
    assert (by_slot[0].features == 1).all()
    assert torch.allclose(by_slot[6].features[0], torch.tensor([[0.0, 0.5], [1.0, 1.0]]), atol=1e-6)


def test_without_a_filter_nothing_is_weighed():
    assert filtered_recall("off").weights == ()


# ---- prompted frames


@given(st.sets(st.integers(0, 99), min_size=1), st.integers(0, 99), st.integers(0, 6))
def test_the_first_and_the_nearest_prompted_frames_are_read(times, t, limit):
    read, rest = nearest_conditioning(memories(times), t, limit)
    chosen, left = {f.t for f in read}, {f.t for f in rest}
    assert chosen | left == times
    assert not chosen & left
    assert len(read) == len(chosen) == (min(limit, len(times)) or len(times))
    assert min(times) in chosen
    near = [abs(f - t) for f in chosen - {min(times)}]
    assert not near or not left or max(near) <= min(abs(f - t) for f in left)


# ---- the bank


@pytest.mark.parametrize("selection", ["gated", "sam2", "reliable"])
def test_the_bank_does_not_grow(selection):
    bank = MemoryBank(MemoryConfig(selection=selection), SLOTS)
    bank = bank.conditioned(memory(0))
    for t in range(1, 500):
        bank = bank.remembering(memory(t))
    read = bank.recall(500, 1, 1000)
    assert len(bank.conditioning) + len(bank.tracked) == KEPT_FRAMES + 1
    assert len(bank.areas) == MemoryConfig().area_history
    assert {f.t for _, f in read.frames} == {0, *range(494, 500)}
    oldest = 494 if selection == "reliable" else 485
    assert {f.t for _, f in read.pointers} == {0, *range(oldest, 500)}


def test_backward_passes_read_what_lies_ahead():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    bank = bank.conditioned(memory(40))
    assert slots(walk(bank, [39, 38, 37], step=-1)) == {(0, 40), (6, 37), (5, 38), (4, 39)}


def test_a_new_prompt_replaces_that_of_the_same_frame():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    bank = bank.conditioned(memory(3, area=10))
    bank = bank.conditioned(memory(3, area=20))
    assert [frame.area for _, frame in bank.recall(5, 1, LENGTH).frames] == [20]


# ---- the write gate


def gate(area=100.0, score=5.0, consistency=0.8, areas=(100.0,), **settings):
    bank = MemoryBank(MemoryConfig(**settings), SLOTS)
    for t, past in enumerate(areas):
        bank = bank.remembering(memory(t, past))
    return bank.accepts(area, score, consistency)


@pytest.mark.parametrize(
    ("suspect", "accepted"),
    [
        ({}, True),
        ({"score": 0.0}, False),
        ({"score": -3.0}, False),
        ({"area": 0.0}, False),
        ({"area": 39.9}, False),
        ({"area": 40.0}, True),
        ({"area": 250.0}, True),
        ({"area": 250.1}, False),
        ({"area": 300.0, "areas": ()}, True),
        ({"area": 0.0, "areas": ()}, False),
        ({"consistency": 0.149}, False),
        ({"consistency": 0.15}, True),
        ({"consistency": math.nan}, True),
        ({"consistency": 0.3, "min_consistency": 0.5}, False),
        ({"area": 250.0, "area_range": (0.5, 2.0)}, False),
    ],
)
def test_absent_and_suspect_frames_are_not_written(suspect, accepted):
    assert gate(**suspect) is accepted
    assert gate(**{**suspect, "selection": "sam2"}) is True


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=40), st.integers(1, 12))
def test_the_usual_area_is_the_median_of_the_latest(areas, history):
    bank = MemoryBank(MemoryConfig(area_history=history), SLOTS)
    for t, area in enumerate(areas):
        bank = bank.remembering(memory(t, area))
    latest = sorted(areas[-history:])
    middle = len(latest) // 2
    expected = latest[middle] if len(latest) % 2 else (latest[middle - 1] + latest[middle]) / 2
    assert bank.usual_area == pytest.approx(expected)


def test_an_empty_mask_says_nothing_about_the_usual_area():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    assert bank.usual_area is None
    bank = bank.remembering(memory(1, area=0))
    assert bank.usual_area is None
    bank = bank.remembering(memory(2, area=50))
    assert bank.usual_area == 50


def test_a_prompt_sets_what_is_usual_whatever_was_before():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    for t in range(5):
        bank = bank.remembering(memory(t, area=50))
    bank = bank.expecting(0)
    assert bank.usual_area == 50
    bank = bank.expecting(400)
    assert bank.usual_area == 400
    assert bank.accepts(400, 5.0, 0.9)
