"""What all tests share."""

import hashlib
import os
import shutil
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
    """Temporary files lie in memory where it has room: results are thousands of small files, which are synced."""
    if (
        not hasattr(config, "workerinput")
        and config.option.basetemp is None
        and os.access(MEMORY, os.W_OK)
        and _free(MEMORY) > MEMORY_NEEDED
    ):
        folder = tempfile.mkdtemp(prefix="mosam-tests-", dir=MEMORY)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["TMPDIR"], tempfile.tempdir = folder, folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file runs in one process, since what its tests share is made once; the viewers share one, and its screen."""
    widgets = Path(__file__).parent / "widgets"
    for item in items:
        group = "viewer" if item.path.is_relative_to(widgets) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


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
