"""What was seen of an object on one frame: before it competes, and after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig
from napari_mosam.core.masks.overlap import NO_OBJECT, FixedMask, suppress_duplicates
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.memory.selection import reliability
from napari_mosam.core.model.protocol import ImageFeatures, MemoryFrame
from napari_mosam.core.motion.prediction import UNMOVED, MotionPrediction
from napari_mosam.core.results.frame import MemoryRead, ObjectResult
from napari_mosam.core.tracking.conditioning import ConditioningFrame
from napari_mosam.core.tracking.lifecycle import Detection
from napari_mosam.core.tracking.track import Track
from napari_mosam.core.windows.sampling import read_logits
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor

PROMPTED = 2.0
"""Strength of a claim that is certain; those of followed objects are 1 at most."""

UNSEEN = Detection(visible=False, plausible=False, continuous=False, predicted_iou=0.0)

Origin = Literal["memory", "motion", "prompt", "painted"]

OVERLAP = 0.2
"""Share of the smaller of two claims in the other from which on the two objects count as overlapping."""

LOST_CONTRAST = 2.0
"""How many times the contrast asked of a present object is asked of one that was lost."""

PRIOR_LOGIT = 10.0
"""Logits of both are clamped to this where an object cannot be told from another by the model."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPrediction:
    """One object on one frame before competition.

    Attributes
    ----------
    track : Track
    window : Window
    logits : Tensor, shape (s, s)
        What it claims; NO_OBJECT everywhere where it claims nothing.
    pointer : Tensor, shape (C,)
    predicted_iou, object_score : float
    forecast : MotionPrediction
    memory : tuple of MemoryRead
    features : ImageFeatures or None
        Of its window; None on a frame whose memory is already written.
    decoded_with : {'memory', 'motion', 'prompt', 'painted'}
    contrast, spread : float
        See :func:`contrasts`.
    division : float
        See :class:`ObjectResult`.
    seen : Detection or None
        Filled in by :func:`judged`.
    expected : Region or None
        The last mask where and as a trained encoder expects it, or where the user's prompts say the object is; None:
        the last mask is only moved by the forecast.
    """

    track: Track
    window: Window
    logits: "Tensor"
    pointer: "Tensor"
    predicted_iou: float
    object_score: float
    forecast: MotionPrediction = UNMOVED
    memory: tuple[MemoryRead, ...] = ()
    features: ImageFeatures | None = None
    decoded_with: Origin = "memory"
    contrast: float = nan
    spread: float = nan
    division: float = 0.0
    seen: Detection | None = None
    expected: Region | None = None

    @classmethod
    def of_seed(cls, track: Track, seed: ConditioningFrame) -> "ObjectPrediction":
        """An object on a frame where it is already known."""
        memory = seed.memory
        return cls(
            track,
            seed.window,
            seed.logits,
            memory.pointer,
            memory.predicted_iou,
            memory.object_score,
            decoded_with="painted" if seed.painted else "prompt",
            expected=seed.region,
        )

    @classmethod
    def of_ended(cls, track: Track) -> "ObjectPrediction":
        """An object that left for good and is not looked at any more."""
        logits, window = track.mask_at(track.center_yx)
        empty = logits.new_full(logits.shape, NO_OBJECT)
        return cls(track, window, empty, empty.new_zeros(0), 0.0, NO_OBJECT)

    @property
    def prompted(self) -> bool:
        """Whether the user prompted the object on this frame."""
        return self.decoded_with in ("prompt", "painted")

    @property
    def moved(self) -> Region | None:
        """Where the object is expected; None where nothing tells."""
        before = self.track.last_region
        return self.expected or (before.shifted(self.forecast.shift_yx) if before is not None else None)

    @property
    def contender(self) -> FixedMask:
        """What it brings to the contest."""
        painted = self.decoded_with == "painted"
        return FixedMask(self.track.object_id, self.window, self.logits, self.predicted_iou, painted, self.moved)

    def claim(self, shape_yx: tuple[int, int]) -> Region | None:
        """The frame pixels it claims."""
        return region_of_logits(self.logits, self.window, shape_yx)

    def nothing(self) -> "ObjectPrediction":
        """The same without any claim."""
        return replace(self, logits=self.logits.new_full(self.logits.shape, NO_OBJECT))

    def consistency(self, region: Region | None) -> float:
        """IoU of a mask with the last one moved by the motion since; NaN where there is nothing to compare."""
        moved = self.moved
        if self.prompted or self.track.last_region is None or moved is None:
            return nan
        return moved.iou(region) if region is not None else 0.0

    def strength(self, claim: Region | None) -> float:
        """Prompted objects come first, then those that continue their last mask, then the lost by predicted IoU."""
        if self.prompted:
            return PROMPTED
        consistency = self.consistency(claim)
        return self.predicted_iou - 1 if isnan(consistency) else consistency

    def stands_out(self, config: LifecycleConfig) -> bool:
        """Whether the mask shows something: not where the object's usual contrast has all but gone."""
        usual = self.track.usual_contrast
        if config.min_contrast == 0 or usual is None or isnan(self.contrast) or abs(usual) <= self.spread:
            return True
        least = config.min_contrast if self.track.present else min(1.0, LOST_CONTRAST * config.min_contrast)
        return self.contrast / usual >= least


