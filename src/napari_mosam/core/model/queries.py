"""Questions to the model about one frame, decoded without memory and in batches."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.model.protocol import ImageFeatures, PointPrompts, Segmenter
from napari_mosam.core.prompts.kinds import Point
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

LARGEST_PROMPT_LOGIT = 32.0
"""Logits given back to the model as a mask prompt are clamped to this, as SAM 2 does."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodeQuery:
    """One decode: a window, points in frame coordinates, and perhaps logits as a mask prompt."""

    object_id: int
    window: Window
    points: tuple[Point, ...]
    mask_logits: "Tensor | None" = None
    multimask: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DecodeAnswer:
    """The candidates of one query: logits (K, S/4, S/4), predicted IoU (K,), tokens (K, C)."""

    window: Window
    logits: "Tensor"
    predicted_iou: "Tensor"
    object_score: float
    tokens: "Tensor"
    features: ImageFeatures


def ask(model: Segmenter, pyramid: Pyramid, queries: Sequence[DecodeQuery]) -> list[DecodeAnswer]:
    """Decode queries on one frame, those of the same form in one batch."""
    features = encode_windows(model, pyramid, [query.window for query in queries])
    alike: dict[tuple[int, bool, bool], list[int]] = defaultdict(list)
    for row, query in enumerate(queries):
        alike[len(query.points), query.mask_logits is not None, query.multimask].append(row)
    answers: dict[int, DecodeAnswer] = {}
    for rows in alike.values():
        some = [queries[row] for row in rows]
        answers.update(zip(rows, _ask_alike(model, features.take(rows), some), strict=True))
    return [answers[row] for row in range(len(queries))]


def encode_windows(model: Segmenter, pyramid: Pyramid, windows: Sequence[Window]) -> ImageFeatures:
    """Features of windows of one frame, in their order; equal windows are encoded once.

    Parameters
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame.
    windows : sequence of Window
        At least one.
    """
    rows = {window: row for row, window in enumerate(dict.fromkeys(windows))}
    features = model.encode_image(pyramid.crop(list(rows), model.image_size))
    return features if len(rows) == len(windows) else features.take([rows[window] for window in windows])


def _ask_alike(model: Segmenter, features: ImageFeatures, queries: Sequence[DecodeQuery]) -> list[DecodeAnswer]:
    prompts = [q.mask_logits[None] for q in queries if q.mask_logits is not None]
    decoded = model.decode_masks(
        features,
        model.without_memory(features),
        points=points_of(queries, model),
        mask_logits=torch.stack(prompts) if prompts else None,
        multimask=queries[0].multimask,
    )
    return [
        DecodeAnswer(
            query.window,
            decoded.logits[row],
            decoded.predicted_iou[row],
            float(decoded.object_score[row]),
            decoded.mask_tokens[row],
            features.take([row]),
        )
        for row, query in enumerate(queries)
    ]


def points_of(queries: Sequence[DecodeQuery], model: Segmenter) -> PointPrompts:
    """The points of queries that have the same number of them, in model coordinates."""
    yx = np.array([q.window.to_model(np.array(q.points)[:, :2], model.image_size) for q in queries])
    labels = np.array([[label for *_, label in q.points] for q in queries], np.int32)
    return PointPrompts(
        torch.as_tensor(yx[..., ::-1].copy(), dtype=torch.float32, device=model.device),
        torch.as_tensor(labels, device=model.device),
    )
