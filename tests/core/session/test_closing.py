"""A session that is closed while something is going: it ends, and leaves nothing but the result."""

import gc
import threading

import numpy as np
import psutil
import pytest
import tifffile
from tests.core.session.test_session import IMAGES, SQUARE, THIRD, opened, session_of

from napari_mosam.core.session.recent import Recent


def going(session, **how):
    """A run in a thread of its own, which has done two frames; and what lets it do further ones."""
    begun, on = threading.Event(), threading.Event()

    def told(result, done, total):
        if done == 2:
            begun.set()
            on.wait(20)

    thread = threading.Thread(target=lambda: session.run(progress=told, **how))
    thread.start()
    assert begun.wait(20)
    return thread, on


def left_behind(folder):
    """Files that only who works on a result has."""
    files = [path.name for path in folder.rglob("*") if path.is_file()]
    return [name for name in files if name == "in_use.json" or "lock" in name or ".part" in name or "batch" in name]


def handles(folder):
    return [file.path for file in psutil.Process().open_files() if str(folder) in file.path]


@pytest.mark.parametrize("wait", [True, False])
def test_closing_ends_a_run_and_leaves_nothing_but_half_a_result(tmp_path, wait):
    tifffile.imwrite(tmp_path / "movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    warm = session_of(tmp_path / "warm")  # zarr keeps a thread of its own from its first use on
    warm.run(), warm.close()
    before = set(threading.enumerate())
    session = session_of(tmp_path, movie=tmp_path / "movie.tif")
    thread, on = going(session)
    session.paint(1, np.where(SQUARE, 1, 0))
    assert session.waiting == (1,)
    threading.Timer(0.2, on.set).start()
    session.close(wait=wait)
    if not wait:
        thread.join(20)
    assert session.waiting == () and session.busy == ""
    assert (session.result.labels[1][SQUARE] == 1).all() and not session.result.complete
    thread.join(20)
    left = {thread for thread in threading.enumerate() if thread.is_alive()} - before
    assert all(thread.name.startswith("asyncio") for thread in left)  # of zarr's own pool, which grows to its size
    assert left_behind(tmp_path / "recent") == [] and handles(tmp_path / "recent") == []
    assert [found.left_open for found in Recent(tmp_path / "recent").results()] == [False]
    place = session.path
    del session, thread
    gc.collect()
    assert handles(tmp_path) == []  # the movie too
    again = opened(place.parent, place.name)
    assert again.run().complete and (again.result.labels[1][SQUARE] == 1).all()


def test_closing_rolls_a_rerun_back(session, tmp_path):
    before = np.asarray(session.result.labels[:])
    session.mark(THIRD)
    thread, on = going(session)
    threading.Timer(0.1, on.set).start()
    session.close(wait=True)
    thread.join(20)
    assert np.array_equal(session.result.labels[:], before) and session.result.complete
    assert left_behind(tmp_path) == [] and len(session.prompts) == 3


def test_a_session_that_closes_itself_does_not_wait_for_itself(session):
    session.mark(THIRD)
    session.run(progress=lambda *_: session.close(wait=True))
    assert session.result.complete and session.busy == ""
