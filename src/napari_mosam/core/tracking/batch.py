"""All objects of one frame, one row each: where the model looked, what it saw, and what each object won."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from napari_mosam.core.masks.overlap import NO_OBJECT, FixedMask
from napari_mosam.core.masks.raster import regions_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import ImageFeatures
from napari_mosam.core.motion.prediction import MotionPrediction
from napari_mosam.core.results.frame import MemoryRead, ObjectScores
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.tracking.lifecycle import Detection, Encounter
from napari_mosam.core.tracking.table import TrackedObject
from napari_mosam.core.windows.devices import rows_on
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Origin = Literal["memory", "motion", "prompt", "painted"]
_BY_MEMORY: Origin = "memory"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBatch:
    """The objects of a frame, N rows by ascending id; each step of a frame gives a new batch.

    Attributes
    ----------
    objects : tuple of TrackedObject
        As they were on the frame before; nothing here changes them.
    motion : tuple of MotionPrediction
        Where they are expected.
    windows : tuple of Window
        Where the model looked.
    logits : Tensor, shape (N, s, s)
        What they claim; NO_OBJECT everywhere where one claims nothing.
    scores : tuple of ObjectScores
    pointers : tuple of Tensor, shape (C,)
        Empty for objects that ended.
    features : tuple of ImageFeatures or None
        Of each window; None on a frame whose memory is already written, and for objects that ended.
    decoded_with : tuple of {'memory', 'motion', 'prompt', 'painted'}
    reads : tuple of tuple of MemoryRead
    encounters : tuple of Encounter
        How long each claim has lain in another's, this frame included.
    detections : tuple of Detection or None
        What the frame says of each; None before it is judged, and for prompted objects.
    regions : tuple of Region or None
        The pixels each won; None where it won none, and before the contest.
    """

    objects: tuple[TrackedObject, ...]
    motion: tuple[MotionPrediction, ...]
    windows: tuple[Window, ...]
    logits: Tensor
    scores: tuple[ObjectScores, ...]
    pointers: tuple[Tensor, ...]
    features: tuple[ImageFeatures | None, ...]
    decoded_with: tuple[Origin, ...]
    reads: tuple[tuple[MemoryRead, ...], ...]
    encounters: tuple[Encounter, ...]
    detections: tuple[Detection | None, ...]
    regions: tuple[Region | None, ...]

    @classmethod
    def given(cls, objects: Sequence[TrackedObject], seeds: Sequence[ConditioningFrame]) -> "ObjectBatch":
        """Objects on a frame where they are already known, one at least."""
        return cls(
            objects=tuple(objects),
            motion=tuple(MotionPrediction(region=seed.region) for seed in seeds),
            windows=tuple(seed.window for seed in seeds),
            logits=torch.stack([seed.logits for seed in seeds]),
            scores=tuple(ObjectScores(seed.memory.predicted_iou, seed.memory.object_score) for seed in seeds),
            pointers=tuple(seed.memory.pointer for seed in seeds),
            features=(None,) * len(seeds),
            decoded_with=tuple(_origin(seed) for seed in seeds),
            reads=((),) * len(seeds),
            encounters=(Encounter(),) * len(seeds),
            detections=(None,) * len(seeds),
            regions=(None,) * len(seeds),
        )

    @classmethod
    def ended(cls, objects: Sequence[TrackedObject]) -> "ObjectBatch":
        """Objects that left for good and are not looked at any more, one at least."""
        n, like = len(objects), objects[0].alone.logits
        return cls(
            objects=tuple(objects),
            motion=(MotionPrediction(),) * n,
            windows=tuple(o.alone.window_at(o.center_yx) for o in objects),
            logits=torch.stack([torch.full_like(o.alone.logits, NO_OBJECT) for o in objects]),
            scores=(ObjectScores(0.0, NO_OBJECT),) * n,
            pointers=(like.new_zeros(0),) * n,
            features=(None,) * n,
            decoded_with=(_BY_MEMORY,) * n,
            reads=((),) * n,
            encounters=(Encounter(),) * n,
            detections=(None,) * n,
            regions=(None,) * n,
        )

    @classmethod
    def join(cls, parts: "Sequence[ObjectBatch]") -> "ObjectBatch":
        """The rows of several batches, by ascending id."""
        ids = [o.object_id for part in parts for o in part.objects]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        columns = {name: [row for part in parts for row in getattr(part, name)] for name in cls.__slots__}
        rows = {name: tuple(column[row] for row in order) for name, column in columns.items() if name != "logits"}
        logits = torch.cat([part.logits for part in parts])
        return cls(logits=logits[rows_on(logits.device, order)], **rows)

    def __len__(self) -> int:
        return len(self.objects)

    @property
    def object_ids(self) -> list[int]:
        """One per row."""
        return [o.object_id for o in self.objects]

    @property
    def downloaded(self) -> "list[NDArray[np.float32]]":
        """The logits of each row in main memory, copies of their own."""
        return [own.copy() for own in self.logits.float().cpu().numpy()]

    def prompted(self, row: int) -> bool:
        """Whether the user prompted the object on this frame."""
        return self.decoded_with[row] in ("prompt", "painted")

    def ambiguous(self, row: int) -> bool:
        """Whether only its own motion tells the object from another; for a limited time, since cells turn."""
        return self.encounters[row].ambiguous

    def searched(self, row: int) -> bool:
        """Whether the object has been lost for longer than a flicker, and not behind another."""
        return self.objects[row].lost_for_long and not self.ambiguous(row)

    def claims(self, shape_yx: tuple[int, int]) -> list[Region | None]:
        """The frame pixels that each object claims."""
        return regions_of_logits(self.logits, self.windows, shape_yx)

    def masks(self) -> list[FixedMask]:
        """What the objects bring to the contest."""
        return [
            FixedMask(
                o.object_id,
                self.windows[row],
                self.logits[row],
                self.scores[row].predicted_iou,
                painted=self.decoded_with[row] == "painted",
                expected=self.motion[row].region,
            )
            for row, o in enumerate(self.objects)
        ]

    def without(self, rows: Collection[int]) -> "ObjectBatch":
        """The same; some rows claim nothing."""
        if not rows:
            return self
        logits = self.logits.clone()
        logits[rows_on(logits.device, sorted(rows))] = NO_OBJECT
        return replace(self, logits=logits)


def _origin(seed: ConditioningFrame) -> Origin:
    return "painted" if seed.painted else "prompt"
