"""What a run is asked beside movie and prompts: how the movie is read, which frames, which model, which settings."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from napari_mosam.core.config.checks import bytes_of
from napari_mosam.core.config.declare import from_json, settings, to_json
from napari_mosam.core.config.engine import Direction, EngineConfig, rising
from napari_mosam.core.config.fields import ROOT, Meta

Limits = tuple[float, float] | Literal["exact"] | None
FrameRange = tuple[Annotated[int, Field(ge=0)] | None, Annotated[int, Field(ge=0)] | None]


def not_empty(frames: FrameRange) -> FrameRange:
    """Refuse a range of frames that ends where it starts, or before."""
    start, stop = frames
    if stop is not None and not (start or 0) < stop:
        raise ValueError("the range is empty")
    return frames


def a_size(size: str | None) -> str | None:
    """Refuse what is no amount of memory."""
    if size is not None:
        bytes_of(size)
    return size


@settings("movie")
class MovieConfig:
    """How a movie with more than the axes (T, Y, X) is read, and which grey values the model sees."""

    axes: Annotated[str | None, Field(description="What the axes are, e.g. TCYX; from the file by default.")] = None
    channel: Annotated[int | None, Field(ge=0, description="Channel to follow, from 0.")] = None
    z: Annotated[
        Annotated[int, Field(ge=0)] | Literal["max"] | None,
        Field(description="Plane from 0, or 'max' for the projection."),
        Meta(allowed="the number of a plane, counted from 0, or 'max', or none"),
    ] = None
    limits: Annotated[
        Annotated[tuple[float, float], AfterValidator(rising)] | Literal["exact"] | None,
        Field(
            description="Pixel values seen as black and white; 'exact': from all pixels; from a sample, without "
            "outliers, by default."
        ),
        Meta(allowed="two numbers, low and high, or 'exact', or none"),
    ] = None
    pixel_size: Annotated[
        float | None,
        Field(gt=0, description="Side of a pixel; from the file by default. Kept with the result."),
        Meta(unit="µm", allowed="a positive number of µm, or none"),
    ] = None
    interval: Annotated[
        float | None,
        Field(gt=0, description="Time from frame to frame; from the file by default. Kept with the result."),
        Meta(unit="s", allowed="a positive number of seconds, or none"),
    ] = None
    series: Annotated[
        int | None,
        Field(ge=0, description="Which image of a file that holds several, from 0; the largest by default."),
    ] = None
    skip_bad_frames: Annotated[
        bool,
        Field(description="Count frames that cannot be read as absent for all objects, instead of ending there."),
    ] = False
    ram: Annotated[
        str | None,
        AfterValidator(a_size),
        Field(
            description="Memory that a run may take, such as 2GB; decoded pixels are kept in what is left of it. By "
            "default up to .27 GB do, or two chunks along time where those take more."
        ),
        Meta(allowed="bytes, or a number and a unit such as 500MB or 2GB, or none"),
    ] = None


@settings("compute")
class ComputeConfig:
    """What decides the last bits of a result beside everything else."""

    chunk: Annotated[
        int | None,
        Field(ge=1, description="Windows per call of the network; the device's own number by default."),
        Meta(unit="windows"),
    ] = None
    threads: Annotated[
        int | None,
        Field(
            ge=1,
            description="Threads of a call of the network; by default one up to seven cores, and as many as torch "
            "takes where calls do not stand side by side.",
        ),
        Meta(unit="threads"),
    ] = None
    workers: Annotated[
        int | None,
        Field(
            ge=1,
            description="Calls of the network at a time, each with that many threads. Changes no result. By default "
            "they take all threads of torch, if the input is 256 px or less and a processor computes.",
        ),
        Meta(unit="calls"),
    ] = None
    network: Annotated[
        Literal["fast", "plain"] | None,
        Field(
            description="Code that computes the network: 'fast' is this package's own, 'plain' sam2's modules, to "
            "compare with; the first by default, where the device and the network allow it."
        ),
        Meta(allowed="'fast' or 'plain', or none"),
    ] = None


@settings()
class RunConfig:
    """Everything that is asked of a run beside movie and prompts."""

    model: Annotated[str, Field(description="Name of a model (see 'mosam models'), or path of its weights.")] = "nano"
    checkpoint_config: Annotated[
        str | None,
        Field(description="Of a checkpoint given by its path: a .yaml file, or a name like sam2.1_hiera_t."),
    ] = None
    model_folder: Annotated[
        str | None, Field(description="Of downloaded weights; $MOSAM_CACHE or your cache by default.")
    ] = None
    device: Annotated[str | None, Field(description="cuda, mps or cpu; the best there is by default.")] = None
    frames: Annotated[
        Annotated[FrameRange, AfterValidator(not_empty)] | None,
        Field(description="Frames from the first number up to, not including, the second; all by default."),
        Meta(allowed="a range (start, stop) of whole numbers from 0, start below stop, open ends as null, or none"),
    ] = None
    direction: Annotated[Direction, Field(description="Which way in time objects are followed.")] = "both"
    diameter: Annotated[
        float | None,
        Field(gt=0, description="Typical diameter of an object; sizes the view around a click."),
        Meta(unit="px", allowed="a positive number of px, or none"),
    ] = None
    stop_after_unsure: Annotated[
        int | None,
        Field(
            ge=1,
            description="Stop a run as soon as an object was lost or unsure (predicted IoU below .7) on that many "
            "frames in a row; what was done is kept, and the run can be gone on with. Never by default.",
        ),
        Meta(unit="frames"),
    ] = None
    movie: MovieConfig = field(default_factory=MovieConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def range_in(self, n_frames: int) -> range:
        """The frames that are asked for of a movie of that length.

        Raises
        ------
        ValueError
            If they leave the movie.
        """
        first, last = self.frames or (None, None)
        start, stop = first or 0, n_frames if last is None else last
        if not start < stop <= n_frames:
            shown = ":".join("" if end is None else str(end) for end in (first, last))
            raise ValueError(
                f"frames {shown} are not possible; the movie has frames 0:{n_frames} (the end is not included)"
            )
        return range(start, stop)

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested dictionaries of JSON types."""
        return to_json(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Build from nested dictionaries; whatever is left out keeps its default.

        Settings of the engine may stand without their section, as ``EngineConfig.to_dict`` has them.

        Raises
        ------
        ValueError
            For an unknown key, a value of another kind, or one outside its range.
        """
        return from_json(cls, _nested(given))


def full_path(path: Sequence[str]) -> tuple[str, ...]:
    """Where a setting is in a :class:`RunConfig`, of a path that may leave out the engine."""
    return (ROOT, *path) if path[0] in EngineConfig.__dataclass_fields__ else tuple(path)


def _nested(given: Any) -> Any:
    """Settings of the engine that stand without their section, in it."""
    if not isinstance(given, Mapping) or ROOT in given:
        return given
    engine = {name: value for name, value in given.items() if full_path([name]) != (name,)}
    return {name: value for name, value in given.items() if name not in engine} | {ROOT: engine}
