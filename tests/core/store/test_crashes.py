"""A process that dies at any operation of the disk: every result opens, and ends as if nothing had happened."""

import shutil
from unittest.mock import patch

import numpy as np
import pytest
from tests.support.crashes import Killed, content, content_but_journal, dying_at
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.files import disk
from napari_mosam.core.files.places import Place
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.store.result import Result

N = 4
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
QUICK = EngineConfig(motion=MotionConfig.off())
TWO = [MaskPrompt.from_frame(1, 0, LABELS[0] == 1), MaskPrompt.from_frame(2, 2, LABELS[2] == 2)]
MORE = [*TWO, MaskPrompt.from_frame(1, 2, LABELS[2] == 1)]
SOME = 9
"""Crashes of each kind in a quick run of the tests, spread over all operations."""


def follow(out, **options):
    return track(IMAGES, TWO, out=out, model=FakeSegmenter(), config=QUICK, **options)


def follow_again(out):
    return rerun(out, IMAGES, MORE, model=FakeSegmenter())


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Nothing waits for the disk: what matters is what was begun."""
    with patch.object(disk, "sync"):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result, the same followed again, and the same with a lock: each as it is when nothing happens."""
    folder = tmp_path_factory.mktemp("made")
    follow(folder / "plain" / "out.zarr")
    for name, change in (("again", follow_again), ("locked", lambda out: Result.open(out).lock(1, 1))):
        shutil.copytree(folder / "plain", folder / name)
        change(folder / name / "out.zarr")
    return folder


def crashes(every, tmp_path, before, action):
    """The result after a crash at many operations, or all."""
    out = tmp_path / "x" / "out.zarr"
    with dying_at(None) as seen:
        action(_copy(before, out))
    n = len(seen.operations)
    for at in range(n) if every else sorted(set(np.linspace(0, n - 1, SOME).astype(int).tolist())):
        _copy(before, out)
        with dying_at(at, torn=bool(at % 2)), pytest.raises(Killed):
            action(out)
        yield at, out


def _copy(before, out):
    shutil.rmtree(out.parent, ignore_errors=True)
    if before is None:
        out.parent.mkdir()
    else:
        shutil.copytree(before, out.parent)
    return out


ALL = pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])


def check_whole_frames(out, whole):
    """Every frame is as in the whole result, or as one direction left it, or not there; the table says the same."""
    half = Result.open(out)
    assert np.array_equal(np.nan_to_num(half.area), [[(half.labels[t] == i).sum() for i in (1, 2)] for t in range(N)])
    for t in range(N):
        ids = set(np.unique(half.labels[t]).tolist()) - {0}
        assert all(np.array_equal(half.labels[t] == i, whole.labels[t] == i) for i in ids)
    return half


@ALL
def test_a_run_that_was_killed_opens_and_is_gone_on_with_to_the_same_bytes(made, tmp_path, every):
    whole = content(made / "plain" / "out.zarr")
    halves = 0
    for at, out in crashes(every, tmp_path, None, follow):
        if out.exists():
            halves += not check_whole_frames(out, Result.open(made / "plain" / "out.zarr")).complete
        result = follow(out, resume=True)
        assert result.complete, at
        assert content(out) == whole, at
        assert names(out) == ["out.zarr"], at
    assert halves >= 3


@ALL
def test_a_rerun_that_was_killed_is_done_again_or_rolled_back_to_the_same_bytes(made, tmp_path, every):
    before, after = (content_but_journal(made / name / "out.zarr") for name in ("plain", "again"))
    stopped = 0
    for at, out in crashes(every, tmp_path, made / "plain", follow_again):
        opened = Result.open(out)
        assert np.asarray(opened.labels[:]).any(axis=(1, 2)).all()
        unfinished = any(step.state == "unfinished" for step in opened.history)
        assert opened.complete == (not unfinished), at
        stopped += unfinished
        again = _copy(out.parent, tmp_path / "y" / "out.zarr")
        follow_again(again)
        assert content_but_journal(again) == after, at
        if unfinished or content_but_journal(out) != before:
            opened.undo()
        assert content_but_journal(out) == before, at
    assert stopped >= 3


@ALL
def test_a_lock_that_was_killed_is_there_or_not(made, tmp_path, every):
    before, after = (content_but_journal(made / name / "out.zarr") for name in ("plain", "locked"))
    for at, out in crashes(every, tmp_path, made / "plain", lambda out: Result.open(out).lock(1, 1)):
        unfinished = any(step.state == "unfinished" for step in Result.open(out).history)
        assert Result.open(out).complete == (not unfinished), at
        if unfinished:
            assert str(Result.open(out).progress).startswith("stopped in the middle of a lock, which"), at
            again = _copy(out.parent, tmp_path / "y" / "out.zarr")
            Result.open(again).lock(1, 1)
            assert Result.open(again).complete and Result.open(again).locked(1) == (1,), at
            Result.open(out).undo()
        assert content_but_journal(out) == (after if Result.open(out).locked(1) else before), at


