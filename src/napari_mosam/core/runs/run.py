"""A run, checked before its first frame, and carried out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np

from napari_mosam.core.config.engine import DIRECTIONS, Direction, EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.motion.flow import choose_flow
from napari_mosam.core.prompts.collection import Prompt, PromptError, Prompts
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.tracking.conditioning import ConditioningFrame, condition_frame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.propagate import Conditioning, PropagationPass, Propagator

Frames = slice | tuple[int | None, int | None] | None


@dataclass(frozen=True, slots=True, eq=False)
class RunRequest:
    """Everything a run needs, checked.

    Attributes
    ----------
    movie : Movie
    prompts : Prompts
        Only those inside the range of frames.
    model : Segmenter
    config : EngineConfig
    start, stop : int
        Range of frames, half open.
    direction : {'forward', 'backward', 'both'}
    diameter : float or None
        Object size for clicks, px.
    """

    movie: Movie
    prompts: Prompts
    model: Segmenter
    config: EngineConfig
    start: int
    stop: int
    direction: Direction
    diameter: float | None

    @property
    def passes(self) -> list[PropagationPass]:
        """The runs over the movie that the direction asks for."""
        return plan_passes(self.prompts, self.start, self.stop, self.direction)

    @property
    def starts(self) -> dict[int, int]:
        """Frame from which each object is followed first."""
        return dict(self.passes[0].starts)

    def requests(self, t: int) -> list[FramePrompts]:
        """The prompts of frame `t`, one request per object; clicks get the best size known for their object."""
        return [
            FramePrompts.of(object_id, prompts, self.size_of(object_id))
            for object_id, prompts in sorted(self.prompts.at(t).items())
        ]

    def size_of(self, object_id: int) -> float | None:
        """Diameter given by the user, else that of the object's own boxes and masks, px."""
        if self.diameter is not None:
            return self.diameter
        own = [FramePrompts.of(object_id, [p], None).size for p in self.prompts if p.object_id == object_id]
        sizes = [size for size in own if size is not None]
        return float(np.median(sizes)) if sizes else None


def run(job: RunRequest) -> Iterator[FrameResult]:
    """Carry out a checked job."""
    knowledge = gather(job)
    follow = partial(Propagator, job.model, job.movie.__getitem__, job.movie.n_frames, knowledge)
    yield from chain.from_iterable(follow(one, job.config) for one in job.passes)


def gather(job: RunRequest) -> Conditioning:
    """Segment the prompted frames; clicks alone wait until their object has been followed to them."""
    starts = job.starts
    seeds: dict[int, dict[int, ConditioningFrame]] = {object_id: {} for object_id in job.prompts.object_ids}
    corrections: dict[int, dict[int, FramePrompts]] = {object_id: {} for object_id in job.prompts.object_ids}
    for t in job.prompts.frames:
        requests = job.requests(t)
        waiting = [r for r in requests if r.only_clicks and starts[r.object_id] != t]
        for request in waiting:
            corrections[request.object_id][t] = request
        given = [r for r in requests if r not in waiting]
        if given:
            for object_id, seed in condition_frame(job.model, job.movie[t], t, given, job.config)[0].items():
                seeds[object_id][t] = seed
    return Conditioning(seeds, corrections)


def plan_passes(prompts: Prompts, start: int, stop: int, direction: Direction) -> list[PropagationPass]:
    """Which objects are followed from where, in which direction.

    With 'both', every object is followed forward from its first prompt, then backward from its last one that says
    where it is: between two prompts there are two results, which tell on each other.
    """
    first = {i: prompts.first_frame(i) for i in prompts.object_ids}
    last = {i: _last_positive(prompts, i) for i in prompts.object_ids}
    if not first:
        return []
    if direction == "backward":
        return [PropagationPass(-1, range(max(last.values()), start - 1, -1), last, True)]
    forward = PropagationPass(1, range(min(first.values()), stop), first, True)
    if direction == "forward" or max(last.values()) == start:
        return [forward]
    return [forward, PropagationPass(-1, range(max(last.values()), start - 1, -1), last, False)]


def _last_positive(prompts: Prompts, object_id: int) -> int:
    return max((p.frame for p in prompts if p.object_id == object_id and not _only_negative(p)), default=0)


