"""A checked request, carried out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.images.gaps import needed
from napari_mosam.core.model.compute import as_settled, fixed_threads, give_back, narrowed, resolve, stepwise
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.motion.flow import choose_flow
from napari_mosam.core.results.frame import FrameResult, when_asked
from napari_mosam.core.runs.provenance import NARROWED
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.tracking.conditioning import ConditioningFrame, condition_frame, segment_frame
from napari_mosam.core.tracking.frames import ReadAhead, open_frame
from napari_mosam.core.tracking.propagate import Conditioning, Propagator

if TYPE_CHECKING:
    from napari_mosam.core.store.writer import ResultWriter
    from napari_mosam.core.tracking.frame_prompts import FramePrompts


def load(config: RunConfig) -> Segmenter:
    """The model that is asked for, on its device.

    Raises
    ------
    ModelError, DeviceError
        Where it is not here, or cannot be.
    """
    return load_model(config.model, config=config.checkpoint_config, folder=config.model_folder, device=config.device)


def settled(request: RunRequest, model: Segmenter) -> tuple[RunRequest, Segmenter, int]:
    """A request that says what the last bits depend on, the model that keeps to it, and the threads of a step."""
    compute = resolve(request.config.compute, model)
    asked = replace(request, config=replace(request.config, compute=compute))
    return asked, as_settled(model, compute), compute.threads or 1


def run(request: RunRequest, model: Segmenter | None = None) -> Iterator[FrameResult]:
    """Follow the objects of a request.

    Parameters
    ----------
    request : RunRequest
    model : Segmenter, optional
        One that is loaded already; by default the one that the request names.

    Yields
    ------
    FrameResult
        One per (direction, t), see :func:`napari_mosam.segment`.

    Raises
    ------
    ModelError, DeviceError, ValueError
        When called, for what is not on this machine: weights, a device, a kind of flow.
    """
    check_flow(request.config.engine)
    asked, loaded, threads = settled(request, load(request.config) if model is None else model)
    return stepwise(_results(asked, loaded), threads)


def telling(results: Iterable[FrameResult], writer: "ResultWriter", model: Segmenter) -> Iterator[FrameResult]:
    """The same results; where a device turns out to have too little memory for a call, the result written says so."""
    for result in results:
        most, kept = narrowed(model), writer.group.attrs.get("provenance", {})
        if most is not None and most != kept.get(NARROWED):
            with writer.batch():
                writer.group.attrs["provenance"] = {**kept, NARROWED: most}
        yield result
        del result  # its arrays of a whole frame would stay while the next one is computed


def preview_frame(request: RunRequest, t: int, model: Segmenter | None = None) -> FrameResult:
    """Segment the prompts of one frame, without following anything."""
    asked, loaded, threads = settled(request, load(request.config) if model is None else model)
    requests = asked.requests(t)
    with fixed_threads(threads):
        objects, shares = segment_frame(loaded, open_frame(asked.movie, t), requests, asked.config.engine)
    return FrameResult(
        t=t,
        direction="forward",
        labels=when_asked(shares.label_image),
        confidence=when_asked(shares.contest.confidence_image([one.predicted_iou for one in objects])),
        objects=objects,
    )


def gather(request: RunRequest, model: Segmenter) -> Conditioning:
    """Segment the prompted frames; clicks alone wait until their object has been followed to them."""
    starts, ids = request.starts, request.prompts.object_ids
    seeds: dict[int, dict[int, ConditioningFrame]] = {object_id: {} for object_id in ids}
    corrections: dict[int, dict[int, FramePrompts]] = {object_id: {} for object_id in ids}
    for t in request.prompts.frames:
        given = []
        for one in request.requests(t):
            if one.only_clicks and starts[one.object_id] != t:
                corrections[one.object_id][t] = one
            else:
                given.append(one)
        if given:
            with needed():
                found, _ = condition_frame(model, open_frame(request.movie, t), t, given, request.config.engine)
            for object_id, seed in found.items():
                seeds[object_id][t] = seed
    return Conditioning(seeds, corrections)


def check_flow(config: EngineConfig) -> None:
    """Refuse a kind of flow that is not installed; ValueError."""
    if config.motion.flow:
        choose_flow(config.motion.flow_method)


def _results(request: RunRequest, model: Segmenter) -> Iterator[FrameResult]:
    knowledge, movie = gather(request, model), request.movie
    for one in request.passes:
        with ReadAhead(movie, one.frames) as read:
            for result in Propagator(model, read, movie.n_frames, knowledge, one, request.config.engine):
                yield result
                del result
                if movie.bounded:
                    give_back()
