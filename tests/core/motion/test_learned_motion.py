"""The trained motion encoders, as they come with the package."""

import hashlib
import json
import logging
import shutil

import numpy as np
import pytest
import torch
from scipy.ndimage import shift as shifted
from tests.core.motion.test_drift import texture
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.cli.main import main
from napari_mosam.core.api import segment, track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.masks.raster import rasterise, region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.build import ModelError
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.queries import encode_windows
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.motion.cues import MotionEstimator
from napari_mosam.core.motion.history import CANDIDATES, CUE_WIDTH, N_FRAMES, SIGHT_WIDTH, TrackHistory
from napari_mosam.core.motion.learned import encoders as module
from napari_mosam.core.motion.learned.dense import DenseMotionEncoder, correlations, placement, warp
from napari_mosam.core.motion.learned.encoders import FramePair, MotionEncoders, WindowFeatures, load_encoder
from napari_mosam.core.motion.learned.sparse import SparseMotionEncoder
from napari_mosam.core.motion.prediction import sparse_cues
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.frame import Cue
from napari_mosam.core.simulation import sample_movie
from napari_mosam.core.store.result import Result
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

LEARNED = MotionConfig(encoder="learned")
NEAR_PX = 3.0
"""How well motion is found in a window of 150 px, whose finest features lie 2.3 px apart."""


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def encoders(nano):
    found = MotionEncoders.shipped(nano.device, nano.fingerprint)
    if not found.sees:
        pytest.skip("the dense encoder was trained with other weights of nano: run 'make train-motion'")
    return found


@pytest.fixture
def sparse():
    return load_encoder(SparseMotionEncoder, SHIPPED / "motion_sparse")[0]


# ---- the files


@pytest.mark.parametrize(
    ("kind", "name"), [(SparseMotionEncoder, "motion_sparse"), (DenseMotionEncoder, "motion_dense")]
)
def test_the_shipped_encoders_are_small_and_whole(kind, name):
    encoder, described = load_encoder(kind, SHIPPED / name)
    assert 0.1e6 <= sum(p.numel() for p in encoder.parameters()) <= 0.3e6
    assert all(torch.isfinite(p).all() for p in encoder.parameters())
    assert described["sha256"] == hashlib.sha256((SHIPPED / f"{name}.safetensors").read_bytes()).hexdigest()
    assert kind(**described["build"]).parameters_json == encoder.parameters_json


