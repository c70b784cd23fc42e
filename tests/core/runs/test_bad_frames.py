"""Frames that cannot be read: they end a run, what was finished stays, or they count as absent for all objects."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam.cli import main as cli
from napari_mosam.core.api import preview, segment, track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig, MotionConfig
from napari_mosam.core.config.run import MovieConfig, RunConfig
from napari_mosam.core.images.movie import Movie, MovieError
from napari_mosam.core.prompts.collection import MaskPrompt, PointPrompt, PromptError
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.runs import run, write
from napari_mosam.core.runs.recreate import movie_of
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.store.result import Result

N, BAD = 9, 4
IMAGES, LABELS = disks([[(20 + t, 20), (60, 70 - 2 * t)] for t in range(N)], radius=6)
QUICK = EngineConfig(motion=MotionConfig.off())
FAKE = {"model": FakeSegmenter(), "config": QUICK}
TWO = [MaskPrompt.from_frame(i, 0, LABELS[0] == i) for i in (1, 2)]
SKIPPED = np.where(np.arange(N)[:, None, None] == BAD, 0, LABELS)


@pytest.fixture
def folder(tmp_path):
    """A file for each frame, one of them cut off in copying."""
    (tmp_path / "movie").mkdir()
    for t, frame in enumerate(IMAGES):
        tifffile.imwrite(tmp_path / "movie" / f"t{t}.tif", frame)
    cut = tmp_path / "movie" / f"t{BAD}.tif"
    cut.write_bytes(cut.read_bytes()[:2000])
    return tmp_path / "movie"


@pytest.fixture
def gapped(folder):
    (folder / f"t{BAD}.tif").unlink()
    return folder


def assert_like(labels, expected):
    """Ids where they should be, but for the pixels that resampling takes from a small disk."""
    for shown, wanted in zip(np.asarray(labels), expected, strict=True):
        assert set(np.unique(shown)) == set(np.unique(wanted))
        assert all(iou(shown == i, wanted == i) > 0.8 for i in (1, 2))


def bytes_of(path):
    """Labels and records of a result."""
    group = zarr.open_group(path, mode="r")
    return [np.asarray(group[name]).tobytes() for name in ("0", "confidence", "table/values", "records/details")]


def test_a_frame_that_cannot_be_read_is_absent_for_all_and_nothing_else_changes(folder, tmp_path):
    result = track(folder, TWO, out=tmp_path / "o.zarr", skip_bad_frames=True, **FAKE)
    assert_like(result.labels, SKIPPED)
    for object_id in (1, 2):
        timeline = result.timeline(object_id)
        states = list(timeline.states)
        assert states.pop(BAD) == ObjectState.LOST and set(states) == {ObjectState.PRESENT}
    kept = result.attrs["provenance"]["movie"]["skipped_frames"]
    assert list(kept) == [str(BAD)] and "t4.tif ends before its last image does" in kept[str(BAD)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "t4.tif is empty"),
        (None, r"t4.tif has shape \(64, 96\) and type uint16, but t0.tif has \(96, 96\) and uint16"),
    ],
)
def test_empty_files_and_images_of_another_size_are_such_frames(folder, tmp_path, content, said):
    bad = folder / f"t{BAD}.tif"
    tifffile.imwrite(bad, IMAGES[BAD][:64]) if content is None else bad.write_bytes(content)
    with pytest.raises(MovieError, match=rf"{said}.*--skip-bad-frames"):
        track(folder, TWO, out=tmp_path / "o.zarr", **FAKE)
    result = track(folder, TWO, out=tmp_path / "o.zarr", resume=True, skip_bad_frames=True, **FAKE)
    assert_like(result.labels, SKIPPED)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_nothing_of_such_a_frame_is_remembered(folder, direction):
    prompts = TWO if direction == "forward" else [MaskPrompt.from_frame(1, N - 1, LABELS[N - 1] == 1)]
    found = list(segment(folder, prompts, direction=direction, skip_bad_frames=True, **FAKE))
    assert len(found) == N
    for result in found:
        assert bool(result.skipped) == (result.t == BAD)
        assert all(o.present and o.remembered for o in result.objects) == (result.t != BAD)
        assert all(BAD not in o.memory_frames for o in result.objects)
    assert {o.decoded_with for o in found[-1].objects} == {"memory"}


def test_without_a_word_it_ends_the_run_what_was_finished_stays_and_the_run_can_go_on(folder, tmp_path):
    with pytest.raises(MovieError, match=r"frame 4 of .*movie cannot be read: t4\.tif .*--skip-bad-frames"):
        track(folder, TWO, out=tmp_path / "o.zarr", **FAKE)
    half = Result.open(tmp_path / "o.zarr")
    assert not half.complete
    assert_like(half.labels[:BAD], LABELS[:BAD])
    track(folder, TWO, out=tmp_path / "o.zarr", resume=True, skip_bad_frames=True, **FAKE)
    track(folder, TWO, out=tmp_path / "whole.zarr", skip_bad_frames=True, **FAKE)
    assert bytes_of(tmp_path / "o.zarr") == bytes_of(tmp_path / "whole.zarr")
    assert Result.open(tmp_path / "o.zarr").attrs["provenance"]["movie"]["skipped_frames"]


def test_frames_that_are_known_not_to_be_there_are_refused_before_anything_is_followed(gapped, tmp_path):
    with pytest.raises(
        MovieError, match=r"frame 4 is not there; .* has no file with number 4; .*--skip-bad-frames.*anew"
    ):
        RunRequest.build(gapped, TWO)
    assert RunRequest.build(gapped, TWO, RunConfig(frames=(0, BAD))).n_results == BAD
    with pytest.raises(PromptError, match="frame 4 is prompted and not there"):
        RunRequest.build(
            gapped, [*TWO, PointPrompt(1, BAD, (20.0, 20.0))], RunConfig(movie=MovieConfig(skip_bad_frames=True))
        )
    result = track(gapped, TWO, out=tmp_path / "o.zarr", skip_bad_frames=True, **FAKE)
    assert_like(result.labels, SKIPPED)


@pytest.mark.parametrize("prompt", [PointPrompt(1, BAD, (24.0, 20.0)), MaskPrompt.from_frame(1, BAD, LABELS[BAD] == 1)])
def test_a_frame_that_is_prompted_is_never_skipped(folder, tmp_path, prompt):
    with pytest.raises(MovieError, match=r"frame 4 .*an object is prompted there, so it cannot be skipped"):
        track(folder, [*TWO, prompt], out=tmp_path / "o.zarr", skip_bad_frames=True, **FAKE)
    with pytest.raises(MovieError, match="frame 4"):
        preview(folder, [prompt], BAD, model=FakeSegmenter())


def test_an_object_at_the_border_is_not_given_up_on_frames_that_nobody_saw(tmp_path):
    """Five frames without it would end it."""
    images, labels = disks([[(5, 30 + t)] for t in range(20)], radius=6)
    config = EngineConfig(motion=MotionConfig.off(), life=LifecycleConfig(end_at_border=5))

    def block(block_info=None):
        t = block_info[None]["chunk-location"][0]
        if 3 <= t < 18:
            raise ZeroDivisionError("a graph that breaks")
        return images[t : t + 1]

    lazy = da.map_blocks(
        block, chunks=((1,) * 20, (96,), (96,)), dtype=images.dtype, meta=np.empty((0, 0, 0), np.uint16)
    )
    still = [MaskPrompt.from_frame(1, 0, labels[0] == 1)]
    found = list(
        segment(lazy, still, direction="forward", skip_bad_frames=True, model=FakeSegmenter(reach=0.5), config=config)
    )
    assert [bool(r.skipped) for r in found] == [3 <= t < 18 for t in range(20)]
    assert "a graph that breaks" in found[5].skipped
    assert [r.objects[0].present for r in found] == [not 3 <= t < 18 for t in range(20)]
    with pytest.raises((ZeroDivisionError, MovieError), match="a graph that breaks"):
        list(segment(lazy, still, direction="forward", model=FakeSegmenter(), config=config))


def test_a_result_with_skipped_frames_is_followed_again_from_what_it_keeps(folder, tmp_path):
    track(folder, TWO[:1], out=tmp_path / "o.zarr", skip_bad_frames=True, **FAKE)
    assert movie_of(Result.open(tmp_path / "o.zarr")).skips_bad_frames
    result = rerun(tmp_path / "o.zarr", folder, TWO, model=FakeSegmenter())
    assert_like(result.labels, SKIPPED)


@pytest.mark.parametrize(
    ("direction", "spot"),
    [("forward", PointPrompt(1, BAD + 1, (25.0, 20.0))), ("both", PointPrompt(1, BAD + 1, (8.0, 80.0), False))],
)
def test_an_object_that_is_followed_again_from_a_skipped_frame_starts_on_the_last_that_was_seen(
    folder, tmp_path, direction, spot
):
    track(folder, TWO, out=tmp_path / "o.zarr", direction=direction, skip_bad_frames=True, **FAKE)
    result = rerun(tmp_path / "o.zarr", folder, [*TWO, spot], model=FakeSegmenter(), neighbours=True)
    assert_like(result.labels, SKIPPED)
    states = result.timeline(1).states
    assert [t for t in range(N) if states[t] != ObjectState.PRESENT] == [BAD]
    assert not Result.open(tmp_path / "o.zarr").progress.unfinished


def test_the_command_keeps_and_exports_what_was_finished_and_names_the_way_on(
    folder, tmp_path, monkeypatch, capsys, caplog
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write, "load", lambda config: FakeSegmenter())
    monkeypatch.setattr(run, "load", lambda config: FakeSegmenter())
    tifffile.imwrite("p.tif", LABELS[0])
    line = ["track", "movie", "-p", "p.tif", "-o", "o.zarr", "--motion", "off", "--export-ctc", "ctc"]
    assert cli.main(line) == cli.BAD_INPUT
    said = capsys.readouterr().err
    assert "--skip-bad-frames" in said and "4 of 9 frames were finished and are kept in o.zarr; --resume" in said
    assert_like([tifffile.imread(f"ctc/mask{t:03d}.tif") for t in range(BAD)], LABELS[:BAD])
    assert len(list(Path("ctc").glob("mask*.tif"))) == BAD
    assert "o.zarr is half a result (stopped at frame 4 of 9); frames 0 to 3 are written" in caplog.text
    assert cli.main([*line[:-2], "--resume", "--skip-bad-frames", "--overlay", "o.gif"]) == cli.OK
    assert "all objects count as absent on frame 4, which was skipped: frame 4 of movie" in capsys.readouterr().err
    assert cli.main(["info", "o.zarr"]) == cli.OK
    assert "skipped  frames 4: could not be read" in capsys.readouterr().out


def test_images_named_one_by_one_are_a_movie_and_none_of_them_is_ever_written(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    files = [f"t{t}.tif" for t in range(BAD)]
    assert cli.main(["info", *files]) == cli.OK
    assert "4 frames, 96 x 96 px" in capsys.readouterr().out
    assert cli.main(["track", *files, "-p", "../p.json", "-o", "t1.tif"]) == cli.BAD_INPUT
    assert "t1.tif" in capsys.readouterr().err
    assert Movie.open([folder / name for name in files[:3]]).path is None
    assert Movie.open(sorted(folder.iterdir())).path == folder / "t*.tif"
