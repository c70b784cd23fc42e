"""Where an object is and what is known of it in one pass."""

from collections import deque
from dataclasses import replace
from math import dist
from statistics import median
from typing import TYPE_CHECKING

from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig, MotionConfig, WindowConfig
from napari_mosam.core.masks.region import Region
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.history import TrackHistory
from napari_mosam.core.motion.kalman import Kalman
from napari_mosam.core.motion.prediction import MotionPrediction, SparsePrediction, fuse
from napari_mosam.core.results.frame import Cue, ObjectState
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.lifecycle import FLICKER, Lifecycle
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor

DAMPING = 0.9
"""Share of the last velocity that a lost object keeps per frame: cells turn."""

WHOLE = 0.75
"""Share of the usual area above which the centre of a mask is that of its object, not of what is left to see."""

LONGEST_WIDENING = 500
"""Lost frames after which no window grows any more, whatever its rate."""

KNOWN_COURSE, SURE_IOU = 5, 0.8
"""Frames on which an object must have been seen before its own motion counts, and the predicted IoU that makes one:
masks that bleed and shrink seem to move."""

LONGEST_PASSING = 40
"""Frames in a row for which an object may be told from another by its motion alone."""

CONTRAST_HISTORY = 10

NEAR = 1.0
"""Distance of clicks from the last centre, in diameters, up to which they correct the mask instead of a new start."""


