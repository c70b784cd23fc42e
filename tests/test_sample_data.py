"""The plugin's sample data."""

import subprocess
import sys

import numpy as np
import pytest

from napari_mosam.widgets import sample_data as _sample_data


def test_simulated_cells_come_with_a_hidden_truth() -> None:
    (truth, truth_look, truth_kind), (image, look, kind), _ = _sample_data.simulated_cells()
    assert (kind, truth_kind) == ("image", "labels")
    assert image.shape == truth.shape == (30, 256, 256) and image.dtype == truth.dtype == np.uint16
    assert truth_look["name"] == "truth" and not truth_look["visible"] and look.get("visible", True)
    assert set(np.unique(truth)) == set(range(9))


def test_simulated_cells_come_with_clicks_to_try() -> None:
    (truth, *_), _, (clicks, look, kind) = _sample_data.simulated_cells()
    assert kind == "points" and set(look["features"]["sign"]) == {"+"}
    assert [truth[tuple(place.astype(int))] for place in clicks] == look["features"]["object_id"]


def test_the_scratch_assay_has_micrometres_and_four_layers() -> None:
    pytest.importorskip("ndev_sampledata")
    layers = _sample_data.scratch_assay()
    assert [(look["name"], kind) for _, look, kind in layers] == [
        ("nuclei", "image"),
        ("oblique", "image"),
        ("nuclei, single frames", "labels"),
        ("cells, single frames", "labels"),
    ]
    for data, look, _ in layers:
        assert data.shape == (10, 210, 576) and look["scale"] == (1.0, 0.619, 0.619)
    nuclei, cells = layers[0][0].astype(float), layers[2][0]
    assert nuclei[cells > 0].mean() > 2 * nuclei[cells == 0].mean()


def test_the_layers_are_ones_napari_accepts() -> None:
    layers = pytest.importorskip("napari.layers")
    for make in (_sample_data.simulated_cells, _sample_data.scratch_assay):
        if make is _sample_data.scratch_assay:
            pytest.importorskip("ndev_sampledata")
        for data, look, kind in make():
            layer = layers.Layer.create(data, look, kind)
            assert layer.axis_labels == ("t", "y", "x")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sample_data, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install ndev-sampledata"):
        _sample_data.scratch_assay()


def test_finding_the_path_imports_nothing_heavy() -> None:
    pytest.importorskip("ndev_sampledata")
    code = (
        "import sys; from napari_mosam.widgets.sample_data import scratch_assay_path, simulated_cells;"
        "assert scratch_assay_path().is_file(); simulated_cells();"
        "heavy = {'torch', 'napari', 'ndev_sampledata'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
