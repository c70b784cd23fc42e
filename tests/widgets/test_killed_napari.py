"""A napari that is killed in the middle of a run: what the dock offers at its next start goes on to the same bytes."""

import os
import subprocess
import sys

import pytest
import tifffile
from tests.core.session.test_session import IMAGES, told
from tests.support.fake_model import FakeSegmenter

from napari_mosam import BoxPrompt, EngineConfig, MotionConfig, Session, track
from napari_mosam.core.session.recent import Recent

BOXES = [BoxPrompt(1, 0, (14, 14, 26, 26)), BoxPrompt(2, 0, (38, 34, 50, 46))]
QUICK = EngineConfig(motion=MotionConfig.off())
MOMENTS = 10

PROGRAM = """
import sys
from pathlib import Path
import napari
from qtpy.QtCore import QTimer
from tests.support.fake_model import FakeSegmenter
from tests.widgets.test_killed_napari import BOXES, QUICK
from napari_mosam import Prompts, Session
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.engine import Engine

folder = Path(sys.argv[1])

class Fake(Engine):
    def session(self, source, settings=None):
        return Session(source.open(), model=FakeSegmenter(name="nano"), recent=folder / "recent")
    def recent(self):
        from napari_mosam.core.session.recent import Recent
        return Recent(folder / "recent")
    def warm_up(self):
        pass

viewer = napari.Viewer()
viewer.open(folder / "movie.tif", plugin="napari")
dock = MosamWidget(viewer, engine=Fake())
viewer.window.add_dock_widget(dock)
dock.controls.engine.config = QUICK
dock.prompts.apply(dock.source, Prompts(BOXES))
dock.prompts.changed = True
dock.session.events.frame.connect(lambda result, done, total: print("frame", done, flush=True))
dock.session.events.busy.connect(lambda words: print("busy" if words else "idle", flush=True))
QTimer.singleShot(0, dock.propagate)
napari.run()
"""


@pytest.mark.slow
def test_a_killed_napari_leaves_a_run_that_goes_on_to_the_same_bytes(tmp_path):
    model, offered = FakeSegmenter(name="nano"), 0
    movie = save_movie(tmp_path / "whole")
    want = told(track(movie, BOXES, out=tmp_path / "whole" / "m.zarr", model=model, config=QUICK).path)
    for k in range(MOMENTS):
        folder = tmp_path / str(k)
        save_movie(folder)
        kill_at(folder, "busy" if k == 0 else f"frame {(k - 1) % len(IMAGES) + 1}")
        found = Recent(folder / "recent").results()
        if not found or not found[0].path.exists():
            continue  # before its first frame
        assert found[0].left_open and not found[0].saved
        session = Session.open(found[0].path, model=model, recent=folder / "recent")
        assert sorted(session.prompts, key=lambda p: p.object_id) == BOXES
        if session.result is None or not session.result.complete:
            session.run()
        assert told(session.save(folder / "m.zarr")) == want
        offered += 1
    assert offered > MOMENTS / 2


def kill_at(folder, line):
    """Kill a napari in which a run is going once it has written a line."""
    program = [sys.executable, "-c", PROGRAM, str(folder)]
    env = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as napari:
        said = []
        for out in napari.stdout:
            said.append(out)
            if out.strip() == line:
                break
        napari.kill()
    assert said and said[-1].strip() == line, "".join(said)


def save_movie(folder):
    folder.mkdir()
    tifffile.imwrite(folder / "movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    return folder / "movie.tif"
