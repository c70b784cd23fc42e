import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_mosam.core.config import MemoryConfig
from napari_mosam.core.memory.bank import KEPT_FRAMES, MemoryBank
from napari_mosam.core.memory.selection import nearest_conditioning, recall_gated, recall_sam2
from napari_mosam.core.model.segmenter import MemoryFrame

SLOTS, LENGTH = 7, 60
TIMES = st.sets(st.integers(0, LENGTH - 1), max_size=25)
STEPS = st.sampled_from([1, -1])


def memory(t, area=100.0):
    return MemoryFrame(t, torch.zeros(2, 1, 1), torch.zeros(4), 0.9, 5.0, area)


def memories(times):
    return [memory(t) for t in sorted(times)]


def slots(recall):
    return {(slot, frame.t) for slot, frame in recall.frames}


def pointers(recall):
    return {(distance, frame.t) for distance, frame in recall.pointers}


def walk(bank, frames, step=1, n_frames=LENGTH):
    """Remember frames one after another as a pass would, and recall at the next."""
    for t in frames:
        bank.remember(memory(t))
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
    read = recall_sam2(memories(conditioning), memories(tracked), t, step, n_frames, SLOTS, config)
    assert (slots(read), pointers(read)) == sam2_rule(conditioning, tracked, t, step, n_frames)


def test_sam2_leaves_the_slots_of_missing_frames_empty():
    read = recall_sam2(memories([0]), memories([5, 9]), 10, 1, LENGTH, SLOTS, MemoryConfig())
    assert slots(read) == {(0, 0), (2, 5), (6, 9)}
    assert pointers(read) == {(10, 0), (5, 5), (1, 9)}


def test_a_prompted_frame_beyond_the_limit_is_read_as_a_tracked_one():
    config = MemoryConfig(selection="sam2", max_conditioning=2)
    read = recall_sam2(memories([0, 8, 9]), memories([]), 10, 1, LENGTH, SLOTS, config)
    assert slots(read) == {(0, 0), (0, 9), (5, 8)}
    assert pointers(read) == {(10, 0), (1, 9), (2, 8)}


@pytest.mark.parametrize("step", [1, -1])
def test_pointers_of_the_future_are_not_read(step):
    read = recall_sam2(memories([10, 30]), memories([]), 20, step, LENGTH, SLOTS, MemoryConfig())
    assert {t for _, t in slots(read)} == {10, 30}
    assert pointers(read) == {(10, 20 - 10 * step)}


# ---- gated selection


@given(st.lists(st.integers(1, 59), min_size=1, unique=True), st.integers(1, 6), STEPS)
def test_gated_reads_the_most_recent_without_gaps(distances, n_frames, step):
    tracked = {60 - d * step for d in distances}
    config = MemoryConfig(n_frames=n_frames)
    read = recall_gated(memories([60 - 70 * step]), memories(tracked), 60, step, LENGTH, SLOTS, config)
    recent = sorted(tracked, key=lambda f: abs(f - 60))[:n_frames]
    assert slots(read) == {(0, 60 - 70 * step)} | {(SLOTS - 1 - rank, f) for rank, f in enumerate(recent)}


def test_gated_memory_reaches_over_a_long_absence():
    read = recall_gated(memories([0]), memories([1, 2, 3]), 50, 1, LENGTH, SLOTS, MemoryConfig())
    assert slots(read) == {(0, 0), (6, 3), (5, 2), (4, 1)}
    assert pointers(read) == {(50, 0), (47, 3), (48, 2), (49, 1)}
    sam2 = recall_sam2(memories([0]), memories([1, 2, 3]), 50, 1, LENGTH, SLOTS, MemoryConfig())
    assert slots(sam2) == {(0, 0)}


@pytest.mark.parametrize("rule", [recall_gated, recall_sam2])
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
    read = rule(memories(conditioning), memories(tracked - conditioning), t, step, LENGTH, SLOTS, config)
    taken = [slot for slot, _ in read.frames if slot > 0]
    assert all(frame.t != t for _, frame in (*read.frames, *read.pointers))
    assert len(set(taken)) == len(taken) <= (n if rule is recall_gated else SLOTS - 1)
    assert set(taken) <= set(range(1, SLOTS))
    assert 1 <= len(read.frames) - len(taken) <= (limit or len(conditioning))
    assert len(read.pointers) <= 15 + (limit or len(conditioning))
    assert all(frame.t in conditioning for slot, frame in read.frames if slot == 0)


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


@pytest.mark.parametrize("selection", ["gated", "sam2"])
def test_the_bank_does_not_grow(selection):
    bank = MemoryBank(MemoryConfig(selection=selection), SLOTS)
    bank.condition(memory(0))
    read = walk(bank, list(range(1, 500)), n_frames=1000)
    held = [x for name in vars(bank) for x in _frames(getattr(bank, name))]
    assert len(held) == KEPT_FRAMES + 1
    assert {f.t for _, f in read.frames} == {0, *range(494, 500)}
    assert {f.t for _, f in read.pointers} == {0, *range(485, 500)}


def _frames(held):
    values = held.values() if isinstance(held, dict) else held if hasattr(held, "__iter__") else ()
    return [value for value in values if isinstance(value, MemoryFrame)]


def test_backward_passes_read_what_lies_ahead():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    bank.condition(memory(40))
    assert slots(walk(bank, [39, 38, 37], step=-1)) == {(0, 40), (6, 37), (5, 38), (4, 39)}


def test_a_new_prompt_replaces_that_of_the_same_frame():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    bank.condition(memory(3, area=10))
    bank.condition(memory(3, area=20))
    assert [frame.area for _, frame in bank.recall(5, 1, LENGTH).frames] == [20]


# ---- the write gate


def gate(area=100.0, score=5.0, consistency=0.8, areas=(100.0,), **settings):
    bank = MemoryBank(MemoryConfig(**settings), SLOTS)
    for t, past in enumerate(areas):
        bank.remember(memory(t, past))
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
        bank.remember(memory(t, area))
    latest = sorted(areas[-history:])
    middle = len(latest) // 2
    expected = latest[middle] if len(latest) % 2 else (latest[middle - 1] + latest[middle]) / 2
    assert bank.usual_area == pytest.approx(expected)


def test_an_empty_mask_says_nothing_about_the_usual_area():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    assert bank.usual_area is None
    bank.remember(memory(1, area=0))
    assert bank.usual_area is None
    bank.remember(memory(2, area=50))
    assert bank.usual_area == 50


def test_a_prompt_sets_what_is_usual_whatever_was_before():
    bank = MemoryBank(MemoryConfig(), SLOTS)
    for t in range(5):
        bank.remember(memory(t, area=50))
    bank.expect_area(0)
    assert bank.usual_area == 50
    bank.expect_area(400)
    assert bank.usual_area == 400
    assert bank.accepts(400, 5.0, 0.9)
