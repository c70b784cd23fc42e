"""What must be followed again after prompts changed: pure functions from changes to stretches of frames.

A prompt that says where its object is ends both directions, so a change reaches as far as the prompted frames beside
it. 'Primary' is forward, or backward in a result that was made backward only; 'secondary' is the other direction of a
result made in both.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from napari_mosam.core.config.engine import Direction
from napari_mosam.core.results.doubts import Pause
from napari_mosam.core.results.frame import ObjectState


@dataclass(frozen=True, slots=True)
class RerunSegment:
    """A stretch of frames on which one object is followed again in one direction.

    Attributes
    ----------
    object_id : int
    step : int
        +1 forward, -1 backward.
    start, end : int
        Where the object enters, and the last frame.
    reports_start : bool
        Whether the result on the starting frame is new.
    sure_after : int
        Frame that must be passed before the leg may stop because it agrees with what is stored.
    anew : bool
        Whether what is stored of the other direction is stale too.
    silent : int
        Frames after the start that are followed and not new.
    """

    object_id: int
    step: int
    start: int
    end: int
    reports_start: bool
    sure_after: int
    anew: bool = False
    silent: int = 0

    @property
    def frames(self) -> range:
        """All of them, in the order they are visited."""
        return range(self.start, self.end + self.step, self.step)

    def reports(self, t: int) -> bool:
        """Whether the result on a frame is new."""
        first = self.start + (self.silent + (not self.reports_start)) * self.step
        return t in self.frames and (t - first) * self.step >= 0

    def passed(self, t: int) -> bool:
        """Whether no change lies ahead of frame `t`."""
        return (t - self.sure_after) * self.step >= 0


@dataclass(frozen=True, slots=True)
class PromptHistory:
    """What is known of an object before it is followed again.

    Attributes
    ----------
    object_id : int
    prompted : mapping of int to bool
        Frames that are prompted now; whether the prompts say where the object is.
    clicked : frozenset of int
        Those with nothing but clicks, which correct the mask of a followed object.
    was_prompted : frozenset of int
        Frames that were prompted before; empty for a new object.
    has_record : callable
        Whether something is stored of the object on a frame.
    state : callable
        Its state there; None where nothing is stored.
    skipped : collection of int
        Frames that nobody looked at, so that nothing is known from which to go on.
    """

    object_id: int
    prompted: Mapping[int, bool]
    clicked: frozenset[int]
    was_prompted: frozenset[int]
    has_record: Callable[[int], bool]
    state: Callable[[int], ObjectState | None] = lambda t: None
    skipped: Collection[int] = ()

    def known_before(self, t: int, step: int) -> int | None:
        """The frame from which the object is followed to frame `t` on the way of `step`; None without any."""
        before = t - step
        while self.has_record(before) and before in self.skipped:
            before -= step
        return before if self.has_record(before) else None


@dataclass(frozen=True, slots=True)
class ResultRange:
    """Frames start … stop - 1 and the direction in which a result was made."""

    start: int
    stop: int
    direction: Direction

    @property
    def frames(self) -> range:
        """All of them."""
        return range(self.start, self.stop)

    @property
    def step(self) -> int:
        """Of the primary direction."""
        return -1 if self.direction == "backward" else 1

    @property
    def both(self) -> bool:
        """Whether there is a secondary direction."""
        return self.direction == "both"

    def edge(self, step: int) -> int:
        """The last frame on the way of `step`."""
        return self.stop - 1 if step > 0 else self.start


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """Legs, and frames whose records are stale whether a leg reaches them or not."""

    legs: tuple[RerunSegment, ...]
    stale: frozenset[int]

    def without_ends(self, locked: Sequence[bool]) -> "RerunPlan":
        """The same without frames at the ends of legs on which the object is `locked`: nothing is written there.

        So an object that ended, or begins later, is not followed where it is not.
        """
        legs = (_without_end(leg, locked) for leg in self.legs)
        return RerunPlan(tuple(leg for leg in legs if any(map(leg.reports, leg.frames))), self.stale)


def _without_end(leg: RerunSegment, locked: Sequence[bool]) -> RerunSegment:
    end = leg.end
    while end != leg.start and locked[end]:
        end -= leg.step
    return replace(leg, end=end)


class StoppedToAsk(Exception):
    """A re-run stops before its end, since objects are unsure."""


@dataclass(eq=False)
class RerunProgress:
    """What a re-run did: frames that turned stale or were kept because both agreed, others touched, how far it came.

    `pause` is why it asks, if it does.
    """

    stale: set[tuple[int, int]] = field(default_factory=set)
    kept: set[tuple[int, int]] = field(default_factory=set)
    touched: dict[int, set[int]] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    fronts: dict[int, int | None] = field(default_factory=dict)
    way: int = 0
    pause: Pause | None = None

    def ask(self, pause: Pause | None) -> None:
        """Stop where there is something to ask, unless all is done."""
        if pause is not None and self.done < self.total:
            self.pause = pause
            raise StoppedToAsk

    def is_ahead(self, t: int, begun: Mapping[int, int | None]) -> bool:
        """Whether frame `t` is the last of the pass that leads outward, and beyond the fronts where that was begun."""
        return bool(self.way) and self.fronts[self.way] == t != begun[self.way]


def plan_object(past: PromptHistory, changed: Iterable[int], span: ResultRange) -> RerunPlan:
    """What must be done again for one object.

    Parameters
    ----------
    past : PromptHistory
    changed : iterable of int
        Frames on which its prompts are others than before.
    span : ResultRange
    """
    if not past.prompted:
        return RerunPlan((), frozenset(span.frames))
    if not past.was_prompted:
        return RerunPlan(whole(past, span), frozenset())
    legs: list[RerunSegment] = []
    stale: set[int] = set()
    for t in sorted(changed, key=lambda t: t * span.step):
        added, gone = _around(past, t, span)
        legs += added
        stale |= gone
    return RerunPlan(tuple(leg for leg in _joined(legs) if any(map(leg.reports, leg.frames))), frozenset(stale))


def whole(past: PromptHistory, span: ResultRange) -> tuple[RerunSegment, ...]:
    """From the first prompt that says where an object is, and back from the last one."""
    step = span.step
    positive = [t for t, where in past.prompted.items() if where]
    first, last = min(positive, key=lambda t: t * step), max(positive, key=lambda t: t * step)
    legs = [RerunSegment(past.object_id, step, first, span.edge(step), True, span.edge(step))]
    if span.both and last != span.edge(-step):
        legs.append(RerunSegment(past.object_id, -step, last, span.edge(-step), False, span.edge(-step)))
    return tuple(legs)


def _around(past: PromptHistory, t: int, span: ResultRange) -> tuple[list[RerunSegment], set[int]]:
    """Legs for a change on frame `t`, and frames that are stale."""
    if past.prompted.get(t):
        return _from_prompt(past, t, span), set()
    if t in past.prompted and t not in past.was_prompted:
        return _through_denial(past, t, span), set()
    return _between_neighbours(past, t, span)


def _from_prompt(past: PromptHistory, t: int, span: ResultRange) -> list[RerunSegment]:
    """Away from a new or changed prompt, as far as the next prompts."""
    step, i = span.step, past.object_id
    legs = [_entering(past, t, span, _end(past, t, step, span))]
    if span.both:
        legs.append(RerunSegment(i, -step, t, _end(past, t, -step, span), False, t))
    return legs


def _entering(past: PromptHistory, t: int, span: ResultRange, end: int) -> RerunSegment:
    """The primary leg from a prompt; clicks correct the mask of the object that is followed from the frame before."""
    before = past.known_before(t, span.step)
    corrects = t in past.clicked and before is not None and nearest(past, t, -span.step) is not None
    start = before if corrects and before is not None else t
    return RerunSegment(past.object_id, span.step, start, end, not corrects, t)


def _through_denial(past: PromptHistory, t: int, span: ResultRange) -> list[RerunSegment]:
    """Through clicks that say where the object is not."""
    step, i = span.step, past.object_id
    legs = []
    before, behind = past.known_before(t, step), past.known_before(t, -step)
    if before is not None:
        legs.append(RerunSegment(i, step, before, _end(past, t, step, span), False, t))
    if span.both and nearest(past, t, step, positive=True) is not None and behind is not None:
        legs.append(RerunSegment(i, -step, behind, _end(past, t, -step, span), False, t))
    return legs


def _between_neighbours(past: PromptHistory, t: int, span: ResultRange) -> tuple[list[RerunSegment], set[int]]:
    """From the prompts on both sides across a frame whose prompt is gone."""
    step, i = span.step, past.object_id
    behind, ahead = nearest(past, t, -step), nearest(past, t, step, positive=True)
    first = behind + step if behind is not None else span.edge(-step)
    last = ahead - step if ahead is not None else span.edge(step)
    legs = []
    if behind is not None:
        legs.append(RerunSegment(i, step, behind, last, False, t, anew=True))
    if ahead is not None and span.both:
        legs.append(RerunSegment(i, -step, ahead, first, False, t, anew=True))
    return legs, set(range(first, last + step, step))


def nearest(past: PromptHistory, t: int, step: int, *, positive: bool = False) -> int | None:
    """The next prompted frame on the way of `step`."""
    ahead = [p for p, where in past.prompted.items() if (p - t) * step > 0 and (where or not positive)]
    return min(ahead, key=lambda p: abs(p - t)) if ahead else None


def _end(past: PromptHistory, t: int, step: int, span: ResultRange) -> int:
    """The last frame before the next prompt on the way of `step`."""
    stop = nearest(past, t, step)
    return span.edge(step) if stop is None else stop - step


def _joined(legs: Sequence[RerunSegment]) -> list[RerunSegment]:
    """Legs that are one: those of the same frames, and those that run into a correction of their object."""
    joined: list[RerunSegment] = []
    for leg in legs:
        row = next((k for k, other in enumerate(joined) if _meets(other, leg)), None)
        if row is None:
            joined.append(leg)
        else:
            other = joined[row]
            later = max(other.sure_after, leg.sure_after, key=lambda t: t * leg.step)
            joined[row] = replace(other, end=leg.end, sure_after=later, anew=other.anew or leg.anew)
    return joined


def _meets(before: RerunSegment, leg: RerunSegment) -> bool:
    if (before.object_id, before.step) != (leg.object_id, leg.step):
        return False
    same = (before.start, before.end) == (leg.start, leg.end)
    return same or (leg.start in before.frames and not leg.reports_start and before.start != leg.start)


def plan_touched(past: PromptHistory, touched: Iterable[int], span: ResultRange) -> RerunPlan:
    """What must be done again for an object beside which others changed on some frames.

    Each stretch between its prompts is followed again from the last untouched frame on either side.
    """
    legs: list[RerunSegment] = []
    by_prompts: dict[tuple[int | None, int | None], list[int]] = {}
    for t in sorted(touched):
        if t not in past.prompted:
            by_prompts.setdefault((nearest(past, t, -1), nearest(past, t, 1)), []).append(t)
    for frames in by_prompts.values():
        for step in (span.step, -span.step)[: 1 + span.both]:
            first, last = frames[0 if step > 0 else -1], frames[-1 if step > 0 else 0]
            before = past.known_before(first, step)
            if nearest(past, first, -step, positive=True) is not None and before is not None:
                end = _end(past, last, step, span)
                legs.append(RerunSegment(past.object_id, step, before, end, False, last, anew=True))
    return RerunPlan(tuple(legs), frozenset())


def grouped(legs: Iterable[RerunSegment]) -> list[list[RerunSegment]]:
    """Legs that run together: one direction, overlapping frames, each object once; in order of their start."""
    groups: list[list[RerunSegment]] = []
    for leg in sorted(legs, key=lambda leg: leg.start * leg.step):
        for group in groups:
            last = max(other.end * other.step for other in group)
            alone = all(other.object_id != leg.object_id for other in group)
            if group[0].step == leg.step and alone and leg.start * leg.step <= last:
                group.append(leg)
                break
        else:
            groups.append([leg])
    return groups


def n_steps(plans: Mapping[int, RerunPlan]) -> int:
    """Frames that are visited."""
    return sum(len(visited(group)) for group in grouped(leg for plan in plans.values() for leg in plan.legs))


def visited(group: Sequence[RerunSegment]) -> range:
    """The frames of legs that run together."""
    step = group[0].step
    first, last = min(leg.start * step for leg in group), max(leg.end * step for leg in group)
    return range(first * step, last * step + step, step)
