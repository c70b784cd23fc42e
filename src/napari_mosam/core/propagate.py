"""The loop: every object of every frame, one batch of windows at a time.

Follows SAM 2's tracking step (arXiv 2408.00714, section 4) with MoSAM's two ideas around it: motion places the
windows, and unreliable frames stay out of memory (arXiv 2505.00739). An independent implementation of the published
ideas; the constants are ours. All objects of a frame compete for its pixels, in the output and in what is
remembered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.config import EngineConfig
from napari_mosam.core.labels import NO_OBJECT, Contest, compete, label_dtype, prune, regions_of, suppress, upsample
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.model.segmenter import Features, MemoryFrame, Segmenter
from napari_mosam.core.motion.estimate import FrameMotion, MotionEstimator
from napari_mosam.core.raster import rasterise
from napari_mosam.core.results import FrameResult
from napari_mosam.core.seeding import Seed
from napari_mosam.core.tracks import Observation, Outcome, Track, without_duplicates
from napari_mosam.core.windows import Pyramid, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ReadFrame = Callable[[int], "NDArray[np.float32]"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One run over the movie in one direction.

    Attributes
    ----------
    step : int
        +1 forward, -1 backward.
    frames : range
        In the order they are visited.
    starts : mapping of int to int
        Frame on which each object enters.
    report_start : bool
        Whether an object's result on its starting frame belongs to this pass.
    """

    step: int
    frames: range
    starts: Mapping[int, int]
    report_start: bool

    @property
    def direction(self) -> str:
        """'forward' or 'backward'."""
        return "forward" if self.step > 0 else "backward"

    def reported(self, t: int) -> bool:
        """Whether any object has a result on frame `t`."""
        ahead = (t - min(self.starts.values())) if self.step > 0 else (max(self.starts.values()) - t)
        return ahead > 0 or (ahead == 0 and self.report_start)


