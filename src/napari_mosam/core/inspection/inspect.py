"""Why an object has its mask on a frame, told from a stored result; a run does nothing for it."""

from dataclasses import replace

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
    movie: Movie, prompts: Prompts, object_id: int, config: RunConfig, model: Segmenter
) -> MemoryComparison:
    """Follow one object twice, each time alone.

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

    Raises
    ------
    PromptError, ValueError
        Where the object is not prompted on the frames of the settings.
    """
    both = {"sam2": replace(config, engine=with_sam2_memory(config.engine)), "mosam": config}
    found = {name: _followed(RunRequest.build(movie, prompts, asked), model) for name, asked in both.items()}
    frames = sorted(found["sam2"].keys() | found["mosam"].keys())
    masks = {name: tuple(by_frame.get(t) for t in frames) for name, by_frame in found.items()}
    return MemoryComparison(object_id, tuple(frames), masks["sam2"], masks["mosam"], movie.frame_shape)


def with_sam2_memory(engine: EngineConfig) -> EngineConfig:
    """The same settings with SAM 2's memory: the last frames, whatever they hold, and all pixels of them."""
    plain: MemoryConfig = replace(engine.memory, selection="sam2", pixels="off")
    return replace(engine, memory=plain)


def _followed(request: RunRequest, model: Segmenter) -> dict[int, Region | None]:
    """The mask on each frame; where both directions came by, that of the one that is surer."""
    best: dict[int, tuple[float, Region | None]] = {}
    for result in run(request, model):
        sure, mask = _seen(result)
        if result.t not in best or sure > best[result.t][0]:
            best[result.t] = sure, mask
    return {t: mask for t, (_, mask) in best.items()}


def _seen(result: FrameResult) -> tuple[float, Region | None]:
    (one,) = result.objects
    return one.predicted_iou if one.present else 0.0, Region.from_mask(result.labels > 0)
