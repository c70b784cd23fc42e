"""Who may write a result, how a new one takes the place of an earlier one, and how half ones say so."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import zarr
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.export.ctc import export_ctc
from napari_mosam.core.files.places import Place, ResultBusyError, ResultError, ResultGoneError, alone, settled
from napari_mosam.core.files.stores import strangers
from napari_mosam.core.prompts.collection import MaskPrompt, PointPrompt
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.prompts.saving import save_prompts
from napari_mosam.core.store.result import Result

N = 8
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
QUICK = EngineConfig(motion=MotionConfig.off())
ONE, OTHER = [[MaskPrompt.from_frame(i, 0, LABELS[0] == i)] for i in (1, 2)]


def write(out, prompts=ONE, images=IMAGES, **options):
    return track(images, prompts, out=out, **{"model": FakeSegmenter(), "config": QUICK, **options})


def stopping_at(n):
    def stop(result, done, total):
        if done == n:
            raise KeyboardInterrupt

    return stop


def write_half(out, n, prompts=ONE, **options):
    with pytest.raises(KeyboardInterrupt):
        write(out, prompts, progress=stopping_at(n), **options)
    return Result.open(out)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two whole results and a half one, made once."""
    folder = tmp_path_factory.mktemp("made")
    write(folder / "one", ONE), write(folder / "other", OTHER), write_half(folder / "half", 3)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.zarr"


@pytest.fixture
def earlier(made, out):
    shutil.copytree(made / "one", out)
    return content(out)


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


# ---- the earlier result goes last


class BreaksAt:
    """A movie that is damaged from some frame on."""

    shape, dtype, ndim = IMAGES.shape, IMAGES.dtype, 3

    def __init__(self, frame):
        self.frame = frame

    def __getitem__(self, index):
        t = index[0] if isinstance(index, tuple) else index
        if t >= self.frame:
            raise OSError("the disk is gone")
        return IMAGES[index]


