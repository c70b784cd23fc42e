"""A program that is killed in the middle of a session's run: the next one finds it, and goes on to the same bytes."""

import subprocess
import sys

import pytest
import tifffile
from tests.core.session.test_session import IMAGES, TWO, session_of, told
from tests.support.crashes import dying_at
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
    whole, offered = session_of(tmp_path / "whole", movie=save_movie(tmp_path / "whole")), 0
    with dying_at(None) as seen:
        whole.run()
    want = told(whole.save(tmp_path / "whole" / "m.zarr"))
    for k in range(moments):
        folder = tmp_path / str(k)
        done = run_until(round(len(seen.operations) * (k + 0.6) / moments), folder)
        assert done.returncode == -9, done.stderr or done.stdout
        found = Recent(folder / "recent").results()
        if not found:  # before its first frame
            continue
        assert found[0].left_open and not found[0].saved
        session = Session.open(found[0].path, model=FakeSegmenter(), recent=folder / "recent")
        assert session.prompts == Prompts(TWO)
        if not session.result.complete:
            session.resume()
        assert told(session.save(folder / "m.zarr")) == want
        offered += 1
    assert offered > moments / 2


def save_movie(folder):
    folder.mkdir()
    tifffile.imwrite(folder / "movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    return folder / "movie.tif"
