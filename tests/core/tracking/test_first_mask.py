import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam.core.config.engine import WindowConfig
from napari_mosam.core.masks.overlap import NO_OBJECT
from napari_mosam.core.masks.raster import inner_points, rasterise, region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt
from napari_mosam.core.tracking.frame_prompts import FramePrompts, box_diameter
from napari_mosam.core.tracking.prompted_masks import prompted_masks
from napari_mosam.core.tracking.scale_search import size_preference, stability
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

SHAPE = (96, 128)
IMAGES, LABELS = disks([[(40, 40), (60, 95)]], SHAPE, radius=10)
FRAME = Pyramid(torch.from_numpy((LABELS[0] > 0).astype(np.float32)))


def ask(*prompts, diameter=None, model=None, **window):
    by_object = {}
    for prompt in prompts:
        by_object.setdefault(prompt.object_id, []).append(prompt)
    requests = [FramePrompts.of(object_id, items, diameter) for object_id, items in by_object.items()]
    return prompted_masks(model or FakeSegmenter(), FRAME, requests, WindowConfig(**window))


def quality(mask, label):
    region = region_of_logits(mask.logits, mask.window, SHAPE)
    return region.iou(Region.from_mask(LABELS[0] == label))


PAINTED = MaskPrompt.from_frame(1, 0, LABELS[0] == 1)


@pytest.mark.parametrize(
    "prompts",
    [
        [PointPrompt(1, 0, (40, 40))],
        [PointPrompt(1, 0, (45, 36))],
        [PointPrompt(1, 0, (40, 40)), PointPrompt(1, 0, (60, 95), positive=False)],
        [BoxPrompt(1, 0, (30, 30, 50, 50))],
        [BoxPrompt(1, 0, (30, 30, 50, 50)), PointPrompt(1, 0, (60, 95), positive=False)],
        [PAINTED],
    ],
    ids=["click", "click off centre", "click and negative", "box", "box and negative", "mask"],
)
@pytest.mark.parametrize("diameter", [None, 20.0])
def test_every_kind_of_prompt_gives_the_object(prompts, diameter):
    (mask,) = ask(*prompts, diameter=diameter)
    assert quality(mask, 1) > 0.85
    assert mask.object_score > 0
    assert mask.logits.shape == (32, 32)
    assert mask.from_points == (prompts != [PAINTED])


def test_boxes_and_masks_are_framed_by_their_own_size():
    box, mask = ask(
        BoxPrompt(1, 0, (30, 30, 50, 50)), MaskPrompt.from_frame(2, 0, LABELS[0] == 2), ratio=4, diameter=99
    )
    assert box.window.center_yx == (40, 40)
    assert box.window.size_yx[0] == pytest.approx(4 * 21)
    assert mask.window.center_yx == (60, 95)
    assert mask.window.size_yx[0] == pytest.approx(4 * 20, rel=0.06)


def test_a_click_is_framed_by_what_it_finds():
    (mask,) = ask(PointPrompt(1, 0, (44, 43)))
    assert mask.window.center_yx == pytest.approx((40, 40), abs=1)
    assert mask.window.size_yx[0] == pytest.approx(5 * 20, rel=0.12)


def test_full_mode_sees_the_whole_frame():
    for mask in ask(PointPrompt(1, 0, (40, 40)), BoxPrompt(2, 0, (50, 85, 70, 105)), mode="full"):
        assert mask.window == Window.full(SHAPE)


def test_the_whole_frame_is_encoded_once_whatever_is_asked():
    model = FakeSegmenter()
    half = (LABELS[0] == 1) & (np.indices(SHAPE)[1] < 40)
    asked = [
        PointPrompt(1, 0, (40, 40)),
        *(PointPrompt(2, 0, (60, 95)), PointPrompt(2, 0, (40, 40), positive=False)),
        BoxPrompt(3, 0, (50, 85, 70, 105)),
        *(MaskPrompt.from_frame(4, 0, half), PointPrompt(4, 0, (40, 46))),
    ]
    masks = ask(*asked, model=model, mode="full")
    assert [mask.object_id for mask in masks] == [1, 2, 3, 4]
    assert all(mask.from_points for mask in masks)
    assert model.encoded == 2  # with what was painted first


