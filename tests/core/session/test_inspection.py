"""What a session tells of memory and motion: from the result alone, also when it is opened again, and at no cost."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from tests.core.session.test_session import IMAGES, LABELS, TWO, N, opened, session_of
from tests.support.fake_model import FakeSegmenter, iou

from napari_mosam import EngineConfig, MemoryConfig, MotionConfig, Result, Session, segment, track
from napari_mosam.core.inspection import inspect as engine
from napari_mosam.core.masks.region import Region

ARCHIVE = Path(__file__).parents[2] / "data" / "result_0_1_0.zarr.zip"
FILTERED = EngineConfig(motion=MotionConfig(), memory=MemoryConfig(pixels="bias", pixel_range=(0.2, 0.9)))


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A result in which motion moves windows and unsure pixels of memory are filtered."""
    place = tmp_path_factory.mktemp("moving")
    track(IMAGES, TWO, out=place / "cells.zarr", model=FakeSegmenter(), config=FILTERED)
    return opened(place)


def test_it_tells_which_memory_was_read_as_the_result_keeps_it(moving):
    told, kept = moving.inspect(1, 4), moving.result.record(1, 4)
    assert [(m.t, m.rating) for m in told.memory] == [(r.t, r.rating) for r in kept.memory]
    assert [m.t for m in told.memory] == [3, 2, 1, 0]
    assert [m.prompted for m in told.memory] == [False, False, False, True]
    assert (told.window, told.cues, told.decoded_with) == (kept.window, kept.cues, "memory")
    assert [cue.name for cue in told.used] == [cue.name for cue in kept.cues if cue.used]


def test_reliability_is_that_which_was_remembered_and_unsure_pixels_are_filtered(moving):
    model = FakeSegmenter()
    *_, last = track_in_memory(model)
    read = {frame.t: (frame, w) for recall in last for (_, frame), w in zip(recall.frames, recall.weights, strict=True)}
    told = {m.t: m for m in moving.inspect(1, N - 1).memory}
    for t in (3, 4):
        frame, weight = read[t]
        assert told[t].reliability.shape == (8, 8)
        assert np.allclose(told[t].reliability, frame.confidence.numpy(), atol=0.02)
        assert np.allclose(told[t].weight, weight.numpy(), atol=0.04)
        assert np.array_equal(told[t].filtered, told[t].weight == 0)
    assert (told[0].weight == 1).all()


def track_in_memory(model):
    """What object 1 read on each frame while it was followed."""
    session = Session(IMAGES, TWO[:1], model=model, config=FILTERED)
    for _ in segment(session.movie, session.prompts, model=model, config=FILTERED):
        yield list(model.recalls[-1:])


def test_reliability_lies_on_the_frame_where_the_memory_was_written(moving):
    shown = moving.inspect(1, 4).memory[0]
    image = shown.on_frame((64, 64))
    assert np.isfinite(image[shown.window.pixels((64, 64))]).all()
    assert np.isnan(image).sum() == image.size - np.isfinite(image[shown.window.pixels((64, 64))]).sum()
    assert shown.mask.area == (moving.result.labels[3] == 1).sum()


def test_the_mask_of_the_frame_before_is_moved_to_where_the_object_was_expected(moving):
    expected = moving.inspect(1, 4).expected
    assert (expected.t, expected.used) == (3, False)
    mask = np.zeros((64, 64), bool)
    y0, x0, y1, x1 = expected.box
    mask[y0 : y1 + 1, x0 : x1 + 1] = expected.mask.mask
    assert iou(mask, LABELS[4] == 1) > 0.7
    assert all(mask[round(y), round(x)] for y, x in expected.points)


def test_a_prompted_frame_read_nothing_and_was_expected_nowhere(moving):
    told = moving.inspect(1, 0)
    assert (told.memory, told.expected, told.decoded_with) == ((), None, "painted")


def test_what_was_not_followed_cannot_be_told(moving, tmp_path):
    with pytest.raises(ValueError, match="no object 9"):
        moving.inspect(9, 0)
    with pytest.raises(IndexError, match="frames"):
        moving.inspect(1, 99)
    with pytest.raises(ValueError, match="no result yet"):
        session_of(tmp_path).inspect(1, 0)


def test_a_result_of_version_0_1_is_told_of_too(tmp_path):
    with ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    stored = Result.open(next(tmp_path.glob("*.zarr")))
    told = engine.inspect_object(stored, stored.object_ids[0], 1)
    assert [m.t for m in told.memory] == [0, 3]
    assert told.memory[0].reliability.shape == (16, 16)
    assert told.memory[0].reliability.min() < 1


def test_a_run_does_nothing_for_it(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("something was inspected in a run")

    for name in ("memory_read", "_expected", "motion_between", "compare_memory"):
        monkeypatch.setattr(engine, name, refuse)
    session = session_of(tmp_path)
    session.run()
    alone = FakeSegmenter()
    track(IMAGES, TWO, out=tmp_path / "other.zarr", model=alone, config=session.settings.engine)
    assert session._models.given.encoded == alone.encoded


def test_flow_is_computed_when_it_is_asked_for_and_kept(moving, monkeypatch):
    assert moving.flow(0).flow is None
    flow = moving.flow(3)
    assert flow.flow.full().shape == (2, 64, 64)
    inside = flow.flow.full()[:, LABELS[2] == 1].mean(1)
    assert inside == pytest.approx([0, 1], abs=0.4)
    monkeypatch.setattr(engine, "MotionEstimator", None)
    assert moving.flow(3) is flow
    with pytest.raises(ValueError, match="frames 0 to 5"):
        moving.flow(N)


def test_one_object_is_followed_with_both_memories_and_the_result_stays(session):
    before = np.asarray(session.result.labels)
    found = session.compare(1, (0, 4))
    assert found.frames == (0, 1, 2, 3)
    assert found.masks("sam2").shape == (4, 64, 64)
    assert (found.agreement > 0.9).all()
    assert (found.j(LABELS)["mosam"] > 0.8).all()
    assert np.array_equal(np.asarray(session.result.labels), before)
    assert session.history == ()
    with pytest.raises(ValueError, match="no mark"):
        session.compare(7)


def test_sam2_reads_the_last_frames_whatever_they_hold():
    plain = engine.with_sam2_memory(FILTERED)
    assert (plain.memory.selection, plain.memory.pixels) == ("sam2", "off")
    assert plain.motion == FILTERED.motion


def test_agreement_of_masks_counts_absence_on_both_sides():
    square = Region((2, 2), np.ones((4, 4), bool))
    comparison = engine.MemoryComparison(1, (5, 6, 7), (square, None, square), (square, None, None), (10, 10))
    assert comparison.agreement.tolist() == [1.0, 1.0, 0.0]
