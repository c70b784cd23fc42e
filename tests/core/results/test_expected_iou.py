"""How good the masks of a result are likely to be."""

import numpy as np
import pytest
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt
from napari_mosam.core.results.expected_iou import expected_iou

IMAGES, LABELS = disks([[(30, 30 + t), (66, 70) if t < 4 else None] for t in range(6)], radius=7)


@pytest.fixture
def result(tmp_path):
    prompts = [MaskPrompt.from_frame(1, 0, LABELS[0] == 1), BoxPrompt(2, 1, (58, 62, 74, 78))]
    config = EngineConfig(motion=MotionConfig.off())
    return track(IMAGES, prompts, out=tmp_path / "out.zarr", model=FakeSegmenter(), config=config, direction="forward")


def test_it_is_one_where_a_person_gave_the_mask(result):
    found = expected_iou(result)
    assert (found.shape, found.dtype) == ((6, 2), np.float32)
    assert found[0, 0] == 1
    assert (found[1:, 0] < 1).all()
    assert found[1, 1] < 1  # a box is no mask


def test_it_is_one_where_a_person_accepted_or_corrected_it(result):
    result.lock(1, 3)
    result = result.correct(2, 2, None)
    found = expected_iou(result)
    assert found[3, 0] == 1
    assert found[2, 1] == 1


def test_it_is_zero_where_an_object_was_not_found_and_unknown_where_it_was_not_followed(result):
    found = expected_iou(result)
    assert np.array_equal(np.isnan(found[:, 1]), [True] + 5 * [False])
    assert (result.state[4:, 1] == "lost").all()
    assert (found[4:, 1] == 0).all()


def test_objects_that_the_opened_result_does_not_know_have_no_column(result):
    with_third = result.paint(0, {3: LABELS[0] == 2})
    assert expected_iou(result).shape == (6, 2)
    assert expected_iou(with_third)[0, 2] == 1
