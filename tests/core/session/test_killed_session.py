"""A program that is killed in the middle of a session's run: the next one finds it, and goes on to the same bytes."""

import json
import subprocess
import sys

import pytest
import tifffile
from tests.core.session.test_session import IMAGES, THIRD, TWO, session_of, told
from tests.support.fake_model import FakeSegmenter

from napari_mosam import Prompts, Session
from napari_mosam.core.session.recent import Recent

PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.core.session.test_session import session_of
from tests.support.crashes import OPERATIONS
from napari_mosam.core.files import disk

left, folder = [int(sys.argv[1])], Path(sys.argv[2])
def dying(operation):
    def counted(*args):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return operation(*args)
    return counted

for name in OPERATIONS:
    setattr(disk, name, dying(getattr(disk, name)))
session_of(folder, movie=folder / "movie.tif").run()
print(-left[0])
"""


def run_until(n, folder):
    """Run a session in a program of its own that is killed at the n-th operation of the disk; 0: never."""
    save_movie(folder)
    return subprocess.run([sys.executable, "-c", PROGRAM, str(n), str(folder)], capture_output=True, text=True)


@pytest.mark.parametrize("moments", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_is_offered_and_gone_on_with_to_the_same_bytes(tmp_path, moments):
    operations, offered = int(run_until(0, tmp_path / "whole").stdout), 0
    want = told(gone_on(tmp_path / "whole").save(tmp_path / "whole" / "m.zarr"))
    for k in range(moments):
        folder = tmp_path / str(k)
        done = run_until(round(operations * (k + 0.6) / moments), folder)
        assert done.returncode == -9, done.stderr or done.stdout
        found = Recent(folder / "recent").results()
        if not found:  # before its first frame
            continue
        assert found[0].left_open and not found[0].saved
        session = gone_on(folder)
        assert session.prompts == Prompts(TWO)
        if not session.result.complete:
            session.resume()
        saved = told(session.save(folder / "m.zarr"))
        assert json.loads(saved["zarr.json"]) == json.loads(want["zarr.json"])  # says what differs
        assert saved == want
        offered += 1
    assert offered > moments / 2


def gone_on(folder):
    """The session of the result that a program left."""
    found = Recent(folder / "recent").results()
    return Session.open(found[0].path, model=FakeSegmenter(), recent=folder / "recent")


def save_movie(folder):
    folder.mkdir()
    tifffile.imwrite(folder / "movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    return folder / "movie.tif"


MARKING = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from tests.core.session.test_session import THIRD, TWO, session_of

folder = Path(sys.argv[1])
session = session_of(folder, movie=folder / "movie.tif", prompts=[], axes="YTX")
session.mark(*TWO), session.mark(THIRD), session.undo()
session.settings, session.view["frame"] = replace(session.settings, diameter=12.0), 3
session.mark(THIRD)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_marks_of_a_program_that_died_before_its_first_run_are_offered(tmp_path):
    tifffile.imwrite(tmp_path / "movie.tif", IMAGES.swapaxes(0, 1), photometric="minisblack")
    done = subprocess.run([sys.executable, "-c", MARKING, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    recent = Recent(tmp_path / "recent")
    (found,) = recent.marks()
    assert (found.movie, found.n_marks, found.left_open) == (tmp_path / "movie.tif", 3, True)
    assert recent.results() == [] and found.worked_on.year > 2020
    session = Session.open(found.path, model=FakeSegmenter(), recent=tmp_path / "recent")
    assert session.prompts == Prompts([*TWO, THIRD]) and session.movie.shape == IMAGES.shape
    assert session.settings.diameter == 12.0 and session.view == {"frame": 3} and session.result is None
    session.close()
    assert [marks.left_open for marks in recent.marks()] == [False]
    session = Session.open(found.path, model=FakeSegmenter(), recent=tmp_path / "recent")
    session.run()
    assert recent.marks() == [] and len(recent.results()) == 1 and not found.path.exists()
    session.undo()
    assert [marks.n_marks for marks in recent.marks()] == [3]
    session.redo()
    assert recent.marks() == []
    assert session.result.attrs["provenance"]["movie"]["asked"]["axes"] == "YTX"


def test_a_movie_without_marks_leaves_nothing_behind(tmp_path):
    session = session_of(tmp_path, movie=save_movie(tmp_path / "a"), prompts=[])
    session.close()
    assert not (tmp_path / "recent").exists()
    session.mark(*TWO), session.undo(), session.close()
    assert list((tmp_path / "recent").iterdir()) == []
    session_of(tmp_path, prompts=[]).mark(*TWO)  # of an array, which nobody finds again
    assert list((tmp_path / "recent").iterdir()) == []
