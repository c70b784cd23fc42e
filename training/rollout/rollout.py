"""One pass over a batch of clips as the engine makes it, and its loss.

Prompted frame, then frame by frame: attend to memory, decode, perhaps decode again with a motion prompt, take the
candidate with the best predicted IoU, let the objects compete, remember. Gradients run through the whole clip.
"""

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from napari_mosam.core.masks.iou import mask_iou
from napari_mosam.core.masks.overlap import NO_OBJECT, upsample
from napari_mosam.core.memory.selection import MAX_POINTERS
from napari_mosam.core.memory.writer import own_logits
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, PointPrompts
from napari_mosam.core.model.sam2_parts import Sam2Parts
from napari_mosam.core.tracking.prompted_masks import MASK_LOGIT, sure_logits
from training.config import TrainingConfig
from training.data.clips import ClipBatch
from training.nano.working import attention_for
from training.randomness import generator, happens, integers
from training.rollout.answers import as_prompt, best_of, replaced, rivals
from training.rollout.clip_memory import ClipMemory, MemoryRules
from training.rollout.losses import EntropyWeights, Losses, Target, decode_losses
from training.rollout.prompting import MotionPrompts, Prompted, corrected, first_prompts, motion_prompts

LATE_WEIGHT = 0.5
"""Weight of a corrected mask on a tracked frame, beside the masks of that frame."""


ROUND_ROWS = 16
"""A GPU decodes multiples of so many rows, the last row repeated: cuDNN plans anew for every shape, and groups of rows
that are prompted in one way have all sizes."""


MOST_IMAGES = 512
"""Images that are encoded at once: of 1024 images of 256 px the first stage attends in 65,536 windows, one more than a
GPU's kernels take."""


@dataclass(frozen=True, slots=True, eq=False)
class LossReport:
    """Loss of a batch, and what is logged of it: means by name, NaN where nothing was to be measured."""

    losses: Losses
    measures: dict[str, float]


