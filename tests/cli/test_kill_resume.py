"""The real command, really killed, and gone on with to the same bytes as if nothing had happened: 'make test-kill'."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from tests.support.crashes import content_but_journal

from napari_mosam.core.simulation import disk_moves
from napari_mosam.core.store.result import Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

N_KILLS = int(os.environ.get("MOSAM_KILLS", "20"))
"""Of each kind."""

RERUN = """
import sys
from napari_mosam import MaskPrompt, rerun, load_prompts
import tifffile
labels = tifffile.imread("prompts.tif")
prompts = [*load_prompts("prompts.tif", tifffile.imread("movie.tif").shape), MaskPrompt.from_frame(1, 12, labels > 0)]
rerun("out.zarr", "movie.tif", prompts, device="cpu")
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> SimpleNamespace:
    """A movie of 20 frames, prompts, its result, and that after a re-run."""
    folder = tmp_path_factory.mktemp("kill")
    truth = disk_moves()
    images = np.concatenate([truth.images, truth.images[::-1]])
    tifffile.imwrite(folder / "movie.tif", images, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "prompts.tif", truth.labels[0])
    made = SimpleNamespace(folder=folder, out=folder / "out.zarr")
    seconds = time.perf_counter()
    assert start(made, *TRACK).wait() == 0
    made.seconds = time.perf_counter() - seconds
    made.whole = content_but_journal(made.out)
    shutil.copytree(made.out, folder / "whole.zarr")
    assert start(made, "-c", RERUN).wait() == 0
    made.again = content_but_journal(made.out)
    assert made.again != made.whole
    shutil.rmtree(made.out)
    return made


TRACK = ("-m", "napari_mosam", "track", "movie.tif", "-p", "prompts.tif", "-o", "out.zarr", "--device", "cpu")


def start(job: SimpleNamespace, *program: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *program], cwd=job.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_after(job: SimpleNamespace, moment: float, *program: str) -> int:
    process = start(job, *program)
    time.sleep(moment)
    process.kill()
    return process.wait()


def moments(first: float, last: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(first, last, N_KILLS)


@pytest.mark.parametrize("soon", [True, False])
def test_a_run_that_is_killed_at_any_moment_is_gone_on_with(job, soon):
    ends = []
    for moment in moments(0, 0.5 if soon else job.seconds * 1.05, 1):
        shutil.rmtree(job.out, ignore_errors=True)
        code = kill_after(job, moment, *TRACK)
        state = str(Result.open(job.out).progress) if job.out.exists() else "nothing"
        ends.append((round(moment, 2), code, state))
        assert start(job, *TRACK, "--resume").wait() == 0
        assert content_but_journal(job.out) == job.whole, moment
        assert {path.name for path in job.folder.iterdir()} == {"movie.tif", "prompts.tif", "out.zarr", "whole.zarr"}
    print(*ends, sep="\n")
    assert soon or len({state for _, _, state in ends}) >= 3


def test_a_rerun_that_is_killed_at_any_moment_is_done_again_or_undone(job):
    ends = []
    for n, moment in enumerate(moments(0, job.seconds * 1.1, 2)):
        shutil.rmtree(job.out, ignore_errors=True)
        shutil.copytree(job.folder / "whole.zarr", job.out)
        code = kill_after(job, moment, "-c", RERUN)
        opened = Result.open(job.out)
        ends.append((round(moment, 2), code, str(opened.progress)))
        if n % 2:
            assert start(job, "-c", RERUN).wait() == 0
            assert content_but_journal(job.out) == job.again, moment
        elif not opened.complete:
            assert content_but_journal(opened.undo().path) == job.whole, moment
        else:
            assert content_but_journal(job.out) in (job.whole, job.again), moment
    print(*ends, sep="\n")
    assert code == -signal.SIGKILL or any("again" in state for _, _, state in ends)


def test_two_who_resume_do_not_disturb_each_other(job):
    shutil.rmtree(job.out, ignore_errors=True)
    kill_after(job, job.seconds * 0.7, *TRACK)
    both = [start(job, *TRACK, "--resume") for _ in range(2)]
    assert sorted(process.wait() for process in both) in ([0, 0], [0, 2])
    assert content_but_journal(job.out) == job.whole
    assert Path(job.out).is_dir()
