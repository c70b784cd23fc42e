"""Every knob of the engine, as frozen dataclasses.

The defaults are the settings that won on real movies (see ``docs/benchmarks.md``); ``EngineConfig.plain()``
is SAM 2's own memory without motion, gate or competition, and is the baseline everything is measured against.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, TypeVar, get_args

from napari_mosam.core.config.checks import require

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")
MotionEncoder = Literal["classical", "learned"]
FlowMethod = Literal["auto", "ilk", "dis", "torch"]
MotionPrompt = Literal["off", "mask", "points", "box", "box+points"]
Selection = Literal["gated", "reliable", "sam2"]
PixelFilter = Literal["off", "bias", "feature"]
MOTION_ENCODERS, FLOW_METHODS, MOTION_PROMPTS, SELECTIONS, PIXEL_FILTERS = map(
    get_args, (MotionEncoder, FlowMethod, MotionPrompt, Selection, PixelFilter)
)


def _require_choice(name: str, given: object, allowed: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{word}'" for word in allowed[:-1]) + f" or '{allowed[-1]}'"
    require(given in allowed, name, given, listed)


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
        require(self.mode in ("object", "full"), "window mode", self.mode, "'object' or 'full'")
        require(1.5 <= self.ratio <= 20, "window ratio", self.ratio, "1.5 to 20 object diameters")
        require(0 <= self.rescale <= 1, "window rescale", self.rescale, "0 to 1")
        require(self.ladder_max > 0, "window ladder_max", self.ladder_max, "a positive number")


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Motion-guided prompting: what moves the windows, and what motion tells the decoder (MoSAM, arXiv 2505.00739).

    Parameters
    ----------
    encoder : {'classical', 'learned'}
        'learned': trained networks read the cues below and the object's past, and say where it is expected; with a
        motion prompt they also find how its mask moved and deformed. Where they are unsure of an object, and for a
        deformation seen by another model than the one they were trained with, the classical rule holds.
    drift : bool
        Estimate and verify a shift common to the whole frame (a stage that jumps).
    flow : bool
        Dense cue: the median of the optical flow inside the object's mask, where it is verified.
    flow_method : {'auto', 'ilk', 'dis', 'torch'}
        'ilk' is scikit-image's, 'dis' is OpenCV's, 'torch' runs in batches on the model's device;
        'auto' takes 'torch' on a CUDA device, else 'dis' where it is installed, else 'ilk'.
    keypoints : bool
        Sparse cue: key points inside the mask, followed by cross-correlation and checked forward and backward.
    kalman : bool
        Forecast by a constant-velocity filter while masks overlap or the object is lost; never otherwise.
    velocity : bool
        Repeat the last displacement of every object. A baseline for comparison: it loses cells that turn.
    prompt : {'off', 'mask', 'points', 'box', 'box+points'}
        What motion gives to a second decode of the same features: the last mask moved along, points inside it, its
        box. The better of all candidates is chosen by the weights below.
    negatives : int
        Nearest neighbours whose centres are negative points of the second decode, where it has points.
    box_weight, mask_weight : float
        Weight of the agreement of a candidate's box and mask with those motion predicts; the predicted IoU has the
        rest, ``1 - box_weight - mask_weight``.
    overlap_weight : float
        Penalty on the share of a candidate that lies in other objects' predicted masks.
    """

    encoder: MotionEncoder = "classical"
    drift: bool = True
    flow: bool = True
    flow_method: FlowMethod = "auto"
    keypoints: bool = True
    kalman: bool = True
    velocity: bool = False
    prompt: MotionPrompt = "off"
    negatives: int = 0
    box_weight: float = 0.15
    mask_weight: float = 0.1
    overlap_weight: float = 0.5

    def __post_init__(self) -> None:
        _require_choice("motion encoder", self.encoder, MOTION_ENCODERS)
        _require_choice("flow_method", self.flow_method, FLOW_METHODS)
        _require_choice("motion prompt", self.prompt, MOTION_PROMPTS)
        require(0 <= self.negatives <= 8, "negatives", self.negatives, "0 to 8")
        for name in ("box_weight", "mask_weight", "overlap_weight"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        require(
            self.box_weight + self.mask_weight <= 1,
            "box_weight + mask_weight",
            self.box_weight + self.mask_weight,
            "1 or less",
        )

    @classmethod
    def off(cls) -> Self:
        """No motion at all: the window stays at the centre of the last mask."""
        return cls(drift=False, flow=False, keypoints=False, kalman=False)


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Spatial-temporal memory selection: what is written to an object's memory and what is read (MoSAM, section 3).

    Parameters
    ----------
    selection : {'gated', 'reliable', 'sam2'}
        'sam2': every frame is remembered, the last six are read. 'gated': absent and suspect frames are never
        remembered, the last ones that were are read. 'reliable': gated, and of the last ``n_candidates`` frames the
        ``n_frames`` with the best rating are read, and the latest one always.
    n_frames : int
        Tracked frames read at most (SAM 2 has six slots for them).
    n_candidates : int
        Grid frames that are rated by 'reliable'.
    stride : int
        Distance of the grid frames that 'reliable' keeps as candidates.
    min_iou : float
        Predicted IoU below which 'reliable' does not read a frame, unless nothing better is left.
    pixels : {'off', 'bias', 'feature'}
        Per-pixel reliability of remembered masks. 'bias': unsure pixels are attended to less. 'feature': their
        memory features are damped (for comparison: that disturbs more than it filters).
    pixel_range : tuple of float
        Confidence ``|2p - 1|`` at and below which a pixel counts nothing, and from which on it counts fully.
    max_conditioning : int
        Prompted frames read at most, the nearest in time; 0 reads all.
    area_range : tuple of float
        A frame is suspect when the area leaves this range times the median of the last ``area_history`` areas.
    area_history : int
        Remembered frames over which that median is taken.
    min_consistency : float
        A frame is suspect when the mask overlaps the motion-shifted previous mask less than this (IoU).
    """

    selection: Selection = "gated"
    n_frames: int = 6
    n_candidates: int = 12
    stride: int = 1
    min_iou: float = 0.3
    pixels: PixelFilter = "off"
    pixel_range: tuple[float, float] = (0.2, 0.6)
    max_conditioning: int = 4
    area_range: tuple[float, float] = (0.4, 2.5)
    area_history: int = 10
    min_consistency: float = 0.15

    def __post_init__(self) -> None:
        _require_choice("memory selection", self.selection, SELECTIONS)
        _require_choice("memory pixels", self.pixels, PIXEL_FILTERS)
        require(1 <= self.n_frames <= 6, "memory n_frames", self.n_frames, "1 to 6")
        require(1 <= self.n_candidates <= 64, "memory n_candidates", self.n_candidates, "1 to 64")
        require(1 <= self.stride <= 32, "memory stride", self.stride, "1 to 32")
        require(0 <= self.min_iou < 1, "memory min_iou", self.min_iou, "0 to below 1")
        low, high = self.pixel_range
        require(0 <= low < high <= 1, "pixel_range", self.pixel_range, "(low, high) with 0 <= low < high <= 1")
        require(self.max_conditioning >= 0, "max_conditioning", self.max_conditioning, "0 (all) or more")
        low, high = self.area_range
        require(0 <= low < 1 < high, "area_range", self.area_range, "(below 1, above 1)")
        require(self.area_history >= 1, "area_history", self.area_history, "1 or more")
        require(0 <= self.min_consistency < 1, "min_consistency", self.min_consistency, "0 to below 1")


@dataclass(frozen=True, slots=True)
class LifecycleConfig:
    """When an object counts as present, lost and ended.

    Parameters
    ----------
    confirm : int
        Frames in a row on which a lost object must pass the gates before it counts as found again; 0 believes the
        model's object score at once, as SAM 2 does.
    gate_area : tuple of float
        A returning mask must have between these multiples of the object's usual area.
    gate_sigmas : float
        A returning mask must lie within this many standard deviations of the forecast place.
    min_contrast : float
        A mask whose contrast with its surroundings falls below this share of what is usual for the object shows
        nothing, whatever the model says; 0 switches the check off.
    hide_others : bool
        Paint the objects that are present out of the window in which a lost one is looked for, so that it is not
        found in one of them; not in full-frame mode, where all objects share one view.
    widen : float
        Growth of the window per lost frame; 1 keeps it.
    max_widen : float
        Largest window of a lost object, in units of its usual window.
    end_at_border : int
        Lost frames after which an object last seen at the frame's border has ended; 0 never ends one.
    """

    confirm: int = 2
    gate_area: tuple[float, float] = (0.6, 1.7)
    gate_sigmas: float = 4.0
    min_contrast: float = 0.3
    hide_others: bool = True
    widen: float = 1.05
    max_widen: float = 1.5
    end_at_border: int = 50

    def __post_init__(self) -> None:
        require(0 <= self.confirm <= 10, "life confirm", self.confirm, "0 to 10")
        low, high = self.gate_area
        require(0 <= low < 1 < high, "gate_area", self.gate_area, "(below 1, above 1)")
        require(self.gate_sigmas > 0, "gate_sigmas", self.gate_sigmas, "a positive number")
        require(0 <= self.min_contrast < 1, "min_contrast", self.min_contrast, "0 to below 1")
        require(1 <= self.widen <= 2, "life widen", self.widen, "1 to 2")
        require(1 <= self.max_widen <= 4, "life max_widen", self.max_widen, "1 to 4")
        require(self.end_at_border >= 0, "end_at_border", self.end_at_border, "0 (never) or more")

    @classmethod
    def off(cls) -> Self:
        """The model's object score alone decides, as in SAM 2."""
        return cls(confirm=0, min_contrast=0.0, hide_others=False, widen=1.0, max_widen=1.0, end_at_border=0)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """All settings of a run; serialises to plain JSON types and back.

    Parameters
    ----------
    window, motion, memory, life
        See their classes.
    compete : bool
        All objects of a frame compete for its pixels, in the output and in what is remembered.
    prune : bool
        A mask that nobody painted is one piece (8-connected) in the label frame, the one that continues the object's
        last mask, and its holes are filled.
    """

    window: WindowConfig = field(default_factory=WindowConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    life: LifecycleConfig = field(default_factory=LifecycleConfig)
    compete: bool = True
    prune: bool = True

    @classmethod
    def plain(cls) -> Self:
        """SAM 2's memory rule, windows at the last centre, every object and every pixel for itself."""
        return cls(
            motion=MotionConfig.off(),
            memory=MemoryConfig(selection="sam2", max_conditioning=0),
            life=LifecycleConfig.off(),
            compete=False,
            prune=False,
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested dictionaries of JSON types."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Build from nested dictionaries; whatever is left out keeps its default.

        Raises
        ------
        ValueError
            For an unknown key, a value of another kind than its default, or one outside its range.
        """
        default = cls()
        _refuse_unknown("config", given, {f.name for f in fields(cls)})
        return cls(
            window=_section(default.window, "window", given),
            motion=_section(default.motion, "motion", given),
            memory=_section(default.memory, "memory", given),
            life=_section(default.life, "life", given),
            compete=_alike("compete", given.get("compete", default.compete), default.compete),
            prune=_alike("prune", given.get("prune", default.prune), default.prune),
        )


SectionT = TypeVar("SectionT", WindowConfig, MotionConfig, MemoryConfig, LifecycleConfig)


def _section(default: SectionT, name: str, given: Mapping[str, Any]) -> SectionT:
    section = given.get(name, {})
    _refuse_unknown(name, section, {f.name for f in fields(default)})
    read = {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}
    return replace(default, **{key: _alike(f"{name} {key}", v, getattr(default, key)) for key, v in read.items()})


def _plain(value: object) -> object:
    """Nested dictionaries with lists for tuples, as JSON gives them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def _alike(name: str, given: Any, default: Any) -> Any:
    """The value of a setting, which is of the same kind as its default; a whole number is a number too."""
    if isinstance(default, tuple):
        fits = isinstance(given, tuple) and len(given) == len(default)
        require(fits, name, given, f"a list of {len(default)} numbers")
        return tuple(_alike(name, value, wanted) for value, wanted in zip(given, default, strict=True))
    kinds = (int, float) if isinstance(default, float) else type(default)
    require(
        isinstance(given, kinds) and isinstance(given, bool) == isinstance(default, bool),
        name,
        given,
        _KINDS[type(default)],
    )
    return given


def _refuse_unknown(where: str, given: Any, known: set[str]) -> None:
    require(isinstance(given, Mapping), where, given, f"settings by name, some of {sorted(known)}")
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"unknown setting {unknown} in {where}; known: {sorted(known)}")
