import json
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import npe2
import pytest
import yaml
from npe2.manifest.utils import import_python_name

import napari_mosam

PACKAGE = Path(napari_mosam.__file__).parent
ROOT = PACKAGE.parents[1]
CORE_FILES = sorted((PACKAGE / "core").rglob("*.py"))
GUI = {"napari", "qtpy", "PyQt6", "PyQt5", "PySide6", "magicgui", "superqt", "vispy", "app_model"}
ENGINE = {"torch", "sam2", "torchvision", "dask", "zarr", "tifffile", "skimage", "scipy", "cv2"}


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys, json; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


# --- imports ---------------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy():
    assert not modules_after("import napari_mosam") & (GUI | ENGINE | {"numpy"})


def test_the_command_line_starts_without_the_engine():
    assert not modules_after("import napari_mosam.cli.main") & (GUI | ENGINE)


def test_no_module_is_longer_than_400_lines():
    lengths = {path.relative_to(PACKAGE): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "from napari_mosam.core import api",
        "from napari_mosam import Session",
        "from napari_mosam.core.runs.request import RunRequest",
        "from napari_mosam.core.evaluation.evaluate import evaluate",
        "import napari_mosam.widgets.widget",
    ],
)
def test_what_is_checked_before_a_run_loads_no_torch(statement):
    assert not modules_after(statement) & {"torch", "sam2", "torchvision"}


def test_building_a_request_loads_no_torch():
    request = (
        "import numpy as np, napari_mosam as mosam\n"
        "from napari_mosam.core.runs.request import RunRequest\n"
        "prompts = mosam.Prompts([mosam.BoxPrompt(1, 0, (2, 2, 9, 9))])\n"
        "request = RunRequest.build(np.zeros((3, 32, 32), np.uint8), prompts)\n"
        "assert request.n_results == 3 and len(request.requests(0)) == 1"
    )
    assert not modules_after(request) & {"torch", "sam2", "torchvision"}


def test_the_widget_module_is_imported_without_torch():
    assert not modules_after("import napari_mosam.widgets") & {"torch", "sam2", "torchvision"}


def test_core_loads_neither_napari_nor_qt():
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in CORE_FILES]
    statement = "import " + ", ".join(name.removesuffix(".__init__") for name in names)
    assert not modules_after(statement) & GUI


# --- the public names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", napari_mosam.__all__)
def test_every_public_name_exists(name):
    assert getattr(napari_mosam, name) is not None


def test_public_names_are_listed():
    assert set(dir(napari_mosam)) >= {"segment", "track", "preview", "Movie", "Prompts", "load_prompts", "load_model"}


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'sagment'"):
        napari_mosam.sagment  # noqa: B018


def test_the_version_is_the_installed_one():
    assert napari_mosam.__version__ == version("napari-mosam")


# --- what the plugin contributes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_file(PACKAGE / "napari.yaml")


def test_the_manifest_is_found_by_its_entry_point():
    (entry,) = [e for e in entry_points(group="napari.manifest") if e.name == "napari-mosam"]
    assert entry.value == "napari_mosam:napari.yaml"
    assert npe2.PluginManifest.from_distribution("napari-mosam").name == "napari-mosam"


def test_what_the_manifest_names_can_be_imported(manifest):
    named = {command.id: command.python_name for command in manifest.contributions.commands}
    assert all(name.startswith("napari_mosam.") for name in named.values())
    assert [id for id, name in named.items() if not callable(import_python_name(name))] == []


def test_the_widget_is_in_the_menus_for_tracking_and_segmentation(manifest):
    (widget,) = manifest.contributions.widgets
    assert widget.display_name == "MoSAM"
    for menu in ("napari/layers/track", "napari/layers/segment"):
        assert [item.command for item in manifest.contributions.menus[menu]] == [widget.command]


def test_both_sample_movies_are_offered(manifest):
    assert {sample.key for sample in manifest.contributions.sample_data} == {"simulated_cells", "scratch_assay"}


def test_the_manifest_at_the_root_is_the_shipped_one():
    at_root = ROOT / "napari.yaml"
    if not at_root.exists():
        pytest.skip("not a source checkout")
    assert yaml.safe_load(at_root.read_text()) == yaml.safe_load((PACKAGE / "napari.yaml").read_text())


def test_the_embedded_model_is_shipped():
    assert {"nano.safetensors", "nano.yaml", "nano.json"} <= {
        path.name for path in (PACKAGE / "core" / "model" / "weights").iterdir()
    }


def test_paths_in_the_makefile_exist():
    named = re.findall(r"\b(?:tests|tools|benchmarks|training)/[\w/]+\.\w+", (ROOT / "Makefile").read_text())
    assert len(named) > 3
    assert [path for path in named if not (ROOT / path).exists()] == []
