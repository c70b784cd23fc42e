"""Objects that are followed, seen on the next frame: where to look, what to remember, which mask to take."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import max_pool2d

from napari_mosam.core.appearance import contrasts
from napari_mosam.core.config import EngineConfig
from napari_mosam.core.labels import NO_OBJECT, division_evidence, prune
from napari_mosam.core.model.segmenter import Decoded, Features, Recall, Segmenter
from napari_mosam.core.motion import guide
from napari_mosam.core.motion.estimate import FrameMotion, sparse_cues
from napari_mosam.core.motion.forecast import Forecast
from napari_mosam.core.observations import Observation, Origin
from napari_mosam.core.queries import LARGEST_PROMPT_LOGIT, Query, encode_windows, points_of
from napari_mosam.core.raster import rasterise
from napari_mosam.core.regions import Region
from napari_mosam.core.requests import Request
from napari_mosam.core.results import Cue, MemoryRead
from napari_mosam.core.tracks import Track
from napari_mosam.core.windows import Pyramid, Window

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN_MARGIN = 4
"""Model pixels around an object that are painted over with it."""

REACH = 3.0
"""Distance in object diameters within which others count as neighbours."""


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

    def observe(
        self,
        t: int,
        tracks: Sequence[Track],
        requests: Sequence[Request | None],
        pyramid: Pyramid,
        motion: FrameMotion,
    ) -> list[Observation]:
        """See all tracks on frame `t`.

        Parameters
        ----------
        tracks : sequence of Track
        requests : sequence of Request or None
            The user's corrections, one entry per track.
        pyramid : Pyramid
            The frame.
        motion : FrameMotion
            From the frame before.

        Returns
        -------
        list of Observation
            In the order of the tracks.
        """
        model, rows = self._model, range(len(tracks))
        forecasts = self._forecasts(tracks, motion)
        windows = [
            track.window(f.shift_yx, pyramid.shape_yx, self._config) for track, f in zip(tracks, forecasts, strict=True)
        ]
        images = pyramid.crop(windows, model.image_size)
        features = self._encode(images, tracks, forecasts, windows, pyramid)
        recalls = [track.bank.recall(t, self._step, self._n_frames) for track in tracks]
        conditioned = model.condition(features, recalls, self._n_frames)
        decoded = model.decode(features, conditioned)
        chosen, origins = self._guided(tracks, forecasts, windows, features, conditioned, decoded)
        chosen = self._corrected(requests, windows, features, conditioned, chosen)
        pointers = model.pointers(chosen.tokens[:, 0], chosen.object_score)
        masks = [
            self._mask(tracks[row], windows[row], forecasts[row], chosen, row, requests[row] is not None)
            for row in rows
        ]
        contrast, spread = contrasts(images, torch.stack([mask for mask, _ in masks]))
        return [
            Observation(
                tracks[row],
                windows[row],
                masks[row][0],
                pointers[row],
                float(chosen.predicted_iou[row, 0]),
                float(chosen.object_score[row]),
                forecasts[row],
                _reads(recalls[row], t),
                features.take([row]),
                "prompt" if requests[row] is not None else origins[row],
                float(contrast[row]),
                float(spread[row]),
                masks[row][1],
            )
            for row in rows
        ]

    def _encode(
        self,
        images: "Tensor",
        tracks: Sequence[Track],
        forecasts: Sequence[Forecast],
        windows: Sequence[Window],
        pyramid: Pyramid,
    ) -> Features:
        """Features of the windows; those in which a lost object is searched do not show the others."""
        searched = self._config.life.hide_others and any(track.searched for track in tracks)
        if searched:
            return self._model.encode(_without_others(images, tracks, forecasts, windows))
        if self._config.window.mode == "full":
            return encode_windows(self._model, pyramid, windows)
        return self._model.encode(images)

    def _forecasts(self, tracks: Sequence[Track], motion: FrameMotion) -> list[Forecast]:
        config = self._config.motion
        sparse: list[Cue | None] = [None] * len(tracks)
        if config.keypoints:
            sparse = sparse_cues(motion, [track.last_region for track in tracks], self._model.device)
        return [track.forecast(motion, cue, config) for track, cue in zip(tracks, sparse, strict=True)]

    # ---- motion-guided prompting

    def _guided(
        self,
        tracks: Sequence[Track],
        forecasts: Sequence[Forecast],
        windows: Sequence[Window],
        features: Features,
        conditioned: "Tensor",
        decoded: Decoded,
    ) -> tuple[Decoded, list[Origin]]:
        """The best candidate of each row, (B, 1, …), and which decode it came from.

        The object score is always that of the decode without prompts: a prompt makes the model see what is not there.
        """
        config, n = self._config.motion, decoded.logits.shape[1]
        expected = _expected(tracks, forecasts, windows)
        rows = [row for row, e in enumerate(expected) if e is not None and config.prompt != "off"]
        candidates = decoded
        if rows:
            asked = [e for row in rows if (e := expected[row]) is not None]
            prompted = self._model.decode(
                features.take(rows),
                conditioned[rows],
                points=guide.prompt_points(asked, config, self._model.image_size, self._model.device),
                mask_logits=guide.prompt_masks(asked, config, self._model.image_size),
            )
            candidates = _beside(decoded, prompted, rows)
        weighed = [e if row in rows or tracks[row].ambiguous else None for row, e in enumerate(expected)]
        best = guide.choose(candidates.logits, candidates.predicted_iou, weighed, config)
        return _taken(candidates, best), ["memory" if k < n else "motion" for k in best]

    # ---- corrections

    def _corrected(
        self,
        requests: Sequence[Request | None],
        windows: Sequence[Window],
        features: Features,
        conditioned: "Tensor",
        chosen: Decoded,
    ) -> Decoded:
        """The same with the rows that the user clicked on decoded again, with the clicks and their own logits."""
        for row, request in enumerate(requests):
            if request is None:
                continue
            query = Query(request.object_id, windows[row], request.clicks)
            logits = chosen.logits[row]
            if chosen.object_score[row] <= 0:
                logits = logits.new_full(logits.shape, NO_OBJECT)
            answer = self._model.decode(
                features.take([row]),
                conditioned[[row]],
                points=points_of([query], self._model),
                mask_logits=logits[None].clamp(-LARGEST_PROMPT_LOGIT, LARGEST_PROMPT_LOGIT),
                multimask=len(request.clicks) == 1,
            )
            answer = _taken(answer, [int(answer.predicted_iou.argmax())])
            for name in Decoded.__slots__:
                getattr(chosen, name)[row] = getattr(answer, name)[0]
        return chosen

    # ---- masks

    def _mask(
        self, track: Track, window: Window, forecast: Forecast, chosen: Decoded, row: int, corrected: bool
    ) -> "tuple[Tensor, float]":
        """Logits without the pieces that do not continue the last mask, and the evidence of a division."""
        logits = chosen.logits[row, 0]
        if chosen.object_score[row] <= 0:
            return logits.new_full(logits.shape, NO_OBJECT), 0.0
        last = track.last_region
        inside = rasterise(last.shifted(forecast.shift_yx), window, logits.shape[-1])[0] if last is not None else None
        evidence = division_evidence(logits, inside)
        return (prune(logits, inside) if self._config.prune and not corrected else logits), evidence


def _expected(
    tracks: Sequence[Track], forecasts: Sequence[Forecast], windows: Sequence[Window]
) -> list[guide.Expected | None]:
    """What motion expects of each row; None where it abstains: the object is lost, or nothing there looks like it."""
    moved = [
        track.last_region.shifted(f.shift_yx) if track.last_region is not None else None
        for track, f in zip(tracks, forecasts, strict=True)
    ]
    return [
        guide.Expected(region, window, track.mask_at(region.center_yx), _nearest(moved, row))
        if region is not None and f.confidence >= guide.MIN_CONFIDENCE
        else None
        for row, (track, f, window, region) in enumerate(zip(tracks, forecasts, windows, moved, strict=True))
    ]


def _nearest(regions: Sequence[Region | None], row: int) -> tuple[Region, ...]:
    """The other regions whose centre lies within three diameters of one of them, nearest first."""
    own = regions[row]
    if own is None:
        return ()
    others = [(math.dist(own.center_yx, r.center_yx), r) for k, r in enumerate(regions) if r is not None and k != row]
    near = [(distance, r) for distance, r in others if distance < REACH * own.diameter]
    return tuple(r for _, r in sorted(near, key=lambda pair: pair[0]))


def _without_others(
    images: "Tensor", tracks: Sequence[Track], forecasts: Sequence[Forecast], windows: Sequence[Window]
) -> "Tensor":
    """Windows in which objects are searched, with everything that is present painted over by what is between."""
    size = images.shape[-1]
    searched = [row for row, track in enumerate(tracks) if track.searched]
    moved = [t.last_region.shifted(f.shift_yx) for t, f in zip(tracks, forecasts, strict=True) if t.last_region]
    shown = images.clone() if searched and moved else images
    for row in searched if moved else ():
        held = torch.stack([rasterise(region, windows[row], size)[0] for region in moved]).amax(0)
        grown = max_pool2d(held[None], 2 * HIDDEN_MARGIN + 1, stride=1, padding=HIDDEN_MARGIN)[0] > 0.5
        if not grown.all():
            shown[row][grown] = shown[row][~grown].median()
    return shown


def _reads(recall: Recall, t: int) -> tuple[MemoryRead, ...]:
    frames = sorted((frame for _, frame in recall.frames), key=lambda f: abs(f.t - t))
    return tuple(MemoryRead(f.t, f.rating) for f in frames)


def _taken(decoded: Decoded, best: Sequence[int]) -> Decoded:
    """One candidate of each row, (B, 1, …)."""
    rows = list(range(len(best)))
    picked = (getattr(decoded, name)[rows, list(best)][:, None] for name in ("logits", "predicted_iou"))
    logits, ious = picked
    return Decoded(logits, ious, decoded.object_score.clone(), decoded.tokens[rows, list(best)][:, None])


def _beside(decoded: Decoded, prompted: Decoded, rows: Sequence[int]) -> Decoded:
    """Candidates of two decodes side by side; those of the second are out of reach (-1) for rows it did not see."""
    n = len(decoded.object_score)

    def joined(name: str, nothing: float) -> "Tensor":
        second = getattr(prompted, name)
        filled = second.new_full((n, *second.shape[1:]), nothing)
        filled[list(rows)] = second
        return torch.cat([getattr(decoded, name), filled], 1)

    return Decoded(
        joined("logits", NO_OBJECT), joined("predicted_iou", -1.0), decoded.object_score, joined("tokens", 0.0)
    )