def test_a_movie_that_is_damaged_in_the_middle_leaves_the_earlier_result(out, earlier):
    with pytest.raises(OSError, match="the disk is gone"):
        write(out, OTHER, images=BreaksAt(5), overwrite=True, limits=(0, 1))
    assert content(out) == earlier
    assert names(out) == ["out.zarr"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_run_that_is_stopped_leaves_the_earlier_result_open_and_alone(out, earlier, error):
    def stop(result, done, total):
        assert content(out) == earlier
        raise error

    with pytest.raises(error):
        write(out, OTHER, overwrite=True, progress=stop)
    assert content(out) == earlier
    assert names(out) == [Place.of(out).new.name, "out.zarr"]
    assert write(out, ONE, overwrite=True).object_ids == (1,)
    assert names(out) == ["out.zarr"]


def test_a_stop_while_the_replaced_result_is_removed_leaves_nothing_behind(out, earlier, monkeypatch):
    remove, stops = shutil.rmtree, [KeyboardInterrupt]

    def stopped(folder, **options):
        if stops:
            raise stops.pop()
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", lambda folder, **options: stopped(folder, **options))
    with pytest.raises(KeyboardInterrupt):
        write(out, OTHER, overwrite=True)
    assert not stops and names(out) == ["out.zarr"]
    assert (Result.open(out).object_ids, Result.open(out).complete) == ((2,), True)


def test_a_link_to_a_result_stays_a_link(tmp_path, out, earlier):
    link = tmp_path / "link.zarr"
    link.symlink_to(out)
    assert write(link, OTHER, overwrite=True).object_ids == (2,)
    assert link.is_symlink() and Result.open(out).object_ids == (2,)
    assert names(out) == ["link.zarr", "out.zarr"]


@pytest.mark.parametrize(
    ("new", "old", "opened"),
    [("other", "one", (2,)), ("half", "other", (2,)), (None, "one", (1,)), ("other", None, (2,))],
)
def test_a_swap_that_was_cut_off_is_finished_or_undone_when_it_is_opened(made, out, new, old, opened):
    place = Place.of(out)
    for name, folder in ((new, place.new), (old, place.old)):
        if name:
            shutil.copytree(made / name, folder)
    result = Result.open(out)
    assert (result.object_ids, result.complete) == (opened, True)
    assert names(out) == ["out.zarr"]


def test_a_half_new_result_alone_is_none(made, out):
    shutil.copytree(made / "half", Place.of(out).new)
    with pytest.raises(FileNotFoundError, match=r"there is no result .*out\.zarr"):
        Result.open(out)


def test_what_a_killed_run_left_is_removed_by_the_next_writer(made, out, earlier):
    place = Place.of(out)
    shutil.copytree(made / "half", place.new)
    shutil.copytree(made / "half", place.old)
    place.lock.write_text("process 1 on mars")
    Result.open(out).lock(1, 0)
    assert names(out) == ["out.zarr"]


def test_a_cut_off_swap_in_a_folder_that_cannot_be_written_is_read_where_it_lies(made, out, monkeypatch):
    place = Place.of(out)
    shutil.copytree(made / "half", place.new)
    shutil.copytree(made / "other", place.old)

    def read_only(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_mosam.core.files.places.alone", read_only)
    assert settled(out) == place.old
    assert Result.open(out).object_ids == (2,)


def test_only_results_give_way(out):
    out.mkdir()
    (out / "zarr.json").write_text("{")
    with pytest.raises(FileExistsError, match="is not a result of napari-mosam"):
        write(out, overwrite=True)
    assert (out / "zarr.json").read_text() == "{"


def test_a_movie_inside_the_result_is_never_replaced(out, earlier):
    with pytest.raises(FileExistsError, match=r"lies in .*out\.zarr', which would be replaced"):
        write(out, images=out / "0", overwrite=True)
    assert content(out) == earlier


# ---- one writer


def test_of_two_writers_the_second_is_refused_before_anything_is_computed(out, earlier):
    model = FakeSegmenter()
    message = rf"out\.zarr' is being written by another run \(process {os.getpid()} on "
    for write_too in (
        lambda: write(out, OTHER, model=model, overwrite=True),
        lambda: rerun(out, IMAGES, [*ONE, *OTHER], model=model),
        lambda: Result.open(out).lock(1, 0),
        lambda: Result.open(out).unlock(1, 0),
    ):
        with alone(out), pytest.raises(ResultBusyError, match=message):
            write_too()
    assert model.encoded == 0
    assert content(out) == earlier
    assert names(out) == ["out.zarr"]


def test_a_fresh_result_has_one_writer_too(out):
    tried = []

    def progress(result, done, total):
        if not tried:
            tried.append(True)
            with pytest.raises(ResultBusyError, match=rf"is being written by another run \(process {os.getpid()} on "):
                write(out, OTHER, overwrite=True)

    assert write(out, progress=progress).complete and tried
    assert names(out) == ["out.zarr"]


def test_a_killed_writer_lets_go(out, earlier):
    holding = "import sys, time; from napari_mosam.core.files.places import alone\n"
    holding += "with alone(sys.argv[1]): print(1); time.sleep(99)"
    holder = subprocess.Popen([sys.executable, "-uc", holding, str(out)], stdout=subprocess.PIPE)
    holder.stdout.readline()
    with pytest.raises(ResultBusyError, match=f"process {holder.pid}"), alone(out):
        pass
    holder.kill()
    holder.communicate()
    assert Place.of(out).lock.exists()
    with alone(out):
        pass
    assert names(out) == ["out.zarr"]


# ---- half results


@pytest.mark.parametrize(
    ("n", "direction", "said"),
    [
        (3, "both", "stopped at frame 3 of 8"),
        (3, "forward", "stopped at frame 3 of 8"),
        (N, "both", "stopped before its end, after each of its 8 frames was followed at least once"),
    ],
)
def test_a_half_result_says_how_far_it_came(out, n, direction, said):
    half = write_half(out, n, direction=direction)
    assert (half.complete, str(half.progress)) == (False, said)
    assert said in half.describe()


@pytest.mark.parametrize(
    ("frame", "direction", "n", "said"),
    [
        (5, "backward", 2, "stopped with 2 of 6 frames followed"),
        (5, "both", 2, "stopped with 2 of 8 frames followed"),
        (5, "both", 3 + 2, "stopped with 5 of 8 frames followed"),
    ],
)
def test_frames_behind_the_prompt_count_where_they_are_to_be_followed(out, frame, direction, n, said):
    half = write_half(out, n, [MaskPrompt.from_frame(1, frame, LABELS[frame] == 1)], direction=direction)
    assert str(half.progress) == said


def test_objects_that_start_elsewhere_are_counted_in_pairs(out):
    half = write_half(out, 2, [*ONE, MaskPrompt.from_frame(2, 5, LABELS[5] == 2)])
    assert str(half.progress) == "stopped with 2 of 16 object-frames followed"
    assert half.progress.frames == ()


def test_a_whole_result_is_complete(made):
    whole = Result.open(made / "one")
    assert (whole.complete, str(whole.progress)) == (True, "complete")
    described = whole.describe()
    for said in ("1: 1", "0:8, both", "complete", "fake", "100 to 1000 became 0 to 1", "8 frames of 96 x 96 px"):
        assert said in described


def test_a_half_result_stays_half_when_it_is_corrected(made, out):
    shutil.copytree(made / "half", out)
    again = rerun(out, IMAGES, [*ONE, PointPrompt(1, 1, (30, 31))], model=FakeSegmenter())
    assert not again.complete and not again.attrs["complete"]


def test_a_correction_that_is_stopped_leaves_half_a_result_until_it_is_made_up_for(out, earlier):
    prompts = [*ONE, MaskPrompt.from_frame(1, 4, LABELS[4] == 2)]
    with pytest.raises(KeyboardInterrupt):
        rerun(out, IMAGES, prompts, model=FakeSegmenter(), progress=stopping_at(2))
    assert str(Result.open(out).progress) == "stopped while object 1 was followed again"
    assert rerun(out, IMAGES, prompts, model=FakeSegmenter()).complete


# ---- deleted or moved


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("move", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_result_that_is_moved_or_deleted_while_it_is_written_is_not_written_any_more(out, made, move, overwrite):
    if overwrite:
        shutil.copytree(made / "other", out)
    folder = Place.of(out).new if overwrite else out

    def progress(result, done, total):
        if done == 3:
            move(folder)

    with pytest.raises(ResultGoneError, match="was moved or deleted while it was written"):
        write(out, progress=progress, overwrite=overwrite)
    assert not folder.exists()
    assert out.exists() == overwrite


# ---- damaged


def damage(out, name, new=b"\x07garbage" * 9):
    found = [path for path in out.rglob("*") if path.is_file() and str(path.relative_to(out)).startswith(name)]
    for path in found:
        path.write_bytes(new)
    assert found


@pytest.mark.parametrize("folder", ["", "/table", "/table/values"])
def test_damaged_metadata_are_told_in_plain_words(out, earlier, folder):
    damage(out, f"{folder}/zarr.json".lstrip("/"), b'{"zarr_format": 3, "attr')
    if folder:  # the head of the result is no part of the manifest
        with pytest.raises(ResultError, match=rf"{folder.lstrip('/')}/zarr.json is not what was written"):
            Result.open(out)
    seal(out)
    with pytest.raises(ResultError, match=rf"the metadata of \S*out\.zarr{folder} cannot be read: not valid JSON"):
        Result.open(out)


def test_a_damaged_table_is_told_in_plain_words(out, earlier):
    damage(out, "table/values/c")
    with pytest.raises(
        ResultError, match=r"out\.zarr' cannot be read: table/values/c/0/0/0 is not what was wr.* \(is it damaged\?"
    ):
        Result.open(out)


@pytest.mark.parametrize("name", ["records/logits/c", "records/details/c"])
def test_damaged_records_are_told_in_plain_words(out, earlier, name):
    damage(out, name)
    with pytest.raises(ResultError, match=r"out\.zarr' cannot be read"):
        Result.open(out).record(1, 3)


def test_attributes_that_are_nested_without_end_are_told_in_plain_words(out, earlier):
    (out / "zarr.json").write_text("[" * 10_000 + "]" * 10_000)
    seal(out)
    with pytest.raises(ResultError, match=r"out\.zarr cannot be read: lists .* are nested deeper than 32 levels"):
        Result.open(out)


def test_a_group_that_is_no_result_is_told_from_one(tmp_path):
    zarr.open_group(tmp_path / "g.zarr", mode="w")
    with pytest.raises(ResultError, match=r"g\.zarr' is no result of 'mosam track'"):
        Result.open(tmp_path / "g.zarr")


def test_a_frame_whose_records_are_not_written_is_not_there(out, monkeypatch):
    def write_records(store, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_mosam.core.store.records.RecordStore.write", write_records)
    with pytest.raises(KeyboardInterrupt):
        write(out)
    half = Result.open(out)
    assert not np.asarray(half.labels[:]).any() and half.n_object_frames == 0
    assert str(half.progress) == "stopped before the first of its 8 frames was followed"


@pytest.mark.skipif(sys.platform == "win32", reason="the folder of a user is not told by HOME there")
def test_a_wave_is_the_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_prompts(ONE, tmp_path / "marks.json", LABELS.shape[1:])
    result = write("~/out.zarr", load_prompts("~/marks.json", LABELS.shape))
    assert result.path == tmp_path / "out.zarr" and result.complete
    assert Result.open("~/out.zarr").path == result.path == settled("~/out.zarr")
    assert export_ctc(LABELS, "~/ctc") == tmp_path / "ctc"
    with pytest.raises(FileExistsError, match="allow it to be overwritten"):
        write("~/out.zarr")


# ---- what is not ours


@pytest.mark.parametrize("name", ["sub.zarr", "deep/down/sub.zarr"])
def test_nothing_new_is_made_inside_a_zarr_store(made, out, name):
    shutil.copytree(made / "one", out)
    other = zarr.open_group(out.with_name("image.zarr"), mode="w", zarr_format=2)
    before = content(out.parent)
    for store in (out, out.with_name("image.zarr")):
        with pytest.raises(Refused, match="which is a zarr store, and nothing else is written into one"):
            write(store / name)
        with pytest.raises(Refused, match="which is a zarr store"):
            export_ctc(LABELS, store / name / "ctc")
        with pytest.raises(Refused, match="which is a zarr store"):
            save_prompts(ONE, store / name / "marks.json", LABELS.shape[1:])
    assert content(out.parent) == before and len(other) == 0


@pytest.mark.parametrize("name", ["notes.txt", "a.gif", "sub.zarr/zarr.json", "0/notes.txt", "table/x.zarr/c/0/0"])
def test_a_result_that_holds_something_else_is_not_replaced(made, out, name):
    shutil.copytree(made / "one", out)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    before = content(out)
    with pytest.raises(FileExistsError, match=rf"no part of a result \({name}\), so it is not overwritten; move that"):
        write(out, OTHER, overwrite=True)
    assert content(out) == before
    (out / name).unlink()
    write(out, OTHER, overwrite=True)
    assert Result.open(out).object_ids == (2,)


def test_what_is_put_into_a_result_while_it_is_replaced_stays(made, out):
    shutil.copytree(made / "one", out)
    notes = out / "notes.txt"
    with pytest.raises(FileExistsError, match=r"no part of a result \(notes.txt\)"):
        write(out, OTHER, overwrite=True, progress=lambda *_: notes.write_text("mine"))
    assert Result.open(out).object_ids == (1,) and notes.read_text() == "mine"
    notes.rename(out.with_name("notes.txt"))
    assert write(out, OTHER, resume=True).object_ids == (2,)


def test_what_belongs_to_a_result_does_not_keep_it(made, out):
    for source, more in (("half", ()), ("one", ("mosam_session.json", ".DS_Store", ".mosam_session.7.part.json"))):
        shutil.copytree(made / source, out)
        for name in more:
            (out / name).write_text("")
        assert strangers(out) == []
        assert write(out, OTHER, overwrite=True).object_ids == (2,)
        Result.open(out).lock(2, 1)
        assert write(out, ONE, overwrite=True).object_ids == (1,)
        shutil.rmtree(out)
