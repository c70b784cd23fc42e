"""The loop: every object of every frame, one batch of windows at a time.

Follows SAM 2's tracking step (arXiv 2408.00714, section 4) with MoSAM's two ideas around it: motion places the
windows and may prompt the decoder, and unreliable frames and pixels stay out of memory (arXiv 2505.00739). An
independent implementation of the published ideas; the constants are ours. All objects of a frame compete for its
pixels, in the output and in what is remembered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.masks.overlap import FixedMask, PixelOwnership, suppress, upsample
from napari_mosam.core.masks.pieces import settle
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.memory.reliability import pixel_confidence
from napari_mosam.core.model.protocol import ImageFeatures, MemoryFrame, Segmenter
from napari_mosam.core.motion.cues import FrameMotion, MotionEstimator
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.tracking.conditioning import ConditioningFrame, condition_frame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.observations import (
    ObjectPrediction,
    ObjectUpdate,
    judged,
    mark_ambiguous,
    told_apart,
    without_claim,
)
from napari_mosam.core.tracking.passes import PropagationPass
from napari_mosam.core.tracking.step import Decoder
from napari_mosam.core.tracking.track import Track
from napari_mosam.core.windows.sampling import Pyramid

if TYPE_CHECKING:
    from numpy.typing import NDArray

ReadFrame = Callable[[int], "NDArray[np.float32]"]
Seeds = dict[int, dict[int, ConditioningFrame]]
"""By object and frame."""


def _no_claims(t: int) -> Sequence[FixedMask]:
    return ()


@dataclass(frozen=True, slots=True, eq=False)
class FixedObjects:
    """What a run finds already done: other objects that are not followed again, and its own objects' past.

    Attributes
    ----------
    rivals : callable
        Frame index to the claims of the other objects; they compete and never change.
    max_id : int
        Largest id among them.
    entries : mapping of int to ConditioningFrame
        Where an object stands on its starting frame, if that is not a prompted one.
    history : mapping of int to sequence of MemoryFrame
        What an object remembers of the frames before its start, oldest first.
    """

    rivals: Callable[[int], Sequence[FixedMask]] = _no_claims
    max_id: int = 0
    entries: Mapping[int, ConditioningFrame] = field(default_factory=dict)
    history: Mapping[int, Sequence[MemoryFrame]] = field(default_factory=dict)


NO_OBJECTS = FixedObjects()


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """What the user said of the objects.

    Attributes
    ----------
    seeds : dict of object id to dict of frame to ConditioningFrame
        Prompted frames that are already segmented; shared by both directions. Corrections are added as they are
        reached.
    corrections : mapping of object id to mapping of frame to FramePrompts
        Frames with nothing but clicks, which correct the mask of an object that is followed there.
    """

    seeds: Seeds
    corrections: Mapping[int, Mapping[int, FramePrompts]] = field(default_factory=dict)

    def correction(self, object_id: int, t: int) -> FramePrompts | None:
        """The clicks of an object on a frame that is not segmented yet."""
        return None if t in self.seeds[object_id] else self.corrections.get(object_id, {}).get(t)


class Propagator:
    """Runs one pass over a movie; holds nothing that grows with the number of frames.

    Parameters
    ----------
    model : Segmenter
    read : callable
        Frame index to float32 (Y, X) in [0, 1].
    n_frames : int
        Length of the movie.
    knowledge : Conditioning
        Shared by both directions.
    run : PropagationPass
    config : EngineConfig
    around : FixedObjects
    """

    def __init__(
        self,
        model: Segmenter,
        read: ReadFrame,
        n_frames: int,
        knowledge: Conditioning,
        run: PropagationPass,
        config: EngineConfig,
        around: FixedObjects = NO_OBJECTS,
    ) -> None:
        self._model = model
        self._read = read
        self._n_frames = n_frames
        self._knowledge = knowledge
        self._run = run
        self._config = config
        self._around = around
        self._motion = MotionEstimator(config.motion, model.device)
        self._decoder = Decoder(model, config, run.time_step, n_frames)
        self._dtype = label_dtype(max(*knowledge.seeds, around.max_id))
        self._tracks: dict[int, Track] = {}

    def __iter__(self) -> Iterator[FrameResult]:
        for t in self._run.frames:
            result = self._step(t)
            if result is not None:
                yield result

    def release(self, object_id: int) -> None:
        """Follow an object no further; to be called between two frames."""
        self._tracks.pop(object_id, None)

    def _step(self, t: int) -> FrameResult | None:
        frame = self._read(t)
        motion = self._motion.step(frame)
        pyramid = Pyramid.of(frame, self._model.device)
        self._seed_corrections(t, frame)
        observed = [*self._known(t, motion), *self._followed(t, pyramid, motion)]
        return self._reported(self._conclude(t, observed, pyramid.shape_yx, motion)) if observed else None

    def _reported(self, result: FrameResult) -> FrameResult | None:
        """A result without the objects whose starting frame belongs to the other pass; None if none is left."""
        silent = [i for i, start in self._run.entries.items() if start == result.t and not self._run.report_start]
        if not silent:
            return result
        objects = tuple(o for o in result.objects if o.object_id not in silent)
        hidden = np.isin(result.labels, silent)
        labels = np.where(hidden, 0, result.labels).astype(self._dtype)
        confidence = np.where(hidden, 0, result.confidence).astype(np.float32)
        return replace(result, labels=labels, confidence=confidence, objects=objects) if objects else None

    # ---- who is seen where

    def _seed_corrections(self, t: int, frame: "NDArray[np.float32]") -> None:
        """Clicks on an object that is not being followed, or far from it, start it anew where they are."""
        fresh = []
        for object_id in self._knowledge.seeds:
            request = self._knowledge.correction(object_id, t)
            track = self._tracks.get(object_id)
            if request is not None and request.is_positive and not (track and track.covers(request)):
                fresh.append(request)
        seeds = condition_frame(self._model, frame, t, fresh, self._config)[0] if fresh else {}
        for object_id, seed in seeds.items():
            self._knowledge.seeds[object_id][t] = seed

    def _known(self, t: int, motion: FrameMotion) -> list[ObjectPrediction]:
        """Objects whose result on this frame is known before it is looked at."""
        found = []
        for object_id, by_frame in self._knowledge.seeds.items():
            starts = self._run.entries.get(object_id) == t
            seed = by_frame.get(t) or (self._around.entries.get(object_id) if starts else None)
            if seed is not None and (object_id in self._tracks or starts):
                if object_id in self._tracks:
                    self._tracks[object_id].forecast(motion, None, self._config.motion)
                found.append(ObjectPrediction.of_seed(self._entered(object_id, seed, prompted=t in by_frame), seed))
        return found

    def _entered(self, object_id: int, seed: ConditioningFrame, *, prompted: bool) -> Track:
        if object_id in self._tracks:
            track = self._tracks[object_id]
        else:
            track = self._tracks[object_id] = Track(object_id, self._new_bank(object_id), seed)
        if prompted:
            track.restart(seed)
        return track

    def _new_bank(self, object_id: int) -> MemoryBank:
        bank = MemoryBank(self._config.memory, self._model.num_maskmem)
        for known in self._knowledge.seeds[object_id].values():
            bank.condition(known.memory)
        for frame in self._around.history.get(object_id, ()):
            bank.remember(frame)
        return bank

    def _followed(self, t: int, pyramid: Pyramid, motion: FrameMotion) -> list[ObjectPrediction]:
        known = {i for i, by_frame in self._knowledge.seeds.items() if t in by_frame}
        starting = {i for i, start in self._run.entries.items() if start == t}
        others = [track for i, track in sorted(self._tracks.items()) if i not in known | starting]
        ended = [ObjectPrediction.of_ended(track) for track in others if track.ended]
        tracks = [track for track in others if not track.ended]
        if not tracks:
            return ended
        asked = [self._knowledge.correction(track.object_id, t) for track in tracks]
        requests = [r if r is not None and track.covers(r) else None for r, track in zip(asked, tracks, strict=True)]
        return [*self._decoder.observe(t, tracks, requests, pyramid, motion), *ended]

    # ---- who gets which pixel

    def _conclude(
        self, t: int, observed: Sequence[ObjectPrediction], shape_yx: tuple[int, int], motion: FrameMotion
    ) -> FrameResult:
        observed = sorted(observed, key=lambda o: o.track.object_id)
        rivals = self._around.rivals(t)
        observed = self._believed(observed, rivals, shape_yx)
        claims = [o.contender for o in observed]
        settled, shares = settle(claims, rivals, shape_yx, self._dtype, prune=self._config.prune)
        observed = [replace(o, logits=logits) for o, logits in zip(observed, settled, strict=True)]
        outcomes = [ObjectUpdate.of(o, region) for o, region in zip(observed, shares.regions, strict=False)]
        self._remember(t, outcomes, [claim.logits for claim in claims], shares.whole)
        for outcome in outcomes:
            outcome.settle(shape_yx, self._config)
        qualities = [*(o.predicted_iou for o in observed), *(rival.predicted_iou for rival in rivals)]
        return FrameResult(
            t=t,
            direction=self._run.direction,
            labels=shares.labels,
            confidence=shares.contest.confidence(qualities),
            objects=tuple(outcome.result() for outcome in outcomes),
            flow=motion.flow.full() if motion.flow is not None else None,
            drift_yx=motion.drift_yx,
        )

    def _believed(
        self, observed: Sequence[ObjectPrediction], rivals: Sequence[FixedMask], shape_yx: tuple[int, int]
    ) -> list[ObjectPrediction]:
        """The same, without the claims that are another object's mask or pass no gate."""
        claims = [o.claim(shape_yx) for o in observed]
        if self._config.motion.kalman:
            mark_ambiguous(observed, claims)
            observed = [told_apart(o) for o in observed]
            claims = [o.claim(shape_yx) if o.track.ambiguous else c for o, c in zip(observed, claims, strict=True)]
        if self._config.compete:
            held = [region_of_logits(rival.logits, rival.window, shape_yx) for rival in rivals]
            losers = without_claim(observed, claims, held)
            observed = [o.nothing() if row in losers else o for row, o in enumerate(observed)]
            claims = [None if row in losers else claim for row, claim in enumerate(claims)]
        return judged(observed, claims, self._config.life)

    def _remember(
        self, t: int, outcomes: Sequence[ObjectUpdate], logits: "Sequence[Tensor]", contest: PixelOwnership
    ) -> None:
        """Write the accepted frames and the corrections to memory; rows of the others are those of the contest."""
        tracked = [row for row, outcome in enumerate(outcomes) if outcome.remembered]
        corrected = [row for row, o in enumerate(outcomes) if o.observation.prompted and o.observation.features]
        for rows, from_points in ((tracked, False), (corrected, True)):
            for row, memory in zip(rows, self._encode(t, outcomes, rows, logits, contest, from_points), strict=True):
                outcome = outcomes[row]
                o = outcome.observation
                if from_points:
                    seed = ConditioningFrame(o.track.object_id, o.window, o.logits, memory, outcome.region)
                    self._knowledge.seeds[o.track.object_id][t] = seed
                    o.track.restart(seed)
                else:
                    o.track.bank.remember(memory)

    def _encode(
        self,
        t: int,
        outcomes: Sequence[ObjectUpdate],
        rows: Sequence[int],
        logits: "Sequence[Tensor]",
        contest: PixelOwnership,
        from_points: bool,
    ) -> list[MemoryFrame]:
        """Memory of some rows, in one batch, without the pixels that rivals hold."""
        if not rows:
            return []
        size, seen = self._model.image_size, [outcomes[row].observation for row in rows]
        shown = upsample(torch.stack([logits[row] for row in rows]), size)
        if self._config.compete:
            shown = suppress(shown, torch.stack([contest.rivals(row, outcomes[row].window, size) for row in rows]))
        scores = torch.tensor([o.object_score for o in seen], device=shown.device)
        features = ImageFeatures.join([o.features for o in seen if o.features is not None])
        memories = self._model.encode_memory(features, shown[:, None], scores, from_points=from_points)
        filtering = self._config.memory.pixels != "off"
        sure = pixel_confidence(shown[:, None]) if filtering else [None] * len(seen)
        return [
            outcome.memory(t, memory, c)
            for outcome, memory, c in zip((outcomes[row] for row in rows), memories, sure, strict=True)
        ]