def test_on_the_whole_frame_an_object_that_is_not_seen_has_no_logits():
    (mask,) = ask(PointPrompt(1, 0, (5, 120)), model=FakeSegmenter(reach=0.02), mode="full")
    assert mask.object_score <= 0
    assert (mask.logits == NO_OBJECT).all()


def test_a_mask_painted_on_the_whole_frame_is_taken_as_it_is():
    (mask,) = ask(PAINTED, mode="full")
    assert not mask.from_points
    assert float(mask.logits.max()) == pytest.approx(10)
    assert quality(mask, 1) > 0.9


@pytest.mark.parametrize("mode", ["object", "full"])
@pytest.mark.parametrize("place", [np.s_[40:41, 20:82], np.s_[10:72, 51:52], np.s_[50:51, 60:61]])
def test_a_painted_mask_keeps_pixels_however_thin_it_is(mode, place):
    painted = np.zeros(SHAPE, bool)
    painted[place] = True
    (mask,) = ask(MaskPrompt.from_frame(1, 0, painted), mode=mode)
    region = region_of_logits(mask.logits, mask.window, SHAPE)
    assert mask.object_score > 0 and region is not None
    cell = max(1, max(mask.window.size_yx) / 32)
    assert Region.from_mask(painted).overlap(region) >= 0.8 * painted.sum()
    assert region.area <= 1.5 * cell * painted.sum() + (2 * cell) ** 2, "as thick as a pixel of the logits"


def test_the_corners_of_a_box_come_before_its_clicks():
    request = FramePrompts.of(1, [PointPrompt(1, 0, (4, 5)), BoxPrompt(1, 0, (1, 2, 8, 9))], None)
    assert request.points(margin=0.0) == ((1, 2, 2), (8, 9, 3), (4, 5, 1))
    assert request.points(margin=0.5)[:2] == ((0.5, 1.5, 2), (8.5, 9.5, 3))
    assert FramePrompts.of(1, [PointPrompt(1, 0, (4, 5))], None).points(margin=0.5) == ((4, 5, 1),)


def test_the_answers_come_in_the_order_of_the_requests():
    prompts = [
        PointPrompt(9, 0, (60, 95)),
        MaskPrompt.from_frame(4, 0, LABELS[0] == 1),
        BoxPrompt(7, 0, (50, 85, 70, 105)),
    ]
    together = ask(*prompts)
    assert [mask.object_id for mask in together] == [9, 4, 7]
    for prompt, mask in zip(prompts, together, strict=True):
        (alone,) = ask(prompt)
        assert torch.allclose(alone.logits, mask.logits, atol=1e-4)
        assert alone.window == mask.window


def test_a_click_on_nothing_is_an_absent_object():
    (mask,) = ask(PointPrompt(1, 0, (5, 120)), diameter=10.0)
    assert mask.object_score <= 0
    assert region_of_logits(mask.logits, mask.window, SHAPE) is None


def test_a_click_at_the_corner_of_the_frame_is_answered():
    for yx in ((-0.4, -0.4), (95.4, 127.4)):
        (mask,) = ask(PointPrompt(1, 0, yx))
        assert torch.isfinite(mask.logits).all()


def test_a_click_beside_a_painted_mask_corrects_it():
    half = (LABELS[0] == 1) & (np.indices(SHAPE)[1] < 40)
    (mask,) = ask(MaskPrompt.from_frame(1, 0, half), PointPrompt(1, 0, (40, 46)))
    assert quality(mask, 1) > 0.75


