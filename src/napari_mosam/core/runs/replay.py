"""Memory of frames that are stored: written anew from the image and the stored logits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.label_frames import regions_of
from napari_mosam.core.masks.overlap import suppress, upsample
from napari_mosam.core.masks.pieces import share_out
from napari_mosam.core.memory.reliability import pixel_confidence
from napari_mosam.core.memory.selection import reliability
from napari_mosam.core.model.protocol import MemoryFrame, Segmenter
from napari_mosam.core.store.records import FrameTable, Record, RecordStore
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.windows.sampling import Pyramid

HISTORY = 6
"""Remembered frames before a correction that are written to memory anew; SAM 2 has as many slots."""

SEARCHED = 32
"""Frames before a correction that are searched for them."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredMemory:
    """Writes memory frames and seeds from records.

    Attributes
    ----------
    model : Segmenter
    movie : Movie
    config : EngineConfig
    records : RecordStore
    labels : zarr.Array, shape (T, Y, X)
    """

    model: Segmenter
    movie: Movie
    config: EngineConfig
    records: RecordStore
    labels: Any

    def seed(self, object_id: int, t: int) -> ConditioningFrame | None:
        """Where a stored object stands on a frame; None where it was not followed."""
        frame = self.records.read(t)
        record = frame.get(object_id)
        if record is None:
            return None
        (region,) = regions_of(self.labels[t], [object_id], [record.window])
        logits = torch.from_numpy(record.logits).to(self.model.device)
        return ConditioningFrame(object_id, record.window, logits, self._written(record, frame), region, record.painted)

    def history(self, object_id: int, t: int, step: int) -> list[MemoryFrame]:
        """What the object remembered up to frame `t` on the way of `step`, oldest first."""
        found: list[MemoryFrame] = []
        for past in self._before(t, step):
            record = self.records.read_one(object_id, past)
            if record is None or len(found) == HISTORY:
                break
            if record.present and record.remembered and not record.prompted:
                found.append(self._written(record, self.records.read(past)))
        return found[::-1]

    def _before(self, t: int, step: int) -> Iterable[int]:
        edge = -1 if step > 0 else self.movie.n_frames
        return range(t, edge, -step)[:SEARCHED]

    def _written(self, record: Record, frame: FrameTable) -> MemoryFrame:
        model, size = self.model, self.model.image_size
        features = model.encode_image(Pyramid.of(self.movie[record.t], model.device).crop([record.window], size))
        logits = self._alone(record, frame)
        score = logits.new_tensor([record.object_score])
        memory = model.encode_memory(features, logits, score, from_points=record.prompted)
        return MemoryFrame(
            record.t,
            memory[0],
            model.object_pointers_of_masks(features, (logits > 0).float())[0],
            record.predicted_iou,
            record.object_score,
            float(record.area),
            pixel_confidence(logits)[0] if self.config.memory.pixels != "off" else None,
            1.0 if record.prompted else reliability(record.predicted_iou, record.object_score, record.consistency),
        )

    def _alone(self, record: Record, frame: FrameTable) -> "Tensor":
        """Logits (1, 1, S, S) without the pixels that rivals hold."""
        device, size = self.model.device, self.model.image_size
        own = record.claim(device)
        logits = upsample(own.logits[None], size)
        if self.config.compete:
            others = [r.claim(device) for r in frame if r.object_id != record.object_id and r.area > 0]
            contest = share_out([own, *others], self.movie.frame_shape, prune=self.config.prune).contest
            logits = suppress(logits, contest.rivals(0, own.window, size)[None])
        return logits[:, None]
