"""What all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Deadlines would measure how busy the machine is.
settings.register_profile("mosam", deadline=None)
settings.load_profile("mosam")


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