def test_prompts_of_an_object_are_sorted_by_kind():
    points = [PointPrompt(3, 0, (1, 2)), PointPrompt(3, 0, (5, 6), positive=False)]
    request = FramePrompts.of(3, [*points, BoxPrompt(3, 0, (0, 0, 9, 9))], 12.0)
    assert request.clicks == ((1, 2, 1), (5, 6, 0))
    assert (request.box, request.region, request.diameter) == ((0, 0, 9, 9), None, 12.0)
    assert request.size == pytest.approx(10)
    assert FramePrompts.of(3, points, 12.0).size is None
    assert FramePrompts.of(1, [PAINTED], None).size == pytest.approx(20, rel=0.06)


def test_the_diameter_of_a_box_is_that_of_its_ellipse():
    assert box_diameter((0, 0, 19, 19)) == pytest.approx(20)
    assert box_diameter((0, 0, 1, 99)) == pytest.approx(70)


def test_clicks_cost_one_ladder_and_boxes_one_window():
    model = FakeSegmenter()
    ask(BoxPrompt(1, 0, (30, 30, 50, 50)), model=model)
    assert model.encoded == 1
    ask(PointPrompt(1, 0, (40, 40)), model=model)
    assert model.encoded <= 1 + 10 + 2


# ---- the parts


@settings(max_examples=30)
@given(st.floats(20, 60), st.floats(20, 60), st.floats(30, 120), st.sampled_from([64, 128]))
def test_rasterise_and_region_of_logits_are_inverse(y, x, side, size):
    region = Region.from_mask(LABELS[0] == 1)
    window = Window.square((y, x), side)
    coverage = rasterise(region, window, size)
    assert coverage.shape == (1, size, size)
    assert 0 <= coverage.min() <= coverage.max() <= 1
    rows, columns = window.pixels(SHAPE)
    seen = np.zeros(SHAPE, bool)
    seen[rows, columns] = (LABELS[0] == 1)[rows, columns]
    back = region_of_logits(coverage[0] - 0.5, window, SHAPE)
    found = np.zeros(SHAPE, bool)
    if back is not None:
        found[back.box[0] : back.box[2] + 1, back.box[1] : back.box[3] + 1] = back.mask
    assert seen.sum() < 40 or iou(found, seen) > 0.85


def test_rasterise_averages_where_the_window_is_large():
    region = Region((100, 100), np.ones((40, 40), bool))
    coverage = rasterise(region, Window.square((119.5, 119.5), 800), 50)
    assert float(coverage.sum()) * 16**2 == pytest.approx(1600, rel=0.05)


def test_the_innermost_point_lies_inside_a_ring():
    y, x = np.indices((41, 41))
    ring = Region.from_mask((np.hypot(y - 20, x - 20) < 20) & (np.hypot(y - 20, x - 20) > 12), (7, 9))
    inner = inner_points(ring)[0]
    assert 13 <= np.hypot(inner[0] - 27, inner[1] - 29) <= 19
    assert inner_points(Region((3, 4), np.ones((1, 1), bool))) == [(3, 4)]


def test_a_known_diameter_prefers_masks_of_that_size():
    def disk_logits(radius):
        y, x = np.indices((64, 64)) - 31.5
        return torch.from_numpy(np.where(np.hypot(y, x) < radius, 5.0, -5.0).astype(np.float32))

    window = Window.square((0, 0), 64)
    scores = {radius: size_preference(disk_logits(radius), window, 16.0) for radius in (4, 8, 14)}
    assert max(scores, key=scores.get) == 8
    assert size_preference(disk_logits(0), window, None) == 0
    assert size_preference(disk_logits(60), window, None) < 0.2 * size_preference(disk_logits(8), window, None)


def test_stability_falls_where_the_edge_is_soft():
    hard = torch.tensor([5.0] * 10 + [-5.0] * 10)
    soft = torch.linspace(-3, 3, 20)
    assert stability(hard) == 1
    assert stability(soft) < 0.6
    assert stability(torch.full((4,), -5.0)) == 0
