"""Going on, back and forth on the command line."""

import json
import sys

import numpy as np
import pytest
import tifffile
import zarr
from tests.support.crashes import content_but_journal
from tests.support.fake_model import FakeSegmenter, disks
from tests.support.stopping import stop_at

from napari_mosam.cli import main as cli
from napari_mosam.core.runs import write
from napari_mosam.core.store.result import Result

N = 6
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)


@pytest.fixture(autouse=True)
def job(tmp_path, monkeypatch):
    """A movie and prompts in the current folder, and a model without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write, "load", lambda config: FakeSegmenter())
    tifffile.imwrite("movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite("prompts.tif", LABELS[0])
    return tmp_path


TRACK = ("track", "movie.tif", "-p", "prompts.tif", "-o", "out.zarr")


def last_line(capsys):
    return capsys.readouterr().err.strip().split("\n")[-1]


def test_a_stopped_run_is_gone_on_with(job, monkeypatch, capsys):
    assert cli.main([*TRACK[:-1], "whole.zarr"]) == 0
    stop_at(monkeypatch, 3)
    assert cli.main(TRACK) == 130
    assert last_line(capsys).endswith("3 of 6 frames were finished and are kept in out.zarr; --resume goes on with it")
    assert cli.main(TRACK) == 2
    assert "out.zarr exists and is not finished; go on with it (--resume), or begin anew" in last_line(capsys)
    assert cli.main([*TRACK, "--resume"]) == 0
    assert Result.open("out.zarr").complete
    assert content_but_journal(job / "whole.zarr") == content_but_journal(job / "out.zarr")


@pytest.mark.skipif(sys.platform == "win32", reason="the folder of a user is not told by HOME there")
def test_outputs_may_lie_in_the_folder_of_the_user(job, monkeypatch):
    monkeypatch.setenv("HOME", str(job / "home"))
    places = ("--out=~/out.zarr", "--export-ctc=~/ctc", "--overlay=~/o.png")
    (job / "home").mkdir()
    assert cli.main([*TRACK[:-2], *places]) == 0
    assert sorted(path.name for path in (job / "home").iterdir()) == ["ctc", "o.png", "out.zarr"]
    assert cli.main(["explain", "~/out.zarr", "--object=1"]) == 0


def test_another_run_is_refused_in_one_line(monkeypatch, capsys):
    stop_at(monkeypatch, 3)
    cli.main(TRACK)
    assert cli.main([*TRACK, "--resume", "--direction", "backward"]) == 2
    assert "out.zarr' was begun with other values of: direction; give the same again" in last_line(capsys)


def test_a_run_that_was_to_overwrite_is_gone_on_with_and_its_exports_are_replaced(job, monkeypatch, capsys):
    words = [*TRACK, "--export-ctc", "ctc", "--overlay", "o.png"]
    assert cli.main([*words, "--frames", "0:2"]) == 0
    drawn = (job / "o.png").read_bytes()
    stop_at(monkeypatch, 3)
    assert cli.main([*words, "--overwrite"]) == 130
    assert last_line(capsys).endswith("3 of 6 frames were finished of the new one; --resume goes on with it")
    assert cli.main([*words, "--resume"]) == 2
    assert "--export-ctc: ctc is not empty" in last_line(capsys)
    assert cli.main([*words, "--resume", "--overwrite"]) == 0
    assert Result.open("out.zarr").complete and len(list((job / "ctc").glob("mask*.tif"))) == N
    assert (job / "o.png").read_bytes() != drawn


def test_a_finished_run_that_is_resumed_is_drawn_and_counted_whole(job, capsys):
    assert cli.main([*TRACK, "--overlay", "before.png"]) == 0
    said = capsys.readouterr().out
    assert cli.main([*TRACK, "--resume", "--overlay", "after.png"]) == 0
    assert capsys.readouterr().out.split(" in ")[0] == said.split(" in ")[0]
    assert (job / "after.png").read_bytes() == (job / "before.png").read_bytes()


def test_steps_go_back_and_forth(capsys):
    cli.main(TRACK)
    Result.open("out.zarr").lock(1, 2)
    capsys.readouterr()
    assert cli.main(["undo", "out.zarr"]) == 0
    assert capsys.readouterr().out == "undone: the lock of object 1 on frame 2\n"
    assert Result.open("out.zarr").locked(2) == ()
    assert cli.main(["info", "out.zarr"]) == 0
    told = capsys.readouterr().out
    assert told.endswith(
        "history  1 done       the run that followed objects 1, 2\n"
        "         2 undone     the lock of object 1 on frame 2\n"
    )
    assert cli.main(["redo", "out.zarr"]) == 0
    assert capsys.readouterr().out == "done again: the lock of object 1 on frame 2\n"
    assert Result.open("out.zarr").locked(2) == (1,)
    assert cli.main(["redo", "out.zarr"]) == 2
    assert last_line(capsys) == "mosam: error: there is nothing to redo in 'out.zarr'"


def test_an_object_is_locked_on_some_frames_in_one_step(capsys):
    cli.main(TRACK)
    capsys.readouterr()
    assert cli.main(["lock", "out.zarr", "--object", "2", "--frames", "1:4"]) == 0
    assert capsys.readouterr().out == "object 2 is locked on 3 frames\n"
    assert [Result.open("out.zarr").locked(t) for t in range(N)] == [(), (2,), (2,), (2,), (), ()]
    assert cli.main(["unlock", "out.zarr", "--object", "2", "--frames", "3:"]) == 0
    assert [Result.open("out.zarr").locked(t) for t in range(N)] == [(), (2,), (2,), (), (), ()]
    cli.main(["undo", "out.zarr"])
    cli.main(["undo", "out.zarr"])
    assert "undone: the lock of object 2 on 3 frames" in capsys.readouterr().out
    assert not any(Result.open("out.zarr").locked(t) for t in range(N))


@pytest.mark.parametrize(
    ("options", "said"), [(["9", "--frames", "1"], "there is no object 9"), (["1", "--frames", "9"], "no frame 9 in")]
)
def test_what_is_not_there_is_not_locked(options, said, capsys):
    cli.main(TRACK)
    assert cli.main(["lock", "out.zarr", "--object", *options]) == 2
    assert said in last_line(capsys)


@pytest.mark.parametrize("command", ["undo", "redo", "review"])
def test_what_is_no_result_is_refused(job, command, capsys):
    assert cli.main([command, "none.zarr"]) == 2
    assert "there is no result 'none.zarr'" in last_line(capsys)
    zarr.open_array("image.zarr", mode="w", shape=(2, 2), dtype="u1")
    (job / "folder").mkdir()
    for name in ("movie.tif", "image.zarr", "folder"):
        assert cli.main([command, name]) == 2
        assert last_line(capsys).endswith(f"{name}' is no result of 'mosam track'; give the OUT.zarr that it wrote")


@pytest.mark.parametrize("command", [["evaluate", "out.zarr", "truth.tif"], ["info", "out.zarr"]])
def test_a_lost_chunk_is_told(job, command, capsys):
    cli.main(TRACK)
    tifffile.imwrite("truth.tif", LABELS, photometric="minisblack", metadata={"axes": "TYX"})
    (job / "out.zarr" / "0" / "c" / "3" / "0" / "0").unlink()
    capsys.readouterr()
    code, printed = cli.main(command), capsys.readouterr()
    if command[0] == "info":
        assert "damage   1 of its files are missing: 0/c/3/0/0" in printed.out
    else:
        assert code == 2 and "cannot be read: 0/c/3/0/0 is missing" in printed.err


def test_the_size_of_a_pixel_is_given(capsys):
    cli.main([*TRACK, "--pixel-size", "0.25", "--interval", "30"])
    attrs = json.loads(open("out.zarr/zarr.json").read())["attributes"]
    assert attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [30, 0.25, 0.25]
    assert np.isclose(Result.open("out.zarr").to_dataframe().eval("area_um2 / area"), 0.0625).all()
    capsys.readouterr()
    cli.main(["info", "movie.tif", "--pixel-size", "2"])
    assert "2 µm a pixel" in capsys.readouterr().out
