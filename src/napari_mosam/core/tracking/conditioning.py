"""Prompted frames: segmented once, remembered for good, shared by both directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.masks.overlap import NO_OBJECT, FixedMask, PixelOwnership
from napari_mosam.core.masks.pieces import Shares, settle
from napari_mosam.core.masks.region import Region
from napari_mosam.core.memory.writer import encode_memory, own_logits
from napari_mosam.core.model.protocol import MemoryFrame, Segmenter
from napari_mosam.core.results.frame import ObjectResult, ObjectScores, ObjectState
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.prompted_masks import PromptedMask, prompted_masks
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_mosam.core.windows.canvas import Canvas

PAINTED_CLAIM = 3.0
"""Factor by which a painted mask's logits enter the contest: it beats a prediction below 30, which is all but certain;
not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class ConditioningFrame:
    """An object on a prompted frame, its memory written; holds no image features.

    Attributes
    ----------
    object_id : int
    window : Window
    logits : Tensor, shape (S/4, S/4)
        As they take part in the contest, see :func:`claimed_logits`.
    memory : MemoryFrame
    region : Region or None
        The pixels it won from the other objects prompted on that frame.
    painted : bool
        Whether a person painted the mask.
    """

    object_id: int
    window: Window
    logits: "Tensor"
    memory: MemoryFrame
    region: Region | None
    painted: bool = False


def condition_frame(
    model: Segmenter,
    frame: "NDArray[np.float32] | Canvas",
    t: int,
    requests: Sequence[FramePrompts],
    config: EngineConfig,
) -> tuple[dict[int, ConditioningFrame], Shares]:
    """Segment all objects prompted on a frame and write them to memory.

    Parameters
    ----------
    frame : ndarray of float32, shape (Y, X), or Canvas
        In [0, 1].
    t : int
        Its index.
    requests : sequence of FramePrompts
        One per object.

    Returns
    -------
    seeds : dict of int to ConditioningFrame
        By object id.
    shares : Shares
        Who holds which pixel, rows in the order of the requests.
    """
    masks, logits, shares = _shared_out(model, frame, requests, config)
    contest = shares.whole if config.compete else None
    seeds = {}
    for row, (mask, own, region) in enumerate(zip(masks, logits, shares.regions, strict=True)):
        memory = _written(model, mask, contest, row, t, region)
        seeds[mask.object_id] = ConditioningFrame(
            mask.object_id, mask.window, own, memory, region, not mask.from_points
        )
    return seeds, shares


def segment_frame(
    model: Segmenter, frame: "NDArray[np.float32] | Canvas", requests: Sequence[FramePrompts], config: EngineConfig
) -> tuple[tuple[ObjectResult, ...], Shares]:
    """Segment all objects prompted on a frame as :func:`condition_frame` does, and write no memory.

    Parameters
    ----------
    frame, requests
        As there.

    Returns
    -------
    objects : tuple of ObjectResult
        In the order of the requests; what is reported of them before anything is followed.
    shares : Shares
        Who holds which pixel, rows in the same order.
    """
    masks, logits, shares = _shared_out(model, frame, requests, config)
    rows = zip(masks, logits, shares.regions, strict=True)
    return tuple(_reported(mask, own, region) for mask, own, region in rows), shares


def _shared_out(
    model: Segmenter, frame: "NDArray[np.float32] | Canvas", requests: Sequence[FramePrompts], config: EngineConfig
) -> "tuple[list[PromptedMask], list[Tensor], Shares]":
    """The masks of requests, their logits as they are stored, and who holds which pixel."""
    pyramid = Pyramid.of(frame, model.device)
    masks = prompted_masks(model, pyramid, requests, config.window)
    claims = [_claim(mask, request) for mask, request in zip(masks, requests, strict=True)]
    logits, shares = settle(claims, (), pyramid.shape_yx, prune=config.prune)
    return masks, logits, shares


def _reported(mask: PromptedMask, logits: "Tensor", region: Region | None) -> ObjectResult:
    return ObjectResult(
        object_id=mask.object_id,
        direction="forward",
        state=ObjectState.PRESENT if region is not None else ObjectState.LOST,
        window=mask.window,
        logits=np.array(logits.float().cpu().numpy(), np.float32),
        scores=ObjectScores(mask.predicted_iou, mask.object_score),
        area=region.area if region is not None else 0,
        box=region.box if region is not None else None,
        decoded_with="prompt" if mask.from_points else "painted",
        remembered=True,  # by a run
    )


def _claim(mask: PromptedMask, request: FramePrompts) -> FixedMask:
    return FixedMask(
        mask.object_id,
        mask.window,
        claimed_logits(mask),
        mask.predicted_iou,
        painted=not mask.from_points,
        expected=request.clicked,
    )


def claimed_logits(mask: PromptedMask) -> "Tensor":
    """Logits for the contest: what the user painted beats every prediction, an unseen object claims nothing."""
    if not mask.from_points:
        return mask.logits * PAINTED_CLAIM
    return mask.logits if mask.object_score > 0 else mask.logits.clamp(max=NO_OBJECT)


def _written(
    model: Segmenter, mask: PromptedMask, owners: PixelOwnership | None, row: int, t: int, region: Region | None
) -> MemoryFrame:
    """As SAM 2 writes every prompted frame, painted ones too: binarised where the model was trained so."""
    size = model.image_size
    rivals = owners.rivals([row], [mask.window], size) if owners is not None else None
    own = own_logits(mask.logits[None], rivals, size)
    features = encode_memory(model, mask.features, own, [mask.object_score], from_points=True)
    area = float(region.area) if region is not None else 0.0
    return MemoryFrame(t, features[0], mask.pointer, mask.predicted_iou, mask.object_score, area)