@ALL
@pytest.mark.parametrize("back", [True, False])
def test_undo_and_redo_that_were_killed_come_to_their_end(made, tmp_path, back, every):
    before, after = (content_but_journal(made / name / "out.zarr") for name in ("plain", "again"))
    start = tmp_path / "start"
    shutil.copytree(made / "again", start)
    if not back:
        Result.open(start / "out.zarr").undo()
    for at, out in crashes(
        every, tmp_path, start, lambda out: Result.open(out).undo() if back else Result.open(out).redo()
    ):
        assert Result.open(out).complete, at
        assert content_but_journal(out) in (before, after), at
        assert {"out.zarr"} <= set(names(out)) <= {"out.zarr", Place.of(out).lock.name}, at


@ALL
def test_a_replacement_that_was_killed_leaves_the_earlier_result_or_the_new_one(made, tmp_path, every):
    before = content(made / "locked" / "out.zarr")
    new = content(made / "plain" / "out.zarr")
    resumed = 0
    for at, out in crashes(every, tmp_path, made / "locked", lambda out: follow(out, overwrite=True)):
        assert Result.open(out).complete
        assert content(out) in (before, new), at
        going_on = Place.of(out).replacement() is not None
        resumed += going_on
        if going_on:
            assert follow(out, resume=True).complete
            assert content(out) == new and names(out) == ["out.zarr"], at
            continue
        follow(out, overwrite=True)
        assert content(out) == new and names(out) == ["out.zarr"], at
    assert resumed >= 3


# ---- what is told of it


def stopped(out, n, **options):
    def stop(result, done, total):
        if done == n:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(out, progress=stop, **options)
    return out


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.zarr"


def test_a_run_that_was_stopped_is_refused_with_the_way_to_go_on(out):
    stopped(out, 2)
    with pytest.raises(FileExistsError, match=r"out\.zarr' exists and is not finished; go on with it \(--resume\)"):
        follow(out)


def test_what_is_finished_is_not_written_again(out, monkeypatch):
    stopped(out, 2, direction="forward")
    labels = out / "0" / "c" / "1" / "0" / "0"
    before = labels.stat().st_ino
    assert follow(out, resume=True, direction="forward").complete
    assert labels.stat().st_ino == before


def test_a_complete_result_is_left_as_it_is(out):
    follow(out)
    before = content(out)
    assert follow(out, resume=True).complete
    assert content(out) == before


@pytest.mark.parametrize(
    ("images", "prompts", "options", "said"),
    [
        (IMAGES[::-1], TWO, {}, r"with other values of: movie; give the same"),
        (IMAGES, MORE, {}, "prompts"),
        (IMAGES, TWO, {"direction": "forward"}, "direction"),
        (IMAGES, TWO, {"diameter": 9.0}, "diameter"),
        (IMAGES, TWO, {"config": EngineConfig(motion=MotionConfig.off(), compete=False)}, "config"),
    ],
)
def test_another_run_does_not_go_on(out, images, prompts, options, said):
    stopped(out, 2)
    before = content(out)
    with pytest.raises(ValueError, match=said):
        track(images, prompts, out=out, resume=True, **{"model": FakeSegmenter(), "config": QUICK, **options})
    assert content(out) == before


def test_a_run_that_was_changed_since_it_was_stopped_goes_on_when_that_is_undone(made, out):
    Result.open(stopped(out, 3)).lock(1, 0)
    with pytest.raises(ValueError, match="was changed after its run had been stopped, so that .*; undo that"):
        follow(out, resume=True)
    assert not Result.open(out).complete
    Result.open(out).undo()
    with pytest.raises(FileExistsError, match=r"is not finished; go on with it \(--resume\)"):
        follow(out)
    assert follow(out, resume=True).complete
    assert content_but_journal(out) == content_but_journal(made / "plain" / "out.zarr")
    with pytest.raises(ValueError, match="nothing to redo"):
        Result.open(out).redo()
    assert not np.asarray(Result.open(out).undo().labels[:]).any()


def test_a_replacement_that_was_stopped_goes_on(made, tmp_path):
    out = _copy(made / "locked", tmp_path / "x" / "out.zarr")
    before = content(out)
    stopped(out, 3, overwrite=True)
    assert content(out) == before and Place.of(out).replacement()
    with pytest.raises(FileExistsError, match=r"the run that was to replace it is not finished; go on .* \(--resume\)"):
        follow(out)
    with pytest.raises(ValueError, match=r"x/out.zarr' was begun with other values of: direction"):
        follow(out, resume=True, direction="forward")
    model = FakeSegmenter()
    assert track(IMAGES, TWO, out=out, model=model, config=QUICK, resume=True).complete
    assert content(out) == content(made / "plain" / "out.zarr") and names(out) == ["out.zarr"]