def without_claim(
    observed: Sequence[ObjectPrediction], claims: Sequence[Region | None], held: Sequence[Region | None] = ()
) -> set[int]:
    """Rows whose claim is another object's mask; who moved there most plausibly keeps it.

    Objects that their own motion tells apart may lie in one another, and are left to the contest.

    Parameters
    ----------
    observed : sequence of ObjectPrediction
    claims : sequence of Region or None
        The pixels they claim.
    held : sequence of Region or None
        Masks of objects that are not followed again and always keep theirs.
    """
    strengths = [o.strength(claim) for o, claim in zip(observed, claims, strict=True)]
    asked = [None if o.track.ambiguous else claim for o, claim in zip(observed, claims, strict=True)]
    losers = suppress_duplicates([*asked, *held], [*strengths, *(PROMPTED for _ in held)])
    return {row for row in losers if row < len(observed)} | _taken_from_others(observed, claims)


def _taken_from_others(observed: Sequence[ObjectPrediction], claims: Sequence[Region | None]) -> set[int]:
    """Rows of lost objects that would come back out of a part of an object that is present."""
    lost = {row for row, o in enumerate(observed) if o.track.searched and not o.prompted}
    pairs = _overlapping(claims) if lost else []
    return {i for pair in pairs for i, j in (pair, pair[::-1]) if i in lost and j not in lost}


def judged(
    observed: Sequence[ObjectPrediction], claims: Sequence[Region | None], config: LifecycleConfig
) -> list[ObjectPrediction]:
    """The same with their sightings; an object that is not believed claims nothing."""
    return [_judged(o, claim, config) for o, claim in zip(observed, claims, strict=True)]


def _judged(o: ObjectPrediction, claim: Region | None, config: LifecycleConfig) -> ObjectPrediction:
    if o.prompted:
        return o
    track = o.track
    visible = claim is not None and o.object_score > 0 and o.stands_out(config)
    plausible = claim is not None and track.plausible(claim, config)
    seen = Detection(visible, plausible, o.consistency(claim) > 0, o.predicted_iou)
    if track.life.confirms(seen, config):
        return replace(o, seen=seen)
    if claim is not None and track.life.gates(seen):
        track.look_at(claim)
    return replace(o if claim is None else o.nothing(), seen=seen)


def mark_ambiguous(observed: Sequence[ObjectPrediction], claims: Sequence[Region | None]) -> None:
    """Tell tracks that only their own motion tells them apart: claims lie in one another, and one is passing by.

    An object that has just vanished on a course of its own may be behind another: it counts where it is expected.
    """
    ambiguous = set()
    places = [claim or o.track.hidden_region for o, claim in zip(observed, claims, strict=True)]
    for i, j in _overlapping(places):
        if observed[i].track.directed or observed[j].track.directed:
            ambiguous |= {i, j}
    for row, o in enumerate(observed):
        o.track.tell_ambiguous(row in ambiguous and not o.prompted)


