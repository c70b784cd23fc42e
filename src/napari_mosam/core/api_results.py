"""The public functions that go on with a result: rerun and replay. The first call loads the engine, and torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_mosam.core.api import AnyPrompts
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.runs.arguments import Frames, frame_range, given_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mosam.core.model.protocol import Segmenter
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.store.result import Result

    Progress = Callable[[FrameResult, int, int], None]


def rerun(
    result: "Result | str | Path",
    movie: Any,
    prompts: AnyPrompts,
    object_ids: Sequence[int] | None = None,
    *,
    model: "str | Path | Segmenter | None" = None,
    neighbours: bool = False,
    changed_frames: Mapping[int, Sequence[int]] | None = None,
    frames: Frames = None,
    anew: bool = False,
    progress: "Progress | None" = None,
    device: Any = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    stop_after_unsure: int | None = None,
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
        What :func:`track` wrote; changed in place, which :meth:`Result.undo` takes back. One that was stopped before
        its end stays half, see :attr:`Result.complete`. A re-run that was stopped or killed is rolled back first.
    movie : Movie, array or path
        The movie it was made from; its grey limits are those stored with the result.
    prompts : Prompts, sequence of prompts, or path
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
    frames : tuple of (int or None), optional
        The only frames, start to stop - 1, on which anything changes and prompts count. Where they are more than the
        result has, it is extended, across a gap too: objects go on from their last masks. Half a result, whose run or
        extension was stopped, goes on from its last frame. By default those of the result, as far as it came.
    anew : bool
        Follow all objects again on these frames, from where they are on the first.
    progress : callable, optional
        Called after each frame with its result, the number of steps done and the largest possible number.
    device : str or torch.device, optional
    axes, channel, z
        How to read the movie, see :meth:`Movie.open`.
    stop_after_unsure : int, optional
        As in :func:`track`, on frames that are more than the result had.

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
    from napari_mosam.core.runs.rerun import rerun_result

    return rerun_result(
        _path(result),
        movie,
        prompts,
        object_ids,
        model=_loader(model, device),
        neighbours=neighbours,
        changed_frames=changed_frames,
        frames=frame_range(frames),
        anew=anew,
        progress=progress,
        stop_after_unsure=stop_after_unsure,
        axes=axes,
        channel=channel,
        z=z,
    )


def replay(
    result: "Result | str | Path",
    out: str | Path,
    *,
    movie: Any = None,
    other_movie: bool = False,
    all_at_once: bool = False,
    overwrite: bool = False,
    progress: "Progress | None" = None,
    model: "str | Path | Segmenter | None" = None,
    device: Any = None,
) -> "Result":
    """Make a result again from what it keeps: prompts, settings, and what was done to it since, in order.

    With the same versions on the same kind of machine the labels, the confidence and the table are the same to the
    bit. A run that was stopped is stopped where it was.

    Parameters
    ----------
    result : Result or path
        What :func:`track` wrote, corrected or not; left as it is.
    out : path
        Folder to make.
    movie : Movie, array or path, optional
        The movie it was made from; by default the place that the result keeps.
    other_movie : bool
        Allow a movie of the same shape that shows something else.
    all_at_once : bool
        Ignore the order: one run with all prompts of now and the corrected masks, then corrections and locks.
    overwrite : bool
        Replace a result at `out`.
    progress : callable, optional
        As in :func:`track`, for each run.
    model : str, path or Segmenter, optional
        By default the one that made the result.
    device : str or torch.device, optional

    Returns
    -------
    Result
        Open on the new group; its steps can be undone one by one.

    Raises
    ------
    MovieError, PromptError, ModelError, DeviceError, ValueError
        Before anything is computed: for a movie that is not there, or another; another model or other weights; a
        result of version 0.1, which does not keep the order, unless `all_at_once` is true.
    FileExistsError, PermissionError, ResultBusyError
        As in :func:`track`.
    """
    from napari_mosam.core.runs.recreate import movie_of, replay_result
    from napari_mosam.core.store.result import Result

    stored = Result.open(_path(result))
    return replay_result(
        stored,
        Path(out),
        movie_of(stored, movie, other=other_movie),
        _loader(model, device),
        all_at_once=all_at_once,
        overwrite=overwrite,
        progress=progress,
    )


def _path(result: "Result | str | Path") -> Path:
    return Path(result if isinstance(result, str | Path) else result.path)


def _loader(model: "str | Path | Segmenter | None", device: Any) -> "Callable[[RunConfig], Segmenter]":
    """What loads the model of a result, or that which is given in place of it."""
    from napari_mosam.core.runs import run

    given = given_model(model)
    return lambda config: given if given is not None else run.load(_on(config, model, device))


def _on(config: RunConfig, model: "str | Path | Segmenter | None", device: Any) -> RunConfig:
    """The settings with another place of the model, and the device of now."""
    place = str(model) if isinstance(model, str | Path) else config.model
    return replace(config, model=place, device=None if device is None else str(device))
