"""Objects that are followed, seen on the next frame: where to look, what to remember, which mask to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import max_pool2d

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.masks.cleanup import division_evidence, prune
from napari_mosam.core.masks.contrast import contrasts
from napari_mosam.core.masks.overlap import NO_OBJECT
from napari_mosam.core.masks.raster import rasterise
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, MemorySelection, Segmenter
from napari_mosam.core.model.queries import LARGEST_PROMPT_LOGIT, DecodeQuery, encode_windows, points_of
from napari_mosam.core.motion import prompts as guide
from napari_mosam.core.motion.cues import FrameMotion, sparse_cues
from napari_mosam.core.motion.learned.encoders import WindowFeatures
from napari_mosam.core.motion.prediction import MotionPrediction, SparsePrediction
from napari_mosam.core.results.frame import Cue, MemoryRead
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.learned_cue import LearnedMotionCue, WarpedMask
from napari_mosam.core.tracking.observations import ObjectPrediction, Origin
from napari_mosam.core.tracking.track import Track
from napari_mosam.core.windows.sampling import Pyramid
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN_MARGIN = 4
"""Model pixels around an object that are painted over with it."""

REACH = 3.0
"""Distance in object diameters within which others count as neighbours."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowBatch:
    """What is asked of the model about one frame, one row per object.

    Attributes
    ----------
    tracks : sequence of Track
    requests : sequence of FramePrompts or None
        The user's corrections.
    forecasts : sequence of MotionPrediction
    windows : sequence of Window
    images : Tensor, shape (B, S, S)
    warped : sequence of WarpedMask or None
        The last masks where and as the trained encoder finds them; empty where it is not asked.
    """

    tracks: Sequence[Track]
    requests: Sequence[FramePrompts | None]
    forecasts: Sequence[MotionPrediction]
    windows: Sequence[Window]
    images: "Tensor"
    warped: Sequence[WarpedMask | None] = ()

    @property
    def moved(self) -> list[Region | None]:
        """The last mask of each object where it is expected; None where it was lost."""
        moved = [
            track.last_region.shifted(forecast.shift_yx) if track.last_region is not None else None
            for track, forecast in zip(self.tracks, self.forecasts, strict=True)
        ]
        warped = [self.warp(row) for row in range(len(moved))]
        return [w.region if w is not None else m for w, m in zip(warped, moved, strict=True)]

    def warp(self, row: int) -> WarpedMask | None:
        """What the trained encoder finds of one object."""
        return self.warped[row] if self.warped else None

    def told(self, row: int) -> Region | None:
        """Where the user's clicks, or else the trained encoder, say that one object is."""
        request, warp = self.requests[row], self.warp(row)
        clicked = request.clicked if request is not None else None
        return clicked or (warp.region if warp is not None else None)

    def mask(self, row: int, region: Region) -> "tuple[Tensor, Window]":
        """The last mask logits of an object that is expected at `region`, and where they lie."""
        warp = self.warp(row)
        return (warp.logits, warp.window) if warp is not None else self.tracks[row].mask_at(region.center_yx)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedBatch:
    """What the model sees there: its features, before and after attending to memory, and one candidate per row."""

    features: ImageFeatures
    conditioned: "Tensor"
    decoded: MaskCandidates


