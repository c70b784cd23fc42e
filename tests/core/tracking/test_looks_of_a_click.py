"""What a click costs: how often the network is called, with how many windows, and of which size."""

import numpy as np
import pytest
import torch
from tests.support.fake_model import FakeSegmenter

from napari_mosam.core.api import preview, segment
from napari_mosam.core.config.engine import EngineConfig, WindowConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.configs import build_official
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, Prompts
from napari_mosam.core.simulation import sample_movie
from napari_mosam.core.tracking.conditioning import condition_frame, segment_frame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.frames import open_frame
from napari_mosam.core.tracking.prompted_masks import prompted_masks
from napari_mosam.core.tracking.scale_search import FINE_SIDES_PX, SIDES_PX, for_search, ladder
from napari_mosam.core.windows.pyramid import Pyramid

SAMPLE = sample_movie(0, n_frames=2, vanish=[])
MOVIE = Movie.open(SAMPLE.images)
FRAME = open_frame(MOVIE, 0)
PYRAMID = Pyramid.of(FRAME, torch.device("cpu"))
N_SCALES = 4
"""Windows that are no wider than 1.5 times the frame; the fifth is."""


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu")


@pytest.fixture
def calls(monkeypatch):
    """(windows, side) of every call of the encoder, and 'memory' for every one of the memory encoder."""
    seen = []
    encode, remember = Sam2Segmenter.encode_image, Sam2Segmenter.encode_memory

    def counted(model, images):
        seen.append((len(images), images.shape[-1]))
        return encode(model, images)

    def counted_memory(model, features, *given, **named):
        seen.append("memory")
        return remember(model, features, *given, **named)

    monkeypatch.setattr(Sam2Segmenter, "encode_image", counted)
    monkeypatch.setattr(Sam2Segmenter, "encode_memory", counted_memory)
    return seen


def cells(n):
    """Centres (y, x) of some cells of the first frame."""
    ids = [i for i in np.unique(SAMPLE.labels[0]) if i][:n]
    return [tuple(float(v) for v in np.argwhere(SAMPLE.labels[0] == i).mean(0)) for i in ids]


def clicks(n, diameter=None):
    return [FramePrompts.of(k + 1, [PointPrompt(k + 1, 0, yx)], diameter) for k, yx in enumerate(cells(n))]


@pytest.mark.parametrize("n", [1, 3])
def test_scales_are_looked_at_together_with_a_small_input_and_the_chosen_ones_twice_with_the_whole(nano, calls, n):
    masks = prompted_masks(nano, PYRAMID, clicks(n), WindowConfig())
    assert calls == [(n * N_SCALES, 192), (n, 256), (n, 256)]
    assert all(mask.logits.shape == (64, 64) for mask in masks)
    assert all(mask.features.vision.shape[-2:] == (16, 16) for mask in masks)  # memory is made of these


@pytest.mark.parametrize("n", [1, 3])
def test_a_click_with_a_size_is_looked_at_once_before_it_is_framed(nano, calls, n):
    prompted_masks(nano, PYRAMID, clicks(n, diameter=24.0), WindowConfig())
    assert calls == [(n, 256)] * 3


def test_a_box_beside_clicks_joins_their_last_look(nano, calls):
    box = FramePrompts.of(9, [BoxPrompt(9, 0, (30, 30, 50, 50))], None)
    masks = prompted_masks(nano, PYRAMID, [box, *clicks(1)], WindowConfig())
    assert calls == [(N_SCALES, 192), (1, 256), (2, 256)]
    assert [mask.object_id for mask in masks] == [9, 1]
    calls.clear()
    prompted_masks(nano, PYRAMID, [box], WindowConfig())
    assert calls == [(1, 256)]


def test_a_preview_writes_no_memory_and_tells_what_a_run_begins_with(nano, calls):
    prompts = Prompts([PointPrompt(1, 0, cells(1)[0])])
    shown = preview(MOVIE, prompts, 0, model=nano)
    assert "memory" not in calls
    first = next(segment(MOVIE, prompts, model=nano, direction="forward"))
    assert "memory" in calls
    assert np.array_equal(shown.labels, first.labels)
    assert np.array_equal(shown.confidence, first.confidence)
    assert np.array_equal(shown.objects[0].logits, first.objects[0].logits)
    assert shown.objects[0].box == first.objects[0].box


def test_what_is_reported_without_memory_is_what_memory_is_written_of(nano):
    requests, config = clicks(2), EngineConfig()
    objects, shares = segment_frame(nano, FRAME, requests, config)
    seeds, others = condition_frame(nano, FRAME, 0, requests, config)
    assert np.array_equal(shares.labels, others.labels)
    for one in objects:
        seed = seeds[one.object_id]
        assert (one.window, one.predicted_iou) == (seed.window, seed.memory.predicted_iou)
        assert np.array_equal(one.logits, seed.logits.numpy())


# ---- which networks have a small input


@pytest.mark.parametrize(("full", "small"), [(256, 192), (128, 96), (512, 384), (192, 192), (64, 64)])
def test_scales_are_looked_at_with_the_whole_input_where_there_is_no_such_small_one(full, small):
    assert for_search(load_model("nano", device="cpu", image_size=full)).image_size == small


def test_an_official_network_finds_with_its_small_input(calls):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny = Sam2Segmenter(build_official("sam2.1_hiera_t.yaml", 128), "tiny", fast=True)
    (mask,) = prompted_masks(tiny, PYRAMID, clicks(1), WindowConfig())
    assert calls == [(N_SCALES, 96), (1, 128), (1, 128)]
    assert mask.logits.shape == (32, 32)


def test_a_model_that_is_no_sam2_is_taken_as_it_is():
    model = FakeSegmenter()
    assert for_search(model) is model


def test_scales_end_with_the_frame_and_there_is_always_one():
    (click,) = clicks(1)
    for sides in (SIDES_PX, FINE_SIDES_PX):
        tried = ladder((100, 80), click, WindowConfig(), sides)
        assert [q.window.size_yx[0] for q in tried] == [s for s in sides if s <= 150]
        assert len(ladder((8, 8), click, WindowConfig(), sides)) == 1
