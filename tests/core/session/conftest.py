"""A result that is made once, and sessions on copies of it."""

import shutil

import pytest
from tests.core.session.test_session import IMAGES, QUICK, TWO, opened
from tests.support.fake_model import FakeSegmenter

from napari_mosam import track


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A result that is made once and copied."""
    return track(IMAGES, TWO, out=tmp_path_factory.mktemp("made") / "cells.zarr", model=FakeSegmenter(), config=QUICK)


@pytest.fixture
def session(made, tmp_path):
    """A session on a copy of that result."""
    shutil.copytree(made.path, tmp_path / "cells.zarr")
    return opened(tmp_path)
