"""Records go to disk and come back; prompts too."""

import json
from dataclasses import astuple, fields

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_mosam.core.masks.logit_codes import coded, decode_logits
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt
from napari_mosam.core.prompts.records import changed_frames, from_records, to_records
from napari_mosam.core.results.columns import CUES, DIRECTIONS, MAX_READS, ORIGINS
from napari_mosam.core.results.explain import timeline_text
from napari_mosam.core.results.frame import Cue, MemoryRead, ObjectResult, ObjectScores, ObjectState
from napari_mosam.core.results.timeline import Timeline
from napari_mosam.core.store.records import FrameTable, RecordStore, as_stored
from napari_mosam.core.windows.window import Window

SIDE = 8
SMALL = st.floats(-50, 50, width=32)
UNIT = st.floats(0, 1, width=32)
NAN = st.just(float("nan"))
PAIR = st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
NAMES = st.lists(st.sampled_from(CUES), unique=True)

SCORES = st.builds(
    ObjectScores,
    predicted_iou=UNIT,
    object_score=SMALL,
    consistency=UNIT | NAN,
    contrast=st.floats(-1, 1) | NAN,
    division=UNIT,
    disagreement=UNIT | NAN,
)
RESULTS = st.builds(
    ObjectResult,
    object_id=st.sampled_from([4, 7, 70000]),
    direction=st.sampled_from(DIRECTIONS),
    state=st.sampled_from(ObjectState),
    window=st.builds(Window, PAIR, st.tuples(st.floats(1, 1e3), st.floats(1, 1e3))),
    logits=arrays(np.int8, (SIDE, SIDE), elements=st.integers(-127, 127)).map(decode_logits),
    scores=SCORES,
    area=st.integers(0, 10**6),
    memory=st.lists(st.builds(MemoryRead, st.integers(0, 5000), st.floats(0, 1)), max_size=MAX_READS).map(tuple),
    cues=NAMES.flatmap(
        lambda names: st.tuples(*(st.builds(Cue, st.just(n), PAIR, UNIT, st.booleans()) for n in names))
    ),
    decoded_with=st.sampled_from(ORIGINS),
    remembered=st.booleans(),
)


def same(one, other):
    """Everything but the order of the cues."""
    kept = [f.name for f in fields(ObjectResult) if f.name not in ("scores", "cues", "logits")]
    numbers = zip(astuple(one.scores), astuple(other.scores), strict=True)
    return (
        [getattr(one, name) for name in kept] == [getattr(other, name) for name in kept]
        and set(one.cues) == set(other.cues)
        and np.array_equal(one.logits, other.logits)
        and all(np.array_equal(a, b, equal_nan=True) for a, b in numbers)
    )


@pytest.fixture
def group(tmp_path):
    made = zarr.open_group(tmp_path / "r.zarr", mode="w")
    made.create_group("table")
    return made


@settings(max_examples=60, deadline=None)
@given(RESULTS)
def test_a_result_comes_back_as_it_was(record):
    frame = FrameTable.empty(2, (7, 4, 70000), SIDE)
    frame.put(record)
    assert same(frame.get(record.object_id), record)
    assert [r.object_id for r in frame] == [record.object_id]
    frame.clear(record.object_id)
    assert list(frame) == []
    assert frame.get(record.object_id) is None


