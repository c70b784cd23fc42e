"""A checked run, carried out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from napari_mosam.core.config.engine import Direction, EngineConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.motion.flow import choose_flow
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.tracking.conditioning import ConditioningFrame, condition_frame
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.passes import PropagationPass, plan_passes
from napari_mosam.core.tracking.propagate import Conditioning, Propagator


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
        return dict(self.passes[0].entries)

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


def preview_frame(job: RunRequest, t: int) -> FrameResult:
    """Segment the prompts of one frame, without following anything."""
    requests = job.requests(t)
    seeds, shares = condition_frame(job.model, job.movie[t], t, requests, job.config)
    ids = [request.object_id for request in requests]
    return FrameResult(
        t=t,
        direction="forward",
        labels=shares.labels,
        confidence=shares.contest.confidence([seeds[i].memory.predicted_iou for i in ids]),
        objects=tuple(seeds[i].result() for i in ids),
    )


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


def check_flow(config: EngineConfig) -> None:
    """Refuse a kind of flow that is not installed; ValueError."""
    if config.motion.flow:
        choose_flow(config.motion.flow_method)
