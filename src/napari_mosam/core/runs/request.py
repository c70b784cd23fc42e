"""What is asked of a run, checked before anything is loaded: range of frames, prompts, options and settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from napari_mosam.core.config.engine import DIRECTIONS, Direction, EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.prompts.collection import Prompt, PromptError, Prompts, only_negative
from napari_mosam.core.tracking.passes import plan_passes

Frames = slice | tuple[int | None, int | None] | None


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
        if all(only_negative(p) for p in inside.at(t)[object_id]):
            raise PromptError(
                f"object {object_id} has only negative points on frame {t}, from which it is followed; add a positive "
                "point, box or mask there"
            )
    return inside


def prompts_inside(prompts: Prompts | Sequence[Prompt], start: int, stop: int) -> Prompts:
    """The prompts on frames start … stop - 1."""
    return Prompts([p for p in prompts if start <= p.frame < stop])


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
    return replace(
        given,
        motion=_of_type(
            MotionConfig, "motion", motion, given.motion, "True, False, 'learned', 'classical' or a MotionConfig"
        ),
        memory=_of_type(MemoryConfig, "memory", memory, given.memory, "'gated', 'reliable', 'sam2' or a MemoryConfig"),
        compete=_of_type(bool, "compete", compete, given.compete, "True or False"),
    )


GivenT = TypeVar("GivenT")


def _of_type(kind: type[GivenT], name: str, given: GivenT | None, default: GivenT, allowed: str) -> GivenT:
    if given is not None and not isinstance(given, kind):
        raise ValueError(f"{name} = {given!r} is not possible; allowed: {allowed}")
    return default if given is None else given


def listed(values: Sequence[int], most: int = 6) -> str:
    """Numbers for a message, the first few of many."""
    shown = ", ".join(str(v) for v in values[:most])
    return shown if len(values) <= most else f"{shown} … ({len(values)} in all)"


def count_steps(
    n_frames: int, prompts: Prompts | Sequence[Prompt], frames: Frames = None, direction: Direction = "both"
) -> int:
    """Number of results that :func:`napari_mosam.segment` will yield."""
    start, stop = frame_range(frames, n_frames)
    inside = prompts_inside(prompts, start, stop)
    return sum(one.reported(t) for one in plan_passes(inside, start, stop, direction) for t in one.frames)