def seen(object_id=4, direction="forward", **changes):
    logits = np.linspace(-40, 40, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    given = {"scores": ObjectScores(0.5, 2.0, consistency=0.25), "area": 30, "remembered": True, **changes}
    return ObjectResult(object_id, direction, ObjectState.PRESENT, Window.square((9, 9), 40), logits, **given)


def test_what_is_stored_holds_the_logits_that_competed():
    drift = Cue("drift", (1.0, -2.0), 1.0, used=True)
    result, frame = seen(direction="backward", cues=(drift,)), FrameTable.empty(3, (4,), SIDE)
    frame.put(result)
    stored = frame.get(4)
    assert np.array_equal(stored.logits, coded([torch.from_numpy(result.logits)])[0].numpy())
    assert torch.equal(as_stored(result).logits, as_stored(stored).logits)
    assert (stored.direction, stored.area, stored.shift_yx) == ("backward", 30, (1.0, -2.0))


def test_records_go_to_disk_and_back(group):
    store = RecordStore.create(group, (4, 7), 5, SIDE)
    frame = store.read(2)
    assert list(frame) == []
    frame.put(seen(memory=(MemoryRead(1, 0.5),)))
    store.write(frame)
    read = RecordStore.open(group, (4, 7))
    assert same(read.read_one(4, 2), frame.get(4))
    assert read.read_one(7, 2) is None
    assert read.read_one(4, 1) is None
    assert read.side == SIDE


def test_more_objects_than_a_chunk_holds_can_be_added(group):
    store = RecordStore.create(group, (4,), 3, SIDE)
    frame = store.read(0)
    frame.put(seen())
    store.write(frame)
    before = store.read_one(4, 0)
    grown = store.grow(range(100, 180))
    frame = grown.read(0)
    frame.put(seen(170))
    grown.write(frame)
    assert same(grown.read_one(4, 0), before)
    assert [r.object_id for r in RecordStore.open(group, grown.object_ids).read(0)] == [4, 170]


def test_other_columns_are_refused(group):
    RecordStore.create(group, (4,), 3, SIDE)
    group["records/details"].attrs["columns"] = ["x"]
    with pytest.raises(ValueError, match="written by another version, with other columns; run 'mosam track' again"):
        RecordStore.open(group, (4,))


def test_a_timeline_holds_the_frames_on_which_an_object_was_followed(group):
    store = RecordStore.create(group, (4, 7), 6, SIDE)
    for t in (1, 2, 4):
        frame = store.read(t)
        cue = Cue("flow", (1.0, float(t)), 0.8, True)
        frame.put(seen(memory=(MemoryRead(t - 1, 0.5),), cues=(cue,)))
        store.write(frame)
    line = Timeline.read(store, 4)
    assert line.t.tolist() == [1, 2, 4]
    assert [read.t for reads in line.memory for read in reads] == [0, 1, 3]
    assert [cue.shift_yx for cue in line.used] == [(1, 1), (1, 2), (1, 4)]
    assert line.consistency.tolist() == [0.25] * 3
    assert Timeline.read(store, 4, slice(2, 5)).t.tolist() == [2, 4]
    assert len(Timeline.read(store, 7)) == 0
    assert "flow +1.0 +4.0 (0.80)" in timeline_text(line).splitlines()[-1]


# ---- prompts


MASKS = arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))).filter(np.any)
POINT = st.tuples(st.floats(-0.5, 20), st.floats(-0.5, 20))
PROMPTS = st.lists(
    st.builds(PointPrompt, st.integers(1, 3), st.integers(0, 3), POINT, st.booleans())
    | st.builds(
        lambda i, t, p: BoxPrompt(i, t, (p[0], p[1], p[0] + 3, p[1] + 4.5)), st.integers(1, 3), st.integers(0, 3), POINT
    )
    | st.builds(
        MaskPrompt, st.integers(1, 3), st.integers(0, 3), MASKS, st.tuples(st.integers(0, 9), st.integers(0, 9))
    ),
    max_size=6,
)


@given(PROMPTS)
def test_prompts_come_back_from_json(prompts):
    back = from_records(json.loads(json.dumps(to_records(prompts))), (20, 20))
    assert changed_frames(prompts, back) == {}
    for one, other in zip(prompts, back, strict=True):
        if isinstance(one, MaskPrompt):
            assert np.array_equal(one.to_frame((20, 20)), other.to_frame((20, 20)))
        else:
            assert one == other


@given(PROMPTS, st.randoms())
def test_the_order_of_prompts_is_no_change(prompts, random):
    shuffled = list(prompts)
    random.shuffle(shuffled)
    assert changed_frames(prompts, shuffled) == {}


@given(PROMPTS, PROMPTS)
def test_changes_are_the_places_of_the_prompts_that_differ(before, more):
    changed = changed_frames(before, [*before, *more])
    assert changed == {
        i: {p.frame for p in more if p.object_id == i} for i in {p.object_id for p in more}
    } and changed == changed_frames([*before, *more], before)