@pytest.fixture
def copied(tmp_path):
    for path in SHIPPED.glob("motion_*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_damaged_weights_are_refused(copied):
    path = copied / "motion_sparse.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="motion_sparse.*damaged"):
        load_encoder(SparseMotionEncoder, copied / "motion_sparse")


def test_missing_and_unfitting_weights_are_refused(copied):
    described = json.loads((copied / "motion_sparse.json").read_text())
    described["build"]["width"] = 64
    (copied / "motion_sparse.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="do not fit"):
        load_encoder(SparseMotionEncoder, copied / "motion_sparse")
    (copied / "motion_dense.json").unlink()
    with pytest.raises(ModelError, match=r"motion_dense\.json"):
        load_encoder(DenseMotionEncoder, copied / "motion_dense")


# ---- the sparse encoder


def test_shapes_of_a_forecast(sparse):
    frames, candidates = torch.randn(3, N_FRAMES, SIGHT_WIDTH), torch.randn(3, len(CANDIDATES), CUE_WIDTH)
    with torch.no_grad():
        found = sparse(frames, candidates)
    assert [tuple(t.shape) for t in (found.shift, found.growth, found.points, found.log_var)] == [
        (3, 2),
        (3, 2),
        (3, 5, 2),
        (3, 4),
    ]


def test_what_is_missing_does_not_count(sparse):
    """NaN hides a token: the forecast of an object does not depend on what stands beside it in a batch."""
    frames = torch.full((2, N_FRAMES, SIGHT_WIDTH), torch.nan)
    candidates = torch.full((2, len(CANDIDATES), CUE_WIDTH), torch.nan)
    frames[:, -1], candidates[:, 0] = 0.0, 0.0
    frames[1, :-1], candidates[1, 1:] = 0.3, 0.2
    with torch.no_grad():
        together, alone = sparse(frames, candidates), sparse(frames[:1], candidates[:1])
    assert torch.isfinite(together.shift).all()
    assert torch.allclose(together.shift[0], alone.shift[0], atol=1e-5)
    assert not torch.allclose(together.shift[0], together.shift[1], atol=1e-3)


def followed(encoders, velocity, n_frames=10, cue=True, seed=0):
    """A textured disk on a straight way: the guess for every frame from the third on, and where the disk really is."""
    scene = texture((200, 200), seed, sigma=3)
    y, x = np.indices((200, 200))
    skin = texture((200, 200), seed + 1, sigma=2)
    estimator, course, answers = MotionEstimator(MotionConfig()), TrackHistory(), []
    for t in range(n_frames):
        cy, cx = 60 + velocity[0] * t, 60 + velocity[1] * t
        mask = np.hypot(y - cy, x - cx) <= 14
        moved = shifted(skin, (velocity[0] * t, velocity[1] * t), order=1, mode="wrap")
        frame = np.where(mask, 0.4 + 0.5 * moved, 0.2 * scene).astype(np.float32)
        motion, region = estimator.step(frame), Region.from_mask(mask)
        if t:
            cues = [motion.dense(course.last), *sparse_cues(motion, [course.last], torch.device("cpu"))] if cue else []
            (guess,) = encoders.guess([course], motion, [cues])
            answers.append((guess, region))
            course = course.advanced(motion.drift_yx)
        course = course.seen(region, 0.9)
    return answers[2:]


@pytest.fixture
def only_sparse(sparse):
    return MotionEncoders(sparse, None)


@pytest.mark.parametrize("velocity", [(0, 0), (3, 0), (-2, 2), (0, 8)])
def test_a_disk_on_a_straight_way_is_expected_where_it_is(only_sparse, velocity):
    for guess, region in followed(only_sparse, velocity):
        (y0, x0, y1, x1), (cy, cx) = guess.box, region.center_yx
        assert np.hypot((y0 + y1) / 2 - cy, (x0 + x1) / 2 - cx) < 0.1 * region.diameter
        assert (y1 - y0, x1 - x0) == pytest.approx((region.box[2] - region.box[0],) * 2, rel=0.1)
        assert guess.confidence > 0
        assert all(region.holds(yx) for yx in guess.points)


def test_no_answer_without_a_last_mask_and_doubt_is_told(only_sparse, monkeypatch):
    assert only_sparse.guess([TrackHistory()], MotionEstimator(LEARNED).step(texture((64, 64))), [[]]) == [None]
    monkeypatch.setattr(module, "MAX_SIGMA", 1e-6)
    assert {guess.confidence for guess, _ in followed(only_sparse, (3, 0), n_frames=5)} == {0.0}


# ---- the dense encoder


def test_correlation_finds_the_motion():
    before = torch.randn(1, 8, 12, 12, generator=torch.Generator().manual_seed(0))
    after = torch.roll(before, (2, -1), (2, 3))
    assert int(correlations(before, after, 3).mean((2, 3)).argmax()) == (2 + 3) * 7 + (-1 + 3)


def test_warping_moves_things_along_the_flow():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    flow = torch.zeros(1, 2, 9, 9)
    assert torch.allclose(warp(image, flow), image, atol=1e-6)
    flow[:, 0], flow[:, 1] = 2, -1
    assert int(warp(image, flow).flatten().argmax()) == 6 * 9 + 3


def test_a_window_that_went_along_lies_where_the_old_one_was():
    before, after = Window.square((50, 60), 100), Window.square((58, 57), 100)
    assert placement(before, after, (8, -3)) == (1, 1, 0, 0)
    assert placement(before, after, (0, 0)) == pytest.approx((1, 1, 0.16, -0.06))


def test_the_dense_encoder_reads_only_its_model(nano, caplog):
    with caplog.at_level(logging.WARNING):
        other = MotionEncoders.shipped(nano.device, "another model")
    assert not other.sees
    assert "cannot read" in caplog.text
    assert load_model("nano", device="cpu", image_size=128).fingerprint != nano.fingerprint


def stepped(nano, frames, regions, shift, side=150.0):
    """An object on two frames, expected `shift` px away."""
    windows = [
        Window.square(regions[0].center_yx, side),
        Window.square(tuple(np.add(regions[0].center_yx, shift)), side),
    ]
    views = [
        WindowFeatures(encode_windows(nano, Pyramid.of(frame, nano.device), [window]), window)
        for frame, window in zip(frames, windows, strict=True)
    ]
    last = WindowMask((rasterise(regions[0], windows[0], 64)[0] * 2 - 1) * 8, windows[0], regions[0])
    return FramePair(*views, last, shift)


@pytest.fixture(scope="module")
def cells():
    movie = sample_movie(3)
    frame = (movie.images[0] / movie.images.max()).astype(np.float32)
    labels = movie.labels[0]
    inner = [
        i
        for i in range(1, 9)
        if (r := Region.from_mask(labels == i)) and min(r.center_yx) > 60 > max(r.center_yx) - 136
    ]
    return frame, labels, inner[0]


@pytest.mark.parametrize("motion", [(0, 0), (5, -4), (-9, 6)])
def test_known_shifts_of_a_frame_are_found(encoders, nano, cells, motion):
    frame, labels, i = cells
    after, there = (np.roll(image, motion, (0, 1)) for image in (frame, labels))
    regions = [Region.from_mask(image == i) for image in (labels, there)]
    (found,) = encoders.deform([stepped(nano, (frame, after), regions, (0.0, 0.0))])
    warped = region_of_logits(found.logits, found.window, frame.shape)
    inside = found.logits > 0
    assert found.flow[:, inside].median(1).values.tolist() == pytest.approx(motion, abs=NEAR_PX)
    assert np.subtract(warped.center_yx, regions[1].center_yx) == pytest.approx((0, 0), abs=NEAR_PX)
    assert warped.iou(regions[1]) > 0.8


def test_windows_that_follow_change_nothing(encoders, nano, cells):
    frame, labels, i = cells
    motion = (5, -4)
    after, there = (np.roll(image, motion, (0, 1)) for image in (frame, labels))
    regions = [Region.from_mask(image == i) for image in (labels, there)]
    (found,) = encoders.deform([stepped(nano, (frame, after), regions, tuple(map(float, motion)))])
    assert region_of_logits(found.logits, found.window, frame.shape).iou(regions[1]) > 0.9


def test_the_dense_encoder_abstains_where_it_is_unsure(encoders, nano, cells, monkeypatch):
    frame, labels, i = cells
    regions = [Region.from_mask(labels == i)] * 2
    monkeypatch.setattr(module, "MAX_MASK_SIGMA", 1e-6)
    assert encoders.deform([stepped(nano, (frame, frame), regions, (0.0, 0.0))]) == [None]
    assert encoders.deform([]) == []


# ---- in the loop


def passing_disks():
    """Four disks on a textured background, two of which pass each other."""
    t = np.arange(20)
    ways = [
        (24 + 0 * t, 20 + 4 * t),
        (36 + 0 * t, 100 - 4 * t),
        (80 + 6 * np.sin(t / 3), 60 + 5 * np.cos(t / 2)),
        (64 - 2 * t % 30, 30 + t),
    ]
    images, truth = disks([[(float(y[k]), float(x[k])) for y, x in ways] for k in t], (112, 120))
    y, x = np.indices((112, 120))
    texture = 40 + 30 * np.sin(0.7 * y + 0.3 * x) + 20 * np.sin(0.2 * y * x / 9)
    return (images + texture).astype(np.uint16), truth


@pytest.mark.parametrize(
    ("settings", "digest", "path_px"),
    [
        ({"prompt": "off"}, "1cd071a086fd4243", 260.385),
        ({"prompt": "box+points", "negatives": 3, "flow": False}, "34957d032616ecc4", 257.2127),
    ],
)
def test_the_classical_engine_is_what_it_was(settings, digest, path_px):
    """Label frames and shifts of a run before the trained encoders came in, less second pieces of masks."""
    (images, truth), labels, shifts = passing_disks(), hashlib.sha256(), []
    config = EngineConfig(motion=MotionConfig(flow_method="torch", **settings))
    prompts = Prompts.from_labels(truth[0], frame=0)
    limits = (90.0, 1085.0)  # of that time
    for result in segment(images, prompts, model=FakeSegmenter(), config=config, direction="forward", limits=limits):
        labels.update(np.ascontiguousarray(result.labels).tobytes())
        shifts += [o.shift_yx for o in result.objects]
    assert np.abs(np.array(shifts)).sum() == pytest.approx(path_px, abs=0.01)
    assert labels.hexdigest()[:16] == digest


@pytest.mark.parametrize("prompt", ["off", "mask", "box+points"])
def test_a_moving_disk_is_followed_by_learned_motion(prompt):
    images, truth = disks([[(30 + 3 * t, 40 + 2 * t)] for t in range(12)])
    config = EngineConfig(motion=MotionConfig(encoder="learned", prompt=prompt))
    prompts = Prompts.from_labels(truth[0], frame=0)
    results = list(segment(images, prompts, model=FakeSegmenter(), config=config, direction="forward"))
    for result in results[1:]:
        (one,) = result.objects
        assert (result.labels[truth[result.t] == 1] == 1).mean() > 0.8
        assert "learned" in {cue.name for cue in one.cues}
    used = [cue.name for result in results[3:] for cue in result.objects[0].cues if cue.used]
    assert used.count("learned") >= 7


def test_learned_motion_by_its_name(tmp_path):
    images, truth = disks([[(30 + 2 * t, 40)] for t in range(5)])
    result = track(
        images, Prompts.from_labels(truth[0], frame=0), model=FakeSegmenter(), motion="learned", out=tmp_path / "a.zarr"
    )
    cues = [cue for row in result.timeline(1).cues for cue in row]
    assert any(cue == Cue("learned", cue.shift_yx, cue.confidence, True) for cue in cues)
    with pytest.raises(ValueError, match="motion encoder = 'neural'.*'classical' or 'learned'"):
        segment(images, Prompts.from_labels(truth[0], frame=0), model=FakeSegmenter(), motion="neural")


def test_learned_motion_prompts_nano_from_the_command_line(encoders, tmp_path):
    import tifffile

    movie = sample_movie(0, n_frames=4, n_cells=3, shape=(160, 160), vanish=())
    tifffile.imwrite(tmp_path / "movie.tif", movie.images, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "masks.tif", movie.labels[0])
    (tmp_path / "config.json").write_text(json.dumps({"motion": {"prompt": "mask"}}))
    paths = [str(tmp_path / name) for name in ("movie.tif", "masks.tif", "out.zarr", "config.json")]
    arguments = ["track", paths[0], "-p", paths[1], "-o", paths[2], "--config", paths[3], "--direction", "forward"]
    assert main([*arguments, "--motion", "learned", "--device", "cpu"]) == 0
    result = Result.open(paths[2])
    cues = [cue.name for i in (1, 2, 3) for row in result.timeline(i).cues for cue in row if cue.used]
    assert cues.count("learned") >= 6
    assert EngineConfig.from_dict(result.attrs["config"]).motion == MotionConfig(encoder="learned", prompt="mask")
    labels = result.labels[:]
    for i in (1, 2, 3):
        last, truth = labels[-1] == i, movie.labels[-1] == i
        assert (last & truth).sum() / (last | truth).sum() > 0.7
