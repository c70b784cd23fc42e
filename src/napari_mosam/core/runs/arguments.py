"""From the arguments of the public functions to the settings of a run."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_mosam.core.config.checks import require
from napari_mosam.core.config.engine import Direction, EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.config.run import MovieConfig, RunConfig

if TYPE_CHECKING:
    from napari_mosam.core.model.protocol import Segmenter

Frames = slice | tuple[int | None, int | None] | None


def movie_config(
    *,
    axes: str | None = None,
    channel: Any = None,
    z: Any = None,
    limits: Any = None,
    pixel_size: Any = None,
    interval: Any = None,
    series: Any = None,
    skip_bad_frames: bool = False,
) -> MovieConfig:
    """How a movie is read, from what a public function is given; ValueError for what cannot be."""
    return MovieConfig(
        axes=axes,
        channel=_plain(channel),
        z=_plain(z),
        limits=_plain(limits),
        pixel_size=_plain(pixel_size),
        interval=_plain(interval),
        series=_plain(series),
        skip_bad_frames=skip_bad_frames,
    )


def run_config(
    *,
    model: "str | Path | Segmenter" = "nano",
    device: Any = None,
    frames: Frames = None,
    direction: Direction = "both",
    diameter: float | None = None,
    engine: EngineConfig,
    movie: MovieConfig,
    stop_after_unsure: int | None = None,
) -> RunConfig:
    """The settings of a run, from what a public function is given; ValueError for what cannot be."""
    return RunConfig(
        model=str(model) if isinstance(model, str | Path) else model.name,
        device=None if device is None else str(device),
        frames=frame_range(frames),
        direction=direction,
        diameter=_plain(diameter),
        movie=movie,
        engine=engine,
        stop_after_unsure=_plain(stop_after_unsure),
    )


def merged_config(
    config: EngineConfig | None = None,
    motion: MotionConfig | bool | str | None = None,
    memory: MemoryConfig | str | None = None,
    compete: bool | None = None,
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
    require(given is None or isinstance(given, kind), name, given, allowed)
    return default if given is None else given


def frame_range(frames: Frames) -> tuple[int | None, int | None] | None:
    """A range of frames from what a public function is given; ValueError for one with a step."""
    if not isinstance(frames, slice):
        return _plain(frames)  # type: ignore[no-any-return]
    if frames.step not in (None, 1):
        raise ValueError(f"frames {frames} are not possible; every frame of a range is followed: give no step")
    return _plain((frames.start, frames.stop))  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """Numbers of numpy as those of Python, and sequences as tuples."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def given_model(model: "str | Path | Segmenter | None") -> "Segmenter | None":
    """A model that is loaded already."""
    return None if model is None or isinstance(model, str | Path) else model
