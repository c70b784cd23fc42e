"""Ids that are swapped, split and merged: right values; killed at any moment; replayed."""

import shutil
from unittest.mock import patch

import numpy as np
import pytest
from tests.support.crashes import Killed, content_but_journal, dying_at
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.api_results import replay, rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.export.ctc import export_result
from napari_mosam.core.files import disk
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, Prompts
from napari_mosam.core.prompts.reassign import MERGE, SPLIT, SWAP, Reassignment
from napari_mosam.core.store.layout import open_group
from napari_mosam.core.store.result import Result

N = 5
IMAGES, LABELS = disks([[(20, 20 + t), (46, 40), (20, 44 + t)] for t in range(N)], shape=(64, 72), radius=6)
PROMPTS = [
    MaskPrompt.from_frame(1, 0, LABELS[0] == 1),
    MaskPrompt.from_frame(2, 0, LABELS[0] == 2),
    BoxPrompt(2, 3, (39, 33, 53, 47)),
]


def mask(object_id, t):
    return MaskPrompt.from_frame(object_id, t, LABELS[t] == object_id)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out.zarr"
    config = EngineConfig(motion=MotionConfig.off())
    return track(IMAGES, PROMPTS, out=out, model=FakeSegmenter(), config=config, direction="forward")


@pytest.fixture
def result(made, tmp_path):
    shutil.copytree(made.path, tmp_path / "out.zarr")
    return Result.open(tmp_path / "out.zarr")


def relabelled(result, start, **ids):
    """The labels with other ids from a frame on."""
    labels = np.array(result.labels[:])
    now = labels.copy()
    for old, new in ids.items():
        now[start:][labels[start:] == int(old[1:])] = new
    return now


def columns(result, object_id):
    """What is known of an object on each frame, besides ids and what a person did."""
    at = result.object_ids.index(object_id)
    arrays = (result.predicted_iou, result.object_score, result.area, result.consistency, result.state)
    return [tuple(str(array[t, at]) for array in arrays) for t in range(N)]


def rerun_of(result, prompts, *ids, **options):
    return rerun(result, IMAGES, prompts, ids or None, model=FakeSegmenter(), **options)


# ---- right values


def test_a_swap_moves_masks_records_locks_and_prompts_and_no_pixel(result):
    result.lock(2, 4)
    confidence, want = np.array(result.confidence[:]), relabelled(result, 2, _1=2, _2=1)
    one, two = columns(result, 1), columns(result, 2)
    details = [[np.array(result.record(i, 3).logits) for i in (1, 2)], [result.record(i, 3).window for i in (1, 2)]]
    after = result.swap(1, 2, 2)
    assert np.array_equal(after.labels[:], want) and np.array_equal(after.confidence[:], confidence)
    assert columns(after, 1) == one[:2] + two[2:] and columns(after, 2) == two[:2] + one[2:]
    for i, at in ((1, 1), (2, 0)):
        assert np.array_equal(after.record(i, 3).logits, details[0][at]) and after.record(i, 3).window == details[1][at]
    assert [after.locked(t) for t in range(N)] == [(), (), (1, 2), (), (1,)]
    table = after.to_dataframe()
    assert (table["object"].to_numpy() == np.tile([1, 2], N)).all()
    moved = [MaskPrompt.from_frame(i, 2, want[2] == i) for i in (1, 2)]
    assert after.prompts == Prompts([*PROMPTS[:2], BoxPrompt(1, 3, PROMPTS[2].box), *moved])
    assert [after.record(i, t).painted for i in (1, 2) for t in (1, 2, 3)] == [False, True, False] * 2
    assert after.history[-1].words == "the swap of objects 1, 2 from frame 2 on"


