"""Results on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam.core.api import segment, track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.files.zarr_files import open_zarr
from napari_mosam.core.prompts.collection import MaskPrompt, PointPrompt
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.store import result as store
from napari_mosam.core.store.result import Result

N = 6
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
QUICK = EngineConfig(motion=MotionConfig.off())
PROMPTS = [MaskPrompt.from_frame(i, t, LABELS[t] == i) for i, t in ((1, 0), (2, 3))]


def write(out, prompts=PROMPTS, images=IMAGES, **options):
    return track(images, prompts, out=out, **{"model": FakeSegmenter(), "config": QUICK, **options})


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.zarr"


# ---- what is written


def test_labels_are_chunked_by_frame(out):
    result = write(out)
    for array, dtype in ((result.labels, "uint16"), (result.confidence, "uint8")):
        assert array.shape == IMAGES.shape
        assert array.chunks == (1, *IMAGES.shape[1:])
        assert array.dtype == dtype
    assert zarr.open_group(out, mode="r")["0"].shape == IMAGES.shape


def test_every_object_is_in_every_frame(out):
    result = write(out)
    for t in range(N):
        for object_id in (1, 2):
            assert iou(result.labels[t] == object_id, LABELS[t] == object_id) > 0.85
        assert np.array_equal(result.labels[t] > 0, result.confidence[t] > 0)


@pytest.mark.parametrize(("object_id", "dtype"), [(65535, "uint16"), (65536, "uint32")])
def test_large_ids_widen_the_labels(out, object_id, dtype):
    prompts = [*PROMPTS, MaskPrompt.from_frame(object_id, 2, LABELS[2] == 1)]
    result = write(out, prompts[1:])
    assert result.labels.dtype == dtype
    assert result.object_ids == (2, object_id)
    assert set(np.unique(result.labels[:])) == {0, 2, object_id}


def test_the_table_is_nan_where_an_object_was_not_followed(out):
    result = write(out, direction="forward")
    for name in ("predicted_iou", "object_score", "area"):
        table = getattr(result, name)
        assert (table.shape, table.dtype) == ((N, 2), np.float32)
        assert np.array_equal(np.isnan(table[:, 1]), [True] * 3 + [False] * 3)
        assert np.isfinite(table[:, 0]).all()
    assert result.n_object_frames == 9
    assert result.area[:, 0].tolist() == [(result.labels[t] == 1).sum() for t in range(N)]


def test_both_directions_fill_the_table(out):
    assert np.isfinite(write(out).area).all()


def test_an_absent_object_has_an_area_of_zero(out):
    images, labels = disks([[(48, 48)]] * 2 + [[None]] * 2, radius=7)
    result = write(out, [MaskPrompt.from_frame(1, 0, labels[0] == 1)], images)
    assert result.area[:, 0].tolist()[2:] == [0, 0]
    assert (result.object_score[:, 0] > 0).tolist() == [True, True, False, False]
    assert not result.labels[2:].any()


def test_a_range_leaves_the_other_frames_empty(out):
    result = write(out, PROMPTS[1:], frames=(2, 5))
    assert [bool(result.labels[t].any()) for t in range(N)] == [False, False, True, True, True, False]
    assert np.isnan(result.area[[0, 1, 5]]).all()


def test_a_result_opens_again(out):
    written, read = write(out), Result.open(str(out))
    assert read.path == written.path == out
    assert read.object_ids == (1, 2)
    assert np.array_equal(read.labels[:], written.labels[:])
    assert np.array_equal(read.predicted_iou, written.predicted_iou)
    assert read.attrs == written.attrs


def test_an_open_result_stays_the_same_in_another_folder(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    write(here / "out.zarr"), write(there / "out.zarr", PROMPTS[:1])
    monkeypatch.chdir(here)
    result, labels = Result.open("out.zarr"), open_zarr("out.zarr/0")
    before = result.labels[5]
    monkeypatch.chdir(there)
    assert np.array_equal(result.labels[5], before) and np.array_equal(labels[5], before)
    result.lock(1, 0)
    assert Result.open(here / "out.zarr").locked(0) == (1,) and Result.open("out.zarr").locked(0) == ()


def test_settings_and_origin_are_stored_as_json(out):
    attrs = json.loads(json.dumps(write(out, direction="forward", diameter=14, memory="sam2").attrs))
    assert (attrs["model"], attrs["direction"], attrs["diameter"]) == ("fake", "forward", 14)
    assert EngineConfig.from_dict(attrs["config"]).memory.selection == "sam2"
    assert attrs["limits"] == [100, 1000]
    assert attrs["napari_mosam"]


def test_progress_is_reported_after_each_frame(out):
    seen = []

    def progress(result, done, total):
        stored = zarr.open_group(out, mode="r")["0"][result.t]
        assert set(np.unique(result.labels)) <= set(np.unique(stored)) | {0}
        seen.append((done, total))

    write(out, progress=progress)
    total = RunRequest.build(IMAGES, PROMPTS).n_results
    assert seen == [(k, total) for k in range(1, total + 1)]


def test_what_was_written_before_a_failure_stays(out):
    def stop(result, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(out, progress=stop, direction="forward")
    kept = Result.open(out)
    assert [bool(kept.labels[t].any()) for t in range(N)] == [True] * 3 + [False] * 3


def test_opening_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no result '\S*none\.zarr'; check the path"):
        Result.open(tmp_path / "none.zarr")


# ---- two directions meet


def test_one_direction_alone_is_stored_as_it_was_yielded(out):
    for direction in ("forward", "backward"):
        results = list(segment(IMAGES, PROMPTS, model=FakeSegmenter(), config=QUICK, direction=direction))
        stored = write(out, direction=direction, overwrite=True)
        for result in results:
            assert np.array_equal(stored.labels[result.t], result.labels)
            assert np.array_equal(stored.confidence[result.t], np.ceil(result.confidence * 255))


def test_between_prompts_both_directions_are_compared(out):
    prompts = [MaskPrompt.from_frame(1, t, LABELS[t] == 1) for t in (1, 4)]
    result = write(out, prompts)
    compared = np.isfinite(result.disagreement[:, 0])
    assert compared.tolist() == [False, True, True, True, False, False]
    assert (result.disagreement[compared, 0] < 0.1).all()


def test_objects_of_different_directions_share_a_frame(out):
    result = write(out)
    directions = [[result.record(i, t).direction for t in range(N)] for i in (1, 2)]
    assert directions == [["forward"] * N, ["backward"] * 3 + ["forward"] * 3]
    assert result.area.tolist() == [[int((result.labels[t] == i).sum()) for i in (1, 2)] for t in range(N)]


# ---- locks


def test_pairs_are_locked_and_unlocked(out):
    result = write(out)
    assert result.locked(3) == ()
    result.lock(2, 3)
    assert [Result.open(out).locked(t) for t in (2, 3)] == [(), (2,)]
    result.unlock(2, 3)
    assert result.locked(3) == ()


@pytest.mark.parametrize(
    ("object_id", "t", "error", "said"),
    [
        (7, 0, ValueError, r"there is no object 7 in '\S*out\.zarr'; it holds 1, 2$"),
        (1, N, IndexError, rf"there is no frame {N} in '\S*out\.zarr'; it has frames 0 to {N - 1}$"),
        (1, -1, IndexError, rf"there is no frame -1 in '\S*out\.zarr'; it has frames 0 to {N - 1}$"),
    ],
)
def test_what_is_not_there_cannot_be_locked(out, object_id, t, error, said):
    with pytest.raises(error, match=said):
        write(out).lock(object_id, t)


# ---- earlier layouts


def test_a_result_without_records_still_opens(out):
    written = write(out)
    group = zarr.open_group(out, mode="r+")
    for name in ("predicted_iou", "object_score", "area"):
        group["table"].create_array(name, data=getattr(written, name))
    del group["records"], group["table/values"], group["prompts"]
    seal(out)
    read = Result.open(out)
    assert np.array_equal(read.area, written.area)
    assert np.isnan(read.disagreement).all()
    assert not (read.state != "").any()
    for ask in (lambda: read.record(1, 0), lambda: read.timeline(1), lambda: read.prompts):
        with pytest.raises(ValueError, match="earlier version; run 'mosam track' again"):
            ask()


# ---- where it is written


def marker(folder):
    """A group that somebody made before."""
    zarr.open_group(folder, mode="w").attrs["mine"] = True
    return folder


def test_an_existing_output_is_refused_and_kept(out):
    marker(out)
    with pytest.raises(FileExistsError, match=r"out.zarr' exists.*--overwrite"):
        write(out)
    assert zarr.open_group(out, mode="r").attrs["mine"]


def test_an_existing_result_is_replaced_when_asked(out):
    write(out)
    result = write(out, PROMPTS[:1], overwrite=True)
    assert result.object_ids == (1,)
    assert set(np.unique(result.labels[:])) == {0, 1}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_results_are_replaced(out, kind):
    precious = out if kind == "file" else out / "thesis.txt"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("years of work")
    with pytest.raises(FileExistsError, match="is not a result of napari-mosam, so it is not overwritten"):
        write(out, overwrite=True)
    assert precious.read_text() == "years of work"


def test_a_zarr_array_is_not_replaced(out):
    zarr.create_array(out, shape=(3,), dtype="uint8")[:] = 7
    with pytest.raises(FileExistsError, match="is not a result of napari-mosam"):
        write(out, overwrite=True)
    assert zarr.open_array(out, mode="r")[:].tolist() == [7, 7, 7]


def test_the_movie_itself_is_never_overwritten(tmp_path):
    movie = tmp_path / "movie.zarr"
    zarr.open_group(movie, mode="w").create_array("0", shape=IMAGES.shape, dtype=IMAGES.dtype)[:] = IMAGES
    with pytest.raises(FileExistsError, match="is not a result of napari-mosam"):
        write(movie, images=str(movie), overwrite=True)
    assert np.array_equal(zarr.open_array(movie / "0", mode="r")[:], IMAGES)


def test_a_movie_that_cannot_be_read_does_not_cost_the_earlier_result(out):
    class Broken:
        shape, dtype, ndim = IMAGES.shape, IMAGES.dtype, 3

        def __getitem__(self, index):
            raise OSError("the disk is gone")

    write(out)
    with pytest.raises(OSError, match="the disk is gone"):
        write(out, images=Broken(), overwrite=True)
    assert np.asarray(Result.open(out).labels[0]).any()


def test_bad_input_does_not_cost_the_earlier_result(out):
    write(out)
    with pytest.raises(ValueError, match="diameter"):
        write(out, overwrite=True, diameter=-1)
    with pytest.raises(ValueError, match="lies outside"):
        write(out, [PointPrompt(1, 0, (500, 500))], overwrite=True)
    assert Result.open(out).labels[0].any()


def test_a_folder_that_cannot_be_written(out, monkeypatch):
    def read_only(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(PermissionError, match=r"cannot write .*out.zarr' \(Permission denied\); choose a folder"):
        write(out)


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    model = FakeSegmenter()
    with pytest.raises(PermissionError, match="cannot write"):
        write(tmp_path / "notes.txt" / "out.zarr", model=model)
    assert model.encoded == 0
    assert (tmp_path / "notes.txt").read_text() == "text"


def test_missing_folders_are_made(tmp_path):
    assert write(tmp_path / "a" / "b" / "out.zarr").labels[0].any()


def test_a_frame_is_written_without_reading_another(out, monkeypatch):
    frames, read = [], store.RecordStore.read
    monkeypatch.setattr(store.RecordStore, "read", lambda self, t: frames.append(t) or read(self, t))
    write(out)
    assert frames == [2, 1, 0]  # where both directions meet
