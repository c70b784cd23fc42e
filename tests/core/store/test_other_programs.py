"""Other programs that read OME-Zarr find a label image in a result; those that are not installed are left out.

`make check-ome` installs all of them, into an environment of their own, and shows them the result of the demo.
"""

from importlib.metadata import PackageNotFoundError, version

import pytest
import zarr
from tests.support.fake_model import FakeSegmenter, disks
from tools.check_ome import PLUGIN, PROGRAMS

from napari_mosam.core.api import track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.prompts.collection import MaskPrompt

pytestmark = pytest.mark.slow

IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(3)], radius=7)
FOUND = {
    "ome-zarr-models": "valid ImageLabel",
    "ngff-zarr": "valid, (3, 96, 96), scale {'t': 30.0, 'y': 0.5, 'x': 0.5}",
    "ome-zarr": "Label, Multiscales, (3, 96, 96)",
    PLUGIN: "Labels (3, 96, 96), scale [30.0, 0.5, 0.5]",
}


@pytest.fixture
def out(tmp_path):
    one = [MaskPrompt.from_frame(1, 0, LABELS[0] == 1)]
    quick = EngineConfig(motion=MotionConfig.off())
    track(
        IMAGES,
        one,
        out=tmp_path / "some" / "where" / "o.zarr",
        model=FakeSegmenter(),
        config=quick,
        pixel_size=0.5,
        interval=30,
    )
    return tmp_path / "some" / "where" / "o.zarr"


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_result_is_a_label_image_to(name, out):
    installed(name)
    assert FOUND[name] in PROGRAMS[name](str(out))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != PLUGIN])
def test_what_is_none_is_refused_by(name, out):
    installed(name)
    group = zarr.open_group(out, mode="r+")
    ome = dict(group.attrs["ome"])
    del ome["multiscales"][0]["axes"][0]["name"]
    group.attrs["ome"] = ome
    with pytest.raises(Exception):  # noqa: B017 - each has errors of its own
        PROGRAMS[name](str(out))
