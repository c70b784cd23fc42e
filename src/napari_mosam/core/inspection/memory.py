"""The memory that was read for an object on a frame, from what the result stores: no network is needed for it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.inspection.findings import MemoryInspection
from napari_mosam.core.masks.label_frames import regions_of
from napari_mosam.core.masks.pieces import share_out
from napari_mosam.core.memory.reliability import pixel_confidence, weight
from napari_mosam.core.memory.writer import own_logits
from napari_mosam.core.model.protocol import LOGIT_STRIDE
from napari_mosam.core.results.frame import MemoryRead, ObjectResult
from napari_mosam.core.store.records import FrameTable, as_stored
from napari_mosam.core.store.result import Result


def memory_read(stored: Result, config: EngineConfig, object_id: int, read: MemoryRead) -> MemoryInspection:
    """What one memory frame gave.

    Parameters
    ----------
    stored : Result
    config : EngineConfig
        With which it was made.
    object_id : int
    read : MemoryRead
    """
    table = stored.frame_table(read.t)
    kept = table.get(object_id)
    if kept is None:
        return MemoryInspection(read.t, read.rating)
    shape = (stored.labels.shape[1], stored.labels.shape[2])
    sure = pixel_confidence(_own(table, kept, shape, config)[:, None])[0]
    (mask,) = regions_of(np.asarray(stored.labels[read.t]), [object_id], [kept.window])
    return MemoryInspection(
        read.t, read.rating, kept.prompted, kept.state, kept.window, mask, sure.numpy(), _weight(sure, kept, config)
    )


def _weight(sure: Tensor, kept: ObjectResult, config: EngineConfig) -> NDArray[np.float32]:
    """What the pixel filter lets through; prompted frames are never filtered."""
    whole = kept.prompted or config.memory.pixels == "off"
    found = torch.ones_like(sure) if whole else weight(sure, *config.memory.pixel_range)
    return np.asarray(found.numpy(), np.float32)


def _own(table: FrameTable, kept: ObjectResult, shape_yx: tuple[int, int], config: EngineConfig) -> Tensor:
    """The logits (1, S, S) that were remembered: without the pixels that others held."""
    own = as_stored(kept)
    size = own.logits.shape[-1] * LOGIT_STRIDE
    if not config.compete:
        return own_logits(own.logits[None], None, size)
    others = [as_stored(r) for r in table if r.object_id != kept.object_id and r.area > 0]
    contest = share_out([own, *others], shape_yx, prune=config.prune).contest
    return own_logits(own.logits[None], contest.rivals([0], [own.window], size), size)