def _overlapping(claims: Sequence[Region | None]) -> list[tuple[int, int]]:
    """Pairs of rows whose claims overlap by more than a tolerable part."""
    rows = [row for row, claim in enumerate(claims) if claim is not None]
    boxes = np.array([claim.box for claim in claims if claim is not None], float).reshape(-1, 4)
    meets = (boxes[:, None, :2] <= boxes[None, :, 2:]).all(2)
    pairs = [(rows[i], rows[j]) for i, j in np.argwhere(np.triu(meets & meets.T, 1))]
    return [(i, j) for i, j in pairs if _overlap(claims[i], claims[j])]


def told_apart(o: ObjectPrediction) -> ObjectPrediction:
    """An ambiguous object claims what both the model and its own motion give it.

    Its logits are averaged with those of its last undisputed mask, moved to where its motion takes it. Where
    look-alike cells pass each other the model sees one thing; the average divides it between them.
    """
    if not o.track.ambiguous or o.object_score <= 0:
        return o
    logits, made_in = o.track.mask_at(o.track.expected_yx)
    prior = read_logits(logits, made_in, o.window, o.logits.shape[-1])[0].clamp(-PRIOR_LOGIT, PRIOR_LOGIT)
    return replace(o, logits=(o.logits.clamp(-PRIOR_LOGIT, PRIOR_LOGIT) + prior.to(o.logits.device)) / 2)


def _overlap(one: Region | None, other: Region | None) -> bool:
    return one is not None and other is not None and one.overlap(other) > OVERLAP * min(one.area, other.area)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectUpdate:
    """One object on one frame after competition.

    Attributes
    ----------
    observation : ObjectPrediction
    region : Region or None
        The pixels it won.
    consistency : float
        See :class:`ObjectResult`.
    remembered : bool
        Whether the frame passes the write gate.
    """

    observation: ObjectPrediction
    region: Region | None
    consistency: float
    remembered: bool

    @classmethod
    def of(cls, o: ObjectPrediction, region: Region | None) -> "ObjectUpdate":
        """Judge what an object won."""
        consistency = o.consistency(region)
        area = region.area if region is not None else 0
        tracked = o.features is not None and not o.prompted and not o.track.ambiguous
        return cls(o, region, consistency, tracked and o.track.bank.accepts(area, o.object_score, consistency))

    @property
    def window(self) -> Window:
        """Where the model looked."""
        return self.observation.window

    @property
    def area(self) -> int:
        """Pixels won."""
        return self.region.area if self.region is not None else 0

    @property
    def rating(self) -> float:
        """Reliability of the frame, see :func:`rate`."""
        o = self.observation
        return 1.0 if o.prompted else reliability(o.predicted_iou, o.object_score, self.consistency)

    def memory(self, t: int, features: "Tensor", confidence: "Tensor | None") -> MemoryFrame:
        """What is kept of frame `t`; copies, since what is given are rows of a batch."""
        o = self.observation
        return MemoryFrame(
            t,
            features.clone(),
            o.pointer.clone(),
            o.predicted_iou,
            o.object_score,
            float(self.area),
            confidence.clone() if confidence is not None else None,
            self.rating,
        )

    def settle(self, shape_yx: tuple[int, int], config: EngineConfig) -> None:
        """Move the track to where its object was found, or note that it was not."""
        o, track = self.observation, self.observation.track
        if self.region is not None:
            track.life = track.life.found()
        else:
            track.life = track.life.lost(o.seen or UNSEEN, track.leaving(shape_yx), config.life)
        if self.region is not None or track.life.confirmed == 0:
            track.settle(self.region, self.window, o.logits, o.predicted_iou)
        if self.region is not None and self.remembered:
            track.resize(self.region.diameter, config.window)
            track.trust_contrast(o.contrast)

    def result(self) -> ObjectResult:
        """What is reported."""
        o = self.observation
        return ObjectResult(
            object_id=o.track.object_id,
            state=o.track.life.state,
            window=o.window,
            logits=np.array(o.logits.float().cpu().numpy(), np.float32),
            predicted_iou=o.predicted_iou,
            object_score=o.object_score,
            area=self.area,
            box=self.region.box if self.region is not None else None,
            consistency=self.consistency,
            shift_yx=o.forecast.shift_yx,
            remembered=self.remembered or o.prompted,
            prompted=o.prompted,
            memory=o.memory,
            cues=o.forecast.cues,
            decoded_with=o.decoded_with,
            contrast=o.contrast,
            division=o.division,
        )