def test_a_split_gives_a_new_object_and_ends_the_old_one(result):
    want, old = relabelled(result, 3, _1=3), columns(result, 1)
    after = result.split(1, 3, daughter=True)
    assert after.object_ids == (1, 2, 3) and after.parents == {3: 1}
    assert np.array_equal(after.labels[:], want)
    assert columns(after, 3)[3:] == old[3:] and columns(after, 1)[:3] == old[:3]
    assert [after.record(i, t) is None for i, t in ((1, 2), (1, 3), (3, 2), (3, 3))] == [False, True, True, False]
    assert [after.locked(t) for t in range(N)] == [(), (), (), (1, 3), (1,)]
    assert after.prompts == Prompts([*PROMPTS, MaskPrompt.from_frame(3, 3, want[3] == 3)])
    export_result(after, result.path.parent / "ctc")
    assert (result.path.parent / "ctc" / "res_track.txt").read_text() == "1 0 2 0\n2 0 4 0\n3 3 4 1\n"
    assert "mothers  1 of 3\n" in after.describe()


def test_a_split_behind_all_marks_leaves_a_mark_to_the_old_object(result):
    rerun_of(result, [*PROMPTS, mask(3, 4)], 3, changed_frames={3: range(N)})
    both = rerun_of(result, [*PROMPTS, mask(3, 2)])
    after = both.split(3, 3)
    assert [sorted(after.prompts.of(i)) for i in (3, 4)] == [[2], [3]]


def test_a_merge_joins_what_was_torn_and_what_was_cut(result):
    before, half = np.array(result.labels[:]), result.split(1, 3)
    names = half.rename(3, "late").rename(1, " the  first ").names
    assert names == {1: "the first", 3: "late"}
    after = half.merge(1, 3)
    assert np.array_equal(after.labels[:], before) and after.names == {1: "the first"}
    assert (after.state[:, 2] == "").all() and [after.locked(t) for t in range(N)] == [(), (), (), (1,), ()]
    joined = after.merge(2, 1, 2)
    both = np.where((before == 1) & (np.arange(N) >= 2)[:, None, None], 2, before)
    assert np.array_equal(joined.labels[:], both)
    assert joined.area[4, 1] == (before[4] > 0).sum() and joined.record(2, 4).window.size_yx[0] >= 40
    assert joined.predicted_iou[4, 1] == min(after.predicted_iou[4, :2])
    assert [joined.locked(t) for t in range(N)] == [(), (), (1, 2), (1, 2), (1, 2)]


def test_mothers_follow_who_they_are(result):
    born = {7: 4, 8: 2}
    known = {7: 1, 8: 1}
    assert Reassignment(SWAP, 1, 2, 3).parents(known, born) == {7: 2, 8: 1}
    assert Reassignment(SPLIT, 1, 9, 3).parents(known, born) == {7: 9, 8: 1}
    assert Reassignment(MERGE, 2, 1, 0).parents(known, born) == {7: 2, 8: 2}
    assert Reassignment(MERGE, 1, 7, 0).parents(known, born) == {8: 1}
    assert Reassignment(SWAP, 7, 8, 0).parents(known, born) == {7: 1, 8: 1}


def test_of_two_marks_on_a_frame_that_of_the_mask_stays():
    marks = [BoxPrompt(i, t, (0, 0, i, 9)) for i in (1, 2) for t in range(4)]
    joined = Reassignment(MERGE, 1, 2, 1, {1: 2, 2: 0, 3: 1}).prompts(marks)
    assert joined == Prompts([BoxPrompt(1, t, (0, 0, i, 9)) for t, i in enumerate((1, 2, 1, 1))] + [marks[4]])


# ---- later runs


def test_a_later_run_keeps_who_is_who(result):
    after = result.swap(1, 2, 2)
    want, path = np.array(after.labels[:]), after.path
    before = content_but_journal(path)
    assert content_but_journal(rerun_of(after, after.prompts).path) == before, "nothing is new"
    small = MaskPrompt.from_frame(1, 0, (LABELS[0] == 1) & (np.arange(72) > 16))
    again = rerun_of(after, [small, *(p for p in after.prompts if (p.object_id, p.frame) != (1, 0))])
    assert np.array_equal(again.labels[2:], want[2:])
    one, two = (np.argwhere(np.asarray(again.labels[t]) == 1).mean(0) for t in (1, 4))
    assert one[0] < 30 < 40 < two[0], "above before the swap, below afterwards"


def test_an_object_that_was_split_does_not_come_back(result):
    after = result.split(1, 3)
    again = rerun_of(after, after.prompts, 1, changed_frames={1: [0]})
    assert np.array_equal(again.labels[:], after.labels[:])


