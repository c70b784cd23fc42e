"""What a run is asked beside movie and prompts: how the movie is read, which frames, which model, which settings."""

from dataclasses import field
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from napari_mosam.core.config.engine import Direction, EngineConfig

STRICT = ConfigDict(extra="forbid", strict=True)

Limits = tuple[float, float] | Literal["exact"] | None


@dataclass(frozen=True, slots=True, config=STRICT)
class MovieConfig:
    """How a movie with more than the axes (T, Y, X) is read, and which grey values the model sees.

    Parameters
    ----------
    axes : str, optional
        What the axes are, e.g. 'TCYX'; from the file by default.
    channel : int, optional
        Channel to follow, from 0.
    z : int or 'max', optional
        Plane from 0, or the projection.
    limits : tuple of float or 'exact', optional
        Pixel values seen as black and white; 'exact': from all pixels; from a sample without outliers by default.
    """

    axes: str | None = None
    channel: int | None = None
    z: int | Literal["max"] | None = None
    limits: Limits = None


@dataclass(frozen=True, slots=True, config=STRICT)
class ComputeConfig:
    """What decides the last bits of a result beside everything else.

    Parameters
    ----------
    chunk : int, optional
        Windows per call of the network; the device's own number by default.
    threads : int, optional
        Threads of a call; as many as torch takes by default.
    """

    chunk: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class RunConfig:
    """Everything that is asked of a run beside movie and prompts; serialises to plain JSON types and back.

    Parameters
    ----------
    model : str
        Name of a model, or path of its weights.
    checkpoint_config : str, optional
        Of a checkpoint given by its path: a file or a name.
    model_folder : str, optional
        Of downloaded weights.
    device : str, optional
        'cuda', 'mps' or 'cpu'; the best there is by default.
    frames : tuple of int or None, optional
        Half-open range of frames.
    direction : {'both', 'forward', 'backward'}
    diameter : float, optional
        Typical object size for clicks, px.
    movie, engine, compute
        See their classes.
    """

    model: str = "nano"
    checkpoint_config: str | None = None
    model_folder: str | None = None
    device: str | None = None
    frames: tuple[int | None, int | None] | None = None
    direction: Direction = "both"
    diameter: float | None = None
    movie: MovieConfig = field(default_factory=MovieConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
