"""The loop: every object of every frame, one batch of windows at a time.

Follows SAM 2's tracking step (arXiv 2408.00714, section 4) with MoSAM's two ideas around it: motion places the
windows and may prompt the decoder, and unreliable frames and pixels stay out of memory (arXiv 2505.00739). An
independent implementation of the published ideas; the constants are ours. All objects of a frame compete for its
pixels, in the output and in what is remembered.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.images.gaps import SkippedFrameError, needed
from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.masks.overlap import FixedMask, PixelOwnership
from napari_mosam.core.masks.pieces import settle
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.memory.reliability import pixel_confidence
from napari_mosam.core.memory.selection import reliability
from napari_mosam.core.memory.writer import encode_memory, own_logits
from napari_mosam.core.model.protocol import ImageFeatures, MemoryFrame, Segmenter
from napari_mosam.core.motion.cues import STILL, FrameMotion, MotionEstimator
from napari_mosam.core.motion.learned.encoders import WindowFeatures
from napari_mosam.core.motion.prediction import MotionPrediction
from napari_mosam.core.results.frame import FrameResult, ObjectResult, ObjectState, when_asked
from napari_mosam.core.tracking.batch import ObjectBatch
from napari_mosam.core.tracking.conditioning import ConditioningFrame, condition_frame
from napari_mosam.core.tracking.decode import CurrentFrame, Decoder
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.judge import believed, concluded, corrected, remembered, without_absent
from napari_mosam.core.tracking.passes import PropagationPass
from napari_mosam.core.tracking.table import ObjectTable, TrackedObject
from napari_mosam.core.windows.canvas import Canvas
from napari_mosam.core.windows.devices import rows_on
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.sparse import SparseImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

ReadFrame = Callable[[int], "NDArray[np.float32] | Canvas"]
Seeds = dict[int, dict[int, ConditioningFrame]]
"""By object and frame."""


def _no_claims(t: int) -> Sequence[FixedMask]:
    return ()


class FrameComparison(Protocol):
    """What tells the motion from each frame to the next."""

    def step(self, frame: Canvas) -> FrameMotion:
        """Motion from the frame given before to this one."""
        ...


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
    absent : mapping of int to collection of int
        By object, frames on which a person said that it is not there.
    """

    rivals: Callable[[int], Sequence[FixedMask]] = _no_claims
    max_id: int = 0
    entries: Mapping[int, ConditioningFrame] = field(default_factory=dict)
    history: Mapping[int, Sequence[MemoryFrame]] = field(default_factory=dict)
    absent: Mapping[int, Collection[int]] = field(default_factory=dict)


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

    def add(self, t: int, seed: ConditioningFrame) -> None:
        """Keep a frame that has become a conditioning frame."""
        self.seeds[seed.object_id][t] = seed


