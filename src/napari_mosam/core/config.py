"""Every knob of the engine, as frozen dataclasses.

The defaults are the settings that won on real movies (see ``docs/benchmarks.md``); ``EngineConfig.plain()``
is SAM 2's own memory without motion, gate or competition, and is the baseline everything is measured against.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, TypeVar

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


def _require(ok: bool, name: str, given: object, allowed: str) -> None:
    if not ok:
        raise ValueError(f"{name} = {given!r} is not possible; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How an object is framed for the model.

    Parameters
    ----------
    mode : {'object', 'full'}
        'object': a square window around each object. 'full': the whole frame, stretched to the model's square.
    ratio : float
        Side of the window in object diameters.
    rescale : float
        How fast the window follows a change of size, 0 (never) to 1 (at once), per frame.
    ladder_max : float
        Largest window tried for a click without a size, in units of the frame's larger side.
    """

    mode: Literal["object", "full"] = "object"
    ratio: float = 5.0
    rescale: float = 0.1
    ladder_max: float = 1.5

    def __post_init__(self) -> None:
        _require(self.mode in ("object", "full"), "window mode", self.mode, "'object' or 'full'")
        _require(1.5 <= self.ratio <= 20, "window ratio", self.ratio, "1.5 to 20 object diameters")
        _require(0 <= self.rescale <= 1, "window rescale", self.rescale, "0 to 1")
        _require(self.ladder_max > 0, "window ladder_max", self.ladder_max, "a positive number")


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """What moves the windows from one frame to the next.

    Parameters
    ----------
    drift : bool
        Estimate and verify a shift common to the whole frame (a stage that jumps).
    flow : bool
        Add the median of the dense optical flow inside the object's mask.
    flow_method : {'auto', 'ilk', 'dis'}
        'ilk' is scikit-image's, 'dis' is OpenCV's (extra ``fast``); 'auto' takes 'dis' where it is installed.
    """

    drift: bool = True
    flow: bool = True
    flow_method: Literal["auto", "ilk", "dis"] = "auto"

    def __post_init__(self) -> None:
        _require(self.flow_method in ("auto", "ilk", "dis"), "flow_method", self.flow_method, "'auto', 'ilk' or 'dis'")

    @classmethod
    def off(cls) -> Self:
        """No motion at all: the window stays at the centre of the last mask."""
        return cls(drift=False, flow=False)


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Which frames are written to an object's memory and which are read.

    Parameters
    ----------
    selection : {'gated', 'sam2'}
        'sam2': every frame is remembered, the last six are read. 'gated': absent and suspect frames are never
        remembered, the last six that were are read.
    n_frames : int
        Tracked frames read at most (SAM 2 has six slots for them).
    max_conditioning : int
        Prompted frames read at most, the nearest in time; 0 reads all.
    area_range : tuple of float
        A frame is suspect when the area leaves this range times the median of the last ``area_history`` areas.
    area_history : int
        Remembered frames over which that median is taken.
    min_consistency : float
        A frame is suspect when the mask overlaps the motion-shifted previous mask less than this (IoU).
    """

    selection: Literal["gated", "sam2"] = "gated"
    n_frames: int = 6
    max_conditioning: int = 4
    area_range: tuple[float, float] = (0.4, 2.5)
    area_history: int = 10
    min_consistency: float = 0.15

    def __post_init__(self) -> None:
        _require(self.selection in ("gated", "sam2"), "memory selection", self.selection, "'gated' or 'sam2'")
        _require(1 <= self.n_frames <= 6, "memory n_frames", self.n_frames, "1 to 6")
        _require(self.max_conditioning >= 0, "max_conditioning", self.max_conditioning, "0 (all) or more")
        low, high = self.area_range
        _require(0 <= low < 1 < high, "area_range", self.area_range, "(below 1, above 1)")
        _require(self.area_history >= 1, "area_history", self.area_history, "1 or more")
        _require(0 <= self.min_consistency < 1, "min_consistency", self.min_consistency, "0 to below 1")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """All settings of a run; serialises to plain JSON types and back.

    Parameters
    ----------
    window, motion, memory
        See their classes.
    compete : bool
        All objects of a frame compete for its pixels, in the output and in what is remembered.
    prune : bool
        Drop the pieces of a mask that do not continue the object's last mask, and fill its holes.
    """

    window: WindowConfig = field(default_factory=WindowConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    compete: bool = True
    prune: bool = True

    @classmethod
    def plain(cls) -> Self:
        """SAM 2's memory rule, windows at the last centre, every object and every pixel for itself."""
        return cls(
            motion=MotionConfig.off(),
            memory=MemoryConfig(selection="sam2", max_conditioning=0),
            compete=False,
            prune=False,
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested dictionaries of JSON types."""
        nested = asdict(self)
        nested["memory"]["area_range"] = list(self.memory.area_range)
        return nested

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Build from nested dictionaries; whatever is left out keeps its default.

        Raises
        ------
        ValueError
            For an unknown key or a value outside its range.
        """
        default = cls()
        _refuse_unknown("config", given, {f.name for f in fields(cls)})
        return cls(
            window=_section(default.window, "window", given),
            motion=_section(default.motion, "motion", given),
            memory=_section(default.memory, "memory", given),
            compete=_switch("compete", given.get("compete", default.compete)),
            prune=_switch("prune", given.get("prune", default.prune)),
        )


SectionT = TypeVar("SectionT", WindowConfig, MotionConfig, MemoryConfig)


def _section(default: SectionT, name: str, given: Mapping[str, Any]) -> SectionT:
    section = dict(given.get(name, {}))
    _refuse_unknown(name, section, {f.name for f in fields(default)})
    if "area_range" in section:
        section["area_range"] = tuple(section["area_range"])
    return replace(default, **section)


def _switch(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise ValueError(f"{name} = {given!r} is not possible; allowed: true or false")
    return given


def _refuse_unknown(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"unknown setting {unknown} in {where}; known: {sorted(known)}")
