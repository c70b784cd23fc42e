"""Objects that are followed, seen on the next frame: where to look, what to remember, which mask to take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.masks.cleanup import prune
from napari_mosam.core.masks.contrast import contrasts
from napari_mosam.core.masks.overlap import NO_OBJECT
from napari_mosam.core.masks.raster import rasterise_all
from napari_mosam.core.masks.region import Region
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, MemorySelection, Segmenter
from napari_mosam.core.model.queries import LARGEST_PROMPT_LOGIT, DecodeQuery, encode_windows, points_of
from napari_mosam.core.motion import prompts as guide
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.learned.cue import LearnedMotionCue
from napari_mosam.core.motion.learned.encoders import WindowFeatures
from napari_mosam.core.motion.prediction import MotionCue, MotionPrediction, classical_cues, predict_motion
from napari_mosam.core.results.frame import MemoryRead, ObjectScores
from napari_mosam.core.tracking.batch import ObjectBatch, Origin
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.lifecycle import Encounter
from napari_mosam.core.tracking.table import TrackedObject
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

HIDDEN_MARGIN = 4
"""Model pixels around an object that are painted over with it, since its mask may be too small; not measured."""

REACH = 3.0
"""Distance in object diameters within which others count as neighbours: a window of five diameters shows 2.5 to either
side, and half of another cell may be in it."""

Requests = Sequence[FramePrompts | None]
"""The user's corrections, one entry per object."""

LastMasks = Sequence[WindowMask | None]
"""The last masks as they are expected now, one per object; None where nothing is expected."""


