import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_drift import moved, texture

from napari_mosam.core.motion.flow import FlowField, choose_flow, dense_flow

needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV (extra 'fast') is missing")
METHODS = ["ilk", pytest.param("dis", marks=needs_opencv)]
MIDDLE = np.ones((60, 60), bool)


@pytest.fixture
def no_opencv(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "cv2" else found(name, *a))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (-2, 4)])
def test_a_small_motion_is_seen_as_dy_dx(method, shift):
    field = dense_flow(*moved(*shift), method=method)
    assert field.full().shape == (2, 160, 160)
    assert field.full().dtype == np.float32
    assert field.median(MIDDLE, (50, 50)) == pytest.approx(shift, abs=0.7)


@pytest.mark.parametrize("method", METHODS)
def test_the_drift_is_taken_out_first_and_added_again(method):
    before, after = moved(33, -24)
    field = dense_flow(before, after, (32.0, -26.0), method)
    assert field.median(MIDDLE, (50, 50)) == pytest.approx((33, -24), abs=1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(97, 131), (64, 201)])
def test_odd_frames_get_a_field_of_their_shape(method, shape):
    frame = texture(shape)
    assert dense_flow(frame, frame, method=method).full().shape == (2, *shape)


@pytest.mark.parametrize("method", METHODS)
def test_a_frame_without_detail_does_not_move(method):
    even = np.full((64, 64), 0.5, np.float32)
    assert np.abs(dense_flow(even, even, method=method).full()).max() < 0.1


@pytest.mark.parametrize(
    ("method", "shape"),
    [("ilk", (1, 30)), *(pytest.param("dis", shape, marks=needs_opencv) for shape in ((1, 30), (8, 8), (10, 60)))],
)
def test_tiny_frames_get_a_field_too(method, shape):
    frame = np.random.default_rng(0).random(shape, np.float32)
    assert dense_flow(frame, frame, method=method).full().shape == (2, *shape)


@given(st.integers(-50, 80), st.integers(-50, 80))
def test_the_median_reads_the_nearest_vector_outside_the_frame(y, x):
    vectors = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    field = FlowField(vectors, 4, (21, 30))
    row, column = np.clip(y // 4, 0, 4), np.clip(x // 4, 0, 6)
    assert field.median(np.ones((1, 1), bool), (y, x)) == tuple(vectors[:, row, column])


def test_the_median_looks_only_inside_the_mask():
    vectors = np.zeros((2, 10, 10), np.float32)
    vectors[0, :, 5:] = 8
    mask = np.zeros((20, 20), bool)
    mask[:, 12:] = True
    assert FlowField(vectors, 2, (20, 20)).median(mask, (0, 0)) == (8, 0)
    assert FlowField(vectors, 2, (20, 20)).median(~mask, (0, 0)) == (0, 0)


def test_the_method_without_opencv(no_opencv):
    assert choose_flow("auto") == choose_flow("ilk") == "ilk"
    with pytest.raises(ValueError, match=r"needs OpenCV: pip install 'napari-mosam\[fast\]'"):
        choose_flow("dis")


@needs_opencv
def test_opencv_is_preferred_where_it_is_installed():
    assert choose_flow("auto") == choose_flow("dis") == "dis"
    assert choose_flow("ilk") == "ilk"
