"""Prompts as users give them, made from the truth: on the first frame, as corrections, and from motion."""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mosam.core.model.protocol import PointPrompts
from napari_mosam.core.motion.prompts import PROMPT_LOGIT
from napari_mosam.core.prompts.kinds import BOX_END, BOX_START, NEGATIVE, POSITIVE
from napari_mosam.core.windows.sampling import move_logits
from training.config import KINDS, PromptConfig
from training.data.clips import ClipBatch
from training.data.masks import around, extents, innermost, pick
from training.randomness import chance, normal, uniform

NEAR = 12
"""Where an object has no neighbour, a negative click falls within so many px of it."""

LOST_WAY = 0.1
"""Share of motion prompts whose error is several times as large."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompted:
    """Rows that get prompts of one form.

    Attributes
    ----------
    kind : str
        One of :data:`training.config.KINDS`.
    rows : Tensor of int64, shape (N,)
    points : PointPrompts or None
        None for masks.
    multimask : bool
        Whether three candidates are asked for: for a single click, as in SAM 2.
    """

    kind: str
    rows: Tensor
    points: PointPrompts | None
    multimask: bool


@dataclass(frozen=True, slots=True, eq=False)
class PromptTargets:
    """What prompts are drawn from: masks of the objects, and of everything else, (N, S, S)."""

    masks: Tensor
    others: Tensor

    def take(self, rows: Tensor) -> "PromptTargets":
        """Some objects."""
        return PromptTargets(self.masks[rows], self.others[rows])


def kind_of_rows(n: int, config: PromptConfig, rng: torch.Generator) -> list[str]:
    """A kind for each row, in the configured proportions and random order; remainders are settled by chance."""
    shares = torch.tensor([getattr(config, kind) for kind in KINDS])
    ends = (shares.cumsum(0) / shares.sum()) * n
    slots = (torch.arange(n) + uniform(rng, (1,))) % n
    order = torch.randperm(n, generator=rng)
    kinds = torch.searchsorted(ends, slots, right=True).clamp(max=len(KINDS) - 1)[order]
    return [KINDS[int(k)] for k in kinds]


def first_prompts(clip: ClipBatch, config: PromptConfig, rng: torch.Generator) -> list[Prompted]:
    """Prompts of all objects on the first frame, mixed within the batch.

    Where a window is centred on a click, its first object gets that click if it gets one.
    """
    scene = PromptTargets(clip.masks(0), clip.others(0))
    kinds = kind_of_rows(clip.n_rows, config, rng)
    centred = _centred_rows(clip)
    kinds = [
        "click" if c and kind in ("inner_click", "two_clicks") else kind for c, kind in zip(centred, kinds, strict=True)
    ]
    found = []
    for kind in KINDS:
        chosen = [row for row, own in enumerate(kinds) if own == kind]
        if chosen:
            rows = torch.tensor(chosen, device=clip.images.device)
            centre = torch.tensor([centred[row] for row in chosen], device=rows.device)
            points = points_of_kind(kind, scene.take(rows), centre, config, rng)
            found.append(Prompted(kind, rows, points, kind in ("click", "inner_click")))
    return found


def _centred_rows(clip: ClipBatch) -> list[bool]:
    n_objects = clip.ids.shape[1]
    return [bool(c) and k == 0 for c in clip.clicked.cpu() for k in range(n_objects)]


def points_of_kind(
    kind: str, scene: PromptTargets, centred: Tensor, config: PromptConfig, rng: torch.Generator
) -> PointPrompts | None:
    """Points of one kind for each row of a scene; None for masks. `centred` rows are clicked in the window's middle."""
    if kind == "mask":
        return None
    if kind == "box":
        return box_points(scene.masks, config.box_jitter, rng)
    if kind == "inner_click":
        return clicks([innermost(scene.masks, _u(scene, rng))], [POSITIVE])
    click = any_click(scene.masks, centred, rng)
    if kind == "click":
        return clicks([click], [POSITIVE])
    if kind == "two_clicks":
        return clicks([click, innermost(scene.masks, _u(scene, rng))], [POSITIVE, POSITIVE])
    return clicks([click, negative_click(scene, rng)], [POSITIVE, NEGATIVE])


def any_click(masks: Tensor, centred: Tensor, rng: torch.Generator) -> Tensor:
    """A random pixel of each mask, (N, 2) as (x, y); the middle of the window for centred rows."""
    xy, _ = pick(masks, uniform(rng, (len(masks),)))
    middle = (masks.shape[-1] - 1) / 2
    return torch.where(centred[:, None], middle, xy)


