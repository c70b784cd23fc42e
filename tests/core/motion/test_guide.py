"""What motion tells the decoder, and which candidate is taken."""

import numpy as np
import pytest
import torch

from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.masks.raster import inner_points
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.motion.prompts import MotionPrompt, choose, prompt_masks, prompt_points
from napari_mosam.core.windows.window import Window

SIZE, LOW = 128, 32
WINDOW = Window.square((64, 64), 128)
Y, X = np.indices((128, 128))


def disk(y, x, radius=12):
    return Region.from_mask(np.hypot(Y - y, X - x) <= radius)


def logits_of(*regions):
    """Low-resolution logits of masks over the window."""
    full = np.full((128, 128), -8.0, np.float32)
    for region in regions:
        (y, x), (h, w) = region.origin_yx, region.mask.shape
        full[y : y + h, x : x + w][region.mask] = 8.0
    return torch.from_numpy(full[2::4, 2::4].copy())


def expected(region, rivals=()):
    return MotionPrompt(region, WINDOW, WindowMask(logits_of(region), WINDOW, region), tuple(rivals))


HERE, BESIDE, AWAY = disk(64, 64), disk(64, 92), disk(30, 30)


def chosen(candidates, ious, e, **settings):
    logits = torch.stack([logits_of(*c) for c in candidates])[None]
    return choose(logits, torch.tensor([ious]), [e], MotionConfig(**settings))[0]


def test_without_an_expectation_the_largest_predicted_iou_wins():
    assert chosen([[HERE], [AWAY]], [0.5, 0.6], None) == 1


def test_a_candidate_where_motion_expects_it_beats_a_slightly_surer_one():
    assert chosen([[HERE], [AWAY]], [0.7, 0.75], expected(HERE)) == 0
    assert chosen([[HERE], [AWAY]], [0.7, 0.75], expected(HERE), box_weight=0, mask_weight=0) == 1


def test_a_candidate_that_takes_in_a_neighbour_is_punished():
    both = [HERE, BESIDE]
    agree = {"box_weight": 0.0, "mask_weight": 0.0}
    assert chosen([[HERE], both], [0.7, 0.8], expected(HERE), **agree) == 1
    assert chosen([[HERE], both], [0.7, 0.8], expected(HERE, [BESIDE]), **agree) == 0
    assert chosen([[HERE], both], [0.7, 0.8], expected(HERE, [BESIDE]), overlap_weight=0, **agree) == 1


def test_a_candidate_out_of_reach_is_never_chosen():
    assert chosen([[HERE], [AWAY]], [-1.0, 0.1], expected(HERE)) == 1


@pytest.mark.parametrize("form", ["off", "mask"])
def test_forms_without_points_give_none(form):
    assert prompt_points([expected(HERE)], MotionConfig(prompt=form), SIZE, torch.device("cpu")) is None


def test_points_and_boxes_are_in_model_coordinates_and_short_rows_are_filled():
    config = MotionConfig(prompt="box+points", negatives=2)
    rows = [expected(HERE, [BESIDE, AWAY]), expected(AWAY)]
    given = prompt_points(rows, config, SIZE, torch.device("cpu"))
    assert given.labels[0].tolist() == [2, 3, 1, 1, 1, 1, 1, 0, 0]
    assert given.labels[1].tolist() == [2, 3, 1, 1, 1, 1, 1, -1, -1]
    assert given.xy[0, 0].tolist() == pytest.approx([52 - 0.5, 52 - 0.5], abs=0.6)
    assert given.xy[0, 2].tolist() == pytest.approx([64, 64], abs=1)
    assert given.xy[0, 7].tolist() == pytest.approx([92, 64], abs=1)


def test_a_mask_prompt_is_the_last_mask_moved_and_clamped():
    last = WindowMask(logits_of(HERE), Window.square((64, 64 + 28), 128), BESIDE)
    moved = MotionPrompt(BESIDE, WINDOW, last, ())
    (prompt,) = prompt_masks([moved], MotionConfig(prompt="mask"), SIZE)
    assert prompt.shape == (1, LOW, LOW)
    assert prompt.abs().max() == 4
    found = (prompt[0] > 0).nonzero().float().mean(0)
    assert found.tolist() == pytest.approx([(64 - 1.5) / 4, (92 - 1.5) / 4], abs=0.6)
    assert prompt_masks([moved], MotionConfig(prompt="points"), SIZE) is None


def test_inner_points_lie_inside_and_apart():
    points = inner_points(HERE, 5)
    assert len(points) == 5
    assert points[0] == pytest.approx((64, 64), abs=1)
    assert all(np.hypot(y - 64, x - 64) < 8 for y, x in points)
    apart = [np.hypot(a[0] - b[0], a[1] - b[1]) for i, a in enumerate(points) for b in points[:i]]
    assert min(apart) > 3
    assert len(inner_points(Region((3, 3), np.ones((1, 1), bool)), 5)) == 1
