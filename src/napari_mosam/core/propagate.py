"""The loop: every object of every frame, one batch of windows at a time.

Follows SAM 2's tracking step (arXiv 2408.00714, section 4) with MoSAM's two ideas around it: motion places the
windows, and unreliable frames stay out of memory (arXiv 2505.00739). An independent implementation of the published
ideas; the constants are ours. All objects of a frame compete for its pixels, in the output and in what is
remembered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.config import EngineConfig
from napari_mosam.core.first_mask import FirstMask, Request, first_masks, rasterise
from napari_mosam.core.labels import Contest, compete, prune, regions_of, suppress
from napari_mosam.core.memory.bank import MemoryBank
from napari_mosam.core.model.segmenter import Features, MemoryFrame, Segmenter
from napari_mosam.core.motion.estimate import STILL, FrameMotion, MotionEstimator
from napari_mosam.core.regions import Region
from napari_mosam.core.results import FrameResult, ObjectResult, ObjectState
from napari_mosam.core.windows import Pyramid, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

NO_OBJECT = -1024.0
"""Logit of every pixel of an absent object, as SAM 2 has it."""

ReadFrame = Callable[[int], "NDArray[np.float32]"]


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """An object on a prompted frame, its memory written."""

    mask: FirstMask
    memory: MemoryFrame
    region: Region | None


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


# ---- prompted frames --------------------------------------------------------------------------------------------


def seed_frame(
    model: Segmenter, frame: "NDArray[np.float32]", t: int, requests: Sequence[Request], config: EngineConfig
) -> tuple[dict[int, Seed], Contest]:
    """Segment all objects prompted on a frame and write them to memory.

    Parameters
    ----------
    frame : ndarray of float32, shape (Y, X)
        In [0, 1].
    t : int
        Its index.
    requests : sequence of Request
        One per object.

    Returns
    -------
    seeds : dict of int to Seed
        By object id.
    contest : Contest
        Who holds which pixel, rows in the order of the requests.
    """
    pyramid = _pyramid(model, frame)
    masks = first_masks(model, pyramid, requests, config.window)
    logits = [_firm(mask) for mask in masks]
    windows = [mask.window for mask in masks]
    contest = compete(logits, windows, pyramid.shape_yx)
    labels = contest.labels([mask.object_id for mask in masks])
    regions = regions_of(labels, [mask.object_id for mask in masks], windows)
    seeds = {}
    for row, (mask, region) in enumerate(zip(masks, regions, strict=True)):
        memory = _seed_memory(model, mask, contest if config.compete else None, row, t, region)
        seeds[mask.object_id] = Seed(mask, memory, region)
    return seeds, contest


def _firm(mask: FirstMask) -> "Tensor":
    """Logits for the contest: what the user painted beats every prediction, an unseen object claims nothing."""
    if not mask.from_points:
        return mask.logits * 3
    return mask.logits if mask.object_score > 0 else mask.logits.clamp(max=NO_OBJECT)


def _seed_memory(
    model: Segmenter, mask: FirstMask, contest: Contest | None, row: int, t: int, region: Region | None
) -> MemoryFrame:
    import torch

    score = torch.tensor([mask.object_score], device=model.device)
    full = _upsample(mask.logits[None], model.image_size)
    if contest is not None:
        full = suppress(full, contest.rivals(row, mask.window, model.image_size)[None])
    features = model.remember(mask.features, full[:, None], score, from_points=mask.from_points)
    area = float(region.area) if region is not None else 0.0
    return MemoryFrame(t, features[0], mask.pointer, mask.predicted_iou, mask.object_score, area)


# ---- one pass ---------------------------------------------------------------------------------------------------


class _Track:
    """Where one object is in one pass."""

    def __init__(self, object_id: int, bank: MemoryBank, seed: Seed) -> None:
        self.object_id = object_id
        self.bank = bank
        self.region: Region | None = seed.region
        self.center_yx = seed.region.center_yx if seed.region is not None else seed.mask.window.center_yx
        self.side = max(seed.mask.window.size_yx)
        self.present = seed.region is not None

    def window(self, shift_yx: tuple[float, float], shape_yx: tuple[int, int], full: bool) -> Window:
        """Around the last box centre, moved by the motion since then."""
        if full:
            return Window.full(shape_yx)
        limits = zip(self.center_yx, shift_yx, shape_yx, strict=True)
        y, x = (min(max(c + s, 0.0), side - 1.0) for c, s, side in limits)
        return Window.square((y, x), self.side)

    def settle(self, region: Region | None, window: Window, trusted: bool, ratio: float, rescale: float) -> None:
        """Take in where the object was found; a lost object waits where its window was."""
        self.present = region is not None
        self.center_yx = window.center_yx if region is None else region.center_yx
        if region is None:
            return
        self.region = region
        if trusted:
            self.side *= (ratio * region.diameter / self.side) ** rescale


@dataclass(frozen=True, slots=True, eq=False)
class _Observation:
    """One object on one frame before competition; `features` is None on a prompted frame."""

    track: _Track
    window: Window
    logits: "Tensor"
    pointer: "Tensor"
    predicted_iou: float
    object_score: float
    shift_yx: tuple[float, float]
    memory_frames: tuple[int, ...]
    features: Features | None


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
        self._tracks: dict[int, _Track] = {}

    def __iter__(self) -> Iterator[FrameResult]:
        for t in self._run.frames:
            result = self._step(t)
            if result is not None:
                yield result

    def _step(self, t: int) -> FrameResult | None:
        frame = self._read(t)
        motion = self._motion.step(frame)
        pyramid = _pyramid(self._model, frame)
        observed = [*self._prompted(t), *self._tracked(t, pyramid, motion)]
        entering = [oid for oid, start in self._run.starts.items() if start == t]
        if not observed and not entering:
            return None
        result = self._conclude(t, observed, pyramid.shape_yx, motion)
        for object_id in entering:
            self._enter(object_id, t)
        return result if self._run.reported(t) else None

    # ---- who is seen where

    def _prompted(self, t: int) -> list[_Observation]:
        """Objects that the user prompted on this frame: their result is already known."""
        found = []
        for object_id, by_frame in self._seeds.items():
            is_start = self._run.starts.get(object_id) == t and self._run.report_start
            if t in by_frame and (object_id in self._tracks or is_start):
                found.append(self._observe_seed(object_id, by_frame[t], t))
        return found

    def _observe_seed(self, object_id: int, seed: Seed, t: int) -> _Observation:
        track = self._tracks.get(object_id) or self._enter(object_id, t)
        mask = seed.mask
        return _Observation(
            track, mask.window, _firm(mask), mask.pointer, mask.predicted_iou, mask.object_score, STILL, (), None
        )

    def _enter(self, object_id: int, t: int) -> _Track:
        if object_id not in self._tracks:
            bank = MemoryBank(self._config.memory, self._model.n_slots)
            for seed in self._seeds[object_id].values():
                bank.condition(seed.memory)
            bank.note_area(self._seeds[object_id][t].memory.area)
            self._tracks[object_id] = _Track(object_id, bank, self._seeds[object_id][t])
        return self._tracks[object_id]

    def _tracked(self, t: int, pyramid: Pyramid, motion: FrameMotion) -> list[_Observation]:
        tracks = [track for oid, track in sorted(self._tracks.items()) if t not in self._seeds[oid]]
        if not tracks:
            return []
        model, full = self._model, self._config.window.mode == "full"
        shifts = [motion.of(track.region if track.present else None) for track in tracks]
        windows = [track.window(s, pyramid.shape_yx, full) for track, s in zip(tracks, shifts, strict=True)]
        features = model.encode(pyramid.crop(windows, model.image_size))
        recalls = [track.bank.recall(t, self._run.step, self._n_frames) for track in tracks]
        decoded = model.decode(features, model.condition(features, recalls, self._n_frames))
        best = decoded.predicted_iou.argmax(1)
        rows = range(len(tracks))
        pointers = model.pointers(decoded.tokens[list(rows), best], decoded.object_score)
        observed = []
        for row, (track, window, shift, recall) in enumerate(zip(tracks, windows, shifts, recalls, strict=True)):
            score = float(decoded.object_score[row])
            logits = decoded.logits[row, best[row]]
            if self._config.prune and track.present and track.region is not None:
                logits = prune(logits, rasterise(track.region.shifted(shift), window, logits.shape[-1])[0])
            observed.append(
                _Observation(
                    track,
                    window,
                    logits if score > 0 else logits.new_full(logits.shape, NO_OBJECT),
                    pointers[row],
                    float(decoded.predicted_iou[row, best[row]]),
                    score,
                    shift,
                    tuple(sorted((f.t for _, f in recall.frames), key=lambda f: abs(f - t))),
                    features.take([row]),
                )
            )
        return observed

    # ---- who gets what, and what is remembered

    def _conclude(
        self, t: int, observed: Sequence[_Observation], shape_yx: tuple[int, int], motion: FrameMotion
    ) -> FrameResult:
        observed = sorted(observed, key=lambda o: o.track.object_id)
        ids = [o.track.object_id for o in observed]
        windows = [o.window for o in observed]
        contest = compete([o.logits for o in observed], windows, shape_yx)
        labels = contest.labels(ids)
        regions = regions_of(labels, ids, windows)
        consistencies = [_consistency(o, region) for o, region in zip(observed, regions, strict=True)]
        kept = [
            o.features is not None and o.track.bank.accepts(region.area if region else 0.0, o.object_score, consistency)
            for o, region, consistency in zip(observed, regions, consistencies, strict=True)
        ]
        self._remember(t, observed, regions, kept, contest)
        objects = tuple(
            _object_result(o, region, consistency, remembered)
            for o, region, consistency, remembered in zip(observed, regions, consistencies, kept, strict=True)
        )
        for o, region, remembered in zip(observed, regions, kept, strict=True):
            config = self._config.window
            o.track.settle(region, o.window, remembered, config.ratio, config.rescale)
        return FrameResult(
            t=t,
            direction=self._run.direction,
            labels=labels,
            confidence=contest.confidence([o.predicted_iou for o in observed]),
            objects=objects,
            flow=motion.flow.full() if motion.flow is not None else None,
            drift_yx=motion.drift_yx,
        )

    def _remember(
        self,
        t: int,
        observed: Sequence[_Observation],
        regions: Sequence[Region | None],
        kept: Sequence[bool],
        contest: Contest,
    ) -> None:
        import torch

        rows = [row for row, keep in enumerate(kept) if keep]
        if not rows:
            return
        size = self._model.image_size
        logits = _upsample(torch.stack([observed[row].logits for row in rows]), size)
        if self._config.compete:
            rivals = torch.stack([contest.rivals(row, observed[row].window, size) for row in rows])
            logits = suppress(logits, rivals)
        scores = torch.tensor([observed[row].object_score for row in rows], device=logits.device)
        features = self._model.remember(_joined([observed[row].features for row in rows]), logits[:, None], scores)
        for row, memory in zip(rows, features, strict=True):
            o, region = observed[row], regions[row]
            area = float(region.area) if region is not None else 0.0
            o.track.bank.remember(MemoryFrame(t, memory, o.pointer, o.predicted_iou, o.object_score, area))


def _consistency(observed: _Observation, region: Region | None) -> float:
    before = observed.track.region
    if observed.features is None or before is None or not observed.track.present:
        return nan
    return before.shifted(observed.shift_yx).iou(region) if region is not None else 0.0


def _object_result(o: _Observation, region: Region | None, consistency: float, remembered: bool) -> ObjectResult:
    prompted = o.features is None
    return ObjectResult(
        object_id=o.track.object_id,
        state=ObjectState.PRESENT if region is not None else ObjectState.LOST,
        window=o.window,
        logits=np.asarray(o.logits.cpu().numpy(), np.float32),
        predicted_iou=o.predicted_iou,
        object_score=o.object_score,
        area=region.area if region is not None else 0,
        box=region.box if region is not None else None,
        consistency=consistency,
        shift_yx=o.shift_yx,
        remembered=remembered or prompted,
        prompted=prompted,
        memory_frames=o.memory_frames,
    )


def _upsample(logits: "Tensor", size: int) -> "Tensor":
    """(B, h, w) logits to (B, size, size), bilinear."""
    from torch.nn.functional import interpolate

    return interpolate(logits[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def _joined(features: Sequence[Features | None]) -> Features:
    import torch

    there = [f for f in features if f is not None]
    levels = zip(*(f.high for f in there), strict=True)
    return Features(torch.cat([f.top for f in there]), tuple(torch.cat(level) for level in levels))


def _pyramid(model: Segmenter, frame: "NDArray[np.float32]") -> Pyramid:
    import torch

    return Pyramid(torch.from_numpy(frame).to(model.device))
