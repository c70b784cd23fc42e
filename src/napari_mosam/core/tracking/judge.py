"""Whose claim is believed on a frame: pure functions from batch to batch; who is not believed claims nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import isnan, nan

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig
from napari_mosam.core.masks.overlap import FixedMask, suppress_duplicates
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.region import Region, meeting
from napari_mosam.core.tracking.batch import ObjectBatch
from napari_mosam.core.tracking.lifecycle import Detection, Encounter
from napari_mosam.core.windows.sampling import read_logits

PROMPTED = 2.0
"""Strength of a claim that is certain; those of followed objects are 1 at most."""

OVERLAP = 0.2
"""Share of the smaller of two claims in the other from which on the two objects count as overlapping; not measured."""

LOST_CONTRAST = 2.0
"""How many times the contrast asked of a present object is asked of one that was lost, which noise may imitate; not
measured."""

PRIOR_LOGIT = 10.0
"""Logits of both are clamped to this where an object cannot be told from another by the model, so that neither
outvotes the other; as sure as a mask that was given. Not measured."""

Claims = Sequence[Region | None]
"""The frame pixels that each object claims."""


def believed(
    batch: ObjectBatch, rivals: Sequence[FixedMask], shape_yx: tuple[int, int], config: EngineConfig
) -> ObjectBatch:
    """The batch without the claims that are another object's mask or pass no gate.

    Parameters
    ----------
    batch : ObjectBatch
        As the model saw it.
    rivals : sequence of FixedMask
        Objects that are not followed again and always keep their masks.
    shape_yx : tuple of int
        Shape of the frame.
    config : EngineConfig
    """
    claims: Claims = batch.claims(shape_yx)
    if config.motion.kalman:
        seen = batch.logits
        batch = told_apart(marked(batch, claims, config.life))
        claims = claims if batch.logits is seen else batch.claims(shape_yx)
    if config.compete:
        held = [region_of_logits(rival.logits, rival.window, shape_yx) for rival in rivals]
        losers = without_claim(batch, claims, config.duplicate_iou, held)
        batch = batch.without(losers)
        claims = [None if row in losers else claim for row, claim in enumerate(claims)]
    return judged(batch, claims, shape_yx, config.life)


def without_absent(batch: ObjectBatch, t: int, absent: Mapping[int, Collection[int]]) -> ObjectBatch:
    """The batch without the claims of objects of which a person said that they are not on frame `t`."""
    rows = (row for row, o in enumerate(batch.objects) if t in absent.get(o.object_id, ()))
    return batch.without({row for row in rows if not batch.prompted(row)})


# ---- objects that lie in one another


def marked(batch: ObjectBatch, claims: Claims, config: LifecycleConfig) -> ObjectBatch:
    """With the objects marked that only their own motion tells apart: claims lie in one another, and one is passing by.

    An object that has just vanished on a course of its own may be behind another: it counts where it is expected.
    """
    places = [claim or o.hidden_region(config) for o, claim in zip(batch.objects, claims, strict=True)]
    directed = [o.directed for o in batch.objects]
    passing = {row for pair in _overlapping(places) if any(directed[row] for row in pair) for row in pair}
    encounters = (
        o.encounter.longer(config) if row in passing and not batch.prompted(row) else Encounter()
        for row, o in enumerate(batch.objects)
    )
    return replace(batch, encounters=tuple(encounters))


def told_apart(batch: ObjectBatch) -> ObjectBatch:
    """With claims of ambiguous objects as both the model and their own motion give them.

    Their logits are averaged with those of their last undisputed mask, moved to where their motion takes it. Where
    look-alike cells pass each other the model sees one thing; the average divides it between them.
    """
    rows = [row for row, s in enumerate(batch.scores) if batch.ambiguous(row) and s.object_score > 0]
    if not rows:
        return batch
    logits = batch.logits.clone()
    for row in rows:
        logits[row] = (logits[row].clamp(-PRIOR_LOGIT, PRIOR_LOGIT) + _prior(batch, row)) / 2
    return replace(batch, logits=logits)


def _prior(batch: ObjectBatch, row: int) -> Tensor:
    o, logits = batch.objects[row], batch.logits[row]
    made_in = o.alone.window_at(o.kalman.center_yx)
    prior = read_logits(o.alone.logits, made_in, batch.windows[row], logits.shape[-1])[0]
    return prior.clamp(-PRIOR_LOGIT, PRIOR_LOGIT).to(logits.device)


def _overlapping(claims: Claims) -> list[tuple[int, int]]:
    """Pairs of rows whose claims overlap by more than a tolerable part."""
    pairs = np.argwhere(np.triu(meeting(claims), 1)).tolist()
    return [(i, j) for i, j in pairs if _overlap(claims[i], claims[j])]


def _overlap(one: Region | None, other: Region | None) -> bool:
    return one is not None and other is not None and one.overlap(other) > OVERLAP * min(one.area, other.area)


# ---- two objects, one mask


def without_claim(batch: ObjectBatch, claims: Claims, duplicate_iou: float, held: Claims = ()) -> set[int]:
    """Rows whose claim is another object's mask; who moved there most plausibly keeps it.

    Objects that their own motion tells apart may lie in one another, and are left to the contest. `held` are the masks
    of objects that are not followed again and always keep theirs.
    """
    strengths = [strength(batch, row, claim) for row, claim in enumerate(claims)]
    asked = [None if batch.ambiguous(row) else claim for row, claim in enumerate(claims)]
    losers = suppress_duplicates([*asked, *held], [*strengths, *(PROMPTED for _ in held)], duplicate_iou)
    return {row for row in losers if row < len(batch)} | _taken_from_others(batch, claims)


def strength(batch: ObjectBatch, row: int, claim: Region | None) -> float:
    """Prompted objects come first, then those that continue their last mask, then the lost by predicted IoU."""
    if batch.prompted(row):
        return PROMPTED
    continued = consistency(batch, row, claim)
    return batch.scores[row].predicted_iou - 1 if isnan(continued) else continued


def consistency(batch: ObjectBatch, row: int, region: Region | None) -> float:
    """IoU of a mask with the last one moved by the motion since; NaN where there is nothing to compare."""
    expected = batch.motion[row].region
    if batch.prompted(row) or batch.objects[row].last_region is None or expected is None:
        return nan
    return expected.iou(region) if region is not None else 0.0


def _taken_from_others(batch: ObjectBatch, claims: Claims) -> set[int]:
    """Rows of lost objects that would come back out of a part of an object that is present."""
    lost = {row for row in range(len(batch)) if batch.searched(row) and not batch.prompted(row)}
    pairs = _overlapping(claims) if lost else []
    return {i for pair in pairs for i, j in (pair, pair[::-1]) if i in lost and j not in lost}


# ---- the gates


def judged(batch: ObjectBatch, claims: Claims, shape_yx: tuple[int, int], config: LifecycleConfig) -> ObjectBatch:
    """With what the frame says of each object; one that is not believed claims nothing."""
    seen = [_seen(batch, row, claim, shape_yx, config) for row, claim in enumerate(claims)]
    lives = [o.life for o in batch.objects]
    doubted = {
        row
        for row, (one, life) in enumerate(zip(seen, lives, strict=True))
        if one is not None and claims[row] is not None and not life.confirms(one, config)
    }
    detections = list(seen)
    for row in doubted:
        detections[row] = _glimpsed(seen[row], claims[row], config)
    return replace(batch.without(doubted), detections=tuple(detections))


def _seen(
    batch: ObjectBatch, row: int, claim: Region | None, shape_yx: tuple[int, int], config: LifecycleConfig
) -> Detection | None:
    if batch.prompted(row):
        return None
    o, scores = batch.objects[row], batch.scores[row]
    visible = claim is not None and scores.object_score > 0 and stands_out(batch, row, config)
    place, sure = o.place(batch.motion[row], shape_yx), scores.predicted_iou >= config.return_iou[1]
    plausible = claim is not None and o.plausible(claim, place, config, sure=sure)
    return Detection(visible, plausible, consistency(batch, row, claim) > 0, scores.predicted_iou)


def _glimpsed(seen: Detection | None, claim: Region | None, config: LifecycleConfig) -> Detection | None:
    """A lost object waits where it may have been seen."""
    if seen is None or claim is None or not seen.speaks_for_return(config):
        return seen
    return replace(seen, glimpsed_yx=claim.center_yx)


def stands_out(batch: ObjectBatch, row: int, config: LifecycleConfig) -> bool:
    """Whether the mask shows something: not where the object's usual contrast has all but gone."""
    o, scores = batch.objects[row], batch.scores[row]
    usual = o.usual_contrast
    if config.min_contrast == 0 or usual is None or isnan(scores.contrast) or abs(usual) <= scores.spread:
        return True
    least = config.min_contrast if o.present else min(1.0, LOST_CONTRAST * config.min_contrast)
    return scores.contrast / usual >= least


# ---- after the contest


def concluded(batch: ObjectBatch, logits: Sequence[Tensor], regions: Claims) -> ObjectBatch:
    """With what each object won, and how well that continues its last mask."""
    continued = [consistency(batch, row, region) for row, region in enumerate(regions)]
    scores = tuple(replace(s, consistency=c) for s, c in zip(batch.scores, continued, strict=True))
    return replace(batch, logits=torch.stack(list(logits)), scores=scores, regions=tuple(regions))


def remembered(batch: ObjectBatch) -> list[int]:
    """Rows whose frame passes the write gate of their memory."""
    return [row for row in range(len(batch)) if _passes(batch, row)]


def _passes(batch: ObjectBatch, row: int) -> bool:
    if batch.features[row] is None or batch.prompted(row) or batch.ambiguous(row):
        return False
    region, scores = batch.regions[row], batch.scores[row]
    area = region.area if region is not None else 0
    return batch.objects[row].bank.accepts(area, scores.object_score, scores.consistency)


def corrected(batch: ObjectBatch) -> list[int]:
    """Rows whose mask the user's clicks made while the object was followed."""
    return [row for row in range(len(batch)) if batch.prompted(row) and batch.features[row] is not None]
