"""Memory of frames that are stored: written anew from the image and the stored logits."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.label_frames import regions_of
from napari_mosam.core.masks.overlap import FixedMask, PixelOwnership
from napari_mosam.core.masks.pieces import share_out
from napari_mosam.core.memory.reliability import pixel_confidence
from napari_mosam.core.memory.selection import reliability
from napari_mosam.core.memory.writer import encode_memory, own_logits
from napari_mosam.core.model.protocol import MemoryFrame, Segmenter
from napari_mosam.core.results.frame import ObjectResult
from napari_mosam.core.store.records import FrameTable, RecordStore, as_stored
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.tracking.frames import open_frame
from napari_mosam.core.windows.pyramid import Pyramid

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
    together : bool
        Whether one contest tells for all objects of a frame who holds which pixel, which is faster for many; without
        it each object has one of its own, in which it wins where two are equal.
    """

    model: Segmenter
    movie: Movie
    config: EngineConfig
    records: RecordStore
    labels: Any
    together: bool = False

    def seed(self, object_id: int, t: int) -> ConditioningFrame | None:
        """Where a stored object stands on a frame; None where it was not followed."""
        return StoredFrame.read(self, t).seed(object_id)

    def entries(
        self, starts: Mapping[int, int], step: int
    ) -> tuple[dict[int, ConditioningFrame], dict[int, list[MemoryFrame]]]:
        """Where objects stand on the frames where they enter, and what they remembered up to these, oldest first.

        Parameters
        ----------
        starts : mapping of int to int
            Frame by object; one that was not followed there is left out of what comes first.
        step : int
            The way, +1 or -1.
        """
        seeds: dict[int, ConditioningFrame] = {}
        histories: dict[int, list[MemoryFrame]] = {i: [] for i in starts}
        for t in sorted(set(starts.values())):
            going = [i for i, start in starts.items() if start == t]
            for past in self._before(t, step):
                frame = StoredFrame.read(self, past)
                if past == t:
                    seeds |= {i: seed for i in going if (seed := frame.seed(i)) is not None}
                going = [i for i in going if frame.table.get(i) is not None and len(histories[i]) < HISTORY]
                if not going:
                    break
                for i in going:
                    histories[i] += frame.remembered(i)
        return seeds, {i: found[::-1] for i, found in histories.items()}

    def claims(self, t: int, followed: Collection[int]) -> list[FixedMask]:
        """What all but the objects that are followed hold on a frame."""
        held = [r for r in self.records.read(t) if r.area > 0 and r.object_id not in followed]
        return [as_stored(r, self.model.device) for r in held]

    def _before(self, t: int, step: int) -> Iterable[int]:
        edge = -1 if step > 0 else self.movie.n_frames
        return range(t, edge, -step)[:SEARCHED]


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """A frame of which memory is written; what all objects need of it is looked up once.

    Attributes
    ----------
    memory : StoredMemory
    table : FrameTable
    """

    memory: StoredMemory
    table: FrameTable

    @classmethod
    def read(cls, memory: StoredMemory, t: int) -> Self:
        """That of a frame."""
        return cls(memory, memory.records.read(t))

    def seed(self, object_id: int) -> ConditioningFrame | None:
        """Where an object stands; None where it was not followed."""
        result = self.table.get(object_id)
        if result is None:
            return None
        (region,) = regions_of(self._labels, [object_id], [result.window])
        logits = torch.from_numpy(result.logits).to(self.memory.model.device)
        return ConditioningFrame(object_id, result.window, logits, self._of(result), region, result.painted)

    def remembered(self, object_id: int) -> list[MemoryFrame]:
        """What an object remembers of the frame, if anything; prompts are remembered by themselves."""
        result = self.table.get(object_id)
        if result is None or not (result.present and result.remembered) or result.prompted:
            return []
        return [self._of(result)]

    @cached_property
    def _labels(self) -> Any:
        return self.memory.labels[self.table.t]

    @cached_property
    def _image(self) -> Pyramid:
        return Pyramid.of(open_frame(self.memory.movie, self.table.t), self.memory.model.device)

    @cached_property
    def _known(self) -> dict[int, MemoryFrame]:
        return {}

    @cached_property
    def _owners(self) -> tuple[list[int], PixelOwnership]:
        held = [r for r in self.table if r.area > 0]
        return [r.object_id for r in held], self._contest(held)

    def _contest(self, results: Iterable[ObjectResult]) -> PixelOwnership:
        memory = self.memory
        claims = [as_stored(r, memory.model.device) for r in results]
        return share_out(claims, memory.movie.frame_shape, prune=memory.config.prune).contest

    def _of(self, result: ObjectResult) -> MemoryFrame:
        if result.object_id not in self._known:
            self._known[result.object_id] = self._written(result)
        return self._known[result.object_id]

    def _written(self, result: ObjectResult) -> MemoryFrame:
        model = self.memory.model
        image = self._image.crop([result.window], model.image_size)
        features, own = model.encode_image(image), self._alone(result)
        memory = encode_memory(model, features, own, [result.object_score], from_points=result.prompted)
        return MemoryFrame(
            self.table.t,
            memory[0],
            model.object_pointers_of_masks(features, (own[:, None] > 0).float())[0],
            result.predicted_iou,
            result.object_score,
            float(result.area),
            pixel_confidence(own[:, None])[0] if self.memory.config.memory.pixels != "off" else None,
            1.0 if result.prompted else reliability(result.predicted_iou, result.object_score, result.consistency),
        )

    def _alone(self, result: ObjectResult) -> Tensor:
        """Logits (1, S, S) without the pixels that rivals hold."""
        model = self.memory.model
        own, rivals = as_stored(result, model.device), None
        if self.memory.config.compete:
            row, owners = self._row_in_contest(result)
            rivals = owners.rivals([row], [own.window], model.image_size)
        return own_logits(own.logits[None], rivals, model.image_size)

    def _row_in_contest(self, result: ObjectResult) -> tuple[int, PixelOwnership]:
        if self.memory.together and result.area > 0:
            ids, owners = self._owners
            return ids.index(result.object_id), owners
        others = (r for r in self.table if r.object_id != result.object_id and r.area > 0)
        return 0, self._contest([result, *others])
