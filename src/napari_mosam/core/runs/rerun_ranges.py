"""How far a result reaches, and what must be followed where it is to reach further, or again on some of its frames.

Pure functions. A 'front' is the last frame of a pass: behind it an object goes on from its last mask. A 'side' is that
of the later frames (+1) or of the earlier ones (-1); prompts on new frames are followed back towards the others too.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.runs.rerun_plan import (
    PromptHistory,
    RerunPlan,
    RerunSegment,
    ResultRange,
    nearest,
    plan_object,
    whole,
)
from napari_mosam.core.tracking.passes import plan_passes

SEARCHED = 32
"""Frames that are gone back, at most, to the last mask of an object that is lost at a front: as far as its memory is
searched, and not measured."""

SIDES = (1, -1)
"""In the order in which a result keeps them."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a result came.

    Attributes
    ----------
    made : ResultRange
        Frames and direction that it is, or was to be, about.
    fronts : mapping of int to (int or None)
        By direction in time (+1, -1) the last frame that was followed; None for a pass that was not begun.
    known : mapping of int to int
        By side, the frame beyond which prompts were not followed towards the other side yet.
    complete : bool
        Whether nothing is left to be followed.
    """

    made: ResultRange
    fronts: Mapping[int, int | None]
    known: Mapping[int, int]
    complete: bool = False

    @classmethod
    def whole(cls, made: ResultRange) -> Self:
        """That of a run that came to its end."""
        edges = {side: made.edge(side) for side in SIDES}
        return cls(made, edges, edges, complete=True)

    @classmethod
    def half(cls, made: ResultRange, prompts: Prompts, n_results: int) -> Self:
        """That of a run with these prompts which was stopped after so many results."""
        fronts, left = dict(cls.whole(made).fronts), n_results
        for one in plan_passes(prompts.between(made.start, made.stop), made.start, made.stop, made.direction):
            frames = [t for t in one.frames if one.reported(t)]
            if left < len(frames):
                fronts[one.time_step] = frames[left - 1] if left else None
            left = max(left - len(frames), 0)
        step, front = made.step, fronts[made.step]
        return cls(made, fronts, {step: made.edge(-step) - step if front is None else front, -step: made.edge(-step)})

    @classmethod
    def from_json(cls, made: ResultRange, said: Mapping[str, Any]) -> Self:
        """That of a result whose extension was stopped."""
        fronts, known = (dict(zip(SIDES, said[name], strict=True)) for name in ("fronts", "known"))
        return cls(made, fronts, known)

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return {"fronts": [self.fronts[side] for side in SIDES], "known": [self.known[side] for side in SIDES]}

    @property
    def followed(self) -> range:
        """Frames that were followed in one direction at least."""
        first, last = (
            [self.known[side], *(() if (front := self.fronts[side]) is None else (front,))] for side in (-1, 1)
        )
        return range(min(first), max(last) + 1)


@dataclass(frozen=True, slots=True)
class RerunScope:
    """Which frames a re-run is about.

    Attributes
    ----------
    reach : Reach
        Of the result as it is.
    window : range
        Frames on which anything may change.
    anew : bool
        Whether all objects are followed again there, from where they are at its beginning.
    onward : bool
        Whether it goes beyond what was followed.
    absent, denied : mapping of int to frozenset of int
        By object, frames on which a person said that it is not there; those from which it was not followed since.
    """

    reach: Reach
    window: range
    anew: bool = False
    onward: bool = False
    absent: Mapping[int, frozenset[int]] = field(default_factory=dict)
    denied: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, reach: Reach, asked: range | None, *, anew: bool = False) -> Self:
        """That on the frames that are asked for, and between them and the result; on those of the result by default.

        Half a result is brought to its end on all frames that it came to.
        """
        made = reach.made.frames
        if asked is None:
            return cls(reach, made, anew)
        if not reach.complete:
            return cls(reach, _hull(reach.followed, asked), anew, onward=True)
        window = range(min(asked.start, made.stop), max(asked.stop, made.start))
        return cls(reach, window, anew, onward=window.start < made.start or window.stop > made.stop)

    def named(self, further: Mapping[int, Iterable[int]], only: Collection[int]) -> dict[int, set[int]]:
        """Frames to be done again besides those whose prompts changed, by object; `only` these may be absent anew."""
        found = {i: frames & {*self.window} for i, frames in self.denied.items() if i in only}
        every = {*further, *(i for i, frames in found.items() if frames)}
        return {i: {*further.get(i, ()), *found.get(i, ())} for i in every}

    @property
    def frames(self) -> range:
        """Those of the result afterwards."""
        return self.window if self.onward and not self.reach.complete else _hull(self.reach.made.frames, self.window)

    @property
    def span(self) -> ResultRange:
        """The window."""
        return ResultRange(self.window.start, self.window.stop, self.reach.made.direction)

    @property
    def inner(self) -> ResultRange:
        """That part of it which was followed before."""
        old = self.reach.followed if self.onward else self.reach.made.frames
        start = max(self.window.start, old.start)
        return replace(self.span, start=start, stop=max(min(self.window.stop, old.stop), start))

    @property
    def stages(self) -> Iterator[tuple[int, bool]]:
        """What is done beyond the fronts, in order: a direction in time, and whether it leads outward."""
        step = self.span.step
        yield from ((step, False), (step, True))
        if self.span.both:
            yield from ((-step, True), (-step, False))

    def counted(self, before: Prompts, given: Prompts) -> Prompts:
        """Prompts as they are now on frames of the window, and as they were elsewhere."""
        return Prompts(
            [
                *(p for p in before if p.frame in self.frames and p.frame not in self.window),
                *(p for p in given if p.frame in self.window),
            ]
        )

    def told(self, results: int | None) -> dict[str, Any]:
        """What is needed to do the same again; `results` after which it was stopped."""
        made = self.reach.made
        if self.window == made.frames and not self.onward and not self.anew:
            return {}
        window, before = [self.window.start, self.window.stop], [made.start, made.stop]
        return {"frames": window, "before": before, "anew": self.anew, "results": results}

    def at(self, fronts: Mapping[int, int | None]) -> Reach:
        """How far the result came where it ends with these fronts."""
        frames = self.frames
        made = replace(self.span, start=frames.start, stop=frames.stop)
        return Reach(made, fronts, self.reach.known)


def _hull(one: range, other: range) -> range:
    if not one or not other:
        return one or other
    return range(min(one.start, other.start), max(one.stop, other.stop))


def plan_inside(past: PromptHistory, changed: Iterable[int], scope: RerunScope) -> RerunPlan:
    """What must be followed of an object on frames that were followed before; one that is new waits for the rest."""
    span = scope.inner
    if scope.anew:
        return _plan_again(past, span)
    if scope.onward and not past.was_prompted:
        return RerunPlan((), frozenset())
    return _clipped_to(span, plan_object(past, [t for t in changed if t in span.frames], span), past)


def plan_stage(past: PromptHistory, scope: RerunScope, step: int, *, outward: bool) -> RerunPlan:
    """What must be followed of an object beyond the fronts in one direction."""
    if not past.was_prompted:
        legs = [leg for leg in whole(past, scope.span) if outward and leg.step == step]
    else:
        legs = _outward(past, scope, step) if outward else _inward(past, scope, step)
    return RerunPlan(tuple(leg for leg in legs if any(map(leg.reports, leg.frames))), frozenset())


def _outward(past: PromptHistory, scope: RerunScope, step: int) -> list[RerunSegment]:
    """On from a front, from the last mask; or from the prompt from which the object is followed first."""
    span, front = scope.span, scope.reach.fronts[step]
    edge = span.edge(step)
    if front is not None and (edge - front) * step <= 0:
        return []
    ahead = sorted((t for t, where in past.prompted.items() if where), key=lambda t: t * step)
    if front is not None and ahead and (ahead[0] - front) * step <= 0 and _stands(past, front):
        return [_from_last_mask(past, front, step, edge)]
    entries = ahead if front is None else [t for t in ahead if (t - front) * step > 0]
    return [RerunSegment(past.object_id, step, t, edge, step == span.step, edge) for t in entries[:1]]


def _inward(past: PromptHistory, scope: RerunScope, step: int) -> list[RerunSegment]:
    """From prompts on new frames to the nearest prompt that was there."""
    span, known, side = scope.span, scope.reach.known[-step], -step
    new = sorted((t for t in past.prompted if t in scope.window and (t - known) * side > 0), key=lambda t: t * side)
    positive = [t for t in new if past.prompted[t]]
    if scope.reach.fronts[step] is None or not positive:
        return []
    behind = nearest(past, known + side, step)
    end = span.edge(step) if behind is None else min(behind - step, span.edge(step), key=lambda t: t * step)
    return [RerunSegment(past.object_id, step, positive[-1], end, step == span.step, new[0])]


def _stands(past: PromptHistory, t: int) -> bool:
    """Whether an object is somewhere on a frame, seen or not."""
    return past.state(t) in (ObjectState.PRESENT, ObjectState.LOST)


def _from_last_mask(past: PromptHistory, front: int, step: int, end: int) -> RerunSegment:
    seen = (t for t in range(front, front - SEARCHED * step, -step) if past.state(t) is ObjectState.PRESENT)
    start = next(seen, front)
    return RerunSegment(past.object_id, step, start, end, False, end, silent=abs(front - start))


def _plan_again(past: PromptHistory, span: ResultRange) -> RerunPlan:
    """What must be done to follow an object anew on some frames, from where it is on the first of them."""
    step, first, last = span.step, span.edge(-span.step), span.edge(span.step)
    positive = sorted((t for t, where in past.prompted.items() if where and t in span.frames), key=lambda t: t * step)
    if _stands(past, first):
        legs, end = [replace(_from_last_mask(past, first, step, last), anew=True)], first + step
    elif positive:
        legs, end = [RerunSegment(past.object_id, step, positive[0], last, True, last, anew=True)], first
    else:
        return RerunPlan((), frozenset())
    if span.both and positive:
        legs.append(RerunSegment(past.object_id, -step, positive[-1], end, False, end, anew=True))
    kept = tuple(leg for leg in legs if any(map(leg.reports, leg.frames)))
    return RerunPlan(kept, frozenset(span.frames) - ({first} if end != first else set()))


def _clipped_to(span: ResultRange, plan: RerunPlan, past: PromptHistory) -> RerunPlan:
    """A plan that changes nothing outside some frames: what comes from beyond enters as it is stored beside them."""
    legs = (_clipped(leg, past, span) for leg in plan.legs)
    return RerunPlan(tuple(leg for leg in legs if leg is not None), plan.stale & frozenset(span.frames))


def _clipped(leg: RerunSegment, past: PromptHistory, span: ResultRange) -> RerunSegment | None:
    step = leg.step
    beside, end = span.edge(-step) - step, min(leg.end, span.edge(step), key=lambda t: t * step)
    if (leg.start - beside) * step < 0:
        if not past.has_record(beside):
            return None
        leg = replace(leg, start=beside, reports_start=False)
    leg = replace(leg, end=end)
    return leg if any(map(leg.reports, leg.frames)) else None
