"""The public functions: segment, preview, track and rerun. The first call loads the engine, and torch with it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_mosam.core.config.engine import Direction, EngineConfig, MemoryConfig, MotionConfig, Selection
from napari_mosam.core.images.movie import Limits, Movie
from napari_mosam.core.prompts.collection import Prompt, PromptError, Prompts
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.runs.request import (
    Frames,
    check_options,
    check_prompts,
    count_steps,
    frame_range,
    listed,
    merged_config,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mosam.core.model.protocol import Segmenter
    from napari_mosam.core.store.result import Result

    Progress = Callable[[FrameResult, int, int], None]

LOGIT_STRIDE = 4
"""Model pixels per mask logit."""


def segment(
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    *,
    model: "str | Path | Segmenter" = "nano",
    diameter: float | None = None,
    frames: Frames = None,
    direction: Direction = "both",
    device: Any = None,
    motion: MotionConfig | bool | Literal["classical", "learned"] | None = None,
    memory: MemoryConfig | Selection | None = None,
    compete: bool | None = None,
    config: EngineConfig | None = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    limits: Limits = None,
) -> Iterator[FrameResult]:
    """Segment and follow prompted objects through a movie, frame by frame.

    Parameters
    ----------
    movie : Movie, array or path
        Whatever :meth:`Movie.open` takes; read one frame at a time.
    prompts : Prompts or sequence of prompts
        Points, boxes and masks of any object on any frame.
    model : str, path or Segmenter
        Name of a model, its weights, or one that is already loaded.
    diameter : float, optional
        Typical object size in px, for clicks; boxes and masks carry their own.
    frames : slice or (start, stop), optional
        Half-open range of frames; everything else is neither read nor prompted.
    direction : {'both', 'forward', 'backward'}
        'both': each object is followed forward from its earliest prompt, then backward from its latest. 'forward':
        from the earliest prompt on. 'backward': from the latest prompt down.
    device : str or torch.device, optional
        'cuda', 'mps' or 'cpu'; the best one there is by default.
    motion, memory, compete, config
        Engine settings; the first three override those in `config`. ``motion="learned"`` keeps the other motion
        settings and uses the trained encoders.
    axes, channel, z
        How to read a movie with more than (T, Y, X), see :meth:`Movie.open`.
    limits : tuple of float or 'exact', optional
        Pixel values that the model sees as black and white; found automatically by default, see :meth:`Movie.open`.

    Yields
    ------
    FrameResult
        With 'both', one per (direction, t): a frame between an object's prompts, or between those of two objects,
        comes once in each direction, with the objects of that direction. :func:`track` fuses them.

    Raises
    ------
    MovieError, PromptError, ModelError, DeviceError, ValueError
        On bad input, when called: before the first frame is asked for.
    """
    from napari_mosam.core.runs.run import RunRequest, check_flow, run

    merged = merged_config(config, motion, memory, compete)
    check_flow(merged)
    opened = Movie.open(movie, axes=axes, channel=channel, z=z, limits=limits)
    start, stop = frame_range(frames, opened.n_frames)
    check_options(direction, diameter)
    inside = check_prompts(prompts, opened.shape, start, stop, direction)
    loaded = _loaded(model, device)
    return run(RunRequest(opened, inside, loaded, merged, start, stop, direction, diameter))


def preview(
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    frame: int,
    *,
    model: "str | Path | Segmenter" = "nano",
    diameter: float | None = None,
    device: Any = None,
    config: EngineConfig | None = None,
    **reading: Any,
) -> FrameResult:
    """Segment the prompts of one frame, without following anything.

    Parameters
    ----------
    movie, prompts, model, diameter, device, config
        As in :func:`segment`.
    frame : int
        The prompted frame.
    **reading
        `axes`, `channel`, `z` and `limits` of :func:`segment`.

    Raises
    ------
    PromptError
        If nothing is prompted on that frame.
    """
    from napari_mosam.core.runs.run import RunRequest, preview_frame

    opened = Movie.open(movie, **reading)
    inside = check_prompts(prompts, opened.shape, 0, opened.n_frames)
    check_options("forward", diameter)
    if frame not in inside.frames:
        raise PromptError(f"nothing is prompted on frame {frame}; prompted frames: {listed(inside.frames)}")
    job = RunRequest(
        opened, inside, _loaded(model, device), config or EngineConfig(), frame, frame + 1, "forward", diameter
    )
    return preview_frame(job, frame)


def track(
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    *,
    out: str | Path,
    overwrite: bool = False,
    progress: "Progress | None" = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    limits: Limits = None,
    **options: Any,
) -> "Result":
    """Follow objects and write the label frames to a zarr group as they come.

    Parameters
    ----------
    movie, prompts
        As in :func:`segment`.
    out : path
        Zarr group to make; it holds 'labels' (T, Y, X), 'confidence' (T, Y, X) and records per object and frame.
        Where both directions followed an object, the record of the better one is kept, see :func:`fuse`.
    overwrite : bool
        Replace an existing result: the new one is written beside it and takes its place when it is whole; a run that
        is stopped leaves the earlier one as it is. Without it an existing path is refused.
    progress : callable, optional
        Called after each frame with its result, the number of steps done and their total.
    **options
        Everything else that :func:`segment` takes.

    Returns
    -------
    Result
        Open on the written group.

    Raises
    ------
    FileExistsError, PermissionError, ResultBusyError
        Before anything is computed.
    """
    from napari_mosam.core.images.places import alone
    from napari_mosam.core.store.result import Result, ResultWriter

    opened = Movie.open(movie, axes=axes, channel=channel, z=z, limits=limits)
    start, stop = frame_range(options.get("frames"), opened.n_frames)
    inside = check_prompts(prompts, opened.shape, start, stop, options.get("direction", "both"))
    with alone(out, make_folder=True) as place:
        folder = place.room(overwrite=overwrite)
        if place.holds(movie):
            raise FileExistsError(f"the movie '{movie}' lies in '{out}', which would be replaced; choose another name")
        options["model"] = _loaded(options.get("model", "nano"), options.get("device"))
        results = segment(opened, prompts, **options)
        total = count_steps(opened.n_frames, inside, options.get("frames"), options.get("direction", "both"))
        settings = {**_provenance(options), "frames": [start, stop]}
        side = options["model"].image_size // LOGIT_STRIDE
        writer = ResultWriter.create(folder, opened, inside, settings, side=side)
        for done, result in enumerate(results, start=1):
            writer.write(result)
            if progress is not None:
                progress(result, done, total)
        writer.finish()
        place.publish(folder)
    return Result.open(Path(out))


def rerun(
    result: "Result | str | Path",
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    object_ids: Sequence[int] | None = None,
    *,
    model: "str | Path | Segmenter | None" = None,
    neighbours: bool = False,
    changed_frames: Mapping[int, Sequence[int]] | None = None,
    progress: "Progress | None" = None,
    device: Any = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
) -> "Result":
    """Follow some objects of a result again after their prompts changed, and leave everything else as it is.

    A correction, a removed prompt or a new object is found by comparing the prompts with those of the result. An
    object is followed from its changed frames to its next prompts on either side, and less far where the new mask
    agrees with the stored one for five frames. All other objects take part as they are stored: their records stay the
    same to the bit. Label frames are composed anew, so pixels may change hands where masks meet, except those of
    locked objects, see :meth:`Result.lock`.

    Parameters
    ----------
    result : Result or path
        What :func:`track` wrote; changed in place. One that was stopped before its end stays half, see
        :attr:`Result.complete`.
    movie : Movie, array or path
        The movie it was made from; its grey limits are those stored with the result.
    prompts : Prompts or sequence of prompts
        All prompts of the objects, as they are now.
    object_ids : sequence of int, optional
        The only objects to follow. By default those of `prompts` that are new or changed. An object named here that
        has no prompts any more is removed.
    model : str, path or Segmenter, optional
        By default the one that made the result.
    neighbours : bool
        Also follow the objects again whose masks touch theirs on the way.
    changed_frames : mapping of int to sequence of int, optional
        Frames to be done again by object, besides those whose prompts changed.
    progress : callable, optional
        Called after each frame with its result, the number of steps done and the largest possible number.
    device : str or torch.device, optional
    axes, channel, z
        How to read the movie, see :meth:`Movie.open`.

    Returns
    -------
    Result
        Opened again; without changes nothing is done.

    Raises
    ------
    MovieError, PromptError, ModelError, DeviceError, ValueError
        On bad input, before anything is changed.
    ResultBusyError
        If somebody else is writing the result.
    """
    from napari_mosam.core.images.places import alone
    from napari_mosam.core.prompts.records import changed_frames as differing
    from napari_mosam.core.runs.rerun import Rerun
    from napari_mosam.core.runs.rerun_checks import check_changes, same_model, same_movie
    from napari_mosam.core.runs.run import RunRequest
    from napari_mosam.core.store.result import Result, ResultWriter

    path = Path(result if isinstance(result, str | Path) else result.path)
    with alone(path):
        stored = Result.open(path)
        before, attrs = stored.prompts, stored.attrs
        opened = same_movie(stored, movie, axes=axes, channel=channel, z=z)
        start, stop = attrs["frames"]
        given = check_prompts(prompts, opened.shape, start, stop, attrs["direction"]) if len(prompts) else Prompts()
        ids = set(given.object_ids if object_ids is None else object_ids)
        changes = {i: set(frames) for i, frames in differing(before, given).items() if i in ids}
        for i, frames in (changed_frames or {}).items():
            changes.setdefault(i, set()).update(frames)
        check_changes(changes, ids, {*given.object_ids, *before.object_ids}, range(start, stop))
        if not changes:
            return stored
        kept = (p for p in before if p.object_id not in changes)
        now = Prompts([*kept, *(p for p in given if p.object_id in changes)])
        loaded = same_model(stored, _loaded(attrs["model"] if model is None else model, device))
        config = EngineConfig.from_dict(attrs["config"])
        job = RunRequest(opened, now, loaded, config, start, stop, attrs["direction"], attrs["diameter"])
        writer = ResultWriter.reopen(path, now, sorted(changes))
        Rerun(job, writer, before, changes, neighbours=neighbours, progress=progress).run()
    return Result.open(path)


def _provenance(options: Mapping[str, Any]) -> dict[str, Any]:
    config = merged_config(options.get("config"), options.get("motion"), options.get("memory"), options.get("compete"))
    return {
        "model": options["model"].name,
        "config": config.to_dict(),
        "direction": options.get("direction", "both"),
        "diameter": options.get("diameter"),
    }


def _loaded(model: "str | Path | Segmenter", device: Any) -> "Segmenter":
    from napari_mosam.core.model.registry import load_model

    return load_model(model, device=device) if isinstance(model, str | Path) else model
