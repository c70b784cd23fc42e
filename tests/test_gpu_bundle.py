"""The bundle for a bare machine: what is in it, and that its one script runs without network and without napari."""

import hashlib
import importlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from training.data.stills import find_stills, is_test, read_still
from training.slices import read_slice

ROOT = Path(__file__).parents[1]
SOURCES_FIRST = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
sys.path.insert(0, str(ROOT / "tools"))
gpu_bundle = importlib.import_module("gpu_bundle")

NOT_THERE = {"napari", "magicgui", "npe2", "qtpy", "zarr", "dask", "imagecodecs", "pooch", "platformdirs"}
"""What is installed where the tests run, and is not where the bundle goes."""


@pytest.fixture
def data(tmp_path):
    """Stills of two sources, in colour, grey and of an unusual size, and one movie."""
    rng = np.random.default_rng(0)
    for folder, shape in (("dsb2018", (300, 520, 3)), ("t98g", (900, 700))):
        (tmp_path / "data" / "stills" / folder).mkdir(parents=True)
        for k in range(8):
            masks = np.zeros(shape[:2], np.uint16)
            masks[shape[0] // 2 - 20 : shape[0] // 2 + 20, shape[1] // 2 - 20 : shape[1] // 2 + 20] = 300 + k
            path = tmp_path / "data" / "stills" / folder / f"t{k:03d}_image.tif"
            bright = 9000 * (masks > 0).reshape(*shape[:2], *(1,) * (len(shape) - 2))
            tifffile.imwrite(path, (rng.integers(0, 4000, shape) + bright).astype(np.uint16))
            tifffile.imwrite(path.with_name(f"t{k:03d}_mask.tif"), masks)
    movie = tmp_path / "data" / "timelapse" / "sim_n2dh_01"
    movie.mkdir(parents=True)
    labels = np.zeros((10, 300, 400), np.uint16)
    labels[:, 100:140, 150:190], labels[:, 140:170, 300:400] = 4, 9
    tifffile.imwrite(movie / "masks.tif", labels)
    tifffile.imwrite(movie / "images.tif", (labels > 0).astype(np.uint16) * 1000)
    return tmp_path / "data"


@pytest.fixture
def wheels(monkeypatch):
    """The wheels are left out: building them needs the network."""
    monkeypatch.setattr(gpu_bundle, "build_wheels", lambda folder: folder.mkdir())


def test_stills_keep_their_names_and_their_split(data, tmp_path, wheels):
    gpu_bundle.bundle(tmp_path / "bundle", data)
    original = find_stills(data / "stills", "train")
    packed = find_stills(tmp_path / "bundle" / "stills", "train")
    assert [(f.source.folder, f.name) for f in packed] == [(f.source.folder, f.name) for f in original]
    assert 0 < len(packed) < 16
    assert not any(is_test(f.source.folder, f.name) for f in packed)
    for before, after in zip(map(read_still, original), map(read_still, packed), strict=True):
        assert max(after.image.shape) <= gpu_bundle.STILL_SIDE
        assert (after.labels > 0).sum() == 40 * 40
        cut = gpu_bundle.middle(before.image.shape, gpu_bundle.STILL_SIDE)
        assert np.array_equal(after.labels, before.labels[cut])
        assert np.abs(after.image - before.image[cut]).max() < 0.02


def test_movies_are_short_crops_of_whole_objects(data, tmp_path, wheels):
    gpu_bundle.bundle(tmp_path / "bundle", data)
    with np.load(tmp_path / "bundle" / "movies" / "sim_n2dh_01.npz") as stored:
        assert stored["images"].shape == stored["labels"].shape == (8, 256, 256)
        assert set(np.unique(stored["labels"])) == {0, 4}


def test_the_manifest_lists_every_file(data, tmp_path, wheels):
    out = tmp_path / "bundle"
    gpu_bundle.bundle(out, data)
    manifest = json.loads((out / "MANIFEST.json").read_text())
    files = {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file() and p.name != "MANIFEST.json"}
    assert manifest["files"].keys() == files.keys()
    for name, path in files.items():
        assert manifest["files"][name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["bytes"] == sum(p.stat().st_size for p in files.values())
    assert {
        "run.sh",
        "src/napari_mosam/core/model/weights/nano.safetensors",
        "training/configs/nano.toml",
    } <= files.keys()
    assert not [name for name in files if "widgets" in name or "__pycache__" in name]


def test_a_bundle_that_grows_too_large_is_refused(data, tmp_path, wheels, monkeypatch):
    monkeypatch.setattr(gpu_bundle, "LARGEST_MB", 1)
    with pytest.raises(gpu_bundle.BundleError, match="allowed: 1"):
        gpu_bundle.bundle(tmp_path / "bundle", data)


BLOCK = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {NOT_THERE!r}:
            raise ModuleNotFoundError(name + " is not installed here")
sys.meta_path.insert(0, Missing())
"""


def test_training_and_the_engine_need_no_more_than_a_gpu_machine_has():
    """In a process that refuses to import what such a machine lacks."""
    program = BLOCK + (
        "import training.run, training.data.pseudo, training.simulator.movies\n"
        "from napari_mosam.core.api import segment\n"
        "from napari_mosam.core.prompts.collection import Prompts\n"
        "from napari_mosam.core.simulation import disk_moves\n"
        "movie = disk_moves(0, n_frames=2)\n"
        "found = list(segment(movie.images, Prompts.from_labels(movie.labels[0]), device='cpu'))\n"
        "assert (found[1].labels > 0).any()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=SOURCES_FIRST)
    assert done.returncode == 0, done.stderr


def test_the_benchmark_names_what_no_longer_fits(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--device", "cpu", "--minutes", "0"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, env=SOURCES_FIRST)
    assert done.returncode == 0, done.stderr
    for step in ("parity", "speed"):
        found = json.loads((tmp_path / f"{step}.json").read_text())
        assert found["rows"] == []
        assert len(found["left_out"]) == 6
    assert json.loads((tmp_path / "environment.json").read_text())["device"] == "cpu"


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_a_cpu_and_its_slice_is_gone_on_from(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.gpu",
        "--quick",
        "--device",
        "cpu",
        "--minutes",
        "5",
        "--clips",
        "2",
    ]
    train = ["--train", "smoke", "--steps", "6"]
    first, second = tmp_path / "first", tmp_path / "second"
    begin = [*train, "--slice-minutes", "0.001", "--out", str(first)]
    done = subprocess.run([*command, *begin], capture_output=True, text=True, env=SOURCES_FIRST)
    assert done.returncode == 0, done.stderr
    parity = json.loads((first / "parity.json").read_text())
    assert len(parity["rows"]) == 6
    for row in parity["rows"]:
        assert "error" not in row, row
        exact = "float32" in row["row"]
        assert row["largest_difference"] < (1e-2 if exact else 20)
        assert row["mean_iou"] > (0.9999 if exact else 0.95)
    speed = json.loads((first / "speed.json").read_text())
    assert len(speed["rows"]) == 6
    assert all(row["frames_per_s"] > 0 and row["object_frames_per_s"] >= row["frames_per_s"] for row in speed["rows"])
    weights = first / "smoke.safetensors"
    assert read_slice(weights).updates == 1
    again = [*train, "--only", "environment", "--slice-minutes", "3", "--out", str(second)]
    done = subprocess.run(
        [*command, *again, "--resume-from", str(weights)], capture_output=True, text=True, env=SOURCES_FIRST
    )
    assert done.returncode == 0, done.stderr
    state = read_slice(second / "smoke.safetensors")
    assert (state.updates, state.slices) == (6, 2)
    assert json.loads((second / "training.json").read_text())["updates"] == 6


@pytest.mark.slow
def test_the_bundle_runs_on_its_own_wheels(data, tmp_path):
    """The real wheels; sam2, hydra and what else they bring are found in them and nowhere else."""
    out = tmp_path / "bundle"
    try:
        gpu_bundle.bundle(out, data)
    except subprocess.CalledProcessError:
        pytest.skip("the wheels cannot be had: there is no network")
    for wheel in (out / "wheels").iterdir():
        assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".pyd"))]
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(out / "run.sh"), str(tmp_path / "found"), "quick"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {"environment.json", "parity.json", "speed.json", "training.json", "smoke.safetensors"} <= {
        p.name for p in (tmp_path / "found").iterdir()
    }
    rows = json.loads((tmp_path / "found" / "parity.json").read_text())["rows"]
    assert len(rows) == 12
    assert not [row for row in rows if "error" in row]
