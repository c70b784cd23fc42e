"""Examples run, and what comes of them is what the other ways to ask for a run give, to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.crashes import content_but_journal

from napari_mosam.core.session.session_file import NAME

EXAMPLE = Path(__file__).parents[3] / "examples" / "session_without_a_viewer.py"


@pytest.mark.skipif(not EXAMPLE.is_file(), reason="not a source checkout")
def test_the_example_gives_the_bytes_of_the_command(tmp_path):
    import tifffile

    y, x = np.indices((64, 64))
    images = np.stack([np.where(np.hypot(y - 30, x - 24 - 2 * t) < 8, 1000, 100) for t in range(4)]).astype("uint16")
    tifffile.imwrite(tmp_path / "movie.tif", images, photometric="minisblack", metadata={"axes": "TYX"})
    prompts = [{"object": 1, "frame": 1, "box": [22, 18, 38, 34]}]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home")}
    files = [str(tmp_path / name) for name in ("movie.tif", "prompts.json")]

    def run(*words):
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, env=environment)

    said = run(str(EXAMPLE), str(tmp_path / "a" / "cells.zarr"), *files).stdout
    assert "frame 0: 4 of 4" in said and said.endswith("cells.zarr: the run\n")
    command = ["track", files[0], "--prompts", files[1], "--out", str(tmp_path / "b" / "cells.zarr")]
    run("-m", "napari_mosam", *command)
    one, other = (content_but_journal(tmp_path / folder / "cells.zarr") for folder in "ab")
    assert {name: one[name] for name in one if name != NAME} == other
