"""What all tests share."""

import gc
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from napari_mosam.core.model import catalogue
from napari_mosam.core.model.catalogue import ModelInfo, model_info

# Deadlines would measure how busy the machine is. The same examples are drawn on every run, so that a failure is one of
# the change at hand; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("mosam", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "mosam"))


MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4_000_000_000
"""Bytes that must be free there; all tests together leave less than a quarter of it."""


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files lie in memory where it has room: results are thousands of small files, which are synced.

    Each process but the first has a screen of its own: no viewer takes the keyboard from one of another process.
    """
    worker = getattr(config, "workerinput", {"workerid": "gw0"})["workerid"]
    if worker != "gw0" and shutil.which("Xvfb"):
        _own_screen(config)
    if (
        not hasattr(config, "workerinput")
        and config.option.basetemp is None
        and os.access(MEMORY, os.W_OK)
        and _free(MEMORY) > MEMORY_NEEDED
    ):
        folder = tempfile.mkdtemp(prefix="mosam-tests-", dir=MEMORY)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["TMPDIR"], tempfile.tempdir = folder, folder


def _own_screen(config: pytest.Config) -> None:
    """A server of a screen, which ends with this process, however that ends."""
    script = "Xvfb -displayfd 1 -screen 0 1280x1024x24 -nolisten tcp 2>/dev/null & read _; kill $!"
    pipe = subprocess.PIPE
    server = subprocess.Popen(["sh", "-c", script], stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    config.add_cleanup(server.communicate)
    number = server.stdout.readline().strip()
    if not number:
        raise pytest.UsageError("Xvfb gives no screen to the viewers of this process")
    os.environ["DISPLAY"] = f":{number}"


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@pytest.fixture(scope="session")
def mosam_data() -> Path:
    """Folder of the real movies; skips where the environment does not name one."""
    given = os.environ.get("MOSAM_DATA")
    if not given:
        pytest.skip("real movies are not at hand: set MOSAM_DATA to their folder")
    folder = Path(given)
    if not folder.is_dir():
        pytest.fail(f"MOSAM_DATA = {given} is no folder")
    return folder


@pytest.fixture
def local_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to this machine go there, whatever proxy and mirror the environment names."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MOSAM_MODELS_URL", raising=False)


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModelInfo]:
    """A function that makes `content` what the catalogue expects of sam2.1-tiny, by its hash unless not `known`."""

    def published(content: bytes, *, known: bool = True) -> ModelInfo:
        sha256, size = (hashlib.sha256(content).hexdigest(), len(content)) if known else (None, None)
        entry = replace(model_info("sam2.1-tiny"), sha256=sha256, size=size)
        others = (entry if info.name == entry.name else info for info in catalogue._MODELS)
        monkeypatch.setattr(catalogue, "_MODELS", tuple(others))
        return entry

    return published


def pytest_runtest_setup():
    """What is there already is not looked through again by each collection of a test: viewers ask for several."""
    gc.freeze()
