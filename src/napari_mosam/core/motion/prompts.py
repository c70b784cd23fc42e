"""Motion-guided prompting: what motion tells the decoder, and the choice between its candidates.

The last mask moved along becomes a box, points or a mask prompt for the same features, and the best of all
candidates is taken (MoSAM, arXiv 2505.00739, section 3.1; forms and weights are ours).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.masks.iou import box_iou, mask_iou
from napari_mosam.core.masks.raster import inner_points, rasterise_all
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.protocol import LOGIT_STRIDE, PointPrompts
from napari_mosam.core.motion.prediction import SparsePrediction
from napari_mosam.core.prompts.kinds import BOX_END, BOX_START, NEGATIVE, POSITIVE, Point
from napari_mosam.core.windows.sampling import move_logits, placed
from napari_mosam.core.windows.window import Window

MIN_CONFIDENCE = 0.3
"""Below this likeness of an object's surroundings, motion gives no prompts; not measured."""

PROMPT_LOGIT = 4.0
"""The moved mask's logits are clamped to this, so that the image can overrule them. The only value tried (J .758 to
.807 on the movies of development, without competition); training clamps alike."""

N_POINTS = 5
"""Points inside the moved mask: MoSAM prompts with about five. Others were not compared."""

IGNORED = -1
"""Label of SAM's filling points, by which rows with few points are made as long as the others."""


@dataclass(frozen=True, slots=True, eq=False)
class MotionPrompt:
    """What motion expects of one object on the current frame.

    Attributes
    ----------
    region : Region
        The last mask, moved.
    window : Window
        Where the model looks.
    mask : WindowMask
        The last mask, moved.
    rivals : tuple of Region
        The moved masks of the other objects, nearest first.
    guess : SparsePrediction or None
        Box and key points where the trained encoder expects them.
    """

    region: Region
    window: Window
    mask: WindowMask
    rivals: tuple[Region, ...]
    guess: SparsePrediction | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1), inclusive."""
        return self.guess.box if self.guess is not None else self.region.box

    @property
    def points(self) -> list[tuple[float, float]]:
        """Points inside the object, (y, x)."""
        guessed = [yx for yx in self.guess.points if self.region.holds(yx)] if self.guess is not None else []
        return guessed or inner_points(self.region, N_POINTS)


def prompt_points(
    expected: Sequence[MotionPrompt], config: MotionConfig, size: int, device: "torch.device"
) -> PointPrompts | None:
    """Box corners, points inside the moved masks and negatives, in model coordinates; None if points are not asked."""
    if config.prompt in ("off", "mask"):
        return None
    rows = [_points_of(e, config) for e in expected]
    longest = max(map(len, rows))
    xy = np.zeros((len(rows), longest, 2), np.float32)
    labels = np.full((len(rows), longest), IGNORED, np.int32)
    for row, (points, e) in enumerate(zip(rows, expected, strict=True)):
        xy[row, : len(points)] = e.window.to_model(np.array(points)[:, :2], size)[:, ::-1]
        labels[row, : len(points)] = [label for *_, label in points]
    return PointPrompts(torch.from_numpy(xy).to(device), torch.from_numpy(labels).to(device))


def prompt_masks(expected: Sequence[MotionPrompt], config: MotionConfig, size: int) -> "Tensor | None":
    """Last mask logits, clamped and moved along, (B, 1, size / 4, size / 4); None if masks are not asked for."""
    if config.prompt != "mask":
        return None
    logits = torch.stack([e.mask.logits for e in expected])
    made_in, wanted = placed([e.mask.window for e in expected]), placed([e.window for e in expected])
    return move_logits(logits, made_in, wanted, size // LOGIT_STRIDE)[:, None].clamp(-PROMPT_LOGIT, PROMPT_LOGIT)


def choose(
    logits: "Tensor", predicted_iou: "Tensor", expected: Sequence[MotionPrompt | None], config: MotionConfig
) -> "Tensor":
    """Index (B,) of the best candidate of each row.

    ``S = (1 - a - b) q + a IoU(box, motion box) + b softIoU(mask, moved mask) - g overlap with rivals``; where nothing
    is expected, the largest predicted IoU q decides, as in SAM 2.

    Parameters
    ----------
    logits : Tensor, shape (B, K, s, s)
    predicted_iou : Tensor, shape (B, K)
        -1 for a candidate that may not be chosen.
    expected : sequence of MotionPrompt or None
    """
    scores = predicted_iou.clone()
    own_share = 1 - config.box_weight - config.mask_weight
    for row, e in enumerate(expected):
        if e is not None:
            able = predicted_iou[row] >= 0
            agreement = _agreement(logits[row], e, config)
            scores[row] = (own_share * predicted_iou[row] + agreement).where(able, predicted_iou[row])
    return scores.argmax(1)


def _agreement(logits: "Tensor", expected: MotionPrompt, config: MotionConfig) -> "Tensor":
    """Weighted agreement of candidates (K, s, s) with one object's motion, shape (K,)."""
    size = logits.shape[-1]
    regions = [expected.region, *expected.rivals]
    coverage = rasterise_all(regions, [expected.window] * len(regions), size).to(logits.device)
    moved, others = coverage[0], coverage[1:]
    rivals = others.amax(0) if len(others) else torch.zeros_like(moved)
    masks, probability = logits > 0, logits.sigmoid()
    crossing = (masks * (rivals > 0.5) * (moved < 0.5)).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
    boxes = config.box_weight * box_iou(masks, moved > 0.5)
    return boxes + config.mask_weight * mask_iou(probability, moved) - config.overlap_weight * crossing


def _points_of(expected: MotionPrompt, config: MotionConfig) -> list[Point]:
    y0, x0, y1, x1 = expected.box
    points: list[Point] = []
    if "box" in config.prompt:
        points += [(y0 - 0.5, x0 - 0.5, BOX_START), (y1 + 0.5, x1 + 0.5, BOX_END)]
    if "points" in config.prompt:
        points += [(*yx, POSITIVE) for yx in expected.points]
    negatives = expected.rivals[: config.negatives]
    return points + [(*inner_points(region)[0], NEGATIVE) for region in negatives]