class Decoder:
    """The part of a step that asks the model; writes nothing.

    Parameters
    ----------
    model : Segmenter
    config : EngineConfig
    step : int
        +1 forward, -1 backward.
    n_frames : int
        Length of the movie.
    """

    def __init__(self, model: Segmenter, config: EngineConfig, step: int, n_frames: int) -> None:
        self._model = model
        self._config = config
        self._step = step
        self._n_frames = n_frames
        self._foresight = LearnedMotionCue(model, config, step) if config.motion.encoder == "learned" else None

    def observe(
        self,
        t: int,
        tracks: Sequence[Track],
        requests: Sequence[FramePrompts | None],
        pyramid: Pyramid,
        motion: FrameMotion,
    ) -> list[ObjectPrediction]:
        """See all tracks on frame `t`.

        Parameters
        ----------
        tracks : sequence of Track
        requests : sequence of FramePrompts or None
            The user's corrections, one entry per track.
        pyramid : Pyramid
            The frame.
        motion : FrameMotion
            From the frame before.

        Returns
        -------
        list of ObjectPrediction
            In the order of the tracks.
        """
        model = self._model
        looks = self._look(tracks, requests, pyramid, motion)
        recalls = [track.bank.recall(t, self._step, self._n_frames) for track in tracks]
        features = self._encode(looks, pyramid)
        looks = self._warped(t, looks, features, motion, pyramid.shape_yx)
        conditioned = model.attend_memory(features, recalls, self._n_frames)
        chosen, origins = self._guided(
            looks, DecodedBatch(features, conditioned, model.decode_masks(features, conditioned))
        )
        chosen = self._corrected(looks, DecodedBatch(features, conditioned, chosen))
        pointers = model.object_pointers(chosen.mask_tokens[:, 0], chosen.object_score)
        moved = looks.moved
        masks = [self._mask(looks, row, chosen, moved[row]) for row in range(len(tracks))]
        contrast, spread = contrasts(looks.images, torch.stack([logits for logits, _ in masks]))
        return [
            ObjectPrediction(
                track,
                looks.windows[row],
                masks[row][0],
                pointers[row],
                float(chosen.predicted_iou[row, 0]),
                float(chosen.object_score[row]),
                looks.forecasts[row],
                _reads(recalls[row], t),
                features.take([row]),
                "prompt" if requests[row] is not None else origins[row],
                float(contrast[row]),
                float(spread[row]),
                masks[row][1],
                expected=looks.told(row),
            )
            for row, track in enumerate(tracks)
        ]

    def _look(
        self, tracks: Sequence[Track], requests: Sequence[FramePrompts | None], pyramid: Pyramid, motion: FrameMotion
    ) -> WindowBatch:
        """Where to look for each object."""
        config, shape = self._config, pyramid.shape_yx
        sparse: list[Cue | None] = [None] * len(tracks)
        if config.motion.keypoints:
            sparse = sparse_cues(motion, [track.last_region for track in tracks], self._model.device)
        unknown: list[SparsePrediction | None] = [None] * len(tracks)
        guesses = unknown if self._foresight is None else self._foresight.guesses(tracks, motion, sparse)
        forecasts = [
            track.forecast(motion, cue, config.motion, guess)
            for track, cue, guess in zip(tracks, sparse, guesses, strict=True)
        ]
        windows = [track.window(f.shift_yx, shape, config) for track, f in zip(tracks, forecasts, strict=True)]
        return WindowBatch(tracks, requests, forecasts, windows, pyramid.crop(windows, self._model.image_size))

    def _warped(
        self, t: int, looks: WindowBatch, features: ImageFeatures, motion: FrameMotion, shape: tuple[int, int]
    ) -> WindowBatch:
        """The same with the last masks as the trained encoder finds them now."""
        if self._foresight is None:
            return looks
        views = [WindowFeatures(features.take([row]), window) for row, window in enumerate(looks.windows)]
        return replace(looks, warped=self._foresight.warps(t, looks.tracks, looks.forecasts, views, motion, shape))

    def _encode(self, looks: WindowBatch, pyramid: Pyramid) -> ImageFeatures:
        """Features of the windows; those in which a lost object is searched do not show the others."""
        hiding = self._config.life.hide_others and self._config.window.mode == "object"
        if hiding and any(track.searched for track in looks.tracks):
            return self._model.encode_image(_without_others(looks))
        if self._config.window.mode == "full":
            return encode_windows(self._model, pyramid, looks.windows)
        return self._model.encode_image(looks.images)

    def _guided(self, looks: WindowBatch, seen: DecodedBatch) -> tuple[MaskCandidates, list[Origin]]:
        """The best candidate of each row, (B, 1, …), and which decode it came from.

        The object score is always that of the decode without prompts: a prompt makes the model see what is not there.
        """
        model, config, n = self._model, self._config.motion, seen.decoded.logits.shape[1]
        prompting = config.prompt != "off"
        expected = _expected(looks, [prompting or track.ambiguous for track in looks.tracks])
        rows = [row for row, e in enumerate(expected) if e is not None and prompting]
        candidates = seen.decoded
        if rows:
            asked = [e for row in rows if (e := expected[row]) is not None]
            prompted = model.decode_masks(
                seen.features.take(rows),
                seen.conditioned[rows],
                points=guide.prompt_points(asked, config, model.image_size, model.device),
                mask_logits=guide.prompt_masks(asked, config, model.image_size),
            )
            candidates = _beside(seen.decoded, prompted, rows)
        best = guide.choose(candidates.logits, candidates.predicted_iou, expected, config)
        return _taken(candidates, best), ["memory" if k < n else "motion" for k in best]

    def _corrected(self, looks: WindowBatch, seen: DecodedBatch) -> MaskCandidates:
        """The candidates, those of rows that the user clicked on decoded again with the clicks and their own logits."""
        chosen = seen.decoded
        for row, request in enumerate(looks.requests):
            if request is not None:
                answer = self._answer(request, looks.windows[row], seen, row)
                for name in MaskCandidates.__slots__:
                    getattr(chosen, name)[row] = getattr(answer, name)[0]
        return chosen

    def _answer(self, request: FramePrompts, window: Window, seen: DecodedBatch, row: int) -> MaskCandidates:
        logits = seen.decoded.logits[[row]]
        if seen.decoded.object_score[row] <= 0:
            logits = logits.new_full(logits.shape, NO_OBJECT)
        answer = self._model.decode_masks(
            seen.features.take([row]),
            seen.conditioned[[row]],
            points=points_of([DecodeQuery(request.object_id, window, request.clicks)], self._model),
            mask_logits=logits.clamp(-LARGEST_PROMPT_LOGIT, LARGEST_PROMPT_LOGIT),
            multimask=len(request.clicks) == 1,
        )
        return _taken(answer, [int(answer.predicted_iou.argmax())])

    def _mask(
        self, looks: WindowBatch, row: int, chosen: MaskCandidates, moved: Region | None
    ) -> "tuple[Tensor, float]":
        """Logits without the pieces that do not continue the last mask, and the evidence of a division."""
        logits = chosen.logits[row, 0]
        if chosen.object_score[row] <= 0:
            return logits.new_full(logits.shape, NO_OBJECT), 0.0
        inside = rasterise(moved, looks.windows[row], logits.shape[-1])[0] if moved is not None else None
        evidence = division_evidence(logits, inside)
        pruning = self._config.prune and looks.requests[row] is None
        return (prune(logits, inside) if pruning else logits), evidence