class Track:
    """One object in one pass.

    Parameters
    ----------
    object_id : int
    bank : MemoryBank
    seed : ConditioningFrame
        Where the object enters.
    """

    def __init__(self, object_id: int, bank: MemoryBank, seed: ConditioningFrame) -> None:
        self.object_id = object_id
        self.bank = bank
        self.region: Region | None = seed.region
        self.center_yx = seed.region.center_yx if seed.region is not None else seed.window.center_yx
        self._looked_at = self.center_yx
        self.side = max(seed.window.size_yx)
        self.life = Lifecycle() if seed.region is not None else Lifecycle(ObjectState.LOST, missing=1)
        self._n_ambiguous = 0
        self._mask = (seed.logits, seed.window, self.center_yx)
        self._alone = seed.region
        self._kalman = Kalman.start(self.center_yx, self.diameter)
        self._n_seen = 0
        self._last_shift = (0.0, 0.0)
        self._contrasts: deque[float] = deque(maxlen=CONTRAST_HISTORY)
        self.course = TrackHistory()
        if seed.region is not None:
            self.course.see(seed.region, seed.memory.predicted_iou)

    @property
    def present(self) -> bool:
        """Whether the object was seen on the frame before."""
        return self.life.state is ObjectState.PRESENT

    @property
    def ended(self) -> bool:
        """Whether the object left for good."""
        return self.life.state is ObjectState.ENDED

    @property
    def diameter(self) -> float:
        """Of the last mask, px; of a guess from the window where there never was one."""
        return self.region.diameter if self.region is not None else self.side / 5

    @property
    def last_region(self) -> Region | None:
        """The mask on the frame before; None where the object was lost."""
        return self.region if self.present else None

    @property
    def ambiguous(self) -> bool:
        """Whether only its own motion tells the object from another; for a limited time, since cells turn."""
        return 0 < self._n_ambiguous <= LONGEST_PASSING

    @property
    def searched(self) -> bool:
        """Whether the object has been lost for longer than a flicker, and not behind another."""
        return self.life.missing > FLICKER and not self.ambiguous

    @property
    def hidden_region(self) -> Region | None:
        """Where a lost object on a course of its own is expected; None for others, and after a time."""
        if self.present or not self.directed or self.life.missing > LONGEST_PASSING or self._alone is None:
            return None
        (y, x), (cy, cx) = self.expected_yx, self._alone.center_yx
        return self._alone.shifted((y - cy, x - cx))

    @property
    def directed(self) -> bool:
        """Whether the object moves on a course of its own, see :class:`Kalman`."""
        return self._n_seen >= KNOWN_COURSE and self._kalman.directed

    def mask_at(self, center_yx: tuple[float, float]) -> "tuple[Tensor, Window]":
        """The last mask logits that were the object's alone, and their window, moved to another centre."""
        logits, window, center = self._mask
        y, x = (w + new - old for w, new, old in zip(window.center_yx, center_yx, center, strict=True))
        return logits, replace(window, center_yx=(y, x))

    @property
    def last_mask(self) -> "tuple[Tensor, Window]":
        """The last mask logits that were the object's alone, and the window they were made in."""
        return self._mask[:2]

    @property
    def expected_yx(self) -> tuple[float, float]:
        """Where the object's own motion takes it on the current frame."""
        return self._kalman.center_yx

    @property
    def usual_contrast(self) -> float | None:
        """Median contrast of the latest trusted masks; None before the first."""
        return median(self._contrasts) if self._contrasts else None

    def covers(self, request: FramePrompts) -> bool:
        """Whether clicks mean the object where it is now: it is present and they lie in or near its last mask."""
        if not self.present:
            return False
        return all(dist(self.center_yx, (y, x)) <= NEAR * self.diameter for y, x, label in request.clicks if label)

    # ---- before a frame

    def forecast(
        self, motion: FrameMotion, sparse: Cue | None, config: MotionConfig, learned: SparsePrediction | None = None
    ) -> MotionPrediction:
        """Where to expect the object, from the motion of the image and, while it cannot be told, from its own."""
        self._kalman = self._kalman.predict(motion.drift_yx)
        self.course.advance(motion.drift_yx)
        region = self.last_region
        guessed = learned.cue if learned is not None else None
        observed = [cue for cue in (motion.dense(region), sparse, guessed) if cue is not None]
        shift, cues = fuse([motion.drift, *self._own_motion(motion, config), *observed], self.diameter)
        confidence = max(0.0, motion.ncc(region, shift)) if region is not None else 0.0
        used = learned is not None and any(cue.used and cue.name == "learned" for cue in cues)
        return MotionPrediction(shift, cues, confidence, learned if used else None)

    def _own_motion(self, motion: FrameMotion, config: MotionConfig) -> list[Cue]:
        (dy, dx), own = motion.drift_yx, []
        if config.velocity:
            own.append(Cue("velocity", self._last_shift, 1.0))
        if config.kalman and self.directed and (self.ambiguous or not self.present):
            vy, vx = (v * DAMPING**self.life.missing for v in self._kalman.velocity_yx)
            (y, x), (cy, cx) = self._kalman.center_yx, self.center_yx
            own.append(Cue("kalman", (y - cy, x - cx) if self.present else (vy + dy, vx + dx), 1.0))
        return own

    def window(self, shift_yx: tuple[float, float], shape_yx: tuple[int, int], config: EngineConfig) -> Window:
        """Around the last box centre, moved by the motion since then, wider the longer the object is lost."""
        limits = zip(self.center_yx, shift_yx, shape_yx, strict=True)
        y, x = (min(max(c + s, 0.0), side - 1.0) for c, s, side in limits)
        self._looked_at = (y, x)
        if config.window.mode == "full":
            return Window.full(shape_yx)
        return Window.square((y, x), self.side * _widening(self.life.missing, config.life))

    def _reach(self, config: LifecycleConfig) -> float:
        """How far from where it is expected the object may be, px."""
        return max(self.diameter, config.gate_sigmas * self._kalman.sigma_px)

    # ---- after a frame

    def plausible(self, region: Region, config: LifecycleConfig) -> bool:
        """Whether a mask has the size of this object and lies where it may have gone."""
        low, high = config.gate_area
        usual = self.bank.usual_area
        fits = usual is None or low * usual <= region.area <= high * usual
        distance = dist(region.center_yx, self._looked_at)
        return fits and distance <= self._reach(config)

    def leaving(self, shape_yx: tuple[int, int]) -> bool:
        """Whether the object was last seen at the border of the frame."""
        if self.region is None:
            return False
        y0, x0, y1, x1 = self.region.box
        return y0 <= 0 or x0 <= 0 or y1 >= shape_yx[0] - 1 or x1 >= shape_yx[1] - 1

    def settle(self, region: Region | None, window: Window, logits: "Tensor", predicted_iou: float) -> None:
        """Take in where the object was found; a lost object waits where its window was."""
        center = self._looked_at if region is None else region.center_yx
        if region is not None:
            if not self.ambiguous or self._is_whole(region):
                self._kalman = self._kalman.update(center)
                self._n_seen += predicted_iou >= SURE_IOU
            if self.ambiguous:
                center = self._kalman.center_yx
            else:
                self._mask, self._alone = (logits.clone(), window, center), region
            self._last_shift = (center[0] - self.center_yx[0], center[1] - self.center_yx[1])
            self.region = region
            self.course.see(region, predicted_iou)
        self.center_yx = center

    def _is_whole(self, region: Region) -> bool:
        usual = self.bank.usual_area
        return usual is None or WHOLE * usual <= region.area <= usual / WHOLE

    def tell_ambiguous(self, ambiguous: bool) -> None:
        """Note whether the object's claim lies in another's on this frame."""
        self._n_ambiguous = self._n_ambiguous + 1 if ambiguous else 0

    def look_at(self, region: Region) -> None:
        """Move to where a lost object may have been seen, without believing it yet."""
        self.center_yx = region.center_yx

    def trust_contrast(self, contrast: float) -> None:
        """Remember how much a trusted mask stood out."""
        if contrast == contrast:
            self._contrasts.append(contrast)

    def resize(self, diameter: float, config: WindowConfig) -> None:
        """Let the window follow a change of size, slowly."""
        self.side *= (config.ratio * diameter / self.side) ** config.rescale

    def restart(self, seed: ConditioningFrame) -> None:
        """Take the size of the object, and where it is, from a new prompt."""
        self.side = max(seed.window.size_yx)
        self.bank.condition(seed.memory)
        self.bank.expect_area(seed.memory.area)
        self._contrasts.clear()
        if seed.region is not None and not self.present:
            self._kalman = Kalman.start(seed.region.center_yx, seed.region.diameter)
            self._n_seen = 0


def _widening(missing: int, config: LifecycleConfig) -> float:
    return min(config.widen ** min(missing, LONGEST_WIDENING), config.max_widen)
