"""Following some objects of a result again, after their prompts changed, among the others as they are stored."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.files.places import alone
from napari_mosam.core.images.gaps import needed
from napari_mosam.core.masks.overlap import FixedMask
from napari_mosam.core.model.compute import fixed_threads, give_back
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.columns import DIRECTIONS, LOCKED, labels_of
from napari_mosam.core.results.doubts import UnsureWatch
from napari_mosam.core.results.frame import FrameResult, ObjectResult, ObjectState
from napari_mosam.core.results.progress import UNFINISHED
from napari_mosam.core.runs.provenance import from_attributes, skipped_frames
from napari_mosam.core.runs.replay import StoredMemory
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.rerun_checks import (
    asked,
    check_objects,
    edit_of,
    find_changes,
    note_reach,
    past_of,
    same_model,
    same_movie,
    scope_of,
    touched_by,
)
from napari_mosam.core.runs.rerun_plan import (
    PromptHistory,
    RerunPlan,
    RerunProgress,
    RerunSegment,
    StoppedToAsk,
    grouped,
    n_steps,
    plan_touched,
    visited,
)
from napari_mosam.core.runs.rerun_ranges import RerunScope, plan_inside, plan_stage
from napari_mosam.core.runs.run import settled, telling
from napari_mosam.core.store.compose import agreement
from napari_mosam.core.store.edits import list_edit
from napari_mosam.core.store.history import ready_for_rerun
from napari_mosam.core.store.layout import reading as reading_of
from napari_mosam.core.store.layout import write_prompts
from napari_mosam.core.store.records import FrameTable, region_of
from napari_mosam.core.store.result import Result
from napari_mosam.core.store.writer import ResultWriter
from napari_mosam.core.tracking.conditioning import ConditioningFrame, condition_frame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.frames import ReadAhead, open_frame
from napari_mosam.core.tracking.passes import PropagationPass
from napari_mosam.core.tracking.propagate import Conditioning, FixedObjects, Propagator

if TYPE_CHECKING:
    from napari_mosam.core.config.run import FrameRange, RunConfig

    Progress = Callable[[FrameResult, int, int], None]

AGREES = 0.98
"""IoU of a new mask with the stored one from which on they agree: a few pixels of an outline. Lower saves time and
keeps more of what is old; not measured."""

STEADY = 5
"""Frames in a row that must agree before a leg stops; not measured."""

Changes = Mapping[int, Iterable[int]]


def rerun_result(
    path: Path,
    movie: Any,
    prompts: Any,
    object_ids: Sequence[int] | None = None,
    *,
    model: "Callable[[RunConfig], Segmenter]",
    neighbours: bool = False,
    changed_frames: Mapping[int, Sequence[int]] | None = None,
    frames: "FrameRange | None" = None,
    anew: bool = False,
    progress: "Progress | None" = None,
    stop_after_unsure: int | None = None,
    **reading: Any,
) -> Result:
    """Follow objects of a result again; see :func:`napari_mosam.rerun`."""
    with alone(path):
        ready_for_rerun(path)
        stored = Result.open(path)
        opened = same_movie(stored, movie, **reading)
        with reading_of(path):
            before, made_with = stored.prompts, from_attributes(stored.attrs)
        scope = scope_of(stored, made_with, frames, opened.n_frames, anew=anew)
        check_objects(scope, object_ids, stored.path)
        before, given = before.between(scope.frames.start, scope.frames.stop), asked(scope, opened, prompts, stored)
        named = scope.named(changed_frames or {}, given.prompts.object_ids if object_ids is None else object_ids)
        changes = find_changes(before, given.prompts, object_ids, named, scope.window)
        if not (changes or scope.onward or scope.anew):
            return stored
        made_by = same_model(stored, model(made_with))
        request, loaded, threads = settled(given.with_others(before, asked=changes), made_by)
        ids = request.prompts.object_ids if scope.onward or scope.anew else sorted(changes)
        writer = ResultWriter.reopen(path, request.prompts, ids, scope.told(None).get("frames", ()))
        watch = UnsureWatch(stop_after_unsure)
        with fixed_threads(threads), suppress(StoppedToAsk):
            Rerun(
                request, loaded, writer, before, changes, scope, watch, neighbours=neighbours, progress=progress
            ).run()
    return Result.open(path)


class Rerun:
    """Follows objects again.

    Parameters
    ----------
    request : RunRequest
        With the complete prompts of the result as they are now.
    model : Segmenter
        The one that made the result.
    writer : ResultWriter
        On the result; has room for new objects.
    before : Prompts
        The prompts the result was made from.
    changes : mapping of int to iterable of int
        Frames on which something changed, by object; only these objects are followed, but onward.
    scope : RerunScope
        The frames that it is about.
    watch : UnsureWatch
        May stop what goes beyond the frames that were followed.
    neighbours : bool
        Also follow the objects again whose masks touch theirs.
    progress : callable, optional
    """

    def __init__(
        self,
        request: RunRequest,
        model: Segmenter,
        writer: ResultWriter,
        before: Prompts,
        changes: Changes,
        scope: RerunScope,
        watch: UnsureWatch,
        *,
        neighbours: bool = False,
        progress: "Progress | None" = None,
    ) -> None:
        self._request, self._model, self._config = request, model, request.config.engine
        self._writer, self._before = writer, before
        self._changes = {i: set(frames) for i, frames in changes.items()}
        self._neighbours, self._watch, self._progress = neighbours, watch, progress
        self._scope, self._span = scope, scope.inner
        self._shape_yx = request.movie.frame_shape
        labels, many = labels_of(writer.group), scope.onward or scope.anew
        self._stored = StoredMemory(model, request.movie, self._config, writer.records, labels, many)
        self._skipped = skipped_frames(writer.group.attrs) | set(request.movie.bad_frames)
        self._half_new = set(writer.group.attrs.get(UNFINISHED, ()))
        self._account = RerunProgress(fronts=dict(scope.reach.fronts))

    def run(self) -> None:
        """Do it, in one transaction; what was followed onward stays where it is stopped."""
        stages = list(self._scope.stages) if self._scope.onward else []
        ahead = [n_steps(self._stage(*stage)) for stage in stages]
        self._account.total += sum(ahead)
        self._carry_out(self._inside())
        if self._neighbours:
            touched = {i: t for i, t in self._account.touched.items() if i not in self._changes}
            self._carry_out({i: plan_touched(self._past(i), t, self._span) for i, t in touched.items()})
        try:
            for stage, counted in zip(stages, ahead, strict=True):
                self._account.total -= counted
                self._beyond(*stage)
        except BaseException:
            if self._account.fronts != self._scope.reach.fronts:
                self._end(stopped=True)
            raise
        self._end()

    def _inside(self) -> dict[int, RerunPlan]:
        """What changed on frames that were followed before."""
        ids = self._request.prompts.object_ids if self._scope.anew else self._changes
        return {i: plan_inside(self._past(i), self._changes.get(i, ()), self._scope) for i in ids}

    def _beyond(self, step: int, outward: bool) -> None:
        self._account.way = step if outward else 0
        self._carry_out(self._stage(step, outward))
        self._advance(self._scope.span.edge(step), step)

    def _advance(self, t: int, step: int) -> None:
        """Note how far the pass came that leads outward."""
        front = self._account.fronts[step]
        if self._account.way == step and (front is None or (t - front) * step > 0):
            self._account.fronts[step] = t

    def _stage(self, step: int, outward: bool) -> dict[int, RerunPlan]:
        """What is to be followed beyond the fronts in one direction."""
        ids = self._request.prompts.object_ids
        return {i: plan_stage(self._past(i), self._scope, step, outward=outward) for i in ids}

    def _end(self, *, stopped: bool = False) -> None:
        """The prompts are those of now; objects that an earlier version left half new are whole if they took part."""
        left = sorted(self._half_new - set(self._changes))
        with self._writer.batch():
            told = self._scope.told(self._account.done if stopped else None)
            list_edit(self._writer.group, edit_of(self._request, self._changes, neighbours=self._neighbours) | told)
            write_prompts(self._writer.group, self._request.prompts)
            if self._half_new:
                self._writer.group.attrs[UNFINISHED] = left
            if self._scope.onward:
                reach, pause = self._scope.at(self._account.fronts), self._account.pause
                note_reach(self._writer.group, reach, complete=not stopped, pause=pause)
        self._writer.finish()

    def _past(self, object_id: int) -> PromptHistory:
        states = self._writer.records.states(object_id)
        return past_of(self._request, self._before, states, object_id, self._scope, self._skipped)

    # ---- all legs

    def _locked(self, object_id: int) -> "Sequence[bool]":
        return list(np.nan_to_num(self._writer.records.table_of(object_id)[:, LOCKED]) > 0)

    def _carry_out(self, plans: Mapping[int, RerunPlan]) -> None:
        account, plans = self._account, {i: plan.without_ends(self._locked(i)) for i, plan in plans.items()}
        account.stale |= {(i, t) for i, plan in plans.items() for t in plan.stale}
        groups = grouped(leg for plan in plans.values() for leg in plan.legs)
        account.total += n_steps(plans)
        knowledge = self._knowledge({leg.object_id: leg for group in groups for leg in group}, plans)
        for step in (self._span.step, -self._span.step):
            for group in groups:
                if group[0].step == step:
                    self._follow(group, knowledge)
        self._clear_stale()

    def _knowledge(self, object_ids: Iterable[int], plans: Mapping[int, RerunPlan]) -> Conditioning:
        """Prompted frames as they are known before anything is followed; changed clicks wait until they are reached."""
        ids = sorted(object_ids)
        seeds: dict[int, dict[int, ConditioningFrame]] = {i: {} for i in ids}
        waiting: dict[int, dict[int, FramePrompts]] = {i: {} for i in ids}
        for t in self._request.prompts.frames:
            given = []
            for request in (r for r in self._request.requests(t) if r.object_id in seeds):
                i = request.object_id
                seed = self._unchanged_clicks(request, t)
                if seed is not None:
                    seeds[i][t] = seed
                elif request.only_clicks and not any(leg.reports_start and leg.start == t for leg in plans[i].legs):
                    waiting[i][t] = request
                elif request.is_positive:
                    given.append(request)
            if not given:
                continue
            image = open_frame(self._request.movie, t)
            with needed():
                found, _ = condition_frame(self._model, image, t, given, self._config)
            for i, seed in found.items():
                seeds[i][t] = seed
        return Conditioning(seeds, waiting)

    def _unchanged_clicks(self, request: FramePrompts, t: int) -> ConditioningFrame | None:
        """Clicks whose result is stored need not be asked again."""
        i = request.object_id
        if not request.only_clicks or (t in self._changes.get(i, ()) and not self._writer.is_new(i, t)):
            return None
        return self._stored.seed(request.object_id, t)

    def _clear_stale(self) -> None:
        """Forget what nothing took the place of."""
        column = self._writer.records.object_ids.index
        left = {(i, t) for i, t in self._account.stale - self._account.kept if not self._writer.written[t, column(i)]}
        for t in sorted({t for _, t in left}):
            self._writer.put(t, {i: None for i, frame in left if frame == t})
        self._account.stale.clear()

    # ---- legs in one direction, together

    def _follow(self, group: Sequence[RerunSegment], knowledge: Conditioning) -> None:
        legs = {leg.object_id: leg for leg in group}
        active, agreed = dict(legs), dict.fromkeys(legs, 0)
        movie, frames = self._request.movie, visited(group)
        with ReadAhead(movie, frames) as read:
            follower = self._propagator(legs, active, knowledge, frames, read)
            self._note_stale(group)
            for result in telling(follower, self._writer, self._model):
                self._take(result, legs, active, agreed, follower, frames.step)
                del result  # its arrays of a whole frame would stay while the next one is computed
                if not active:
                    break
                if movie.bounded:
                    give_back()

    def _take(
        self,
        result: FrameResult,
        legs: Mapping[int, RerunSegment],
        active: dict[int, RerunSegment],
        agreed: dict[int, int],
        follower: Propagator,
        step: int,
    ) -> None:
        """Write what is new on a frame, and follow those no further whose leg ends there."""
        stored = self._writer.records.read(result.t)
        new = {o.object_id: o for o in result.objects if o.object_id in active}
        told = {i: o for i, o in new.items() if active[i].reports(result.t)}
        for i, one in told.items():
            agreed[i] = self._agreement(one, stored, active[i], agreed[i])
        if told:
            self._write(told, stored, legs)
        self._advance(result.t, step)
        self._report(result)
        for i in [i for i in active if self._finished(active[i], new.get(i), result.t, agreed[i])]:
            leg = active.pop(i)
            follower.release(i)
            if agreed[i] >= STEADY:
                self._account.kept |= {(i, t) for t in leg.frames if (t - result.t) * leg.step > 0}

    def _propagator(
        self,
        legs: Mapping[int, RerunSegment],
        active: Mapping[int, RerunSegment],
        knowledge: Conditioning,
        frames: range,
        read: ReadAhead,
    ) -> Propagator:
        seeds = {i: knowledge.seeds[i] for i in legs}
        waiting = {
            i: {t: r for t, r in knowledge.corrections.get(i, {}).items() if t in leg.frames} for i, leg in legs.items()
        }
        unprompted = [leg for leg in legs.values() if leg.start not in seeds[leg.object_id]]
        entries, history = self._stored.entries({leg.object_id: leg.start for leg in unprompted}, frames.step)
        largest, absent = max(self._writer.records.object_ids), self._scope.absent
        around = FixedObjects(lambda t: self._rivals(t, active), largest, entries, history, absent)
        starts = {i: leg.start for i, leg in legs.items()}
        one = PropagationPass(frames.step, frames, starts, report_start=True)
        known, n_frames = Conditioning(seeds, waiting), self._request.movie.n_frames
        return Propagator(self._model, read, n_frames, known, one, self._config, around)

    def _rivals(self, t: int, active: Mapping[int, RerunSegment]) -> list[FixedMask]:
        """What everybody else holds on a frame, as it is stored."""
        return self._stored.claims(t, {i for i, leg in active.items() if t in leg.frames})

    def _finished(self, leg: RerunSegment, seen: object, t: int, agreed: int) -> bool:
        if t == leg.end or (agreed >= STEADY and leg.object_id not in self._half_new):
            return True
        return getattr(seen, "state", None) is ObjectState.ENDED and leg.passed(t)

    def _agreement(self, new: ObjectResult, stored: FrameTable, leg: RerunSegment, so_far: int) -> int:
        """Frames in a row, behind the last change, on which the new mask is the stored one."""
        old = stored.get(new.object_id)
        if old is None or not leg.passed(stored.t) or self._writer.is_new(new.object_id, stored.t):
            return 0
        same = agreement(region_of(old, self._shape_yx), region_of(new, self._shape_yx)) >= AGREES
        return so_far + 1 if same else 0

    # ---- one frame

    def _write(self, results: Mapping[int, ObjectResult], stored: FrameTable, legs: Mapping[int, RerunSegment]) -> None:
        if self._neighbours:
            self._note_touched(results, stored)
        merged = {i: self._merged(new, stored, legs[i]) for i, new in results.items()}
        self._writer.put(stored.t, merged, stored)

    def _merged(self, new: ObjectResult, stored: FrameTable, leg: RerunSegment) -> ObjectResult:
        """Fused with what the other direction says, unless that is stale."""
        i, t, old = new.object_id, stored.t, stored.get(new.object_id)
        if old is None:
            return new
        stale = leg.anew or t in self._changes.get(i, ())
        if self._writer.is_new(i, t) or (old.direction != new.direction and not stale):
            return self._writer.fused(t, old, new)
        return new

    def _note_stale(self, group: Sequence[RerunSegment]) -> None:
        """What the same direction left behind is stale on all frames of a leg, also where the object ends early."""
        table, ids = self._writer.records, self._writer.records.object_ids
        at = list(table.details.attrs["columns"]).index("direction")
        for leg in group:
            code = DIRECTIONS.index("forward" if leg.step > 0 else "backward")
            frames = [t for t in leg.frames if leg.reports(t)]
            low, high = min(frames), max(frames) + 1
            stored = np.asarray(table.details[low:high, ids.index(leg.object_id), at])
            self._account.stale |= {(leg.object_id, t) for t in frames if stored[t - low] == code}

    def _note_touched(self, results: Mapping[int, ObjectResult], stored: FrameTable) -> None:
        for i in touched_by(results, stored, self._shape_yx):
            self._account.touched.setdefault(i, set()).add(stored.t)

    def _report(self, result: FrameResult) -> None:
        self._account.done += 1
        if self._progress is not None:
            self._progress(result, self._account.done, self._account.total)
        if self._account.is_ahead(result.t, self._scope.reach.fronts):
            self._account.ask(self._watch.seen(result))
