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
from napari_mosam.core.masks.raster import innermost_point, rasterise
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.protocol import PointPrompts
from napari_mosam.core.model.queries import BOX_END, BOX_START, NEGATIVE, POSITIVE, Point
from napari_mosam.core.motion.prediction import SparsePrediction
from napari_mosam.core.windows.sampling import read_logits
from napari_mosam.core.windows.window import Window

MIN_CONFIDENCE = 0.3
"""Below this likeness of an object's surroundings, motion gives no prompts."""

PROMPT_LOGIT = 4.0
N_POINTS = 5
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
    return torch.stack([read_logits(e.mask.logits, e.mask.window, e.window, size // 4) for e in expected]).clamp(
        -PROMPT_LOGIT, PROMPT_LOGIT
    )


def choose(
    logits: "Tensor", predicted_iou: "Tensor", expected: Sequence[MotionPrompt | None], config: MotionConfig
) -> list[int]:
    """Index of the best candidate of each row.

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
    return [int(i) for i in scores.argmax(1)]


def _agreement(logits: "Tensor", expected: MotionPrompt, config: MotionConfig) -> "Tensor":
    """Weighted agreement of candidates (K, s, s) with one object's motion, shape (K,)."""
    size = logits.shape[-1]
    moved = rasterise(expected.region, expected.window, size).to(logits.device)[0]
    rivals = moved.new_zeros(size, size)
    for region in expected.rivals:
        rivals = rivals.maximum(rasterise(region, expected.window, size).to(logits.device)[0])
    masks, probability = logits > 0, logits.sigmoid()
    both, either = probability.minimum(moved).sum((1, 2)), probability.maximum(moved).sum((1, 2))
    crossing = (masks * (rivals > 0.5) * (moved < 0.5)).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
    boxes = _box_ious(masks, moved > 0.5)
    return config.box_weight * boxes + config.mask_weight * both / either - config.overlap_weight * crossing


def _box_ious(masks: "Tensor", other: "Tensor") -> "Tensor":
    """IoU of the bounding boxes of masks (K, s, s) with that of another mask (s, s), shape (K,)."""
    own, theirs = (m.any(-1).float()[..., :, None] * m.any(-2).float()[..., None, :] for m in (masks, other[None]))
    own, theirs = _filled(own), _filled(theirs)
    return (own * theirs).sum((1, 2)) / own.maximum(theirs).sum((1, 2)).clamp(min=1)


def _filled(cross: "Tensor") -> "Tensor":
    """Bounding boxes (K, s, s) of masks given as products of their row and column projections."""
    rows, columns = cross.amax(2), cross.amax(1)
    span = [(p.cummax(1).values * p.flip(1).cummax(1).values.flip(1)) for p in (rows, columns)]
    return span[0][:, :, None] * span[1][:, None, :]


def _points_of(expected: MotionPrompt, config: MotionConfig) -> list[Point]:
    y0, x0, y1, x1 = expected.box
    points: list[Point] = []
    if "box" in config.prompt:
        points += [(y0 - 0.5, x0 - 0.5, BOX_START), (y1 + 0.5, x1 + 0.5, BOX_END)]
    if "points" in config.prompt:
        points += [(*yx, POSITIVE) for yx in expected.points]
    negatives = expected.rivals[: config.negatives]
    return points + [(*innermost_point(region), NEGATIVE) for region in negatives]


def inner_points(region: Region, n: int) -> list[tuple[float, float]]:
    """Up to `n` points well inside a region and far from each other, the innermost first, frame (y, x)."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region.mask, 1))[1:-1, 1:-1]
    y, x = np.nonzero(depth >= 0.5 * depth.max())
    first = int(depth[y, x].argmax())
    chosen, distance = [first], np.full(len(y), np.inf)
    while len(chosen) < min(n, len(y)):
        last = chosen[-1]
        distance = np.minimum(distance, np.hypot(y - y[last], x - x[last]))
        chosen.append(int(distance.argmax()))
    oy, ox = region.origin_yx
    return [(float(y[k] + oy), float(x[k] + ox)) for k in chosen]
