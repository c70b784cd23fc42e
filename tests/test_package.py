import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from itertools import chain
from pathlib import Path
from typing import Any

import npe2
import pytest
import yaml
from packaging.requirements import Requirement

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


def imported_by(path: Path) -> set[str]:
    """Top-level modules that a file imports anywhere, functions and type checking included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
            if (node.module or "").startswith("napari_mosam") and "core" not in (node.module or ""):
                found.add(f"{node.module} (outside core)")
    return found


# --- what is required ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The section 'project' of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("name", "too_old", "why"),
    [("numcodecs", "0.16.5", "unpickles chunks"), ("zarr", "3.1.2", "does not fit tifffile's stores")],
)
def test_versions_that_harm_are_not_installed(project, name, too_old, why):
    (required,) = (r for r in map(Requirement, project["dependencies"]) if r.name == name)
    assert not required.specifier.contains(too_old), why
    assert required.specifier.contains(version(name))


def test_opencv_comes_with_the_package_and_brings_no_qt(project):
    everything = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    assert [r.name for r in map(Requirement, everything) if r.name.startswith("opencv")] == ["opencv-python-headless"]
    assert any(r.startswith("opencv-python-headless") for r in project["dependencies"])


# --- imports ---------------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy():
    assert not modules_after("import napari_mosam") & (GUI | ENGINE | {"numpy"})


def test_the_command_line_starts_without_the_engine():
    assert not modules_after("import napari_mosam.cli.main") & (GUI | ENGINE)


def test_the_widget_module_is_imported_without_torch():
    assert not modules_after("import napari_mosam.widgets") & {"torch", "sam2", "torchvision"}


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_imports_neither_napari_nor_qt(path):
    forbidden = {name for name in imported_by(path) if name in GUI or "outside core" in name}
    assert not forbidden


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
    manifest.validate_imports()


def test_the_widget_is_in_the_menus_for_tracking_and_segmentation(manifest):
    (widget,) = manifest.contributions.widgets
    assert widget.display_name == "MoSAM: segment and track"
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
    assert {"nano.safetensors", "nano.json"} <= {path.name for path in (PACKAGE / "models").iterdir()}