class Rollout:
    """One pass over one batch; made anew for each.

    Parameters
    ----------
    parts : Sam2Parts
        Of the network that is trained.
    config : TrainingConfig
    clip : ClipBatch
    progress : float
        Share of the run that is done, in [0, 1].
    seed : str
        Of every choice that is made on the way.
    """

    def __init__(self, parts: Sam2Parts, config: TrainingConfig, clip: ClipBatch, progress: float, seed: str) -> None:
        self._parts = parts
        self._config = config
        self._clip = clip
        self._rng = generator(seed, "rollout")
        self._weights = EntropyWeights.at(progress, config.loss)
        self._size: int = parts.network.image_size
        self._rules = self._drawn_rules()
        self._memory = ClipMemory(self._rules)
        self._compete = happens(self._rng, config.memory.compete)
        self._late = self._drawn_correction()
        self._first_area = clip.masks(0).flatten(1).sum(1)
        self._losses = Losses.nothing(clip.images.device)
        self._measured: dict[str, list[Tensor]] = defaultdict(list)

    def run(self) -> LossReport:
        """Loss over all frames; its graph is complete, so that one ``backward`` trains everything."""
        with attention_for(self._clip.images.device):
            frames = self._encoded()
            last = self._prompted(self._features(frames, 0))
            for t in range(1, self._clip.n_frames):
                last = self._tracked(t, self._features(frames, t), last)
        measures = {name: float(torch.cat(values).nanmean()) for name, values in self._measured.items()}
        return LossReport(self._losses * (1 / self._clip.n_frames), measures)

    # ---- what is decided by chance for the whole batch

    def _drawn_rules(self) -> MemoryRules:
        config, rng, n_frames = self._config.memory, self._rng, self._clip.n_frames
        gated, short, aged = (happens(rng, p) for p in (config.gated, config.short, config.aged))
        age = int(integers(rng, (1,), 1, config.max_age + 1)) if aged else 0
        length = n_frames if short and not aged else MAX_POINTERS + n_frames
        return MemoryRules(gated, self._parts.network.num_maskmem, length, age)

    def _drawn_correction(self) -> int | None:
        """The tracked frame on which the user corrects, if any."""
        t = int(integers(self._rng, (1,), 1, max(2, self._clip.n_frames)))
        return t if happens(self._rng, self._config.prompt.late_correction) else None

    # ---- features

    def _encoded(self) -> ImageFeatures:
        parts = [self._encoded_part(images) for images in self._clip.images.flatten(0, 1).split(MOST_IMAGES)]
        top, *high = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return ImageFeatures(top, tuple(high))

    def _encoded_part(self, images: Tensor) -> tuple[Tensor, ...]:
        if not self._config.optimiser.recompute:
            return self._levels(images)
        levels: tuple[Tensor, ...] = checkpoint(
            self._levels,
            images,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), attention_for(images.device)),
        )
        return levels

    def _levels(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self._parts.encode_image(images)
        return (features.vision, *features.high_res)

    def _features(self, frames: ImageFeatures, t: int) -> ImageFeatures:
        """Features of frame `t`, one row per object."""
        n_clips, n_frames = self._clip.images.shape[:2]
        clips = torch.arange(n_clips, device=frames.vision.device)
        return _select(frames, self._clip.per_row(clips * n_frames + t))

    # ---- the prompted frame

    def _prompted(self, features: ImageFeatures) -> MaskCandidates:
        masks = self._clip.masks(0)
        target = Target.of(masks, self._first_area)
        conditioned = self._parts.without_memory(features)
        groups = first_prompts(self._clip, self._config.prompt, self._rng)
        answers = [
            self._given(masks[g.rows])
            if g.points is None
            else self._asked(g, _select(features, g.rows), conditioned[g.rows], masks[g.rows], target.take(g.rows))
            for g in groups
        ]
        place = torch.cat([g.rows for g in groups]).argsort()
        columns = ([getattr(answer, name) for answer in answers] for name in MaskCandidates.__slots__)
        answer = MaskCandidates(*(torch.cat(column)[place] for column in columns))
        pointers = self._pointers_of_first(groups, answer, features, masks)
        everyone = torch.ones_like(target.present)
        self._memory.condition(0, self._written(features, answer, everyone, from_points=True), pointers)
        return answer

    def _given(self, masks: Tensor) -> MaskCandidates:
        """Painted masks are taken as they are."""
        logits = sure_logits(masks[:, None].float())[:, None]
        score = torch.where(masks.flatten(1).any(1), MASK_LOGIT, -MASK_LOGIT)
        tokens = logits.new_zeros(len(masks), 1, self._parts.network.hidden_dim)
        return MaskCandidates(logits, torch.ones_like(score)[:, None], score, tokens)

    def _asked(
        self, group: Prompted, features: ImageFeatures, conditioned: Tensor, masks: Tensor, target: Target
    ) -> MaskCandidates:
        """The answer to points, corrected by further clicks."""
        share = len(masks) / self._clip.n_rows
        decoded = self._decoded(features, conditioned, points=group.points, multimask=group.multimask)
        self._judge(decoded, target, share)
        answer = best_of(decoded)
        self._measure(f"{group.kind}_iou", answer, masks, target)
        points = group.points
        for _ in range(int(integers(self._rng, (1,), 0, self._config.prompt.corrections + 1))):
            points = corrected(points, self._found(answer), masks, self._rng)
            decoded = self._decoded(
                features, conditioned, points=points, mask_logits=as_prompt(answer.logits), multimask=False
            )
            self._judge(decoded, target, share)
            answer = best_of(decoded)
        return answer

    def _pointers_of_first(
        self, groups: list[Prompted], answer: MaskCandidates, features: ImageFeatures, masks: Tensor
    ) -> Tensor:
        pointers = self._parts.object_pointers(answer.mask_tokens[:, 0], answer.object_score)
        painted = [g.rows for g in groups if g.points is None]
        if not painted:
            return pointers
        own = self._parts.object_pointers_of_masks(_select(features, painted[0]), masks[painted[0]][:, None].float())
        return pointers.index_copy(0, painted[0], own)

    # ---- tracked frames

    def _tracked(self, t: int, features: ImageFeatures, last: MaskCandidates) -> MaskCandidates:
        masks = self._clip.masks(t)
        target = Target.of(masks, self._first_area)
        conditioned = self._remembering(t, features)
        decoded = self._decoded(features, conditioned)
        self._judge(decoded, target, 1.0)
        answer = best_of(decoded)
        self._measure("first_tracked_iou" if t == 1 else "tracked_iou", answer, masks, target)
        if t == self._clip.n_frames - 1:
            self._measure("last_iou", answer, masks, target)
        self._measured["score_accuracy"].append(((answer.object_score > 0) == target.present).float().detach())
        answer = self._moved(t, features, conditioned, answer, last, target)
        if t == self._late:
            answer = self._corrected(features, conditioned, answer, masks, target)
        self._remember(t, features, answer)
        return answer

    def _remembering(self, t: int, features: ImageFeatures) -> Tensor:
        """ImageFeatures after attending to memory, (N, C, h, w)."""
        rows, parts = [], []
        for some, memory in self._memory.batches(t, self._clip.n_rows):
            rows.append(some)
            parts.append(self._parts.attend(_select(features, some), memory, self._rules.n_frames).float())
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _moved(
        self,
        t: int,
        features: ImageFeatures,
        conditioned: Tensor,
        answer: MaskCandidates,
        last: MaskCandidates,
        target: Target,
    ) -> MaskCandidates:
        """The better of each answer and one that was given the last mask, moved; presence is that of the former."""
        seen = (last.object_score > 0) & (last.logits > 0).flatten(1).any(1)
        prompts = motion_prompts(self._clip, t, last.logits[:, 0], seen, self._config.prompt, self._rng)
        if prompts is None:
            return answer
        decoded = self._with_motion(prompts, features, conditioned)
        self._judge(decoded, target.take(prompts.rows), len(prompts.rows) / self._clip.n_rows)
        return replaced(answer, prompts.rows, best_of(decoded))

    def _with_motion(self, prompts: MotionPrompts, features: ImageFeatures, conditioned: Tensor) -> MaskCandidates:
        rows = prompts.rows
        return self._decoded(_select(features, rows), conditioned[rows], mask_logits=prompts.mask_logits)

    def _corrected(
        self, features: ImageFeatures, conditioned: Tensor, answer: MaskCandidates, masks: Tensor, target: Target
    ) -> MaskCandidates:
        """One click on what is wrong, with the logits so far."""
        points: PointPrompts = corrected(None, self._found(answer), masks, self._rng)
        logits = torch.where((answer.object_score > 0)[:, None, None, None], answer.logits, NO_OBJECT)
        decoded = self._decoded(features, conditioned, points=points, mask_logits=as_prompt(logits))
        self._judge(decoded, target, LATE_WEIGHT)
        return best_of(decoded)

    def _remember(self, t: int, features: ImageFeatures, answer: MaskCandidates) -> None:
        seen = answer.object_score > 0
        pointers = self._parts.object_pointers(answer.mask_tokens[:, 0], answer.object_score)
        memory = self._written(features, answer, seen, from_points=t == self._late)
        if t == self._late:
            self._memory.condition(t, memory, pointers)
            return
        dropped = happens(self._rng, self._config.memory.drop)
        kept = seen & (answer.logits > 0).flatten(1).any(1) if self._rules.gated else torch.ones_like(seen)
        self._memory.remember(t, memory, pointers, (kept & (not dropped)).tolist())

    # ---- both

    def _decoded(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        *,
        points: PointPrompts | None = None,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
    ) -> MaskCandidates:
        """What the decoder answers; see :data:`ROUND_ROWS`."""
        n = len(conditioned)
        extra = -n % rounding(conditioned.device)
        rows = torch.arange(n + extra, device=conditioned.device).clamp(max=n - 1)
        if extra:
            features, conditioned = _select(features, rows), conditioned[rows]
            points = points and PointPrompts(points.xy[rows], points.labels[rows])
            mask_logits = None if mask_logits is None else mask_logits[rows]
        decoded = self._parts.decode_masks(
            features, conditioned, points=points, mask_logits=mask_logits, multimask=multimask
        )
        columns = (getattr(decoded, name)[:n] for name in MaskCandidates.__slots__)
        return MaskCandidates(*columns)

    def _written(self, features: ImageFeatures, answer: MaskCandidates, seen: Tensor, *, from_points: bool) -> Tensor:
        """Memory of masks, without the pixels that the other objects of a clip hold where they compete."""
        logits = torch.where(seen[:, None, None], answer.logits[:, 0], NO_OBJECT)
        others = rivals(logits, self._clip.ids, self._size) if self._compete else None
        own = own_logits(logits, others, self._size)[:, None]
        return self._parts.encode_memory(features.vision, own, answer.object_score, from_points=from_points)

    def _judge(self, decoded: MaskCandidates, target: Target, weight: float) -> None:
        self._losses = self._losses + decode_losses(decoded, target, self._config.loss, self._weights) * weight

    @torch.no_grad()
    def _found(self, answer: MaskCandidates) -> Tensor:
        return upsample(answer.logits[:, 0], self._size) > 0

    @torch.no_grad()
    def _measure(self, name: str, answer: MaskCandidates, masks: Tensor, target: Target) -> None:
        score = mask_iou(self._found(answer), masks)
        self._measured[name].append(torch.where(target.present, score, torch.nan))


def rounding(device: torch.device) -> int:
    """Rows of a batch of the decoder are a multiple of this."""
    return 1 if device.type == "cpu" else ROUND_ROWS


def _select(features: ImageFeatures, rows: Tensor) -> ImageFeatures:
    return ImageFeatures(
        features.vision.index_select(0, rows), tuple(h.index_select(0, rows) for h in features.high_res)
    )