@dataclass(frozen=True, slots=True, eq=False)
class CurrentFrame:
    """The frame that is looked at.

    Attributes
    ----------
    t : int
    pyramid : Pyramid
    motion : FrameMotion
        From the frame before.
    """

    t: int
    pyramid: Pyramid
    motion: FrameMotion

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Px."""
        return self.pyramid.shape_yx


class Decoder:
    """The part of a step that asks the model; it holds settings alone.

    Parameters
    ----------
    model : Segmenter
    config : EngineConfig
    time_step : int
        +1 forward, -1 backward.
    n_frames : int
        Length of the movie.
    """

    def __init__(self, model: Segmenter, config: EngineConfig, time_step: int, n_frames: int) -> None:
        self._model = model
        self._config = config
        self._time_step = time_step
        self._n_frames = n_frames
        self._learned = LearnedMotionCue(model, config) if config.motion.encoder == "learned" else None
        self._cues: list[MotionCue] = classical_cues(config.motion, model.device)
        if self._learned is not None:
            self._cues.append(self._learned)

    @property
    def looks_back(self) -> bool:
        """Whether the features of the frame before are of use."""
        return self._learned is not None and self._learned.sees

    def predict(self, objects: Sequence[TrackedObject], motion: FrameMotion) -> list[MotionPrediction]:
        """Where objects are expected that stand as they were on the frame before."""
        return predict_motion(objects, motion, self._cues)

    def observe(
        self,
        frame: CurrentFrame,
        objects: Sequence[TrackedObject],
        predicted: Sequence[MotionPrediction],
        requests: Requests,
        before: Mapping[int, WindowFeatures],
    ) -> ObjectBatch:
        """See objects on a frame.

        Parameters
        ----------
        frame : CurrentFrame
        objects : sequence of TrackedObject
            One at least, carried to this frame.
        predicted : sequence of MotionPrediction
            From :meth:`predict`.
        requests : sequence of FramePrompts or None
        before : mapping of int to WindowFeatures
            What the model saw on the frame before, by object id; may be empty.

        Returns
        -------
        ObjectBatch
            In the order of the objects.
        """
        windows = [o.window(p, frame.shape_yx, self._config) for o, p in zip(objects, predicted, strict=True)]
        images = frame.pyramid.crop(windows, self._model.image_size)
        features = self._encoded(objects, predicted, windows, images, frame.pyramid)
        expected, last = self._expected(objects, predicted, windows, features, before, frame)
        recalls = [o.bank.recall(frame.t, self._time_step, self._n_frames) for o in objects]
        attended = self._model.attend_memory(features, recalls, self._n_frames)
        prompting = self._config.motion.prompt != "off"
        prompts = _motion_prompts(objects, expected, windows, last, prompting=prompting)
        chosen, by_motion = self._guided(prompts, features, attended)
        chosen = self._corrected(requests, windows, features, attended, chosen)
        logits, divisions = self._clean(chosen, requests, expected, windows)
        scores, origins = _scores(chosen, by_motion, contrasts(images, logits), divisions)
        n = len(objects)
        return ObjectBatch(
            objects=tuple(objects),
            motion=tuple(_clicked(p, r) for p, r in zip(expected, requests, strict=True)),
            windows=tuple(windows),
            logits=logits,
            scores=scores,
            pointers=tuple(self._model.object_pointers(chosen.mask_tokens[:, 0], chosen.object_score)),
            features=tuple(features.rows()),
            decoded_with=tuple("prompt" if r is not None else o for r, o in zip(requests, origins, strict=True)),
            reads=tuple(_reads(recall, frame.t) for recall in recalls),
            encounters=(Encounter(),) * n,
            detections=(None,) * n,
            regions=(None,) * n,
        )

    # ---- where

    def _encoded(
        self,
        objects: Sequence[TrackedObject],
        predicted: Sequence[MotionPrediction],
        windows: Sequence[Window],
        images: Tensor,
        pyramid: Pyramid,
    ) -> ImageFeatures:
        """Features of the windows; those in which a lost object is searched do not show the others."""
        hiding = self._config.life.hide_others and self._config.window.mode == "object"
        if hiding and any(o.searched for o in objects):
            return self._model.encode_image(_without_others(objects, predicted, windows, images))
        if self._config.window.mode == "full":
            return encode_windows(self._model, pyramid, windows)
        return self._model.encode_image(images)

    def _expected(
        self,
        objects: Sequence[TrackedObject],
        predicted: Sequence[MotionPrediction],
        windows: Sequence[Window],
        features: ImageFeatures,
        before: Mapping[int, WindowFeatures],
        frame: CurrentFrame,
    ) -> tuple[list[MotionPrediction], list[WindowMask | None]]:
        """The last masks where they are expected now, as the trained encoder deforms them where it is asked."""
        deformed: list[WindowMask | None] = [None] * len(objects)
        if self._learned is not None:
            now = [WindowFeatures(own, w) for own, w in zip(features.rows(), windows, strict=True)]
            deformed = self._learned.deform(objects, predicted, before, now, frame.motion, frame.shape_yx)
        moved = [d or _moved(o, p) for d, o, p in zip(deformed, objects, predicted, strict=True)]
        there = [p if d is None else replace(p, region=d.region) for p, d in zip(predicted, deformed, strict=True)]
        return there, moved

    # ---- which mask

    def _guided(
        self,
        prompts: Sequence[guide.MotionPrompt | None],
        features: ImageFeatures,
        attended: Tensor,
    ) -> tuple[MaskCandidates, Tensor]:
        """The best candidate of each row, (B, 1, …), and whether it is one of the prompted decode (B,).

        The object score is always that of the decode without prompts: a prompt makes the model see what is not there.
        """
        model, config = self._model, self._config.motion
        decoded = model.decode_masks(features, attended)
        asked = {row: p for row, p in enumerate(prompts) if p is not None and config.prompt != "off"}
        candidates = decoded
        if asked:
            rows = list(asked)
            prompted = model.decode_masks(
                features.take(rows),
                attended[rows],
                points=guide.prompt_points(list(asked.values()), config, model.image_size, model.device),
                mask_logits=guide.prompt_masks(list(asked.values()), config, model.image_size),
            )
            candidates = _beside(decoded, prompted, rows)
        best = guide.choose(candidates.logits, candidates.predicted_iou, prompts, config)
        return candidates.chosen(best), best >= decoded.logits.shape[1]

    def _corrected(
        self,
        requests: Requests,
        windows: Sequence[Window],
        features: ImageFeatures,
        attended: Tensor,
        chosen: MaskCandidates,
    ) -> MaskCandidates:
        """The candidates, those of rows that the user clicked on decoded again with the clicks and their own logits."""
        rows = {row: request for row, request in enumerate(requests) if request is not None}
        answers = {
            row: self._answer(request, windows[row], features.take([row]), attended[[row]], chosen.take([row]))
            for row, request in rows.items()
        }
        return chosen.replaced(answers)

    def _answer(
        self, request: FramePrompts, window: Window, features: ImageFeatures, attended: Tensor, before: MaskCandidates
    ) -> MaskCandidates:
        logits = before.logits if before.object_score[0] > 0 else torch.full_like(before.logits, NO_OBJECT)
        answer = self._model.decode_masks(
            features,
            attended,
            points=points_of([DecodeQuery(request.object_id, window, request.clicks)], self._model),
            mask_logits=logits.clamp(-LARGEST_PROMPT_LOGIT, LARGEST_PROMPT_LOGIT),
            multimask=len(request.clicks) == 1,
        )
        return answer.chosen(answer.predicted_iou.argmax(1))

    def _clean(
        self,
        chosen: MaskCandidates,
        requests: Requests,
        predicted: Sequence[MotionPrediction],
        windows: Sequence[Window],
    ) -> tuple[Tensor, list[float]]:
        """Logits without the pieces that do not continue the last mask, and the evidence of a division, by row."""
        absent = chosen.object_score <= 0
        logits = torch.where(absent[:, None, None], NO_OBJECT, chosen.logits[:, 0])
        inside = rasterise_all([p.region for p in predicted], windows, logits.shape[-1])
        return prune(logits, inside, [not self._config.prune or request is not None for request in requests])


def _moved(o: TrackedObject, predicted: MotionPrediction) -> WindowMask | None:
    """The last mask that was the object's alone, moved to where the object is expected."""
    if predicted.region is None:
        return None
    return WindowMask(o.alone.logits, o.alone.window_at(predicted.region.center_yx), predicted.region)


