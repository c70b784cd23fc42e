"""A result that is extended to more frames, gone on with after a stop, or changed on some frames only; fake model."""

import shutil

import numpy as np
import pytest
from tests.support.crashes import content_but_journal
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam import EngineConfig, MaskPrompt, MotionConfig, PointPrompt, Result, replay, rerun, track

N = 12
IMAGES, LABELS = disks([[(20, 20 + t), (44, 40), (20, 34 + t)] for t in range(N)], shape=(64, 64), radius=5)
QUICK = EngineConfig(motion=MotionConfig.off())


class Enough(Exception):
    """Somebody stops."""


def stopping(frame, direction="forward"):
    def told(result, *_):
        if (result.t, result.direction) == (frame, direction):
            raise Enough

    return told


def mask(object_id, frame, label=None):
    return MaskPrompt.from_frame(object_id, frame, LABELS[frame] == (label or object_id))


def write(out, prompts, images=IMAGES, **options):
    return track(images, prompts, out=out, model=FakeSegmenter(), config=QUICK, **options)


def again(out, prompts, object_ids=None, images=IMAGES, **options):
    return rerun(out, images, prompts, object_ids, model=FakeSegmenter(), **options)


TWO = [mask(1, 5), mask(2, 6)]


@pytest.fixture(scope="module")
def middle(tmp_path_factory):
    """Frames 4 to 7, by direction."""
    folder, ways = tmp_path_factory.mktemp("middle"), ("both", "forward", "backward")
    return {way: write(folder / f"{way}.zarr", TWO, frames=(4, 8), direction=way).path for way in ways}


@pytest.fixture
def out(middle, tmp_path):
    shutil.copytree(middle["both"], tmp_path / "out.zarr")
    return tmp_path / "out.zarr"


def follows(result, object_id, label, frames=range(N)):
    return [t for t in frames if iou(result.labels[t] == object_id, LABELS[t] == label) < 0.8] == []


def frames_of(result, object_id):
    return np.flatnonzero(result.state[:, result.object_ids.index(object_id)] != "").tolist()


def said(result):
    return tuple(result.attrs["frames"]), result.complete


# ---- more frames


@pytest.mark.parametrize("asked", [(8, N), (4, None), (10, N)])
def test_later_frames_are_added_from_the_last_masks(out, asked):
    before, old = content_but_journal(out), np.asarray(Result.open(out).labels[:8])
    result = again(out, TWO, frames=asked)
    assert said(result) == ((4, N), True)
    assert frames_of(result, 1) == frames_of(result, 2) == list(range(4, N))
    assert follows(result, 1, 1, range(4, N)) and follows(result, 2, 2, range(4, N))
    assert np.array_equal(result.labels[:8], old)
    assert result.record(1, 9).memory[0].t == 8 and result.record(1, 8).memory[0].t == 7
    after = content_but_journal(out)
    assert [step.words for step in result.history][-1].endswith(f"on frames {min(asked[0], 8)} to {N - 1}")
    result.undo()
    assert content_but_journal(out) == before
    result.redo()
    assert content_but_journal(out) == after


def test_earlier_frames_are_added_backward(out):
    result = again(out, TWO, frames=(0, 6))
    assert said(result) == ((0, 8), True)
    assert follows(result, 1, 1, range(8)) and follows(result, 2, 2, range(8))
    assert result.record(1, 2).direction == "backward" and frames_of(result, 1) == list(range(8))


@pytest.mark.parametrize(("way", "frames"), [("forward", range(5, N)), ("backward", range(6))])
def test_one_direction_is_extended_in_that_direction(middle, tmp_path, way, frames):
    shutil.copytree(middle[way], tmp_path / "out.zarr")
    result = again(tmp_path / "out.zarr", TWO, frames=(0, N))
    assert said(result) == ((0, N), True) and frames_of(result, 1) == list(frames)
    assert follows(result, 1, 1, frames)


def test_a_first_mark_on_earlier_frames_leads_to_what_is_there(middle, tmp_path):
    shutil.copytree(middle["forward"], tmp_path / "out.zarr")
    result = again(tmp_path / "out.zarr", [*TWO, mask(1, 2)], frames=(0, N))
    assert frames_of(result, 1) == list(range(2, N)) and follows(result, 1, 1, range(2, N))


