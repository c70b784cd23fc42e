"""sam2 is imported in one place, and leaves Hydra as it was."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_mosam

LOADED = "from napari_mosam.core.model.registry import load_model; load_model('nano', device='cpu', image_size=64);"
HYDRA = "import hydra; from hydra.core.global_hydra import GlobalHydra;"
OURS = "hydra.initialize_config_dir(sys.argv[1], version_base=None); assert hydra.compose('c').answer == 42;"


@pytest.mark.parametrize(
    "code",
    [
        LOADED + HYDRA + "assert not GlobalHydra.instance().is_initialized();" + OURS,
        HYDRA + OURS + LOADED + "assert hydra.compose('c').answer == 42",
        "import sam2;" + LOADED + HYDRA + "assert hydra.compose('configs/sam2.1/sam2.1_hiera_t').model",
    ],
    ids=["started after us", "started before us", "by sam2 itself before us"],
)
def test_another_plugin_can_use_hydra(code, tmp_path):
    (tmp_path / "c.yaml").write_text("answer: 42\n")
    done = subprocess.run([sys.executable, "-c", "import sys;" + code, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_sam2_is_imported_through_one_door():
    """Elsewhere it may be named for the type checker only."""
    package = Path(napari_mosam.__file__).parent
    folders = [package, package.parents[1] / "training"]
    imports = re.compile(r"^\s*(from|import) sam2\b", re.MULTILINE)
    found = [p.name for f in folders for p in f.rglob("*.py") if imports.search(_without_typing(p.read_text()))]
    assert found == ["sam2_blocks.py"]


def _without_typing(source: str) -> str:
    return re.sub(r"^if TYPE_CHECKING:\n(?:(?:[ \t].*)?\n)*", "", source, flags=re.MULTILINE)
