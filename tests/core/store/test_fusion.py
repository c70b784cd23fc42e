"""Two directions into one record, and records into label frames."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.results.frame import ObjectResult, ObjectScores, ObjectState
from napari_mosam.core.store.compose import (
    Locked,
    as_bytes,
    compose,
    disagreement,
    merge_directions,
    shapes_of,
    way_since_prompt,
)
from napari_mosam.core.windows.window import Window

SHAPE = (64, 64)
PRESENT, LOST = ObjectState.PRESENT, ObjectState.LOST


def record(center=(32, 32), radius=8.0, *, object_id=1, direction="forward", state=PRESENT, q=0.9, prompted=False):
    """A disk seen in a window of 32 px."""
    y, x = np.indices((32, 32)) - 15.5
    logits = torch.from_numpy(radius - np.hypot(y, x)) if radius else torch.full((32, 32), -32.0)
    window = Window.square(center, 32)
    decoded_with = "prompt" if prompted else "memory"
    scores = ObjectScores(q, 5.0)
    return ObjectResult(object_id, direction, state, window, logits.numpy(), scores, 0, decoded_with=decoded_with)


BACK = {"direction": "backward"}


# ---- what is believed


@pytest.mark.parametrize(
    ("forward", "backward", "believed"),
    [
        ({"q": 0.9}, {"q": 0.8}, "forward"),
        ({"q": 0.8}, {"q": 0.9}, "backward"),
        ({"q": 0.9, "state": LOST}, {"q": 0.2}, "backward"),
        ({"q": 0.9}, {"q": 0.2, "prompted": True}, "backward"),
        ({"q": 0.9}, {"q": 0.2, "prompted": True, "state": LOST, "radius": 0}, "backward"),
        ({"q": 0.5, "state": LOST}, {"q": 0.6, "state": ObjectState.ENDED}, "backward"),
        ({"q": 0.7}, {"q": 0.7}, "forward"),
    ],
)
def test_prompts_beat_sightings_beat_quality(forward, backward, believed):
    assert merge_directions(record(**forward), record(**backward, **BACK), SHAPE).direction == believed


def test_masks_that_contradict_are_decided_by_the_nearer_prompt():
    near, far = record(q=0.7), record((32, 50), q=0.95, **BACK)
    assert merge_directions(near, far, SHAPE, {"forward": 2, "backward": 30}).direction == "forward"
    assert merge_directions(near, far, SHAPE, {"forward": 30, "backward": 2}).direction == "backward"
    assert merge_directions(near, far, SHAPE).direction == "backward"


def test_masks_that_agree_are_decided_by_quality_alone():
    near, far = record(q=0.7), record((32, 33), q=0.95, **BACK)
    assert merge_directions(near, far, SHAPE, {"forward": 2, "backward": 30}).direction == "backward"


PLACES = st.tuples(st.floats(5, 60), st.floats(5, 60))
SEEN = st.builds(
    record,
    PLACES,
    st.sampled_from([0, 4.0, 8.0]),
    state=st.sampled_from([PRESENT, LOST]),
    q=st.floats(0, 1),
    prompted=st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(SEEN, SEEN)
def test_fusion_takes_one_of_the_two_and_tells_how_far_they_differ(one, other):
    fused = merge_directions(one, replace(other, direction="backward"), SHAPE)
    assert any(np.array_equal(fused.logits, r.logits) and fused.window == r.window for r in (one, other))
    assert fused.disagreement == pytest.approx(disagreement(other, one, SHAPE))
    assert 0 <= fused.disagreement <= 1
    assert fused.present or not (one.present or other.present) or fused.prompted


def test_disagreement_of_empty_masks():
    empty, full = record(radius=0), record()
    assert disagreement(empty, empty, SHAPE) == 0
    assert disagreement(empty, full, SHAPE) == disagreement(full, empty, SHAPE) == 1
    assert disagreement(full, full, SHAPE) == 0
    assert isnan(full.disagreement)


@given(st.sets(st.integers(0, 30), max_size=5), st.integers(0, 30))
def test_the_way_since_a_prompt(prompted, t):
    way = way_since_prompt(prompted, t)
    assert all(value >= 0 for value in way.values())
    assert ("forward" in way) == any(p <= t for p in prompted)
    assert "backward" not in way or t + way["backward"] in prompted
    assert "forward" not in way or t - way["forward"] in prompted


# ---- label frames


IMAGES, LABELS = disks([[(30, 30 + t), (44 + t, 34), (70, 70)] for t in range(6)], radius=7)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_records_compose_to_the_labels_of_the_run(direction):
    start = 0 if direction == "forward" else 5
    prompts = [MaskPrompt.from_frame(i, start, LABELS[start] == i) for i in (1, 2, 3)]
    config = EngineConfig(motion=MotionConfig.off())
    for result in segment(IMAGES, prompts, model=FakeSegmenter(), config=config, direction=direction):
        labels, confidence = compose(reversed(result.objects), IMAGES.shape[1:], result.labels.dtype.type)
        assert np.array_equal(labels, result.labels)
        assert np.array_equal(confidence, as_bytes(result.confidence))


def test_the_larger_logit_holds_a_pixel():
    one, two = record((32, 28), object_id=1), record((32, 36), object_id=2)
    labels, confidence = compose([one, two], SHAPE, np.uint16)
    assert (labels[32, 24], labels[32, 31], labels[32, 33], labels[32, 40], labels[2, 2]) == (1, 1, 2, 2, 0)
    assert np.array_equal(labels > 0, confidence > 0)
    assert {i: area for i, (area, _, _) in shapes_of(labels).items()} == {
        1: (labels == 1).sum(),
        2: (labels == 2).sum(),
    }


def test_no_records_are_an_empty_frame():
    labels, confidence = compose([], SHAPE, np.uint32)
    assert labels.shape == SHAPE
    assert labels.dtype == np.uint32
    assert not labels.any()
    assert not confidence.any()


LAYOUTS = st.lists(PLACES, min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(LAYOUTS, LAYOUTS, st.sets(st.integers(1, 4)))
def test_locked_objects_keep_their_pixels_and_only_those(before, after, locked):
    def made(layout):
        return [record(place, object_id=k) for k, place in enumerate(layout, start=1)]

    present, sure = compose(made(before), SHAPE, np.uint16)
    labels, confidence = compose(made(after), SHAPE, np.uint16, Locked(tuple(locked), present, sure))
    for object_id in locked:
        assert np.array_equal(labels == object_id, present == object_id)
        assert np.array_equal(confidence[labels == object_id], sure[present == object_id])


@settings(max_examples=25, deadline=None)
@given(LAYOUTS, st.sets(st.integers(1, 4)))
def test_locking_alone_changes_nothing(layout, locked):
    records = [record(place, object_id=k) for k, place in enumerate(layout, start=1)]
    present, sure = compose(records, SHAPE, np.uint16)
    labels, confidence = compose(records, SHAPE, np.uint16, Locked(tuple(locked), present, sure))
    assert np.array_equal(labels, present)
    assert np.array_equal(confidence, sure)