def frame_range(frames: Frames, n_frames: int) -> tuple[int, int]:
    """Resolve a half-open range against the length of the movie.

    Raises
    ------
    ValueError
        If it is empty, stepped, or leaves the movie.
    """
    if frames is None:
        return 0, n_frames
    given = frames if isinstance(frames, slice) else slice(*frames)
    start = 0 if given.start is None else int(given.start)
    stop = n_frames if given.stop is None else int(given.stop)
    if given.step not in (None, 1) or not 0 <= start < stop <= n_frames:
        raise ValueError(
            f"frames {given.start}:{given.stop} are not possible; the movie has frames 0:{n_frames} (the end is not "
            "included) and every frame of a range is followed"
        )
    return start, stop


def check_prompts(
    prompts: Prompts | Sequence[Prompt],
    shape_tyx: tuple[int, int, int],
    start: int,
    stop: int,
    direction: Direction = "both",
) -> Prompts:
    """The prompts inside a range of frames, or a :class:`PromptError` that says what is wrong with them."""
    given = prompts if isinstance(prompts, Prompts) else Prompts(prompts)
    given.check(shape_tyx)
    inside = prompts_inside(given, start, stop)
    left = sorted(set(given.object_ids) - set(inside.object_ids))
    if left:
        raise PromptError(
            f"object {listed(left)} has no prompt in frames {start}:{stop}; prompt it there or widen the range"
        )
    for object_id in inside.object_ids:
        t = inside.last_frame(object_id) if direction == "backward" else inside.first_frame(object_id)
        if all(_only_negative(p) for p in inside.at(t)[object_id]):
            raise PromptError(
                f"object {object_id} has only negative points on frame {t}, from which it is followed; add a positive "
                "point, box or mask there"
            )
    return inside


def prompts_inside(prompts: Prompts | Sequence[Prompt], start: int, stop: int) -> Prompts:
    """The prompts on frames start … stop - 1."""
    return Prompts([p for p in prompts if start <= p.frame < stop])


def _only_negative(prompt: Prompt) -> bool:
    return not getattr(prompt, "positive", True)


def check_options(direction: str, diameter: float | None) -> None:
    """Refuse an unknown direction or an impossible diameter."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction '{direction}' is not possible; allowed: {', '.join(DIRECTIONS)}")
    if diameter is not None and not 0 < diameter < np.inf:
        raise ValueError(f"a diameter of {diameter} px is not possible; give a positive number, or none")


def merged_config(
    config: EngineConfig | None,
    motion: MotionConfig | bool | str | None,
    memory: MemoryConfig | str | None,
    compete: bool | None,
) -> EngineConfig:
    """A configuration with the settings that were given beside it."""
    given = config or EngineConfig()
    if isinstance(motion, bool):
        motion = MotionConfig() if motion else MotionConfig.off()
    elif isinstance(motion, str):
        motion = replace(given.motion, encoder=motion)  # type: ignore[arg-type]  # the dataclass refuses others
    if isinstance(memory, str):
        memory = replace(given.memory, selection=memory)  # type: ignore[arg-type]  # the dataclass refuses others
    chosen = replace(
        given,
        motion=_of_type(
            MotionConfig, "motion", motion, given.motion, "True, False, 'learned', 'classical' or a MotionConfig"
        ),
        memory=_of_type(MemoryConfig, "memory", memory, given.memory, "'gated', 'reliable', 'sam2' or a MemoryConfig"),
        compete=_of_type(bool, "compete", compete, given.compete, "True or False"),
    )
    if chosen.motion.flow:
        choose_flow(chosen.motion.flow_method)
    return chosen


GivenT = TypeVar("GivenT")


def _of_type(kind: type[GivenT], name: str, given: GivenT | None, default: GivenT, allowed: str) -> GivenT:
    if given is not None and not isinstance(given, kind):
        raise ValueError(f"{name} = {given!r} is not possible; allowed: {allowed}")
    return default if given is None else given


def listed(values: Sequence[int], most: int = 6) -> str:
    """Numbers for a message, the first few of many."""
    shown = ", ".join(str(v) for v in values[:most])
    return shown if len(values) <= most else f"{shown} … ({len(values)} in all)"
