"""The fit from evidence to the expected IoU, and that it belongs to the weights of the package."""

import numpy as np
import pytest
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.files.zarr_files import open_zarr_group
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import BoxPrompt
from napari_mosam.core.results.expected_iou import ExpectedIou
from napari_mosam.core.results.iou_calibration import IouCalibration, shipped
from napari_mosam.core.results.track_evidence import FEATURES

IMAGES, _ = disks([[(30, 30 + t)] for t in range(5)], radius=7)
KNOWN = "0" * 64
FIT = IouCalibration(KNOWN, -1.0, (0.5, 1.0, 0.25))


class Known(FakeSegmenter):
    """With weights that have a name."""

    weights_sha256 = KNOWN


def followed(tmp_path, model):
    config = EngineConfig(motion=MotionConfig.off())
    result = track(IMAGES, [BoxPrompt(1, 0, (22, 22, 38, 38))], out=tmp_path / "out.zarr", model=model, config=config)
    return result, open_zarr_group(result.path, "r")


def test_the_network_of_the_package_has_a_fit_of_its_own_weights():
    # where this fails the weights are other ones now: `make calibrate` fits anew
    assert set(shipped()) == {load_model("nano", device="cpu").weights_sha256}


def test_a_mask_is_not_less_good_where_its_evidence_is_better():
    for fit in shipped().values():
        assert all(value >= 0 for value in fit.coefficients)


def test_a_fit_is_used_for_the_weights_that_it_belongs_to(tmp_path):
    _, group = followed(tmp_path, Known())
    found = ExpectedIou.read(group, {KNOWN: FIT})
    assert found.calibrated
    assert ((found.values > 0) & (found.values < 1)).all()
    assert not np.allclose(found.values, ExpectedIou.read(group, {}).values)


def test_other_weights_are_believed_as_they_are(tmp_path):
    result, group = followed(tmp_path, FakeSegmenter())
    found = ExpectedIou.read(group, {KNOWN: FIT})
    assert not found.calibrated
    assert np.array_equal(found.values, result.predicted_iou)


def test_the_expected_iou_is_the_logistic_function_of_the_evidence():
    features = np.array([[0.0, 0.0, 0.0], [2.0, 1.0, 4.0], [np.nan, 0.0, 0.0]])
    assert FIT.expected(features)[:2] == pytest.approx([1 / (1 + np.e), 1 / (1 + np.exp(-2.0))])
    assert np.isnan(FIT.expected(features)[2])


def test_a_fit_comes_back_from_json():
    assert IouCalibration.from_json(FIT.to_json()) == FIT
    assert set(FIT.to_json()["coefficients"]) == set(FEATURES)
