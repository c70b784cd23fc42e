"""A full disk, a forbidden place, links: what the command says, in its own words."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from tests.support.fuzz import TRACK, engine, prepare, run

from napari_mosam.core.config.whole_files import whole_file
from napari_mosam.core.files import disk
from napari_mosam.core.files.places import alone


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where there is a movie, prompts and a result."""
    prepare(tmp_path / "root", kinds=())
    monkeypatch.chdir(tmp_path / "root")
    return tmp_path / "root"


def said(line: str) -> tuple[int, str]:
    """Exit code and last line."""
    with engine():
        code, _, err = run(line)
    return code, err.strip().splitlines()[-1].rpartition("\r")[2]


def test_a_disk_that_fills_up_in_the_middle_keeps_the_finished_frames(folder, monkeypatch):
    commits = []
    append = disk.append

    def filling(path, content):
        commits.append(path)
        if len(commits) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(path, content)

    monkeypatch.setattr(disk, "append", filling)
    code, line = said(TRACK)
    assert code == 1
    assert line == (
        "mosam: error: the disk is full; make room, or choose another disk; 2 of 3 frames were finished and are kept "
        "in out/new.zarr; --resume goes on with it"
    )
    monkeypatch.setattr(disk, "append", append)
    assert said(f"{TRACK} --resume")[0] == 0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "(No space left on device); make room, or choose another disk"),
        (errno.EROFS, "(Read-only file system); choose a folder you may write to"),
    ],
)
def test_a_lock_on_a_disk_that_takes_nothing(folder, monkeypatch, number, words):
    def refusing(path, content):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk, "write", refusing)
    assert said("lock result.zarr --object 1 --frames 1") == (
        2,
        f"mosam: error: cannot write '{folder}/result.zarr' {words}",
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_result_that_may_not_be_changed_is_read(folder):
    folder.chmod(0o555)
    try:
        assert said("lock result.zarr --object 1 --frames 1")[0] == 2
        assert said("evaluate result.zarr truth.tif --csv x.csv") == (
            2,
            "mosam: error: the system does not allow it (x.csv); choose a place you may read and write",
        )
        with engine():
            assert run("info result.zarr")[0] == 0
    finally:
        folder.chmod(0o755)


def test_a_report_that_may_not_be_written_is_named_as_it_was_given(folder, monkeypatch):
    write = Path.write_text

    def refusing(path, text, **options):
        if path.suffix == ".csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", refusing)
    assert said("evaluate result.zarr truth.tif --csv x.csv") == (
        2,
        "mosam: error: the system does not allow it (x.csv); choose a place you may read and write",
    )


def test_a_report_whose_folder_goes_away_is_told_in_words(tmp_path):
    with pytest.raises(FileNotFoundError) as told, whole_file(tmp_path / "gone" / "x.json") as part:
        part.write_text("x")
    assert str(told.value) == f"[Errno 2] No such file or directory: '{tmp_path / 'gone' / 'x.json'}'"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder here that takes nothing from root")
def test_a_report_in_a_place_that_takes_none_is_refused_before_any_work(folder):
    for command in ("explain result.zarr --object 1 --plot", "evaluate result.zarr truth.tif --json"):
        suffix = "png" if "plot" in command else "json"
        code, line = said(f"{command} /proc/x.{suffix}")
        assert code == 2 and f"cannot write /proc/x.{suffix}: " in line and line.endswith("choose another folder")


def test_links_that_lead_in_a_circle(folder):
    Path("loop.zarr").symlink_to("loop.zarr")
    code, line = said("info loop.zarr")
    assert code == 2
    assert line.startswith("mosam: error: a link leads back to itself (") and line.endswith("choose another place")


def test_a_link_to_an_input_is_that_input(folder):
    Path("new.zarr").symlink_to("movie.tif")
    code, line = said("track movie.tif -p prompts.tif -o new.zarr --overwrite")
    assert code == 2 and "new.zarr overlaps movie.tif, which is read; inputs are never outputs" in line


def test_the_second_of_two_writers_is_told_who_the_first_is(folder):
    with alone("result.zarr"):
        code, line = said("lock result.zarr --object 1 --frames 1")
    assert code == 2
    assert f"result.zarr' is being written by another run (process {os.getpid()} on " in line


# --- what damage brought to light ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("records/details/zarr.json", "lock result.zarr --object 1 --frames 1"),
        ("table/object_ids/zarr.json", "track movie.tif -p result.zarr -o out/new.zarr"),
    ],
)
def test_a_result_whose_parts_are_lost_is_refused_in_words_and_stays(folder, file, line):
    (folder / "result.zarr" / file).unlink()
    before = shutil.copytree("result.zarr", "before.zarr")
    code, words = said(line)
    assert code == 2 and "cannot be read" in words
    assert not [place for place in Path("result.zarr/journal").iterdir() if place.name.endswith(".open")]
    assert sorted(p.name for p in Path(before).rglob("*")) == sorted(p.name for p in Path("result.zarr").rglob("*"))


def test_a_movie_that_says_it_has_billions_of_frames_is_refused_at_once(folder):
    import zarr

    zarr.create_array("long.zarr", shape=(2**32, 8, 8), chunks=(1, 8, 8), dtype="uint8")
    assert said("info long.zarr")[1].startswith(
        "mosam: error: long.zarr says that it has the shape (4294967296, 8, 8); no axis of a movie is longer"
    )


def test_a_message_that_a_file_made_endless_is_cut(folder):
    Path("p.csv").write_text(f"object,frame,{'y' * 70000},x\n1,0,2,2\n")
    code, line = said("track movie.tif -p p.csv -o out/new.zarr")
    assert code == 2 and len(line) < 1000
