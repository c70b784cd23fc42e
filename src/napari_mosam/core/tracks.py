"""Where an object is, and what was seen of it on one frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.config import WindowConfig
from napari_mosam.core.labels import NO_OBJECT, duplicates
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.model.segmenter import Features
from napari_mosam.core.motion.estimate import STILL
from napari_mosam.core.raster import region_of_logits
from napari_mosam.core.regions import Region
from napari_mosam.core.results import ObjectResult, ObjectState
from napari_mosam.core.seeding import Seed
from napari_mosam.core.windows import Window

if TYPE_CHECKING:
    from torch import Tensor


class Track:
    """Where one object is in one pass."""

    def __init__(self, object_id: int, bank: MemoryBank, seed: Seed) -> None:
        self.object_id = object_id
        self.bank = bank
        self.region: Region | None = seed.region
        self.center_yx = seed.region.center_yx if seed.region is not None else seed.window.center_yx
        self.side = max(seed.window.size_yx)
        self.present = seed.region is not None

    def window(self, shift_yx: tuple[float, float], shape_yx: tuple[int, int], full: bool) -> Window:
        """Around the last box centre, moved by the motion since then."""
        if full:
            return Window.full(shape_yx)
        limits = zip(self.center_yx, shift_yx, shape_yx, strict=True)
        y, x = (min(max(c + s, 0.0), side - 1.0) for c, s, side in limits)
        return Window.square((y, x), self.side)

    def settle(self, region: Region | None, window: Window) -> None:
        """Take in where the object was found; a lost object waits where its window was."""
        self.present = region is not None
        self.center_yx = window.center_yx if region is None else region.center_yx
        self.region = region or self.region

    def resize(self, diameter: float, config: WindowConfig) -> None:
        """Let the window follow a change of size, slowly."""
        self.side *= (config.ratio * diameter / self.side) ** config.rescale

    def restart(self, window: Window, area: int) -> None:
        """Take the size of the object from a new prompt."""
        self.side = max(window.size_yx)
        self.bank.expect_area(area)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One object on one frame before competition; `features` is None on a prompted frame."""

    track: Track
    window: Window
    logits: "Tensor"
    pointer: "Tensor"
    predicted_iou: float
    object_score: float
    shift_yx: tuple[float, float]
    memory_frames: tuple[int, ...]
    features: Features | None

    @classmethod
    def of_seed(cls, track: Track, seed: Seed) -> "Observation":
        """An object on a frame where the user prompted it."""
        memory = seed.memory
        return cls(
            track, seed.window, seed.logits, memory.pointer, memory.predicted_iou, memory.object_score, STILL, (), None
        )

    @property
    def prompted(self) -> bool:
        """Whether the user prompted the object on this frame."""
        return self.features is None

    def consistency(self, region: Region | None) -> float:
        """IoU of a mask with the last one moved by the motion since; NaN where there is nothing to compare."""
        before = self.track.region
        if self.prompted or before is None or not self.track.present:
            return nan
        return before.shifted(self.shift_yx).iou(region) if region is not None else 0.0

    def strength(self, claim: Region | None) -> float:
        """Prompted objects come first, then those that continue their last mask, then the lost by predicted IoU."""
        if self.prompted:
            return 2.0
        consistency = self.consistency(claim)
        return self.predicted_iou - 1 if isnan(consistency) else consistency


def without_duplicates(observed: Sequence[Observation], shape_yx: tuple[int, int]) -> list[Observation]:
    """Objects whose mask is another object's claim nothing; who moved there most plausibly keeps it."""
    claims = [region_of_logits(o.logits, o.window, shape_yx) for o in observed]
    losers = duplicates(claims, [o.strength(claim) for o, claim in zip(observed, claims, strict=True)])
    return [
        replace(o, logits=o.logits.new_full(o.logits.shape, NO_OBJECT)) if row in losers else o
        for row, o in enumerate(observed)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One object on one frame after competition.

    Attributes
    ----------
    observation : Observation
    region : Region or None
        The pixels it won.
    consistency : float
        See :class:`ObjectResult`.
    remembered : bool
        Whether the frame passes the write gate.
    """

    observation: Observation
    region: Region | None
    consistency: float
    remembered: bool

    @classmethod
    def of(cls, o: Observation, region: Region | None) -> "Outcome":
        """Judge what an object won."""
        consistency = o.consistency(region)
        area = region.area if region is not None else 0
        return cls(o, region, consistency, not o.prompted and o.track.bank.accepts(area, o.object_score, consistency))

    @property
    def window(self) -> Window:
        """Where the model looked."""
        return self.observation.window

    @property
    def area(self) -> int:
        """Pixels won."""
        return self.region.area if self.region is not None else 0

    def settle(self, config: WindowConfig) -> None:
        """Move the track to where its object was found."""
        track = self.observation.track
        track.settle(self.region, self.window)
        if self.observation.prompted:
            track.restart(self.window, self.area)
        elif self.region is not None and self.remembered:
            track.resize(self.region.diameter, config)

    def result(self) -> ObjectResult:
        """What is reported."""
        o = self.observation
        return ObjectResult(
            object_id=o.track.object_id,
            state=ObjectState.PRESENT if self.region is not None else ObjectState.LOST,
            window=o.window,
            logits=np.asarray(o.logits.float().cpu().numpy(), np.float32),
            predicted_iou=o.predicted_iou,
            object_score=o.object_score,
            area=self.area,
            box=self.region.box if self.region is not None else None,
            consistency=self.consistency,
            shift_yx=o.shift_yx,
            remembered=self.remembered or o.prompted,
            prompted=o.prompted,
            memory_frames=o.memory_frames,
        )
