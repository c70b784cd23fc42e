"""Prompts made from the truth: where they lie, how often each kind comes, what motion tells."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.core_movies import CoreMovies
from training.config import KINDS, PromptConfig, StageConfig, WindowConfig
from training.data.clips import ClipBatch, cut_clips
from training.data.masks import extents
from training.randomness import generator
from training.rollout.prompting import (
    PROMPT_LOGIT,
    PromptTargets,
    box_points,
    corrected,
    first_prompts,
    kind_of_rows,
    motion_prompts,
    negative_click,
)

from napari_mosam.core.masks.iou import mask_iou
from napari_mosam.core.simulation import touching_cells

SIZE = 64
USUAL = WindowConfig()
POINTS = {"click": 1, "inner_click": 1, "two_clicks": 2, "box": 2, "negative": 2}


def clip_of(seed: str = "p", config: WindowConfig = USUAL, n: int = 4) -> ClipBatch:
    movies = CoreMovies(touching_cells).movies(seed, n, 4, 128, torch.device("cpu"))
    return cut_clips(movies, StageConfig(clips=n, objects=3, frames=4), config, SIZE, seed)


@pytest.fixture(scope="module")
def clip():
    return clip_of()


def inside(masks: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    index = xy.round().long()
    return masks[torch.arange(len(masks)), index[:, 1], index[:, 0]]


def only(kind: str) -> PromptConfig:
    return PromptConfig(**{k: float(k == kind) for k in KINDS})


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_of_each_kind_lie_where_they_say(clip, kind):
    for seed in range(6):
        groups = {g.kind: g for g in first_prompts(clip, only(kind), generator(seed))}
        group = groups[kind]
        seen = clip.masks(0)[group.rows]
        there = seen.flatten(1).any(1)
        if kind == "mask":
            assert group.points is None
            continue
        assert group.points.xy.shape == (len(group.rows), POINTS[kind], 2)
        assert group.multimask == (POINTS[kind] == 1)
        for column in range(POINTS[kind]):
            labels, xy = group.points.labels[:, column], group.points.xy[:, column]
            assert (inside(seen, xy) | (labels != 1) | ~there).all()
            assert not (inside(seen, xy) & (labels == 0)).any()
        assert set(groups) <= {kind, "click"}


def test_a_box_without_an_error_is_the_box():
    masks = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    masks[0, 10:20, 30:50] = True
    points = box_points(masks, 0.0, generator(0))
    assert points.xy[0].tolist() == [[29.5, 9.5], [49.5, 19.5]]
    assert points.labels[0].tolist() == [2, 3]


@given(st.integers(0, 10**6), st.floats(0, 0.5))
@settings(max_examples=30)
def test_boxes_stay_in_the_window_and_in_order(seed, jitter):
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    masks[0, :5, 60:] = masks[1, 3, 3] = True
    xy = box_points(masks, jitter, generator(seed)).xy
    assert (xy[:, 0] <= xy[:, 1]).all()
    assert -0.5 <= float(xy.min()) <= float(xy.max()) <= SIZE - 0.5


def test_a_negative_click_hits_a_neighbour_where_there_is_one(clip):
    scene = PromptTargets(clip.masks(0), clip.others(0))
    xy = negative_click(scene, generator(1))
    has = scene.others.flatten(1).any(1)
    assert has.any()
    assert inside(scene.others, xy)[has].all()
    alone = PromptTargets(scene.masks, torch.zeros_like(scene.others))
    assert not inside(scene.masks, negative_click(alone, generator(1))).any()


def test_kinds_come_in_their_proportions():
    config = PromptConfig()
    counts = Counter(kind_of_rows(2000, config, generator(0)))
    total = sum(getattr(config, kind) for kind in KINDS)
    for kind in KINDS:
        assert counts[kind] == pytest.approx(2000 * getattr(config, kind) / total, abs=2)
    assert kind_of_rows(12, config, generator(0)) != kind_of_rows(12, config, generator(1))


def test_every_row_is_prompted_once(clip):
    groups = first_prompts(clip, PromptConfig(), generator(5))
    assert sorted(torch.cat([g.rows for g in groups]).tolist()) == list(range(clip.n_rows))


def test_windows_around_a_click_are_clicked_there():
    clip = clip_of(config=WindowConfig(click_centred=1.0))
    (group,) = first_prompts(clip, only("click"), generator(0))
    anchors = torch.arange(0, clip.n_rows, 3)
    assert (group.points.xy[anchors] == (SIZE - 1) / 2).all()


def test_a_corrective_click_tells_what_is_missing_and_what_is_too_much():
    true = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
    true[:, 10:30, 10:30] = True
    found = true.clone()
    found[0, 10:20], found[1, 40:50, 40:50] = False, True
    points = corrected(None, found, true, generator(0))
    assert points.labels[:, 0].tolist() == [1, 0, 1]
    assert inside(true & ~found, points.xy[:, 0])[0]
    assert inside(found & ~true, points.xy[:, 0])[1]
    assert inside(true, points.xy[:, 0])[2]
    again = corrected(points, found, true, generator(1))
    assert again.xy.shape == (3, 2, 2)
    assert torch.equal(again.xy[:, :1], points.xy)


def logits_of(masks: torch.Tensor) -> torch.Tensor:
    small = torch.nn.functional.avg_pool2d(masks[:, None].float(), 4)[:, 0]
    return 20 * (2 * small - 1)


def test_a_motion_prompt_lies_where_the_object_went():
    clip = clip_of(config=WindowConfig(ratio=3.0, wide=0, absent=0))
    config = PromptConfig(motion=1.0, motion_error=0.0)
    seen = clip.masks(0).flatten(1).any(1) & clip.masks(1).flatten(1).any(1)
    prompts = motion_prompts(clip, 1, logits_of(clip.masks(0)), seen, config, generator(0))
    assert torch.equal(prompts.rows, seen.nonzero()[:, 0])
    assert float(prompts.mask_logits.abs().max()) <= PROMPT_LOGIT
    true = torch.nn.functional.avg_pool2d(clip.masks(1)[prompts.rows, None].float(), 4)[:, 0] > 0.5
    whole = extents(true).area > 12
    assert whole.any()
    assert float(mask_iou(prompts.mask_logits[:, 0] > 0, true)[whole].mean()) > 0.6


def test_motion_prompts_are_dropped_at_random_and_where_nothing_was_seen(clip):
    logits, seen = logits_of(clip.masks(0)), torch.ones(clip.n_rows, dtype=torch.bool)
    config = PromptConfig(motion=0.3)
    counts = [
        0 if p is None else len(p.rows)
        for p in (motion_prompts(clip, 1, logits, seen, config, generator(s)) for s in range(60))
    ]
    assert sum(counts) / (60 * clip.n_rows) == pytest.approx(0.3, abs=0.07)
    assert motion_prompts(clip, 1, logits, ~seen, config, generator(0)) is None
