"""Why an object has its mask on a frame, told from a stored result; a run does nothing for it."""

from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.inspection.findings import ExpectedObject, Inspection, MemoryComparison
from napari_mosam.core.inspection.memory import memory_read
from napari_mosam.core.masks.label_frames import regions_of
from napari_mosam.core.masks.raster import inner_points
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.motion.cues import FrameMotion, MotionEstimator
from napari_mosam.core.motion.prompts import N_POINTS
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.results.frame import FrameResult, ObjectResult
from napari_mosam.core.runs.provenance import from_attributes
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import run
from napari_mosam.core.store.result import Result
from napari_mosam.core.tracking.frames import open_frame

Seen = tuple[float, Region | None]


def inspect_object(stored: Result, object_id: int, t: int) -> Inspection:
    """Why an object has its mask on a frame.

    Parameters
    ----------
    stored : Result
    object_id : int
    t : int

    Raises
    ------
    ValueError
        For an object that is not there, or was not followed on that frame.
    IndexError
        For a frame outside the movie.
    """
    found = stored.record(object_id, t)
    if found is None:
        raise Refused(f"object {object_id} was not followed on frame {t}; choose a frame on which it was")
    config = from_attributes(stored.attrs).engine
    return Inspection(
        object_id=object_id,
        frame=t,
        direction=found.direction,
        decoded_with=found.decoded_with,
        window=found.window,
        shift_yx=found.shift_yx,
        cues=found.cues,
        memory=tuple(memory_read(stored, config, object_id, read) for read in found.memory),
        expected=_expected(stored, found, t),
    )


def _expected(stored: Result, found: ObjectResult, t: int) -> ExpectedObject | None:
    """The mask of the frame before, moved as the window was; None where there is none."""
    before = t - (1 if found.direction == "forward" else -1)
    last = _mask_on(stored, found.object_id, before)
    if found.prompted or last is None:
        return None
    moved = last.shifted(found.shift_yx)
    return ExpectedObject(
        before, moved, moved.box, tuple(inner_points(moved, N_POINTS)), found.decoded_with == "motion"
    )


def _mask_on(stored: Result, object_id: int, t: int) -> Region | None:
    if not 0 <= t < stored.labels.shape[0]:
        return None
    found = stored.record(object_id, t)
    if found is None or not found.present:
        return None
    (mask,) = regions_of(np.asarray(stored.labels[t]), [object_id], [found.window])
    return mask


# ---- motion


def motion_between(movie: Movie, t: int, config: MotionConfig) -> FrameMotion:
    """Drift and flow from the frame before to frame `t`, as a run going forward sees them; still on frame 0.

    Without the frames themselves, so that it can be kept.

    Raises
    ------
    ValueError
        For a frame outside the movie.
    """
    if not 0 <= t < movie.n_frames:
        raise Refused(f"there is no frame {t}; {movie.name} has frames 0 to {movie.n_frames - 1}")
    estimator = MotionEstimator(replace(config, flow=True))
    if t > 0:
        estimator.step(open_frame(movie, t - 1))
    return replace(estimator.step(open_frame(movie, t)), before=None, after=None)


# ---- SAM 2's memory | MoSAM


def compare_memory(
    movie: Movie,
    prompts: Prompts,
    object_id: int,
    config: RunConfig,
    model: Segmenter,
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> MemoryComparison:
    """Follow one object twice, each time alone, frame by frame beside each other.

    Parameters
    ----------
    movie : Movie
    prompts : Prompts
        Of the object.
    object_id : int
    config : RunConfig
        Of MoSAM; SAM 2's differs in which memory frames are read, and reads them whole.
    model : Segmenter
        Loaded.
    progress : callable, optional
        Told of the frames that both were followed to, and of how many there are.
    stopped : callable, optional
        Asked after each; where it is so, the frames until then are compared.

    Raises
    ------
    PromptError, ValueError
        Where the object is not prompted on the frames of the settings.
    """
    settings = replace(config, engine=with_sam2_memory(config.engine)), config
    requests = [RunRequest.build(movie, prompts, asked) for asked in settings]
    best: list[dict[int, Seen]] = [{}, {}]
    for done, both in enumerate(zip(*(run(request, model) for request in requests), strict=True), 1):
        for by_frame, result in zip(best, both, strict=True):
            seen = _seen(result)
            by_frame[result.t] = max(by_frame.get(result.t, seen), seen, key=itemgetter(0))
        if progress is not None:
            progress(done, requests[0].n_results)
        if stopped():
            break
    frames = tuple(sorted(best[0]))
    sam2, mosam = (tuple(by_frame[t][1] for t in frames) for by_frame in best)
    return MemoryComparison(object_id, frames, sam2, mosam, movie.frame_shape)


def with_sam2_memory(engine: EngineConfig) -> EngineConfig:
    """The same settings with SAM 2's memory: the last frames, whatever they hold, and all pixels of them."""
    plain: MemoryConfig = replace(engine.memory, selection="sam2", pixels="off")
    return replace(engine, memory=plain)


def _seen(result: FrameResult) -> Seen:
    """How sure a direction is of a frame, and the mask; where both came by, the surer one counts."""
    (one,) = result.objects
    return one.predicted_iou if one.present else 0.0, Region.from_mask(result.labels > 0)