@pytest.mark.parametrize(("kind", "t"), [("mask", 10), ("click", 10), ("mask", 1), ("click", 1)])
def test_marks_on_new_frames_count_in_both_directions(out, kind, t):
    place = tuple(np.argwhere(LABELS[t] == 3).mean(0))
    mark = mask(1, t, 3) if kind == "mask" else PointPrompt(1, t, place)
    seen = []
    result = again(out, [*TWO, mark], frames=(0, N), progress=lambda r, *_: seen.append((r.direction, r.t)))
    assert follows(result, 1, 3, [t, N - 1] if t == 10 else [0, t])
    assert follows(result, 1, 1, [5]) and follows(result, 2, 2)
    assert result.record(1, t).prompted
    inward = [("backward", 9), ("backward", 8), ("backward", 7)] if t == 10 else [("forward", s) for s in (2, 3, 4)]
    assert set(inward) <= set(seen)
    assert {p.frame for p in result.prompts if p.object_id == 1} == {5, t}


def test_new_objects_come_with_the_extension(out):
    result = again(out, [*TWO, mask(3, 7), mask(4, 9, 3)], frames=(0, N))
    assert result.object_ids == (1, 2, 3, 4)
    assert frames_of(result, 3) == frames_of(result, 4) == list(range(N))
    assert follows(result, 3, 3, range(8))


def test_a_change_on_old_frames_waits_where_only_others_are_asked_for(out):
    old = np.asarray(Result.open(out).labels[:8])
    result = again(out, [*TWO, mask(1, 7, 3)], frames=(8, N))
    assert np.array_equal(result.labels[:8], old) and follows(result, 1, 1, range(4, N))
    result = again(out, [*TWO, mask(1, 7, 3)], frames=(4, N))
    assert follows(result, 1, 3, range(7, N))


def test_an_object_that_is_lost_goes_on_from_its_last_mask(tmp_path):
    images, marks = IMAGES.copy(), [mask(1, 0), mask(2, 0)]
    images[3:6] = np.where(LABELS[3:6] == 2, 100, images[3:6])
    assert write(tmp_path / "out.zarr", marks, images, frames=(0, 5)).record(2, 4).state == "lost"
    result = again(tmp_path / "out.zarr", marks, images=images, frames=(0, N))
    assert follows(result, 2, 2, range(7, N)) and frames_of(result, 2) == list(range(N))


def test_some_objects_are_not_extended_alone(out):
    with pytest.raises(ValueError, match=r"frames 8 to 11 are more than .* has, frames 4 to 7; .* name none"):
        again(out, TWO, [1], frames=(8, N))
    with pytest.raises(ValueError, match="frames 4:40 are not possible; the movie has frames 0:12"):
        again(out, TWO, frames=(4, 40))


# ---- half a result


@pytest.mark.parametrize(("stop", "way"), [(4, "forward"), (10, "forward"), (6, "backward"), (2, "backward")])
def test_half_a_run_goes_on_from_its_last_frame_after_a_change(tmp_path, stop, way):
    out, prompts, seen = tmp_path / "out.zarr", [mask(1, 4), mask(2, 8), mask(1, 7)], []
    with pytest.raises(Enough):
        write(out, prompts, progress=stopping(stop, way))
    half = Result.open(out)
    half.lock(1, 4), half.correct(1, 4, LABELS[4] == 1), half.correct(2, 11, LABELS[11] == 2)
    result = again(out, prompts, frames=(0, N), progress=lambda r, *_: seen.append((r.direction, r.t)))
    assert said(result) == ((0, N), True)
    assert (way, stop + 1 if way == "forward" else stop - 1) in seen
    assert ("forward", 5) not in seen or stop == 4
    assert follows(result, 1, 1) and follows(result, 2, 2)
    assert np.array_equal(result.labels[11] == 2, LABELS[11] == 2) and result.locked(11) == (2,)
    result.undo()
    assert not Result.open(out).complete and again(out, prompts, frames=(0, N)).complete


