"""The real command, really stopped and killed, at many moments: 'make test-kill'."""

import hashlib
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

from napari_mosam.core.simulation import disk_moves
from napari_mosam.core.store.result import Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

N_STOPS, STOP_SPAN_S, N_KILLS = 25, 6.0, 20
STOPPED = ".out.zarr.mosam-new"
"""What a stopped run has finished, which the next one goes on with, or replaces."""

OWN_FILES = {"movie.tif", "prompts.tif", "out.zarr"}

SWAP = """
import os, signal, sys
from pathlib import Path
from napari_mosam.cli.main import main
from napari_mosam.core.files import disk
left, rename = [int(sys.argv.pop(1))], disk.rename
def dying(source, target):
    if "out.zarr" in (Path(source).name, Path(target).name):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
    return rename(source, target)
disk.rename = dying
sys.exit(main())
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> SimpleNamespace:
    """A movie of 30 frames, prompts and an earlier result."""
    folder = tmp_path_factory.mktemp("kill")
    truth = disk_moves()
    images = np.concatenate([truth.images, truth.images[::-1], truth.images])
    tifffile.imwrite(folder / "movie.tif", images, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "prompts.tif", truth.labels[0])
    made = SimpleNamespace(folder=folder, out=folder / "out.zarr", runs=0)
    assert start(made).wait() == 0
    made.before = digest(made.out)
    return made


def start(job: SimpleNamespace, *options: str, program: tuple[str, ...] = ("-m", "napari_mosam")) -> subprocess.Popen:
    job.runs += 1  # a setting that is stored and changes nothing else tells one run's result from another's
    track = ("track", "movie.tif", "-p", "prompts.tif", "-o", "out.zarr", "--device", "cpu", *options)
    track += ("--diameter", str(10 + job.runs))
    return subprocess.Popen(
        [sys.executable, *program, *track],
        cwd=job.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def digest(folder: Path) -> str:
    """What tells one result from another, to the byte."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(p.relative_to(folder)).encode() + p.read_bytes() for p in files)).hexdigest()


def left_over(job: SimpleNamespace) -> set[str]:
    return {path.name for path in job.folder.iterdir()} - OWN_FILES


def outcome(job: SimpleNamespace) -> str:
    """Which result there is: the earlier one to the byte, or a whole new one."""
    opened = Result.open(job.out)
    assert opened.complete and np.asarray(opened.labels[:]).any(axis=(1, 2)).all()
    return "old" if digest(job.out) == job.before else "new"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_at_any_moment_is_one_line_and_exit_code_130(job, number):
    ends = []
    for moment in np.linspace(0, STOP_SPAN_S, N_STOPS if number is signal.SIGINT else N_STOPS // 3):
        process = start(job, "--overwrite")
        time.sleep(moment)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        last = err.strip().split("\n")[-1]
        ends.append((round(float(moment), 2), process.returncode, last[-90:]))
        assert "Traceback" not in err and "Error" not in err and "Exception" not in err, (moment, err)
        assert process.returncode in (130, 0, -number), (moment, process.returncode, err)
        if process.returncode == 130:
            assert last.startswith("mosam: stopped"), (moment, err)
            assert err.count("mosam: stopped") == 1, (moment, err)
            assert "is unchanged" not in last or digest(job.out) == job.before, moment
        outcome(job)
        assert left_over(job) <= {STOPPED}, moment
        assert "--resume" not in last or left_over(job) == {STOPPED}, (moment, err)
        job.before = digest(job.out)
    print(*ends, sep="\n")
    assert sum(code == 130 for _, code, _ in ends) >= len(ends) // 2
    assert {code for moment, code, _ in ends if moment >= 0.25} <= {0, 130}


def test_a_second_ctrl_c_changes_nothing(job):
    process = started(job, 10)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err
    assert err.count("mosam: stopped") == 1
    outcome(job)


def test_a_kill_at_any_moment_leaves_a_whole_result(job):
    """Six while it loads, the others from the first frame of the new result to its last one and the swap after it."""
    ends = []
    moments = [*np.linspace(0.1, 3, 6), *np.linspace(0, 29, N_KILLS - 6).round().astype(int)]
    for moment in moments:
        if isinstance(moment, np.integer):
            process = started(job, int(moment))
        else:
            process = start(job, "--overwrite")
            time.sleep(moment)
        process.kill()
        process.communicate(timeout=120)
        what = f"frame {moment}" if isinstance(moment, np.integer) else f"{moment:.2f} s"
        left = sorted(left_over(job))
        ends.append((what, process.returncode, outcome(job), left))
        job.before = digest(job.out)
    print(*ends, sep="\n")
    assert start(job, "--overwrite").wait() == 0
    assert not left_over(job)
    job.before = digest(job.out)


def started(job: SimpleNamespace, t: int) -> subprocess.Popen:
    """A command of which a frame of the new result is on disk, or that has ended."""
    shutil.rmtree(job.folder / STOPPED, ignore_errors=True)  # its frames would be taken for those of this one
    process = start(job, "--overwrite")
    while process.poll() is None and not (job.folder / STOPPED / "0" / "c" / str(t)).exists():
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_the_renames_of_the_swap_leaves_a_whole_result(job, renames):
    process = start(job, "--overwrite", program=("-c", SWAP, str(renames)))
    process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if renames < 2 else 0)
    assert job.out.exists() == (renames != 1)
    assert outcome(job) == ("old" if renames == 0 else "new")
    job.before = digest(job.out)
    assert start(job, "--overwrite").wait() == 0
    assert not left_over(job)


def test_of_two_writers_one_wins_and_a_killed_one_lets_go(job):
    first = start(job, "--overwrite")
    while not any(name.endswith("lock") for name in left_over(job)):
        assert first.poll() is None
        time.sleep(0.02)
    second = start(job, "--overwrite")
    _, err = second.communicate(timeout=120)
    assert second.returncode == 2
    assert f"out.zarr' is being written by another run (process {first.pid} on {os.uname().nodename})" in err
    first.kill()
    first.communicate()
    assert start(job, "--overwrite").wait() == 0
    assert not left_over(job)
