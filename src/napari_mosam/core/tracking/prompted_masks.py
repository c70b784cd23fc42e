"""The first mask of an object: from points, boxes or a painted mask on one frame.

A box or a mask carries the object's size. A click does not: windows of several scales around it are looked at with a
small input, those of all clicks in one batch, and the scale is chosen by how sure and how stable the mask is; where
the size is known, one window is looked at. The object is framed anew around its own mask before the final decode.

On the whole frame all this falls away, and what is asked is what SAM 2 asks: all points of an object at once, the
best of three masks for a single click (Ravi et al. 2024, arXiv 2408.00714).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from napari_mosam.core.config.engine import WindowConfig
from napari_mosam.core.masks.overlap import NO_OBJECT
from napari_mosam.core.masks.raster import densest, inner_points, rasterise, region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import LOGIT_STRIDE, ImageFeatures, Segmenter
from napari_mosam.core.model.queries import (
    LARGEST_PROMPT_LOGIT,
    DecodeAnswer,
    DecodeQuery,
    ask,
    encode_windows,
)
from napari_mosam.core.prompts.kinds import POSITIVE, Point
from napari_mosam.core.tracking.frame_prompts import FramePrompts, box_diameter, frame_window
from napari_mosam.core.tracking.scale_search import best_scale, find_objects, pixel_at, stability
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

MASK_LOGIT = 10.0
"""Logit of a pixel of a given mask, and less it outside: the 20 m - 10 with which SAM 2 makes logits of a mask."""


@dataclass(frozen=True, slots=True, eq=False)
class PromptedMask:
    """An object on a frame where the user prompted it.

    Attributes
    ----------
    object_id : int
    window : Window
    logits : Tensor, shape (S/4, S/4)
    predicted_iou : float
    object_score : float
    pointer : Tensor, shape (C,)
    features : ImageFeatures
        Of this window alone, for the memory encoder.
    from_points : bool
        Whether points or a box made it, rather than a mask.
    """

    object_id: int
    window: Window
    logits: "Tensor"
    predicted_iou: float
    object_score: float
    pointer: "Tensor"
    features: ImageFeatures
    from_points: bool


def prompted_masks(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[FramePrompts], config: WindowConfig
) -> list[PromptedMask]:
    """Segment prompted objects on one frame.

    Parameters
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame, values in [0, 1].
    requests : sequence of FramePrompts
        One per object.
    config : WindowConfig

    Returns
    -------
    list of PromptedMask
        In the order of the requests.
    """
    if config.mode == "full":
        return _whole_frame(model, pyramid, requests, config)
    painted, asked = _by_kind(requests)
    masks = {m.object_id: m for m in (*_given(model, pyramid, painted, config), *_found(model, pyramid, asked, config))}
    wanting = [r for r in requests if r.needs_correction]
    masks.update({m.object_id: m for m in _corrected(model, pyramid, wanting, masks)})
    return [masks[r.object_id] for r in requests]


def _by_kind(requests: Sequence[FramePrompts]) -> tuple[list[FramePrompts], list[FramePrompts]]:
    """Requests with a painted mask, and the others."""
    return [r for r in requests if r.region is not None], [r for r in requests if r.region is None]


# ---- on the whole frame, as SAM 2 does it


def _whole_frame(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[FramePrompts], config: WindowConfig
) -> list[PromptedMask]:
    painted, _ = _by_kind(requests)
    masks = {m.object_id: m for m in _given(model, pyramid, painted, config)}
    asked = [r for r in requests if r.region is None or r.clicks]
    queries = [_whole_query(request, pyramid.shape_yx, masks.get(request.object_id)) for request in asked]
    masks.update({m.object_id: _gated(m) for m in _concluded(model, pyramid, queries)})
    return [masks[r.object_id] for r in requests]


def _whole_query(request: FramePrompts, shape_yx: tuple[int, int], painted: PromptedMask | None) -> DecodeQuery:
    """All points at once, on top of what was painted; one point alone has several answers."""
    points = request.points(margin=0.0) if painted is None else request.clicks
    before = None if painted is None else painted.logits.clamp(-LARGEST_PROMPT_LOGIT, LARGEST_PROMPT_LOGIT)
    return DecodeQuery(request.object_id, Window.full(shape_yx), points, before, multimask=len(points) == 1)


def _gated(mask: PromptedMask) -> PromptedMask:
    """An object that is not seen has no mask."""
    return mask if mask.object_score > 0 else replace(mask, logits=mask.logits.new_full(mask.logits.shape, NO_OBJECT))


# ---- painted


def _given(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[FramePrompts], config: WindowConfig
) -> list[PromptedMask]:
    """Painted masks, taken as they are."""
    if not requests:
        return []
    regions = [r.region for r in requests if r.region is not None]
    windows = [frame_window(pyramid.shape_yx, r.center_yx, r.diameter, config) for r in regions]
    features = encode_windows(model, pyramid, windows)
    pairs = zip(regions, windows, strict=True)
    masks = torch.stack([rasterise(region, window, model.image_size) for region, window in pairs]).to(model.device)
    thin = masks.amax((1, 2, 3)) < 0.5
    masks[thin] = densest(masks[thin])
    binary = (masks >= 0.5).float()
    pointers = model.object_pointers_of_masks(features, binary)
    logits = sure_logits(binary if config.mode == "full" else masks)
    scores = [MASK_LOGIT if own.any() else -MASK_LOGIT for own in binary]
    return [
        PromptedMask(r.object_id, windows[i], logits[i], 1.0, scores[i], pointers[i], features.take([i]), False)
        for i, r in enumerate(requests)
    ]


def sure_logits(masks: "Tensor") -> "Tensor":
    """Masks (B, 1, S, S) in [0, 1] as logits (B, S/4, S/4) of a sure decision.

    A mask that is too thin to fill half of any pixel there holds those of which it fills most.
    """
    logits = (masks * 2 - 1) * MASK_LOGIT
    logits = interpolate(logits, scale_factor=1 / LOGIT_STRIDE, mode="bilinear", antialias=True)[:, 0]
    thin = logits.amax((1, 2)) <= 0
    logits[thin] = (densest((logits[thin] / MASK_LOGIT + 1) / 2) * 2 - 1) * MASK_LOGIT
    return logits


# ---- asked for in windows of their own


def _found(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[FramePrompts], config: WindowConfig
) -> list[PromptedMask]:
    """Boxes, with the clicks beside them, and the first click of every other object."""
    clicked = [request for request in requests if request.box is None]
    regions = iter(_centred(model, pyramid, clicked, find_objects(model, pyramid, clicked, config), config))
    shape = pyramid.shape_yx
    queries = [
        _of_box(r, r.box, shape, config) if r.box is not None else _of_click(r, next(regions), shape, config)
        for r in requests
    ]
    return _concluded(model, pyramid, queries)


def _of_box(
    request: FramePrompts, box: tuple[float, float, float, float], shape_yx: tuple[int, int], config: WindowConfig
) -> DecodeQuery:
    y0, x0, y1, x1 = box
    window = frame_window(shape_yx, ((y0 + y1) / 2, (x0 + x1) / 2), box_diameter(box), config)
    return DecodeQuery(request.object_id, window, request.points(margin=0.5))


def _of_click(request: FramePrompts, region: Region, shape_yx: tuple[int, int], config: WindowConfig) -> DecodeQuery:
    """The question about an object once its place and size are known."""
    window = frame_window(shape_yx, region.center_yx, region.diameter, config)
    return DecodeQuery(request.object_id, window, ((*request.first_click, POSITIVE), _inner_click(region)))


def _centred(
    model: Segmenter,
    pyramid: Pyramid,
    requests: Sequence[FramePrompts],
    regions: Sequence[Region],
    config: WindowConfig,
) -> list[Region]:
    """The objects seen again, each in its own window and from its innermost point."""
    if not requests:
        return []
    shape = pyramid.shape_yx
    queries = [
        DecodeQuery(
            request.object_id,
            frame_window(shape, region.center_yx, region.diameter, config),
            (_inner_click(region),),
            multimask=True,
        )
        for request, region in zip(requests, regions, strict=True)
    ]
    answers = ask(model, pyramid, queries)
    return [
        region_of_logits(_best_of(answer, request.diameter), answer.window, shape) or region
        for answer, region, request in zip(answers, regions, requests, strict=True)
    ]


def _best_of(answer: DecodeAnswer, diameter: float | None) -> "Tensor":
    """The candidate that is surest and steadiest, and of about the size that is known."""
    if diameter is not None:
        return best_scale([answer], diameter)[1]
    scores = [float(iou) * stability(own) for own, iou in zip(answer.logits, answer.predicted_iou, strict=True)]
    return answer.logits[int(np.argmax(scores))]


def _corrected(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[FramePrompts], masks: dict[int, PromptedMask]
) -> list[PromptedMask]:
    """Masks asked for again with every click, their own logits and their innermost point."""
    queries = []
    for request in requests:
        mask = masks[request.object_id]
        region = region_of_logits(mask.logits, mask.window, pyramid.shape_yx)
        inner = _inner_click(region or pixel_at(mask.window.center_yx, pyramid.shape_yx))
        queries.append(DecodeQuery(request.object_id, mask.window, (*request.clicks, inner), mask.logits))
    return _concluded(model, pyramid, queries)


def _inner_click(region: Region) -> Point:
    return (*inner_points(region)[0], POSITIVE)


def _concluded(model: Segmenter, pyramid: Pyramid, queries: Sequence[DecodeQuery]) -> list[PromptedMask]:
    if not queries:
        return []
    answers = ask(model, pyramid, queries)
    best = [int(answer.predicted_iou.argmax()) for answer in answers]
    scores = torch.tensor([a.object_score for a in answers], device=model.device)
    pointers = model.object_pointers(torch.stack([a.tokens[k] for a, k in zip(answers, best, strict=True)]), scores)
    return [
        PromptedMask(q.object_id, a.window, a.logits[k], float(a.predicted_iou[k]), a.object_score, p, a.features, True)
        for q, a, k, p in zip(queries, answers, best, pointers, strict=True)
    ]