class Propagator:
    """Runs one pass over a movie; holds nothing that grows with the number of frames.

    Parameters
    ----------
    model : Segmenter
    read : callable
        Frame index to float32 (Y, X) in [0, 1].
    n_frames : int
        Length of the movie.
    seeds : mapping of object id to mapping of frame to Seed
        Shared by both directions.
    run : Pass
    config : EngineConfig
    """

    def __init__(
        self,
        model: Segmenter,
        read: ReadFrame,
        n_frames: int,
        seeds: Mapping[int, Mapping[int, Seed]],
        run: Pass,
        config: EngineConfig,
    ) -> None:
        self._model = model
        self._read = read
        self._n_frames = n_frames
        self._seeds = seeds
        self._run = run
        self._config = config
        self._motion = MotionEstimator(config.motion)
        self._dtype = label_dtype(max(seeds))
        self._tracks: dict[int, Track] = {}

    def __iter__(self) -> Iterator[FrameResult]:
        for t in self._run.frames:
            result = self._step(t)
            if result is not None:
                yield result

    def _step(self, t: int) -> FrameResult | None:
        frame = self._read(t)
        motion = self._motion.step(frame)
        pyramid = Pyramid.of(frame, self._model.device)
        observed = [*self._prompted(t), *self._tracked(t, pyramid, motion)]
        return self._reported(self._conclude(t, observed, pyramid.shape_yx, motion)) if observed else None

    def _reported(self, result: FrameResult) -> FrameResult | None:
        """A result without the objects whose starting frame belongs to the other pass; None if none is left."""
        silent = [i for i, start in self._run.starts.items() if start == result.t and not self._run.report_start]
        if not silent:
            return result
        objects = tuple(o for o in result.objects if o.object_id not in silent)
        hidden = np.isin(result.labels, silent)
        labels = np.where(hidden, 0, result.labels).astype(self._dtype)
        confidence = np.where(hidden, 0, result.confidence).astype(np.float32)
        return replace(result, labels=labels, confidence=confidence, objects=objects) if objects else None

    # ---- who is seen where

    def _prompted(self, t: int) -> list[Observation]:
        """Objects that the user prompted on this frame: their result is already known."""
        found = []
        for object_id, by_frame in self._seeds.items():
            if t in by_frame and (object_id in self._tracks or self._run.starts.get(object_id) == t):
                found.append(Observation.of_seed(self._enter(object_id, t), by_frame[t]))
        return found

    def _enter(self, object_id: int, t: int) -> Track:
        if object_id not in self._tracks:
            bank = MemoryBank(self._config.memory, self._model.n_slots)
            for seed in self._seeds[object_id].values():
                bank.condition(seed.memory)
            bank.expect_area(self._seeds[object_id][t].memory.area)
            self._tracks[object_id] = Track(object_id, bank, self._seeds[object_id][t])
        return self._tracks[object_id]

    def _tracked(self, t: int, pyramid: Pyramid, motion: FrameMotion) -> list[Observation]:
        tracks = [track for oid, track in sorted(self._tracks.items()) if t not in self._seeds[oid]]
        if not tracks:
            return []
        model, full = self._model, self._config.window.mode == "full"
        shifts = [motion.of(track.region if track.present else None) for track in tracks]
        windows = [track.window(s, pyramid.shape_yx, full) for track, s in zip(tracks, shifts, strict=True)]
        features = model.encode(pyramid.crop(windows, model.image_size))
        recalls = [track.bank.recall(t, self._run.step, self._n_frames) for track in tracks]
        decoded = model.decode(features, model.condition(features, recalls, self._n_frames))
        best = decoded.predicted_iou.argmax(1).tolist()
        rows = range(len(tracks))
        pointers = model.pointers(decoded.tokens[list(rows), best], decoded.object_score)
        scores = decoded.object_score.tolist()
        ious = decoded.predicted_iou[list(rows), best].tolist()
        return [
            Observation(
                tracks[row],
                windows[row],
                self._mask_logits(tracks[row], windows[row], shifts[row], decoded.logits[row, best[row]], scores[row]),
                pointers[row],
                ious[row],
                scores[row],
                shifts[row],
                tuple(sorted((f.t for _, f in recalls[row].frames), key=lambda f: abs(f - t))),
                features.take([row]),
            )
            for row in rows
        ]

    def _mask_logits(
        self, track: Track, window: Window, shift: tuple[float, float], logits: "Tensor", score: float
    ) -> "Tensor":
        """Logits as the contest sees them: none of an absent object, no pieces that do not continue the last mask."""
        if score <= 0:
            return logits.new_full(logits.shape, NO_OBJECT)
        if not self._config.prune:
            return logits
        last = track.region if track.present else None
        return prune(logits, rasterise(last.shifted(shift), window, logits.shape[-1])[0] if last else None)

    # ---- who gets what, and what is remembered

    def _conclude(
        self, t: int, observed: Sequence[Observation], shape_yx: tuple[int, int], motion: FrameMotion
    ) -> FrameResult:
        observed = sorted(observed, key=lambda o: o.track.object_id)
        if self._config.compete:
            observed = without_duplicates(observed, shape_yx)
        ids, windows = [o.track.object_id for o in observed], [o.window for o in observed]
        contest = compete([o.logits for o in observed], windows, shape_yx)
        labels = contest.labels(ids, self._dtype)
        outcomes = [Outcome.of(o, region) for o, region in zip(observed, regions_of(labels, ids, windows), strict=True)]
        self._remember(t, outcomes, contest)
        for outcome in outcomes:
            outcome.settle(self._config.window)
        return FrameResult(
            t=t,
            direction=self._run.direction,
            labels=labels,
            confidence=contest.confidence([o.predicted_iou for o in observed]),
            objects=tuple(outcome.result() for outcome in outcomes),
            flow=motion.flow.full() if motion.flow is not None else None,
            drift_yx=motion.drift_yx,
        )

    def _remember(self, t: int, outcomes: Sequence[Outcome], contest: Contest) -> None:
        """Write the accepted frames to memory, in one batch; rows of `outcomes` are those of the contest."""
        import torch

        rows = [row for row, outcome in enumerate(outcomes) if outcome.remembered]
        if not rows:
            return
        size, seen = self._model.image_size, [outcomes[row].observation for row in rows]
        logits = upsample(torch.stack([o.logits for o in seen]), size)
        if self._config.compete:
            logits = suppress(logits, torch.stack([contest.rivals(row, outcomes[row].window, size) for row in rows]))
        scores = torch.tensor([o.object_score for o in seen], device=logits.device)
        features = Features.join([o.features for o in seen if o.features is not None])
        memories = self._model.remember(features, logits[:, None], scores)
        for row, o, memory in zip(rows, seen, memories, strict=True):
            area = float(outcomes[row].area)
            o.track.bank.remember(MemoryFrame(t, memory, o.pointer, o.predicted_iou, o.object_score, area))