class Propagator:
    """Runs one pass over a movie; holds nothing that grows with the number of frames.

    Parameters
    ----------
    model : Segmenter
    read : callable
        Frame index to float32 (Y, X) in [0, 1], as an array or as a canvas that is read where something looks;
        SkippedFrameError for a frame that is passed over.
    n_frames : int
        Length of the movie.
    knowledge : Conditioning
        Shared by both directions.
    run : PropagationPass
    config : EngineConfig
    around : FixedObjects
    motion : FrameComparison, optional
        By default as the settings say.
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
        motion: FrameComparison | None = None,
    ) -> None:
        self._model = model
        self._read = read
        self._knowledge = knowledge
        self._run = run
        self._config = config
        self._around = around
        self._motion = motion or MotionEstimator(config.motion, model.device)
        self._decoder = Decoder(model, config, run.time_step, n_frames)
        self._dtype = label_dtype(max(*knowledge.seeds, around.max_id))
        self._seen: dict[int, WindowFeatures] = {}
        self._shape_yx = (0, 0)
        self.table = ObjectTable()

    def __iter__(self) -> Iterator[FrameResult]:
        for t in self._run.frames:
            result = self._step(t)
            if result is not None:
                yield result
            del result  # its arrays of a whole frame would stay while the next one is computed

    def release(self, object_id: int) -> None:
        """Follow an object no further; to be called between two frames."""
        self.table = self.table.without(object_id)

    def _step(self, t: int) -> FrameResult | None:
        """One frame; where that turns out to be one to skip, nothing that it began to change stays changed."""
        before = self.table, copy(self._motion), self._seen
        try:
            return self._looked_at(t)
        except SkippedFrameError as error:
            if any(self._knowledge.correction(i, t) for i in self._knowledge.seeds):
                with needed():
                    raise
            self.table, self._motion, self._seen = before
            return self._passed_over(t, str(error))

    def _passed_over(self, t: int, why: str) -> FrameResult | None:
        """A frame that nobody saw: all objects are absent, which speaks against none, and move on by themselves."""
        self.table = self.table.carried(STILL).having([self._entered(t, seed) for seed in self._given(t).values()])
        if not self.table.by_id:
            return None
        batch = ObjectBatch.ended(list(self.table))
        objects = [self._object(batch, row, own, written=False) for row, own in enumerate(batch.downloaded)]
        return FrameResult(
            t=t,
            direction=self._run.direction,
            labels=when_asked(SparseImage(self._shape_yx, self._dtype)),
            confidence=when_asked(SparseImage(self._shape_yx, np.float32)),
            objects=tuple(replace(o, state=ObjectState.LOST) if o.present else o for o in objects),
            skipped=why,
        )

    def _looked_at(self, t: int) -> FrameResult | None:
        image = Canvas.of(self._read(t))
        frame = CurrentFrame(t, Pyramid.of(image, self._model.device), self._motion.step(image))
        self._shape_yx = frame.shape_yx
        self._condition(t, image)
        given = self._given(t)
        followed = [o for o in self.table if not (o.object_id in given or o.ended)]
        predicted = self._decoder.predict(followed, frame.motion)
        self.table = self.table.carried(frame.motion.drift_yx)
        self.table = self.table.having([self._entered(t, seed) for seed in given.values()])
        batch = self._observed(frame, given, dict(zip((o.object_id for o in followed), predicted, strict=True)))
        return None if batch is None else self._concluded(frame, batch)

    def _concluded(self, frame: CurrentFrame, batch: ObjectBatch) -> FrameResult | None:
        """Who gets which pixel, what is remembered, and where everybody stands after the frame."""
        shape, rivals = frame.shape_yx, self._around.rivals(frame.t)
        claims = believed(without_absent(batch, frame.t, self._around.absent), rivals, shape, self._config)
        logits, shares = settle(claims.masks(), rivals, shape, self._dtype, prune=self._config.prune)
        batch = concluded(claims, logits, shares.regions[: len(claims)])
        seeds = self._corrections(frame.t, batch, claims.logits, shares.whole)
        memories = self._written(frame.t, batch, remembered(batch), claims.logits, shares.whole, from_points=False)
        self.table = self.table.advanced(batch, memories, seeds, shape, self._config)
        objects = [self._object(batch, row, own, row in memories) for row, own in enumerate(batch.downloaded)]
        return self._result(frame, objects, shares.contest, rivals)

    # ---- who is seen where

    def _condition(self, t: int, frame: Canvas) -> None:
        """Clicks on an object that is not being followed, or far from it, start it anew where they are."""
        fresh = []
        for object_id in self._knowledge.seeds:
            request = self._knowledge.correction(object_id, t)
            o = self.table.get(object_id)
            if request is not None and request.is_positive and not (o and o.covers(request)):
                fresh.append(request)
        if fresh:
            for seed in condition_frame(self._model, frame, t, fresh, self._config)[0].values():
                self._knowledge.add(t, seed)

    def _given(self, t: int) -> dict[int, ConditioningFrame]:
        """Objects whose result on this frame is known before it is looked at, by ascending id."""
        found = {}
        for object_id, by_frame in sorted(self._knowledge.seeds.items()):
            starts = self._run.entries.get(object_id) == t
            seed = by_frame.get(t) or (self._around.entries.get(object_id) if starts else None)
            if seed is not None and (starts or self.table.get(object_id) is not None):
                found[object_id] = seed
        return found

    def _observed(
        self,
        frame: CurrentFrame,
        given: Mapping[int, ConditioningFrame],
        predicted: Mapping[int, MotionPrediction],
    ) -> ObjectBatch | None:
        """All objects of the frame, known, followed or ended; None without any."""
        known = [o for o in self.table if o.object_id in given]
        followed = [o for o in self.table if o.object_id in predicted]
        ended = [o for o in self.table if o.ended and o.object_id not in given]
        parts = []
        if known:
            parts.append(ObjectBatch.given(known, list(given.values())))
        if followed:
            parts.append(self._followed(frame, followed, list(predicted.values())))
        if ended:
            parts.append(ObjectBatch.ended(ended))
        return ObjectBatch.join(parts) if parts else None

    def _entered(self, t: int, seed: ConditioningFrame) -> TrackedObject:
        known = self.table.get(seed.object_id)
        o = known or TrackedObject.entering(self._new_bank(seed.object_id), seed)
        return o.restarted(seed) if t in self._knowledge.seeds[seed.object_id] else o

    def _new_bank(self, object_id: int) -> MemoryBank:
        bank = MemoryBank(self._config.memory, self._model.num_maskmem)
        for known in self._knowledge.seeds[object_id].values():
            bank = bank.conditioned(known.memory)
        for frame in self._around.history.get(object_id, ()):
            bank = bank.remembering(frame)
        return bank

    def _followed(
        self, frame: CurrentFrame, objects: Sequence[TrackedObject], predicted: Sequence[MotionPrediction]
    ) -> ObjectBatch:
        asked = [self._knowledge.correction(o.object_id, frame.t) for o in objects]
        requests = [r if r is not None and o.covers(r) else None for r, o in zip(asked, objects, strict=True)]
        batch = self._decoder.observe(frame, objects, predicted, requests, self._seen)
        self._seen = _views(batch) if self._decoder.looks_back else {}
        return batch

    # ---- what is kept of it

    def _corrections(
        self, t: int, batch: ObjectBatch, claimed: Tensor, owners: PixelOwnership
    ) -> dict[int, ConditioningFrame]:
        """Masks that the user's clicks made become conditioning frames, by row."""
        memories = self._written(t, batch, corrected(batch), claimed, owners, from_points=True)
        seeds = {
            row: ConditioningFrame(
                batch.objects[row].object_id, batch.windows[row], batch.logits[row], memory, batch.regions[row]
            )
            for row, memory in memories.items()
        }
        for seed in seeds.values():
            self._knowledge.add(t, seed)
        return seeds

    def _written(
        self,
        t: int,
        batch: ObjectBatch,
        rows: Sequence[int],
        claimed: Tensor,
        owners: PixelOwnership,
        *,
        from_points: bool,
    ) -> dict[int, MemoryFrame]:
        """Memory of some rows, in one batch, without the pixels that rivals hold."""
        if not rows:
            return {}
        config, size = self._config, self._model.image_size
        windows = [batch.windows[row] for row in rows]
        rivals = owners.rivals(rows, windows, size) if config.compete else None
        own = own_logits(claimed[rows_on(claimed.device, rows)], rivals, size)
        features = ImageFeatures.join([f for row in rows if (f := batch.features[row]) is not None])
        scores = [batch.scores[row].object_score for row in rows]
        memories = encode_memory(self._model, features, own, scores, from_points=from_points)
        sure = pixel_confidence(own[:, None]) if config.memory.pixels != "off" else [None] * len(rows)
        return {
            row: _memory_frame(t, batch, row, memory, confidence)
            for row, memory, confidence in zip(rows, memories, sure, strict=True)
        }

    # ---- what is told of it

    def _result(
        self, frame: CurrentFrame, objects: Sequence[ObjectResult], owners: PixelOwnership, rivals: Sequence[FixedMask]
    ) -> FrameResult | None:
        """Without the objects whose starting frame belongs to the other pass; None if none is left."""
        starts = self._run.entries.items() if not self._run.report_start else ()
        silent = {i for i, start in starts if start == frame.t}
        told = tuple(o for o in objects if o.object_id not in silent)
        if silent and not told:
            return None
        rows: list[ObjectResult | FixedMask] = [*objects, *rivals]
        ids = [0 if row.object_id in silent else row.object_id for row in rows]
        qualities = [0.0 if row.object_id in silent else row.predicted_iou for row in rows]
        return FrameResult(
            t=frame.t,
            direction=self._run.direction,
            labels=when_asked(owners.label_image(ids, self._dtype)),
            confidence=when_asked(owners.confidence_image(qualities)),
            objects=told,
            flow=when_asked(frame.motion.flow),
            drift_yx=frame.motion.drift_yx,
        )

    def _object(self, batch: ObjectBatch, row: int, own: "NDArray[np.float32]", written: bool) -> ObjectResult:
        """What is reported of an object, its state as it is after the frame."""
        o, region = self.table.by_id[batch.objects[row].object_id], batch.regions[row]
        return ObjectResult(
            object_id=o.object_id,
            direction=self._run.direction,
            state=o.life.state,
            window=batch.windows[row],
            logits=own,
            scores=batch.scores[row],
            area=region.area if region is not None else 0,
            box=region.box if region is not None else None,
            cues=batch.motion[row].cues,
            memory=batch.reads[row],
            decoded_with=batch.decoded_with[row],
            remembered=written or batch.prompted(row),
        )


def _memory_frame(t: int, batch: ObjectBatch, row: int, features: Tensor, confidence: Tensor | None) -> MemoryFrame:
    """What is kept of a frame; copies, since what is given are rows of a batch."""
    scores, region = batch.scores[row], batch.regions[row]
    rating = reliability(scores.predicted_iou, scores.object_score, scores.consistency)
    return MemoryFrame(
        t,
        features.clone(),
        batch.pointers[row].clone(),
        scores.predicted_iou,
        scores.object_score,
        float(region.area if region is not None else 0),
        confidence.clone() if confidence is not None else None,
        1.0 if batch.prompted(row) else rating,
    )


def _views(batch: ObjectBatch) -> dict[int, WindowFeatures]:
    """What the model saw of each object."""
    rows = zip(batch.objects, batch.features, batch.windows, strict=True)
    return {o.object_id: WindowFeatures(own, window) for o, own, window in rows if own is not None}
