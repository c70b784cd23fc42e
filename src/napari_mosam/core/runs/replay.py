"""Memory of frames that are stored: written anew from the image and the stored logits."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.label_frames import regions_of
from napari_mosam.core.masks.overlap import FixedMask
from napari_mosam.core.masks.pieces import share_out
from napari_mosam.core.memory.reliability import pixel_confidence
from napari_mosam.core.memory.selection import reliability
from napari_mosam.core.memory.writer import encode_memory, own_logits, rivals_of
from napari_mosam.core.model.protocol import MemoryFrame, Segmenter
from napari_mosam.core.results.frame import ObjectResult
from napari_mosam.core.store.records import FrameTable, RecordStore, as_stored
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.tracking.frames import open_frame
from napari_mosam.core.windows.sampling import Pyramid

HISTORY = 6
"""Remembered frames before a correction that are written to memory anew; SAM 2 has as many slots."""

SEARCHED = 32
"""Frames before a correction that are searched for them; an object lost for longer is remembered by its marks alone.
Not measured."""


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
        result = frame.get(object_id)
        if result is None:
            return None
        (region,) = regions_of(self.labels[t], [object_id], [result.window])
        logits = torch.from_numpy(result.logits).to(self.model.device)
        return ConditioningFrame(object_id, result.window, logits, self._written(result, frame), region, result.painted)

    def history(self, object_id: int, t: int, step: int) -> list[MemoryFrame]:
        """What the object remembered up to frame `t` on the way of `step`, oldest first."""
        found: list[MemoryFrame] = []
        for past in self._before(t, step):
            result = self.records.read_one(object_id, past)
            if result is None or len(found) == HISTORY:
                break
            if result.present and result.remembered and not result.prompted:
                found.append(self._written(result, self.records.read(past)))
        return found[::-1]

    def claims(self, t: int, followed: Collection[int]) -> list[FixedMask]:
        """What all but the objects that are followed hold on a frame."""
        held = [r for r in self.records.read(t) if r.area > 0 and r.object_id not in followed]
        return [as_stored(r, self.model.device) for r in held]

    def _before(self, t: int, step: int) -> Iterable[int]:
        edge = -1 if step > 0 else self.movie.n_frames
        return range(t, edge, -step)[:SEARCHED]

    def _written(self, result: ObjectResult, frame: FrameTable) -> MemoryFrame:
        model = self.model
        image = Pyramid.of(open_frame(self.movie, frame.t), model.device).crop([result.window], model.image_size)
        features, own = model.encode_image(image), self._alone(result, frame)
        memory = encode_memory(model, features, own, [result.object_score], from_points=result.prompted)
        return MemoryFrame(
            frame.t,
            memory[0],
            model.object_pointers_of_masks(features, (own[:, None] > 0).float())[0],
            result.predicted_iou,
            result.object_score,
            float(result.area),
            pixel_confidence(own[:, None])[0] if self.config.memory.pixels != "off" else None,
            1.0 if result.prompted else reliability(result.predicted_iou, result.object_score, result.consistency),
        )

    def _alone(self, result: ObjectResult, frame: FrameTable) -> Tensor:
        """Logits (1, S, S) without the pixels that rivals hold."""
        device, size = self.model.device, self.model.image_size
        own, rivals = as_stored(result, device), None
        if self.config.compete:
            others = [as_stored(r, device) for r in frame if r.object_id != result.object_id and r.area > 0]
            owners = share_out([own, *others], self.movie.frame_shape, prune=self.config.prune).contest
            rivals = rivals_of(owners, [0], [own.window], size)
        return own_logits(own.logits[None], rivals, size)