def _expected(looks: WindowBatch, wanted: Sequence[bool]) -> list[guide.MotionPrompt | None]:
    """What motion expects of the wanted rows; None where the object is lost, or nothing there looks like it."""
    moved = looks.moved
    return [
        guide.MotionPrompt(
            region, looks.windows[row], looks.mask(row, region), _nearest(moved, row), looks.forecasts[row].sparse
        )
        if wanted[row] and region is not None and looks.forecasts[row].confidence >= guide.MIN_CONFIDENCE
        else None
        for row, region in enumerate(moved)
    ]


def _nearest(regions: Sequence[Region | None], row: int) -> tuple[Region, ...]:
    """The other regions whose centre lies within three diameters of one of them, nearest first."""
    own = regions[row]
    if own is None:
        return ()
    others = [(math.dist(own.center_yx, r.center_yx), r) for k, r in enumerate(regions) if r is not None and k != row]
    near = [(distance, r) for distance, r in others if distance < REACH * own.diameter]
    return tuple(r for _, r in sorted(near, key=lambda pair: pair[0]))


def _without_others(looks: WindowBatch) -> "Tensor":
    """Windows in which objects are searched, with everything that is present painted over by what is between."""
    shown, present = looks.images.clone(), [region for region in looks.moved if region is not None]
    for row, track in enumerate(looks.tracks):
        inside = [region for region in present if track.searched and looks.windows[row].meets(region.box)]
        if not inside:
            continue
        held = torch.stack([rasterise(region, looks.windows[row], shown.shape[-1])[0] for region in inside]).amax(0)
        grown = max_pool2d(held[None], 2 * HIDDEN_MARGIN + 1, stride=1, padding=HIDDEN_MARGIN)[0] > 0.5
        hidden = grown.to(shown.device)
        if not hidden.all():
            shown[row] = torch.where(hidden, shown[row][~hidden].median(), shown[row])
    return shown


def _reads(recall: MemorySelection, t: int) -> tuple[MemoryRead, ...]:
    frames = sorted((frame for _, frame in recall.frames), key=lambda f: abs(f.t - t))
    return tuple(MemoryRead(f.t, f.rating) for f in frames)


def _taken(decoded: MaskCandidates, best: Sequence[int]) -> MaskCandidates:
    """One candidate of each row, (B, 1, …)."""
    rows = list(range(len(best)))
    logits, ious, tokens = (
        getattr(decoded, n)[rows, list(best)][:, None] for n in ("logits", "predicted_iou", "mask_tokens")
    )
    return MaskCandidates(logits, ious, decoded.object_score.clone(), tokens)


def _beside(decoded: MaskCandidates, prompted: MaskCandidates, rows: Sequence[int]) -> MaskCandidates:
    """Candidates of two decodes side by side; those of the second are out of reach (-1) for rows it did not see."""
    n = len(decoded.object_score)

    def joined(name: str, nothing: float) -> "Tensor":
        second = getattr(prompted, name)
        filled = second.new_full((n, *second.shape[1:]), nothing)
        filled[list(rows)] = second
        return torch.cat([getattr(decoded, name), filled], 1)

    return MaskCandidates(
        joined("logits", NO_OBJECT), joined("predicted_iou", -1.0), decoded.object_score, joined("mask_tokens", 0.0)
    )