# ---- refused, killed, replayed


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda r: r.swap(1, 1, 2), "object 1 was given twice; give two objects"),
        (lambda r: r.swap(1, 9, 2), "there is no object 9 in .*; it holds 1, 2"),
        (lambda r: r.split(1, 0), "object 1 is on no frame before 0, so nothing can be split off"),
        (lambda r: r.split(1, 2, 0), "0 is no id of an object; allowed: 1 to 4294967295"),
        (lambda r: r.lock(1.0, 2), "the object = 1.0 is not possible; allowed: a whole number"),
        (lambda r: r.lock(True, 2), "the object = True is not possible; allowed: a whole number"),
        (lambda r: r.swap(1, 2, "2"), "the frame = '2' is not possible; allowed: a whole number"),
        (lambda r: r.rename(1, 5), "the name is 5; give text"),
        (lambda r: r.split(1, 2, 2), "2 is no id of a new object; give one that is free, such as 3"),
        (lambda r: r.split(1, 2).merge(2, 1, 3), "object 1 is on no frame from 3 on; choose an earlier frame"),
        (lambda r: r.rename(1, "x" * 81), "the name has 81 characters; give at most 80"),
    ],
)
def test_what_cannot_be_is_refused(result, act, match):
    with pytest.raises(ValueError, match=match):
        act(result)


def test_numbers_of_numpy_are_whole_numbers(result):
    one, two, frame = np.int64(1), np.uint16(2), np.int32(3)
    result.lock_frames(one, np.arange(2))
    assert Result.open(result.path).locked(1) == (1,)
    assert result.rename(one, "a").names == {1: "a"}
    assert result.correct(two, frame, LABELS[4] == 2).area[3, 1] == (LABELS[4] == 2).sum()
    result.swap(one, two, frame).split(two, frame, np.int64(7)).merge(two, np.int64(7), frame)
    assert all(type(i) is int for i in result.paint(frame, {np.int64(9): LABELS[3] == 3}).object_ids)
    assert rerun_of(result, result.prompts, two, changed_frames={two: np.arange(2)}).complete
    assert result.record(one, frame) and result.centers(frame)


ACTS = {
    "swap": lambda r: r.swap(1, 2, 2),
    "split": lambda r: r.split(1, 3, daughter=True),
    "merge": lambda r: r.merge(2, 1, 2),
    "rename": lambda r: r.rename(1, "mother"),
}


@pytest.mark.parametrize("every", [30, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_is_killed_is_there_or_not_and_undone_to_the_byte(result, made, act, every):
    with patch.object(disk, "sync"):
        before = content_but_journal(result.path)
        with dying_at(None) as whole:
            act(result)
        after, done = content_but_journal(result.path), set()
        assert content_but_journal(Result.open(result.path).undo().path) == before
        assert content_but_journal(Result.open(result.path).redo().path) == after
        for n in sorted({*range(0, len(whole.operations), every), len(whole.operations) - 1}):
            shutil.rmtree(result.path)
            shutil.copytree(made.path, result.path)
            with pytest.raises(Killed), dying_at(n, torn=n % 2 == 0):
                act(Result.open(result.path))
            again = Result.open(result.path)
            if any(step.state == "unfinished" for step in again.history):
                again.undo()
                assert content_but_journal(result.path) == before
            done.add(content_but_journal(result.path) == after)
            assert content_but_journal(result.path) in (before, after)
        assert done == {True, False}


def test_all_is_replayed_in_order(result, tmp_path):
    for act in (*list(ACTS.values())[:2], lambda r: r.swap(3, 2, 4), lambda r: r.merge(1, 3), ACTS["rename"]):
        act(Result.open(result.path))
    new, old = replay(result, tmp_path / "new.zarr", movie=IMAGES, model=FakeSegmenter()), Result.open(result.path)
    assert np.array_equal(new.labels[:], old.labels[:]) and np.array_equal(new.confidence[:], old.confidence[:])
    assert new.prompts == old.prompts and new.names == old.names == {1: "mother"} and new.parents == old.parents
    tables = [np.asarray(open_group(r.path, "r")["table/values"][:]) for r in (new, old)]
    assert np.array_equal(*tables, equal_nan=True)
