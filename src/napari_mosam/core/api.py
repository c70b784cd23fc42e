"""The public functions that begin: segment, preview, track and others. The first call loads the engine, and torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_mosam.core.config.engine import Direction, EngineConfig, MemoryConfig, MotionConfig, Selection
from napari_mosam.core.config.run import Limits
from napari_mosam.core.prompts.collection import Prompt, Prompts
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.runs.arguments import Frames, given_model, merged_config, movie_config, run_config
from napari_mosam.core.runs.request import RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_mosam.core.find.proposals import Proposals
    from napari_mosam.core.model.protocol import Segmenter
    from napari_mosam.core.store.result import Result

    Progress = Callable[[FrameResult, int, int], None]

AnyPrompts = Prompts | Sequence[Prompt] | str | Path


def segment(
    movie: Any,
    prompts: AnyPrompts,
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
    series: int | None = None,
    skip_bad_frames: bool = False,
) -> Iterator[FrameResult]:
    """Segment and follow prompted objects through a movie, frame by frame.

    Parameters
    ----------
    movie : Movie, array or path
        Whatever :meth:`Movie.open` takes; read one frame at a time.
    prompts : Prompts, sequence of prompts, or path
        Points, boxes and masks of any object on any frame; or the file that :func:`load_prompts` reads.
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
    series : int, optional
        Which image of a file that holds several; the largest by default.
    skip_bad_frames : bool
        Count a frame that cannot be read, or is not there, as absent for all objects, instead of ending there.

    Yields
    ------
    FrameResult
        With 'both', one per (direction, t): a frame between an object's prompts, or between those of two objects,
        comes once in each direction, with the objects of that direction. :func:`track` fuses them.

    Raises
    ------
    MovieError, PromptError, ModelError, DeviceError, ValueError
        On bad input, when called: before the first frame is asked for.
    DeviceMemoryError
        While it computes: the device has not memory for one window.
    """
    from napari_mosam.core.runs.run import run

    asked = run_config(
        model=model,
        device=device,
        frames=frames,
        direction=direction,
        diameter=diameter,
        engine=merged_config(config, motion, memory, compete),
        movie=movie_config(
            axes=axes, channel=channel, z=z, limits=limits, series=series, skip_bad_frames=skip_bad_frames
        ),
    )
    return run(RunRequest.build(movie, prompts, asked), given_model(model))


def preview(
    movie: Any,
    prompts: AnyPrompts,
    frame: int,
    *,
    model: "str | Path | Segmenter" = "nano",
    diameter: float | None = None,
    device: Any = None,
    config: EngineConfig | None = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    limits: Limits = None,
    series: int | None = None,
) -> FrameResult:
    """Segment the prompts of one frame, without following anything.

    Parameters
    ----------
    movie, prompts, model, diameter, device, config, axes, channel, z, limits, series
        As in :func:`segment`.
    frame : int
        The prompted frame.

    Raises
    ------
    PromptError
        If nothing is prompted on that frame.
    """
    from napari_mosam.core.runs.run import preview_frame

    asked = run_config(
        model=model,
        device=device,
        diameter=diameter,
        engine=merged_config(config),
        movie=movie_config(axes=axes, channel=channel, z=z, limits=limits, series=series),
    )
    request = RunRequest.build(movie, prompts, asked)
    request.check_frame(frame)
    return preview_frame(request, frame, given_model(model))


def find(
    movie: Any,
    frame: int,
    *,
    model: "str | Path | Segmenter" = "nano",
    diameter: float | None = None,
    covered: "NDArray[Any] | None" = None,
    min_score: float | None = None,
    progress: "Callable[[int, int], None] | None" = None,
    device: Any = None,
    config: EngineConfig | None = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    limits: Limits = None,
    series: int | None = None,
) -> "Proposals":
    """Propose a mask for every cell of a frame, without a mark.

    Parameters
    ----------
    movie, model, device, config, axes, channel, z, limits, series
        As in :func:`segment`.
    frame : int
    diameter : float, optional
        Of a typical cell, px; estimated by default.
    covered : ndarray of int, shape (Y, X), optional
        Ids of what is known already, and not proposed again.
    min_score : float, optional
        Score from which a mask is proposed, in [0, 1].
    progress : callable, optional
        Told of the number of views that were looked at, and of their total.

    Returns
    -------
    Proposals
        ``find(...).prompts()`` are the prompts with which :func:`track` follows them.

    Raises
    ------
    MovieError, ModelError, DeviceError, ValueError
        On bad input.
    """
    from napari_mosam.core.find.frame import find_cells
    from napari_mosam.core.find.request import FindRequest

    asked = run_config(
        model=model,
        device=device,
        diameter=diameter,
        engine=merged_config(config),
        movie=movie_config(axes=axes, channel=channel, z=z, limits=limits, series=series),
    )
    request = FindRequest.build(movie, frame, asked, covered, min_score)
    return find_cells(request, given_model(model), progress=progress)


def track(
    movie: Any,
    prompts: AnyPrompts,
    *,
    out: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    progress: "Progress | None" = None,
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
    pixel_size: float | None = None,
    interval: float | None = None,
    series: int | None = None,
    skip_bad_frames: bool = False,
    stop_after_unsure: int | None = None,
) -> "Result":
    """Follow objects and write the label frames to a zarr group as they come.

    Parameters
    ----------
    movie, prompts, model, diameter, frames, direction, device
        As in :func:`segment`.
    motion, memory, compete, config, axes, channel, z, limits, series, skip_bad_frames
        As in :func:`segment`.
    pixel_size, interval : float, optional
        Side of a pixel, µm, and time between frames, s; from the file by default. Kept with the result.
    out : path
        Folder to make: an OME-Zarr label image that holds the labels '0' (T, Y, X), 'confidence' (T, Y, X), a table and
        records per object and frame, and what can be undone. Where both directions followed an object, the record of
        the better one is kept, see :func:`fuse`.
    overwrite : bool
        Replace an existing result: the new one is written beside it and takes its place when it is whole; a run that
        is stopped leaves the earlier one as it is. Without it an existing path is refused.
    resume : bool
        Go on with a run that was stopped or killed, with the same arguments, to the same bytes as if it had not been;
        one that came to its end is left as it is. What is finished is computed again and not written.
    progress : callable, optional
        Called after each frame with its result, the number of steps done and their total.
    stop_after_unsure : int, optional
        Stop as soon as an object was lost or unsure on that many frames in a row: half a result, which says why in its
        `progress`, and is gone on with by `resume`. Each such stretch of frames stops a run once.

    Returns
    -------
    Result
        Open on the written group.

    Raises
    ------
    FileExistsError, PermissionError, ResultBusyError
        Before anything is computed.
    ValueError
        If a run that shall be resumed was another.
    """
    from napari_mosam.core.runs.write import write_run

    asked = run_config(
        model=model,
        device=device,
        frames=frames,
        direction=direction,
        diameter=diameter,
        engine=merged_config(config, motion, memory, compete),
        movie=movie_config(
            axes=axes,
            channel=channel,
            z=z,
            limits=limits,
            pixel_size=pixel_size,
            interval=interval,
            series=series,
            skip_bad_frames=skip_bad_frames,
        ),
        stop_after_unsure=stop_after_unsure,
    )
    request = RunRequest.build(movie, prompts, asked)
    return write_run(request, out, overwrite=overwrite, resume=resume, progress=progress, model=given_model(model))


def import_labels(
    movie: Any,
    labels: Any,
    *,
    out: str | Path,
    overwrite: bool = False,
    progress: "Progress | None" = None,
    model: "str | Path | Segmenter" = "nano",
    device: Any = None,
    config: EngineConfig | None = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    limits: Limits = None,
    pixel_size: float | None = None,
    interval: float | None = None,
    series: int | None = None,
) -> "Result":
    """Make a result of the labels of another program, so that its objects can be corrected and followed again.

    Ids, and of the Cell Tracking Challenge parents, are kept. Every pixel is locked: unlock an object on the frames on
    which a run, or a correction of a neighbour, may change it. On its first frame an object is prompted by its mask.

    Parameters
    ----------
    movie, device, config, axes, channel, z, limits, series
        As in :func:`segment`.
    labels : array or path
        Labels (T, Y, X) of the whole movie, in which an id is one object: whatever :func:`open_labels` takes.
    out, overwrite, progress, pixel_size, interval
        As in :func:`track`.
    model : str, path or Segmenter
        The one with which objects will be followed again.

    Returns
    -------
    Result
        Open on the written group.

    Raises
    ------
    MovieError, PromptError, ModelError, DeviceError, ValueError, FileExistsError, PermissionError, ResultBusyError
        As in :func:`track`; also for labels of another shape, or whose ids do not last.
    """
    from napari_mosam.core.runs.imported import import_result

    asked = run_config(
        model=model,
        device=device,
        engine=merged_config(config),
        movie=movie_config(
            axes=axes,
            channel=channel,
            z=z,
            limits=limits,
            pixel_size=pixel_size,
            interval=interval,
            series=series,
        ),
    )
    return import_result(movie, labels, out, asked, overwrite=overwrite, progress=progress, model=given_model(model))
