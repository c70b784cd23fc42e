"""The first mask of an object: from points, boxes or a painted mask on one frame.

A box or a mask carries the object's size. A click does not: windows of several scales around it are decoded in
one batch, the scale is chosen by how sure and how stable the mask is, and the object is framed anew around its
own mask before the final decode.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.config import WindowConfig
from napari_mosam.core.model.segmenter import Features, PointPrompts, Segmenter
from napari_mosam.core.regions import Region, mask_diameter
from napari_mosam.core.windows import Pyramid, Window, sample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_mosam.core.prompts import Prompt

SMALLEST_SIDE_PX = 32.0
N_SCALES = 10
SCALE_STEP = 2**0.5
SIZE_SIGMA = 0.7
"""Spread of the prior on a known diameter, in octaves."""

SIZE_POWER = 0.25
"""Preference for larger masks where the size is unknown: a click often lands on a part that looks whole."""

MASK_LOGIT = 10.0
POSITIVE, NEGATIVE, BOX_START, BOX_END = 1, 0, 2, 3

Point = tuple[float, float, int]
"""(y, x, label) in frame coordinates."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstMask:
    """An object on a frame where the user prompted it.

    Attributes
    ----------
    object_id : int
    window : Window
    logits : Tensor, shape (S/4, S/4)
    predicted_iou : float
    object_score : float
    pointer : Tensor, shape (C,)
    features : Features
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
    features: Features
    from_points: bool


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """All prompts of one object on one frame, sorted by kind.

    Attributes
    ----------
    object_id : int
    clicks : tuple of (y, x, label)
    box : tuple of float or None
        (y0, x0, y1, x1), inclusive.
    region : Region or None
        Painted mask.
    diameter : float or None
        Expected size, px.
    """

    object_id: int
    clicks: tuple[Point, ...]
    box: tuple[float, float, float, float] | None
    region: Region | None
    diameter: float | None

    @classmethod
    def of(cls, object_id: int, prompts: "Iterable[Prompt]", diameter: float | None) -> "Request":
        """Sort the prompts of an object; a later box or mask replaces an earlier one."""
        from napari_mosam.core.prompts import BoxPrompt, PointPrompt

        clicks, box, region = [], None, None
        for prompt in prompts:
            if isinstance(prompt, PointPrompt):
                clicks.append((*prompt.yx, POSITIVE if prompt.positive else NEGATIVE))
            elif isinstance(prompt, BoxPrompt):
                box = prompt.box
            else:
                region = Region.from_mask(prompt.mask, prompt.origin)
        return cls(object_id, tuple(clicks), box, region, diameter)

    @property
    def size(self) -> float | None:
        """Diameter that the prompts carry, px; None for clicks."""
        if self.region is not None:
            return self.region.diameter
        return None if self.box is None else box_diameter(self.box)


def box_diameter(box: tuple[float, float, float, float]) -> float:
    """Diameter of an object that fills an inclusive box as an ellipse does, px."""
    y0, x0, y1, x1 = box
    return mask_diameter(np.pi / 4 * (y1 - y0 + 1) * (x1 - x0 + 1), (round(y0), round(x0), round(y1), round(x1)))


def first_masks(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[Request], config: WindowConfig
) -> list[FirstMask]:
    """Segment prompted objects on one frame.

    Parameters
    ----------
    model : Segmenter
    pyramid : Pyramid
        The frame, values in [0, 1].
    requests : sequence of Request
        One per object.
    config : WindowConfig

    Returns
    -------
    list of FirstMask
        In the order of the requests.
    """
    painted = [r for r in requests if r.region is not None]
    queries = [_final_query(model, pyramid, r, config) for r in requests if r.region is None]
    masks = {m.object_id: m for m in (*_ask_final(model, pyramid, queries), *_given(model, pyramid, painted, config))}
    return [masks[r.object_id] for r in requests]


# ---- decoding a batch of questions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One decode: a window, points in frame coordinates, and perhaps logits as a mask prompt."""

    object_id: int
    window: Window
    points: tuple[Point, ...]
    mask_logits: "Tensor | None" = None
    multimask: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The candidates of one query: logits (K, S/4, S/4), predicted IoU (K,), tokens (K, C)."""

    window: Window
    logits: "Tensor"
    predicted_iou: "Tensor"
    object_score: float
    tokens: "Tensor"
    features: Features


def ask(model: Segmenter, pyramid: Pyramid, queries: Sequence[Query]) -> list[Answer]:
    """Decode queries on one frame, those of the same form in one batch."""
    alike: dict[tuple[int, bool, bool], list[int]] = defaultdict(list)
    for row, query in enumerate(queries):
        alike[len(query.points), query.mask_logits is not None, query.multimask].append(row)
    answers: dict[int, Answer] = {}
    for rows in alike.values():
        answers.update(zip(rows, _ask_alike(model, pyramid, [queries[row] for row in rows]), strict=True))
    return [answers[row] for row in range(len(queries))]


def _ask_alike(model: Segmenter, pyramid: Pyramid, queries: Sequence[Query]) -> list[Answer]:
    import torch

    features = model.encode(pyramid.crop([q.window for q in queries], model.image_size))
    prompts = [q.mask_logits[None] for q in queries if q.mask_logits is not None]
    decoded = model.decode(
        features,
        model.unconditioned(features),
        points=_points_of(queries, model),
        mask_logits=torch.stack(prompts) if prompts else None,
        multimask=queries[0].multimask,
    )
    return [
        Answer(
            query.window,
            decoded.logits[row],
            decoded.predicted_iou[row],
            float(decoded.object_score[row]),
            decoded.tokens[row],
            features.take([row]),
        )
        for row, query in enumerate(queries)
    ]


def _points_of(queries: Sequence[Query], model: Segmenter) -> PointPrompts:
    import torch

    yx = np.array([q.window.to_model(np.array(q.points)[:, :2], model.image_size) for q in queries])
    labels = np.array([[label for *_, label in q.points] for q in queries], np.int32)
    return PointPrompts(
        torch.as_tensor(yx[..., ::-1].copy(), dtype=torch.float32, device=model.device),
        torch.as_tensor(labels, device=model.device),
    )


# ---- painted masks ----------------------------------------------------------------------------------------------


def _given(model: Segmenter, pyramid: Pyramid, requests: Sequence[Request], config: WindowConfig) -> list[FirstMask]:
    """Painted masks are taken as they are; clicks beside them correct them."""
    if not requests:
        return []
    import torch

    regions = [r.region for r in requests if r.region is not None]
    windows = [_window(pyramid, region.center_yx, region.diameter, config) for region in regions]
    features = model.encode(pyramid.crop(windows, model.image_size))
    pairs = zip(regions, windows, strict=True)
    masks = torch.stack([rasterise(region, window, model.image_size) for region, window in pairs]).to(model.device)
    binary = (masks > 0.5).float()
    pointers = model.pointers_of_masks(features, binary)
    logits = torch.nn.functional.interpolate(
        (masks * 2 - 1) * MASK_LOGIT, scale_factor=0.25, mode="bilinear", antialias=True
    )
    return [
        FirstMask(r.object_id, windows[i], logits[i, 0], 1.0, MASK_LOGIT, pointers[i], features.take([i]), False)
        for i, r in enumerate(requests)
    ]


def rasterise(region: Region, window: Window, size: int) -> "Tensor":
    """Coverage of each model pixel by a region, (1, size, size) in [0, 1]."""
    import torch

    crop = torch.from_numpy(np.pad(region.mask, 1).astype(np.float32))
    y, x = region.origin_yx
    local = Window((window.center_yx[0] - y + 1, window.center_yx[1] - x + 1), window.size_yx)
    shrunk = max(1, int(min(window.size_yx) / size))
    fine = sample(crop[None, None], local, size * shrunk, padding="zeros")
    return torch.nn.functional.avg_pool2d(fine, shrunk)


# ---- boxes and clicks -------------------------------------------------------------------------------------------


def _final_query(model: Segmenter, pyramid: Pyramid, request: Request, config: WindowConfig) -> Query:
    """The last question about an object, its window placed and scaled."""
    if request.box is not None:
        y0, x0, y1, x1 = request.box
        window = _window(pyramid, ((y0 + y1) / 2, (x0 + x1) / 2), box_diameter(request.box), config)
        corners = ((y0 - 0.5, x0 - 0.5, BOX_START), (y1 + 0.5, x1 + 0.5, BOX_END))
        return Query(request.object_id, window, (*corners, *request.clicks))
    return _click_query(model, pyramid, request, config)


def _click_query(model: Segmenter, pyramid: Pyramid, request: Request, config: WindowConfig) -> Query:
    """Ladder of scales, then the object's own window and innermost point, then everything the user clicked."""
    y, x, _ = next(click for click in request.clicks if click[2] == POSITIVE)
    ladder = _ladder(pyramid, (y, x), request, config)
    found = _choose_scale(ask(model, pyramid, ladder), request.diameter)
    first = ask(model, pyramid, [_centred_query(pyramid, request, found, config)])[0]
    best = replace(found, window=first.window, logits=_steadiest(first))
    region = region_of_logits(best.logits, best.window, pyramid.shape_yx) or found.region(pyramid.shape_yx)
    window = _window(pyramid, region.center_yx, region.diameter, config)
    inner = (*innermost_point(region), POSITIVE)
    return Query(request.object_id, window, (*request.clicks, inner))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A candidate of the ladder: logits (S/4, S/4) over a window."""

    window: Window
    logits: "Tensor"

    def region(self, shape_yx: tuple[int, int]) -> Region:
        region = region_of_logits(self.logits, self.window, shape_yx)
        if region is not None:
            return region
        y, x = (min(max(0, round(c)), side - 1) for c, side in zip(self.window.center_yx, shape_yx, strict=True))
        return Region((y, x), np.ones((1, 1), bool))


def _ladder(pyramid: Pyramid, click_yx: tuple[float, float], request: Request, config: WindowConfig) -> list[Query]:
    largest = config.ladder_max * max(pyramid.shape_yx)
    sides = [SMALLEST_SIDE_PX * SCALE_STEP**k for k in range(N_SCALES)]
    windows = [Window.square(click_yx, side) for side in sides if side <= max(largest, SMALLEST_SIDE_PX)]
    if config.mode == "full":
        windows = [Window.full(pyramid.shape_yx)]
    return [Query(request.object_id, w, ((*click_yx, POSITIVE),), multimask=True) for w in windows]


def _choose_scale(answers: Sequence[Answer], diameter: float | None) -> _Found:
    """Predicted IoU x stability x agreement with the next scale squared x size preference, best of all candidates."""
    best, best_score = None, -1.0
    for k, answer in enumerate(answers):
        neighbour = answers[k + 1] if k + 1 < len(answers) else answers[k - 1]
        for logits, iou in zip(answer.logits, answer.predicted_iou, strict=True):
            score = float(iou) * stability(logits) * size_preference(logits, answer.window, diameter)
            if len(answers) > 1 and score > best_score:
                score *= agreement(logits, answer.window, neighbour) ** 2
            if score > best_score:
                best, best_score = _Found(answer.window, logits), score
    if best is None:
        raise ValueError("a click needs at least one scale")
    return best


def stability(logits: "Tensor") -> float:
    """IoU of the mask one logit tighter and one logit wider."""
    return float((logits > 1).sum()) / max(1.0, float((logits > -1).sum()))


def size_preference(logits: "Tensor", window: Window, diameter: float | None) -> float:
    """How plausible the size of a mask is: near a known diameter, or large, and neither speck nor whole window."""
    share = float((logits > 0).float().mean())
    found = 2 * (share * window.size_yx[0] * window.size_yx[1] / np.pi) ** 0.5
    if found == 0:
        return 0.0
    ratio = (window.size_yx[0] * window.size_yx[1]) ** 0.5 / found
    plausible = min(1.0, (ratio / 2) ** 4) * min(1.0, (15 / ratio) ** 2)
    if diameter is None:
        return float(plausible * found**SIZE_POWER)
    octaves = np.log2(found / diameter)
    return float(plausible * np.exp(-0.5 * (octaves / SIZE_SIGMA) ** 2))


def agreement(logits: "Tensor", window: Window, other: Answer) -> float:
    """Best IoU of a mask with the candidates of another scale around the same point."""
    side = logits.shape[-1]
    factor = window.size_yx[0] / other.window.size_yx[0]
    centre = (side - 1) / 2
    view = Window((centre, centre), (side * factor, side * factor))
    mine = logits > 0
    if factor > 1:
        inner = abs(np.arange(side) - centre) < side / factor / 2
        mine = mine[inner][:, inner]
    best = 0.0
    for candidate in other.logits:
        seen = sample(candidate[None, None], view, side)[0] > 0
        seen = seen[inner][:, inner] if factor > 1 else seen
        best = max(best, float((mine & seen).sum()) / max(1.0, float((mine | seen).sum())))
    return best


def _centred_query(pyramid: Pyramid, request: Request, found: _Found, config: WindowConfig) -> Query:
    region = found.region(pyramid.shape_yx)
    window = _window(pyramid, region.center_yx, region.diameter, config)
    return Query(request.object_id, window, ((*innermost_point(region), POSITIVE),), multimask=True)


def _steadiest(answer: Answer) -> "Tensor":
    scores = [float(iou) * stability(own) for own, iou in zip(answer.logits, answer.predicted_iou, strict=True)]
    return answer.logits[int(np.argmax(scores))]


def _ask_final(model: Segmenter, pyramid: Pyramid, queries: Sequence[Query]) -> list[FirstMask]:
    import torch

    if not queries:
        return []
    answers = ask(model, pyramid, queries)
    scores = torch.tensor([a.object_score for a in answers], device=model.device)
    pointers = model.pointers(torch.stack([a.tokens[0] for a in answers]), scores)
    return [
        FirstMask(q.object_id, a.window, a.logits[0], float(a.predicted_iou[0]), a.object_score, p, a.features, True)
        for q, a, p in zip(queries, answers, pointers, strict=True)
    ]


# ---- geometry ---------------------------------------------------------------------------------------------------


def _window(pyramid: Pyramid, center_yx: tuple[float, float], diameter: float, config: WindowConfig) -> Window:
    if config.mode == "full":
        return Window.full(pyramid.shape_yx)
    return Window.square(center_yx, config.ratio * diameter)


def region_of_logits(logits: "Tensor", window: Window, shape_yx: tuple[int, int]) -> Region | None:
    """Frame pixels where the logits over a window are positive; None if there are none."""
    from napari_mosam.core.windows import paste

    (rows, columns), values = paste(logits, window, shape_yx)
    if values.numel() == 0:
        return None
    return Region.from_mask((values > 0).cpu().numpy(), (rows.start, columns.start))


def innermost_point(region: Region) -> tuple[float, float]:
    """The pixel of a region farthest from its edge, frame (y, x)."""
    from scipy.ndimage import distance_transform_edt

    depth: NDArray[np.float64] = distance_transform_edt(np.pad(region.mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(y) + region.origin_yx[0], float(x) + region.origin_yx[1]
