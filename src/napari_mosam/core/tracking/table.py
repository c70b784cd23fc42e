"""What is known of every object in one pass, between two frames. Only the methods here give an object a new state."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import dist
from statistics import median
from typing import TYPE_CHECKING, Self

from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.model.protocol import MemoryFrame
from napari_mosam.core.motion.history import TrackHistory
from napari_mosam.core.motion.kalman import Kalman
from napari_mosam.core.motion.prediction import MotionPrediction
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.lifecycle import FLICKER, UNSEEN, Encounter, Lifecycle
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from napari_mosam.core.tracking.batch import ObjectBatch

WHOLE = 0.75
"""Share of the usual area above which the centre of a mask is that of its object, not of what is left to see; not
measured."""

LONGEST_WIDENING = 500
"""Lost frames after which no window grows any more: twice as large on each, it would soon be no float."""

SURE_IOU = 0.8
"""Predicted IoU from which on the centre of a mask surely is the object's; between the medians of masks that fail,
.58, and of good ones, .93, and not measured."""

CONTRAST_HISTORY = 10
"""Trusted masks over whose contrasts the median is taken: enough to outlive a few bad ones; not measured."""

NEAR = 1.0
"""Distance of clicks from the last centre, in diameters, up to which they correct the mask instead of a new start; not
measured."""


LEAP = 2.0
"""Distance from where an object is expected, in diameters, at which a mask that the model is sure of is still believed
while the object was just seen; else 1. With 1 throughout, nuclei that move nearly a diameter a frame were taken for
lost: on three simulated movies ('hopping') 209 of 660 masks were empty and 32 lay on another nucleus, now 193 and 29.
Believed whatever the model says they were 176 and 37, and where every third nucleus is followed 26 in place of 18."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object of a pass after a frame.

    Attributes
    ----------
    object_id : int
    bank : MemoryBank
        What it remembers.
    life : Lifecycle
    region : Region or None
        Its last mask; None before the first.
    center_yx : tuple of float
        Where it is, or where it was last looked for, px.
    side : float
        Of its usual window, px.
    alone : WindowMask
        The last mask that was the object's alone.
    kalman : Kalman
        Its own motion.
    history : TrackHistory
        Its latest frames.
    last_shift : tuple of float
        Its last displacement, px.
    encounter : Encounter
        How long its claim has lain in another's.
    contrasts : tuple of float
        Of its latest trusted masks.
    """

    object_id: int
    bank: MemoryBank
    life: Lifecycle
    region: Region | None
    center_yx: tuple[float, float]
    side: float
    alone: WindowMask
    kalman: Kalman
    history: TrackHistory = field(default_factory=TrackHistory)
    last_shift: tuple[float, float] = (0.0, 0.0)
    encounter: Encounter = field(default_factory=Encounter)
    contrasts: tuple[float, ...] = ()

    @classmethod
    def entering(cls, bank: MemoryBank, seed: ConditioningFrame) -> Self:
        """An object on the frame where it enters."""
        alone, side = WindowMask(seed.logits, seed.window, seed.region), max(seed.window.size_yx)
        life = Lifecycle() if seed.region is not None else Lifecycle(ObjectState.LOST, missing=1)
        center = alone.center_yx
        kalman = Kalman.start(center, _diameter(seed.region, side))
        return cls(seed.object_id, bank, life, seed.region, center, side, alone, kalman)

    @property
    def present(self) -> bool:
        """Whether the object was seen on the frame before."""
        return self.life.state is ObjectState.PRESENT

    @property
    def ended(self) -> bool:
        """Whether the object left for good."""
        return self.life.state is ObjectState.ENDED

    @property
    def missing(self) -> int:
        """Frames in a row without it."""
        return self.life.missing

    @property
    def lost_for_long(self) -> bool:
        """Whether the object has been lost for longer than a flicker."""
        return self.missing > FLICKER

    @property
    def ambiguous(self) -> bool:
        """Whether only its own motion told the object from another."""
        return self.encounter.ambiguous

    @property
    def searched(self) -> bool:
        """Whether the object has been lost for longer than a flicker, and not behind another."""
        return self.lost_for_long and not self.ambiguous

    @property
    def diameter(self) -> float:
        """Of the last mask, px; of a guess from the window where there never was one."""
        return _diameter(self.region, self.side)

    @property
    def last_region(self) -> Region | None:
        """The mask on the frame before; None where the object was lost."""
        return self.region if self.present else None

    @property
    def directed(self) -> bool:
        """Whether the object moves on a course of its own, see :class:`Kalman`."""
        return self.kalman.directed

    @property
    def usual_contrast(self) -> float | None:
        """Median contrast of the latest trusted masks; None before the first."""
        return median(self.contrasts) if self.contrasts else None

    # ---- what is asked on a frame

    def hidden_region(self, config: LifecycleConfig) -> Region | None:
        """Where a lost object on a course of its own is expected; None for others, and after a time."""
        region = self.alone.region
        if self.present or not self.directed or self.missing > config.max_hidden or region is None:
            return None
        (y, x), (cy, cx) = self.kalman.center_yx, region.center_yx
        return region.shifted((y - cy, x - cx))

    def covers(self, request: FramePrompts) -> bool:
        """Whether clicks mean the object where it is now: it is present and they lie in or near its last mask."""
        if not self.present:
            return False
        return all(dist(self.center_yx, (y, x)) <= NEAR * self.diameter for y, x, label in request.clicks if label)

    def place(self, motion: MotionPrediction, shape_yx: tuple[int, int]) -> tuple[float, float]:
        """Where it is looked for: the last centre moved, inside the frame."""
        limits = zip(self.center_yx, motion.shift_yx, shape_yx, strict=True)
        y, x = (min(max(c + s, 0.0), side - 1.0) for c, s, side in limits)
        return y, x

    def window(self, motion: MotionPrediction, shape_yx: tuple[int, int], config: EngineConfig) -> Window:
        """Around that place, wider the longer the object is lost."""
        if config.window.mode == "full":
            return Window.full(shape_yx)
        return Window.square(self.place(motion, shape_yx), self.side * _widening(self.missing, config.life))

    def plausible(self, region: Region, place_yx: tuple[float, float], config: LifecycleConfig, *, sure: bool) -> bool:
        """Whether a mask has the size of this object and lies where it may have gone; `sure`: the model is of it."""
        low, high = config.gate_area
        usual = self.bank.usual_area
        fits = usual is None or low * usual <= region.area <= high * usual
        leap = LEAP if sure and not self.lost_for_long else 1.0
        reach = max(leap * self.diameter, config.gate_sigmas * self.kalman.sigma_px)
        return fits and dist(region.center_yx, place_yx) <= reach

    def leaving(self, shape_yx: tuple[int, int]) -> bool:
        """Whether the object was last seen at the border of the frame."""
        if self.region is None:
            return False
        y0, x0, y1, x1 = self.region.box
        return y0 <= 0 or x0 <= 0 or y1 >= shape_yx[0] - 1 or x1 >= shape_yx[1] - 1

    # ---- new states

    def carried(self, drift_yx: tuple[float, float]) -> Self:
        """One frame later, unseen."""
        return replace(self, kalman=self.kalman.predict(drift_yx), history=self.history.advanced(drift_yx))

    def restarted(self, seed: ConditioningFrame) -> Self:
        """With its size, and where it is, from a prompt on this frame."""
        bank = self.bank.conditioned(seed.memory).expecting(seed.memory.area)
        kalman = self.kalman
        if seed.region is not None and not self.present:
            kalman = Kalman.start(seed.region.center_yx, seed.region.diameter)
        return replace(self, side=max(seed.window.size_yx), bank=bank, contrasts=(), kalman=kalman)

    def advanced(
        self,
        batch: "ObjectBatch",
        row: int,
        memory: MemoryFrame | None,
        shape_yx: tuple[int, int],
        config: EngineConfig,
    ) -> Self:
        """After a frame: with what it won, or without; `memory` is what it remembers of the frame, if anything."""
        region, seen = batch.regions[row], batch.detections[row] or UNSEEN
        bank = self.bank if memory is None else self.bank.remembering(memory)
        now = replace(self, bank=bank, encounter=batch.encounters[row])
        if region is None:
            life = now.life.lost(seen, now.leaving(shape_yx), config.life)
            waiting = now.place(batch.motion[row], shape_yx) if life.confirmed == 0 else seen.glimpsed_yx
            return replace(now, life=life, center_yx=waiting or now.center_yx)
        found = now._found(region, batch, row)
        return found if memory is None else found._trusting(region, batch.scores[row].contrast, config)

    def _found(self, region: Region, batch: "ObjectBatch", row: int) -> Self:
        """Where it was found; the centre of a mask that it shares with another is that of its own motion."""
        kalman, iou = self.kalman, batch.scores[row].predicted_iou
        if not self.ambiguous or self._is_whole(region):
            kalman = kalman.update(region.center_yx, sure=iou >= SURE_IOU)
        center, alone = kalman.center_yx, self.alone
        if not self.ambiguous:
            center, alone = region.center_yx, WindowMask(batch.logits[row].clone(), batch.windows[row], region)
        moved = (center[0] - self.center_yx[0], center[1] - self.center_yx[1])
        history = self.history.seen(region, iou)
        life = self.life.found()
        return replace(
            self,
            life=life,
            region=region,
            center_yx=center,
            alone=alone,
            kalman=kalman,
            history=history,
            last_shift=moved,
        )

    def _is_whole(self, region: Region) -> bool:
        usual = self.bank.usual_area
        return usual is None or WHOLE * usual <= region.area <= usual / WHOLE

    def _trusting(self, region: Region, contrast: float, config: EngineConfig) -> Self:
        """With a window that follows the size, slowly, and the contrast of a mask that can be trusted."""
        side = self.side * (config.window.ratio * region.diameter / self.side) ** config.window.rescale
        known = self.contrasts if contrast != contrast else (*self.contrasts, contrast)[-CONTRAST_HISTORY:]
        return replace(self, side=side, contrasts=known)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTable:
    """All objects that are followed.

    Attributes
    ----------
    by_id : mapping of int to TrackedObject
        By ascending id.
    """

    by_id: Mapping[int, TrackedObject] = field(default_factory=dict)

    def __iter__(self) -> Iterator[TrackedObject]:
        return iter(self.by_id.values())

    def get(self, object_id: int) -> TrackedObject | None:
        """The object of an id; None where it is not followed."""
        return self.by_id.get(object_id)

    def having(self, objects: Iterable[TrackedObject]) -> "ObjectTable":
        """With new states of some objects, or with new ones."""
        by_id = {**self.by_id, **{o.object_id: o for o in objects}}
        return ObjectTable({i: by_id[i] for i in sorted(by_id)})

    def without(self, object_id: int) -> "ObjectTable":
        """The same but for one object."""
        return ObjectTable({i: o for i, o in self.by_id.items() if i != object_id})

    def carried(self, drift_yx: tuple[float, float]) -> "ObjectTable":
        """One frame later, nothing seen yet."""
        return ObjectTable({i: o.carried(drift_yx) for i, o in self.by_id.items()})

    def advanced(
        self,
        batch: "ObjectBatch",
        memories: Mapping[int, MemoryFrame],
        seeds: Mapping[int, ConditioningFrame],
        shape_yx: tuple[int, int],
        config: EngineConfig,
    ) -> "ObjectTable":
        """After a frame.

        Parameters
        ----------
        batch : ObjectBatch
            What each object won.
        memories : mapping of int to MemoryFrame
            What is remembered of the frame, by row.
        seeds : mapping of int to ConditioningFrame
            Masks that the user's clicks made while the object was followed, by row.
        shape_yx : tuple of int
            Shape of the frame.
        config : EngineConfig
        """
        now = [o.restarted(seeds[row]) if row in seeds else o for row, o in enumerate(batch.objects)]
        return self.having(o.advanced(batch, row, memories.get(row), shape_yx, config) for row, o in enumerate(now))


def _diameter(region: Region | None, side: float) -> float:
    return region.diameter if region is not None else side / 5


def _widening(missing: int, config: LifecycleConfig) -> float:
    return min(config.widen ** min(missing, LONGEST_WIDENING), config.max_widen)