def _clicked(predicted: MotionPrediction, request: FramePrompts | None) -> MotionPrediction:
    """Where the user's clicks, or else the motion, say that an object is."""
    clicked = request.clicked if request is not None else None
    return predicted if clicked is None else replace(predicted, region=clicked)


def _motion_prompts(
    objects: Sequence[TrackedObject],
    predicted: Sequence[MotionPrediction],
    windows: Sequence[Window],
    last: LastMasks,
    *,
    prompting: bool,
) -> list[guide.MotionPrompt | None]:
    """What motion expects of the objects; None where one is lost, or nothing there looks like it, or it isn't asked."""
    regions = [mask.region if mask is not None else None for mask in last]
    return [
        guide.MotionPrompt(mask.region, windows[row], mask, _nearest(regions, row), predicted[row].sparse)
        if (prompting or objects[row].ambiguous)
        and mask is not None
        and mask.region is not None
        and predicted[row].confidence >= guide.MIN_CONFIDENCE
        else None
        for row, mask in enumerate(last)
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
    objects: Sequence[TrackedObject],
    predicted: Sequence[MotionPrediction],
    windows: Sequence[Window],
    images: Tensor,
) -> Tensor:
    """Windows in which objects are searched, with everything that is present painted over by what is between."""
    shown, present = images.clone(), [p.region for p in predicted if p.region is not None]
    for row, o in enumerate(objects):
        inside = [region for region in present if o.searched and windows[row].meets(region.box)]
        if not inside:
            continue
        held = rasterise_all(inside, [windows[row]] * len(inside), shown.shape[-1]).amax(0)
        grown = max_pool2d(held[None], 2 * HIDDEN_MARGIN + 1, stride=1, padding=HIDDEN_MARGIN)[0] > 0.5
        hidden = grown.to(shown.device)
        if not hidden.all():
            shown[row] = torch.where(hidden, shown[row][~hidden].median(), shown[row])
    return shown


def _scores(
    chosen: MaskCandidates, by_motion: Tensor, contrast_spread: tuple[Tensor, Tensor], divisions: Sequence[float]
) -> tuple[tuple[ObjectScores, ...], list[Origin]]:
    """Of each row, and which decode it came from; all comes from the device at once."""
    columns = (chosen.predicted_iou[:, 0], chosen.object_score, *contrast_spread, by_motion)
    ious, seen, contrast, spread, prompted = torch.stack([column.float() for column in columns]).tolist()
    rows = zip(ious, seen, contrast, spread, divisions, strict=True)
    scores = tuple(ObjectScores(i, s, contrast=c, spread=d, division=division) for i, s, c, d, division in rows)
    return scores, ["motion" if yes else "memory" for yes in prompted]


def _reads(recall: MemorySelection, t: int) -> tuple[MemoryRead, ...]:
    frames = sorted((frame for _, frame in recall.frames), key=lambda f: abs(f.t - t))
    return tuple(MemoryRead(f.t, f.rating) for f in frames)


def _beside(decoded: MaskCandidates, prompted: MaskCandidates, rows: Sequence[int]) -> MaskCandidates:
    """Candidates of two decodes side by side; those of the second are out of reach (-1) for rows it did not see."""
    n = len(decoded.object_score)

    def joined(name: str, nothing: float) -> Tensor:
        second = getattr(prompted, name)
        filled = second.new_full((n, *second.shape[1:]), nothing)
        filled[list(rows)] = second
        return torch.cat([getattr(decoded, name), filled], 1)

    return MaskCandidates(
        joined("logits", NO_OBJECT), joined("predicted_iou", -1.0), decoded.object_score, joined("mask_tokens", 0.0)
    )