@pytest.mark.parametrize("left", ["damaged", "alone"])
def test_what_is_left_of_a_replacement_is_in_nobodys_way(made, tmp_path, left):
    out = stopped(_copy(made / "locked", tmp_path / "x" / "out.zarr"), 3, overwrite=True)
    if left == "alone":
        shutil.rmtree(out)
    else:
        (log,) = Place.of(out).new.glob("journal/0001.open/log")
        log.write_bytes(b"{\n" + log.read_bytes())
    follow(out, overwrite=left == "damaged")
    assert content(out) == content(made / "plain" / "out.zarr") and names(out) == ["out.zarr"]


def test_a_replacement_that_is_whole_but_for_the_swap_is_swapped(made, tmp_path):
    out = _copy(made / "locked", tmp_path / "x" / "out.zarr")
    shutil.copytree(made / "plain" / "out.zarr", Place.of(out).new)
    assert follow(out, resume=True).complete
    assert content(out) == content(made / "plain" / "out.zarr") and names(out) == ["out.zarr"]


@pytest.mark.parametrize("change", [lambda out: Result.open(out).lock(2, 0), lambda out: Result.open(out).undo()])
def test_whoever_changes_the_earlier_result_keeps_it(made, tmp_path, change):
    out = _copy(made / "locked", tmp_path / "x" / "out.zarr")
    stopped(out, 3, overwrite=True)
    change(out)
    assert names(out) == ["out.zarr"]
    kept = content(out)
    assert follow(out, resume=True).complete and content(out) == kept


def test_resuming_what_is_not_there_begins(out):
    assert follow(out, resume=True).complete


def test_resume_and_overwrite_exclude_each_other(out):
    with pytest.raises(ValueError, match="exclude each other"):
        follow(out, resume=True, overwrite=True)


def test_a_rerun_that_was_stopped_says_so_and_can_be_rolled_back(made, tmp_path):
    shutil.copytree(made / "plain", tmp_path / "x")
    out = tmp_path / "x" / "out.zarr"

    def stop(result, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rerun(out, IMAGES, MORE, model=FakeSegmenter(), progress=stop)
    half = Result.open(out)
    assert str(half.progress) == "stopped while object 1 was followed again" and not half.complete
    assert half.history[-1].state == "unfinished" and half.history[-1].words == "the re-run of object 1"
    with pytest.raises(ValueError, match=r"the re-run of object 1 .* was stopped; do it again, or undo it"):
        half.lock(1, 0)
    assert half.undo().complete
    assert content(out) == content(made / "plain" / "out.zarr")


# ---- steps


def test_runs_reruns_and_locks_are_undone_and_done_again(made, tmp_path):
    shutil.copytree(made / "again", tmp_path / "x")
    out = tmp_path / "x" / "out.zarr"
    Result.open(out).lock(2, 3)
    states = [content_but_journal(out)]
    words = [step.words for step in Result.open(out).history]
    assert words == ["the run that followed objects 1, 2", "the re-run of object 1", "the lock of object 2 on frame 3"]
    for _ in words:
        Result.open(out).undo()
        states.append(content_but_journal(out))
    assert states[2] == content_but_journal(made / "plain" / "out.zarr")
    empty = Result.open(out)
    assert not empty.complete and not np.asarray(empty.labels[:]).any()
    with pytest.raises(ValueError, match=r"there is nothing to undo in .*out\.zarr"):
        empty.undo()
    for state in states[-2::-1]:
        Result.open(out).redo()
        assert content_but_journal(out) == state
    with pytest.raises(ValueError, match="there is nothing to redo"):
        Result.open(out).redo()


def test_what_is_undone_is_rerun_as_before(made, tmp_path):
    shutil.copytree(made / "again", tmp_path / "x")
    out = tmp_path / "x" / "out.zarr"
    Result.open(out).undo()
    follow_again(out)
    assert content_but_journal(out) == content_but_journal(made / "again" / "out.zarr")
    assert [step.state for step in Result.open(out).history] == ["done", "done"]


def test_a_stopped_run_is_not_undone(out):
    with pytest.raises(ValueError, match=r"was stopped: go on with it \(--resume\), or begin anew"):
        Result.open(stopped(out, 2)).undo()


# ---- damage


def test_a_chunk_that_is_lost_is_no_background(made, tmp_path):
    shutil.copytree(made / "plain", tmp_path / "x")
    out = tmp_path / "x" / "out.zarr"
    (out / "0" / "c" / "2" / "0" / "0").unlink()
    result = Result.open(out)
    assert np.asarray(result.labels[1]).any()
    with pytest.raises(ValueError, match=r"out\.zarr' cannot be read: 0/c/2/0/0 is missing"):
        result.labels[2]


def test_frames_that_were_never_followed_are_background(out):
    result = follow(out, frames=(0, 3))
    assert not np.asarray(result.labels[3]).any()
    assert Place.of(out).unfinished_run() is None


def test_a_reader_beside_a_writer_sees_whole_frames(out):
    seen = []

    def look(result, done, total):
        opened = Result.open(out)
        seen.append((opened.n_object_frames, np.asarray(opened.labels[result.t]).any()))

    follow(out, progress=look)
    assert all(found for _, found in seen) and [n for n, _ in seen] == sorted(n for n, _ in seen)