def negative_click(scene: PromptTargets, rng: torch.Generator) -> Tensor:
    """A pixel of a neighbour, or of the background near the object where there is none, (N, 2)."""
    neighbour, found = pick(scene.others, _u(scene, rng))
    background, _ = pick(around(scene.masks, NEAR), _u(scene, rng))
    return torch.where(found[:, None], neighbour, background)


def box_points(masks: Tensor, jitter: float, rng: torch.Generator) -> PointPrompts:
    """Corners of each mask's box, half a pixel beyond its outermost pixels, each side with an error."""
    box = extents(masks).box
    corners = torch.stack([box[:, [1, 0]] - 0.5, box[:, [3, 2]] + 0.5], 1)
    size = (corners[:, 1:] - corners[:, :1]).clamp(min=1)
    moved = corners + jitter * size * normal(rng, corners.shape).to(masks.device)
    ordered = torch.stack([moved.amin(1), moved.amax(1)], 1).clamp(-0.5, masks.shape[-1] - 0.5)
    return PointPrompts(ordered, _labels([BOX_START, BOX_END], masks))


def clicks(points: list[Tensor], labels: list[int]) -> PointPrompts:
    """Point prompts of columns of points (N, 2)."""
    return PointPrompts(torch.stack(points, 1), _labels(labels, points[0]))


def corrected(points: PointPrompts | None, found: Tensor, true: Tensor, rng: torch.Generator) -> PointPrompts:
    """The points so far, and a click on an error of each mask: positive where it lacks, negative where it spills.

    Parameters
    ----------
    points : PointPrompts or None
    found, true : Tensor of bool, shape (N, S, S)
    rng : torch.Generator
    """
    wrong = found ^ true
    flawless = ~wrong.flatten(1).any(1)
    xy, _ = pick(torch.where(flawless[:, None, None], true, wrong), uniform(rng, (len(true),)))
    index = xy.long()
    inside = true[torch.arange(len(true), device=true.device), index[:, 1], index[:, 0]]
    label = torch.where(inside, POSITIVE, NEGATIVE).int()[:, None]
    if points is None:
        return PointPrompts(xy[:, None], label)
    return PointPrompts(torch.cat([points.xy, xy[:, None]], 1), torch.cat([points.labels, label], 1))


@dataclass(frozen=True, slots=True, eq=False)
class MotionPrompts:
    """Mask prompts from motion: the last masks of some rows, moved, (N, 1, S/4, S/4)."""

    rows: Tensor
    mask_logits: Tensor


def motion_prompts(
    clip: ClipBatch, t: int, last_logits: Tensor, last_seen: Tensor, config: PromptConfig, rng: torch.Generator
) -> MotionPrompts | None:
    """The last masks of random rows where motion, known with an error, expects them on frame `t`.

    Parameters
    ----------
    clip : ClipBatch
    t : int
        At least 1.
    last_logits : Tensor, shape (B O, S/4, S/4)
        What was taken on the frame before.
    last_seen : Tensor of bool, shape (B O,)
        Rows that had a mask there; the others get no prompt.
    config : PromptConfig
    rng : torch.Generator
    """
    rows = (last_seen & chance(rng, (clip.n_rows,), config.motion).to(last_seen.device)).nonzero()[:, 0]
    far = torch.where(chance(rng, (clip.n_rows, 1), LOST_WAY), 4.0, 1.0)
    error = normal(rng, (clip.n_rows, 2)) * far * config.motion_error
    if len(rows) == 0:
        return None
    shifts = clip.shifts[:, :, t].flatten(0, 1) + error.to(rows.device) * clip.diameters.flatten()[:, None]
    (centers, sizes), now = (clip.per_row(clip.windows[:, k])[rows].split(2, 1) for k in (t - 1, t))
    moved = move_logits(last_logits[rows].detach(), (centers + shifts[rows], sizes), now, last_logits.shape[-1])
    return MotionPrompts(rows, moved.clamp(-PROMPT_LOGIT, PROMPT_LOGIT)[:, None])


def _u(scene: PromptTargets, rng: torch.Generator) -> Tensor:
    return uniform(rng, (len(scene.masks),))


def _labels(labels: list[int], like: Tensor) -> Tensor:
    return torch.tensor(labels, dtype=torch.int32, device=like.device).expand(len(like), -1)
