"""The place and size of an object from a click: a ladder of scales looked at with a small input, or one look.

A window of the wrong scale gives a wrong mask, and a click says nothing about scale. Of all candidates on all
scales the one is taken that the model is sure of, that is stable, that the next scale confirms, and whose size is
plausible. Where the size of the object is known, a single window of that size is looked at.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mosam.core.config.engine import WindowConfig
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.build import is_possible_size
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.queries import DecodeAnswer, DecodeQuery, ask
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.prompts.kinds import POSITIVE
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.sampling import placed, read_windows
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor

FINE_SIDES_PX = tuple(32 * 2 ** (k / 2) for k in range(10))
"""Sides of windows half an octave apart, for whoever needs the size itself."""

SIDES_PX = FINE_SIDES_PX[1::2]
"""Sides of the windows that are tried around a click without a size. docs/benchmarks.md, 'The first mask', has the
accuracy and the cost beside those of all the fine ones at full input."""

SEARCH_SHARE = 0.75
"""Share of the model's input at which scales are looked at: it must give a multiple of 32 px, else they are looked at
with the whole of it. Half of it costs .04 of mean IoU, see docs/benchmarks.md."""

SIZE_SIGMA = 0.7
"""Spread of the prior on a known diameter, in octaves. Half the size loses .07 in mean IoU, twice the size .015."""

SIZE_BIAS = 0.3
"""Octaves by which a known diameter is rounded up: a window too small does more harm than one too large. The only
value tried: mean IoU of clicks with a diameter .826 to .845 on HeLa nuclei, .417 to .442 in DIC."""

SIZE_POWER = 0.25
"""Preference for larger masks where the size is unknown: a click often lands on a part that looks whole. Not measured
by itself."""

PLAUSIBLE_RATIO = (2.0, 15.0)
"""Sides of a window in object diameters between which a mask is plausible; not measured by itself."""


def find_objects(
    model: Segmenter, pyramid: Pyramid, requests: Sequence[FramePrompts], config: WindowConfig
) -> list[Region]:
    """A first guess of the object under each click; its place and size are what matters.

    All scales of all clicks without a size are looked at together, and so are all clicks with one.

    Returns
    -------
    list of Region
        In the order of the requests; a single pixel at the click where nothing is seen.
    """
    found: dict[int, Region] = {}
    sized = [row for row, request in enumerate(requests) if request.diameter is not None]
    others = [row for row, request in enumerate(requests) if request.diameter is None]
    for rows, looking in ((sized, model), (others, for_search(model) if others else model)):
        looks = [_looks(pyramid.shape_yx, requests[row], config) for row in rows]
        answers = iter(ask(looking, pyramid, [query for some in looks for query in some]) if looks else ())
        for row, some in zip(rows, looks, strict=True):
            window, logits = best_scale([next(answers) for _ in some], requests[row].diameter)
            found[row] = region_of_logits(logits, window, pyramid.shape_yx) or pixel_at(
                requests[row].first_click, pyramid.shape_yx
            )
    return [found[row] for row in range(len(requests))]


def for_search(model: Segmenter) -> Segmenter:
    """The model with the small input at which scales are looked at; as it is where it can take no such input."""
    size = SEARCH_SHARE * model.image_size
    if isinstance(model, Sam2Segmenter) and is_possible_size(size):
        return model.at_size(int(size))
    return model


def _looks(shape_yx: tuple[int, int], request: FramePrompts, config: WindowConfig) -> list[DecodeQuery]:
    """What is looked at to find the object under a click."""
    if request.diameter is None:
        return ladder(shape_yx, request, config)
    side = config.ratio * request.diameter * 2**SIZE_BIAS
    return [_look(request, side)]


def ladder(
    shape_yx: tuple[int, int],
    request: FramePrompts,
    config: WindowConfig,
    sides_px: Sequence[float] = SIDES_PX,
) -> list[DecodeQuery]:
    """The same click in windows of growing side."""
    largest = max(sides_px[0], config.ladder_max * max(shape_yx))
    return [_look(request, side) for side in sides_px if side <= largest]


def _look(request: FramePrompts, side: float) -> DecodeQuery:
    click = request.first_click
    return DecodeQuery(request.object_id, Window.square(click, side), ((*click, POSITIVE),), multimask=True)


def best_scale(answers: Sequence[DecodeAnswer], diameter: float | None) -> tuple[Window, "Tensor"]:
    """Predicted IoU x stability x agreement with the next scale squared x size preference, best of all candidates."""
    scored = []
    for k, answer in enumerate(answers):
        neighbour = answers[k + 1] if k + 1 < len(answers) else answers[k - 1]
        confirmed = agreement(answer, neighbour).tolist() if neighbour is not answer else [1.0] * len(answer.logits)
        for logits, iou, agreed in zip(answer.logits, answer.predicted_iou, confirmed, strict=True):
            score = float(iou) * stability(logits) * size_preference(logits, answer.window, diameter)
            scored.append((score * agreed**2, answer.window, logits))
    _, window, logits = max(scored, key=lambda entry: entry[0])
    return window, logits


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
    plausible = min(1.0, (ratio / PLAUSIBLE_RATIO[0]) ** 4) * min(1.0, (PLAUSIBLE_RATIO[1] / ratio) ** 2)
    if diameter is None:
        return float(plausible * found**SIZE_POWER)
    octaves = np.log2(found / diameter) - SIZE_BIAS
    return float(plausible * np.exp(-0.5 * (octaves / SIZE_SIGMA) ** 2))


def agreement(answer: DecodeAnswer, other: DecodeAnswer) -> "Tensor":
    """Best IoU of each candidate (K,) with those of another scale around the same point."""
    side = answer.logits.shape[-1]
    factor = answer.window.size_yx[0] / other.window.size_yx[0]
    centre = (side - 1) / 2
    view = [Window((centre, centre), (side * factor, side * factor))] * len(other.logits)
    seen = read_windows(other.logits[:, None], *placed(view), side)[:, 0] > 0
    mine = answer.logits > 0
    if factor > 1:
        inner = torch.from_numpy(np.flatnonzero(abs(np.arange(side) - centre) < side / factor / 2)).to(mine.device)
        mine, seen = (masks.index_select(1, inner).index_select(2, inner) for masks in (mine, seen))
    common = (mine[:, None] & seen).sum((2, 3))
    return (common / (mine[:, None] | seen).sum((2, 3)).clamp(min=1)).amax(1)


def pixel_at(yx: tuple[float, float], shape_yx: tuple[int, int]) -> Region:
    """The one pixel nearest to a point."""
    y, x = (min(max(0, round(c)), side - 1) for c, side in zip(yx, shape_yx, strict=True))
    return Region((y, x), np.ones((1, 1), bool))