def test_half_a_run_can_be_brought_to_an_end_on_fewer_frames(tmp_path):
    out = tmp_path / "out.zarr"
    with pytest.raises(Enough):
        write(out, [mask(1, 2)], progress=stopping(5))
    result = again(out, [mask(1, 2)], frames=(4, 8))
    assert said(result) == ((0, 8), True) and follows(result, 1, 1, range(8))
    assert frames_of(result, 1) == list(range(8))


@pytest.mark.parametrize(("stop", "way"), [(10, "forward"), (1, "backward"), (9, "backward")])
def test_an_extension_that_is_stopped_stays_and_goes_on(out, stop, way):
    prompts, seen = [*TWO, mask(1, 9), mask(1, 11)], []
    with pytest.raises(Enough):
        again(out, prompts, frames=(0, N), progress=stopping(stop, way))
    half = Result.open(out)
    assert not half.complete and follows(half, 1, 1, range(4, 10))
    result = again(out, prompts, frames=(0, N), progress=lambda r, *_: seen.append((r.direction, r.t)))
    assert said(result) == ((0, N), True) and "reached" not in result.attrs
    assert frames_of(result, 1) == list(range(N)) and follows(result, 1, 1) and follows(result, 2, 2)
    assert ("forward", 8) not in seen


# ---- some frames


def test_a_change_is_followed_on_the_frames_that_are_asked_for_alone(tmp_path):
    out = tmp_path / "out.zarr"
    before = np.asarray(write(out, [mask(1, 0), mask(2, 0)]).labels[:])
    marks = [mask(1, 0), mask(2, 0), mask(1, 5, 3), mask(2, 9, 3), mask(3, 2)]
    result = again(out, marks, frames=(4, 8))
    after = np.asarray(result.labels[:])
    assert np.array_equal(after[:4], before[:4]) and np.array_equal(after[8:], before[8:])
    assert follows(result, 1, 3, range(5, 8)) and said(result) == ((0, N), True)
    assert {(p.object_id, p.frame) for p in result.prompts} == {(1, 0), (2, 0), (1, 5)}
    result = again(out, marks)
    assert follows(result, 2, 3, range(9, N)) and 3 in result.object_ids


def test_a_mark_that_is_gone_is_made_good_from_the_frame_before(tmp_path):
    out = tmp_path / "out.zarr"
    before = np.asarray(write(out, [mask(1, 0), mask(1, 6, 3)]).labels[:])
    result = again(out, [mask(1, 0)], frames=(6, 9))
    assert np.array_equal(result.labels[:6], before[:6]) and np.array_equal(result.labels[9:], before[9:])
    assert result.record(1, 6).memory[0].t == 5 and not result.record(1, 6).prompted


def test_objects_are_followed_anew_on_some_frames(tmp_path):
    out, images, marks = tmp_path / "out.zarr", IMAGES.copy(), [mask(1, 0), mask(2, 0)]
    images[5:8] = np.where(LABELS[5:8] == 1, 100, images[5:8])  # a movie in which one cell blinks
    before = write(out, marks, images)
    old = np.asarray(before.labels[:])
    assert before.record(1, 6).area == 0
    assert again(out, marks, frames=(4, 9)).history == before.history
    result = again(out, marks, frames=(4, 9), anew=True)
    new = np.asarray(result.labels[:])
    assert follows(result, 1, 1, range(5, 9)) and follows(result, 2, 2)
    assert np.array_equal(new[:5], old[:5]) and np.array_equal(new[9:], old[9:])


# ---- again


@pytest.mark.slow
def test_extensions_are_replayed(out, tmp_path):
    again(out, [*TWO, mask(3, 9)], frames=(6, 10))
    Result.open(out).lock(1, 9)
    with pytest.raises(Enough):
        again(out, [*TWO, mask(3, 9), mask(2, 2)], frames=(0, N), progress=stopping(2, "backward"))
    half = replay(out, tmp_path / "half.zarr", movie=IMAGES, model=FakeSegmenter())
    assert content_but_journal(half.path) == content_but_journal(out)
    again(out, Result.open(out).prompts, frames=(0, N))
    again(out, Result.open(out).prompts, frames=(5, 8), anew=True)
    whole = replay(out, tmp_path / "again.zarr", movie=IMAGES, model=FakeSegmenter())
    assert content_but_journal(whole.path) == content_but_journal(out)
