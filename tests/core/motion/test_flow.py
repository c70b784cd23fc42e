import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.motion.test_drift import moved, texture

from napari_mosam.core.images.movie import Movie
from napari_mosam.core.motion.flow import FlowField, FrameFlow, choose_flow, dense_flow
from napari_mosam.core.motion.lucas_kanade import lucas_kanade_flow
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.core.windows.canvas import Canvas

needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is missing")
METHODS = ["ilk", "torch", pytest.param("dis", marks=needs_opencv)]
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
    [
        ("ilk", (1, 30)),
        ("torch", (1, 30)),
        ("torch", (10, 60)),
        *(pytest.param("dis", shape, marks=needs_opencv) for shape in ((1, 30), (8, 8), (10, 60))),
    ],
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
    assert choose_flow("auto") == choose_flow("ilk") == choose_flow("auto", torch.device("cpu")) == "ilk"
    with pytest.raises(ValueError, match=r"needs OpenCV: pip install opencv-python-headless"):
        choose_flow("dis")


@needs_opencv
def test_opencv_is_preferred_where_it_is_installed():
    assert choose_flow("auto") == choose_flow("dis") == "dis"
    assert choose_flow("ilk") == "ilk"


def test_torch_is_preferred_on_a_cuda_device():
    assert choose_flow("auto", torch.device("cuda")) == choose_flow("torch") == "torch"
    assert choose_flow("ilk", torch.device("cuda")) == "ilk"


def pair(dy, dx, size=96, seed=0):
    return tuple(torch.from_numpy(frame.copy())[None] for frame in moved(dy, dx, size, seed))


def inner(flow):
    return flow[..., 12:-12, 12:-12]


@settings(max_examples=15, deadline=None)
@given(st.integers(-7, 7), st.integers(-7, 7), st.integers(0, 99))
def test_the_torch_flow_of_a_shifted_image_is_its_shift(dy, dx, seed):
    flow = inner(lucas_kanade_flow(*pair(dy, dx, seed=seed)))[0]
    assert torch.stack([flow[0] - dy, flow[1] - dx]).abs().median() < 0.1


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_an_image_does_not_move_against_itself(height, width, seed):
    image = torch.from_numpy(np.random.default_rng(seed).random((2, height, width), np.float32))
    flow = lucas_kanade_flow(image, image)
    assert flow.shape == (2, 2, height, width)
    assert flow.abs().max() < 1e-3


@settings(max_examples=10, deadline=None)
@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(49, 90), st.integers(0, 9))
def test_the_torch_flow_of_a_transposed_pair_is_transposed(dy, dx, height, seed):
    before, after = (frame[:, :height] for frame in pair(dy, dx, seed=seed))
    flow = lucas_kanade_flow(before, after)
    turned = lucas_kanade_flow(before.mT, after.mT)
    assert torch.allclose(turned.flip(1).mT, flow, atol=2e-3)


def test_a_batch_gives_what_its_pairs_give():
    pairs = [pair(2, -1, seed=1), pair(-5, 3, seed=2)]
    together = lucas_kanade_flow(*(torch.cat(frames) for frames in zip(*pairs, strict=True)))
    assert torch.allclose(together, torch.cat([lucas_kanade_flow(*p) for p in pairs]), atol=1e-4)


def test_an_even_region_beside_a_moving_one_stays_still():
    before, after = pair(3, 0)
    before[..., 48:], after[..., 48:] = 0.5, 0.5
    flow = lucas_kanade_flow(before, after)
    assert inner(flow)[0, 0, :, :20].median() == pytest.approx(3, abs=0.1)
    assert flow[..., 80:].abs().max() < 0.3


def test_frames_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 5\) and \(1, 5, 5\) given; both must have the same shape"):
        lucas_kanade_flow(torch.zeros(1, 4, 5), torch.zeros(1, 5, 5))


@pytest.mark.parametrize("modality", ["fluorescence", "dic"])
def test_torch_is_as_accurate_inside_cells_as_ilk(modality):
    config = SimulationConfig(seed=3, n_frames=2, shape=(256, 256), n_cells=14, diameter=36, speed=5, modality=modality)
    truth = simulate(config)
    before, after = Movie.open(truth.images)
    inside = truth.labels[0] > 0
    fields = {method: dense_flow(before, after, method=method).full() for method in ("ilk", "torch")}
    errors = {method: np.hypot(*(field - truth.flow[0]))[inside].mean() for method, field in fields.items()}
    assert errors["torch"] < 1.3 * errors["ilk"]


# ---- around objects


def large(shift, seed=0):
    """A texture of 1100 px that moves as a whole."""
    scene = texture((1200, 1200), seed, sigma=3)
    dy, dx = shift
    return scene[50:1150, 50:1150], scene[50 - dy : 1150 - dy, 50 - dx : 1150 - dx]


def lazily(frame, reads):
    def read(rows, columns):
        reads.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return frame[rows, columns]

    return Canvas(frame.shape, (128, 128), read)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shift", "drift"), [((5, -7), (0, 0)), ((30, -21), (28, -24))])
def test_in_large_frames_the_motion_around_an_object_is_found_by_looking_there_alone(method, shift, drift):
    reads = []
    before, after = (lazily(frame, reads) for frame in large(shift))
    flow = FrameFlow(before, after, drift, method)
    assert flow.median(np.ones((40, 40), bool), (500, 620)) == pytest.approx(shift, abs=1.5)
    if method != "torch":
        assert sum(reads) <= 2 * (3 * 128) ** 2
    assert flow.full().shape == (2, 1100, 1100)


@pytest.mark.parametrize("origin", [(0, 0), (1060, 1060), (-30, 500), (500, 1090)])
def test_objects_at_the_edge_of_a_large_frame_move_too(origin):
    flow = FrameFlow(*map(Canvas.of, large((3, 4))), (0, 0), "ilk")
    assert flow.median(np.ones((40, 40), bool), origin) == pytest.approx((3, 4), abs=1.5)


def test_large_objects_are_looked_at_on_a_coarser_grid():
    flow = FrameFlow(*map(Canvas.of, large((6, -6))), (0, 0), "ilk")
    assert flow.median(np.ones((700, 500), bool), (100, 200)) == pytest.approx((6, -6), abs=2)


def test_small_frames_have_one_flow_for_all_objects():
    frames = moved(3, -2)
    flow, field = FrameFlow(*map(Canvas.of, frames), (0, 0), "ilk"), dense_flow(*frames, method="ilk")
    mask = np.ones((20, 30), bool)
    assert flow.median(mask, (60, 70)) == field.median(mask, (60, 70))
    assert np.array_equal(flow.full(), field.full())
