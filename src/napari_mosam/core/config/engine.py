"""Every knob of the engine, as frozen dataclasses.

The defaults are the settings that won on real movies (see ``docs/benchmarks.md``); ``EngineConfig.plain()``
is SAM 2's own memory without motion, gate or competition, and is the baseline everything is measured against.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from napari_mosam.core.config.checks import require
from napari_mosam.core.config.declare import from_json, settings, to_json
from napari_mosam.core.config.fields import Meta

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

Share = Annotated[float, Field(ge=0, le=1)]
AroundOne = tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(gt=1)]]
"""A share below 1 and a multiple above."""


def rising(pair: tuple[float, float]) -> tuple[float, float]:
    """Refuse a range whose first end is not the smaller one."""
    if not pair[0] < pair[1]:
        raise ValueError("the first number is not the smaller one")
    return pair


@settings("window")
class WindowConfig:
    """How an object is framed for the model."""

    mode: Annotated[
        Literal["object", "full"],
        Field(
            description="'object': a square window around each object. 'full': the whole frame, stretched to the "
            "model's square."
        ),
        Meta(label="View"),
    ] = "object"
    ratio: Annotated[
        float,
        Field(ge=1.5, le=20, description="Side of the window in object diameters."),
        Meta(unit="object diameters", label="View size"),
    ] = 5.0
    rescale: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="How fast the window follows a change of size, 0 (never) to 1 (at once), per frame.",
        ),
        Meta(label="Follow size"),
    ] = 0.1
    ladder_max: Annotated[
        float,
        Field(
            gt=0,
            description="Largest window tried for a click without a size, in units of the frame's larger side.",
        ),
    ] = 1.5


@settings("motion")
class MotionConfig:
    """Motion-guided prompting: what moves the windows, and what motion tells the decoder (MoSAM, arXiv 2505.00739)."""

    encoder: Annotated[
        MotionEncoder,
        Field(
            description="'learned': trained networks read the cues and the object's past, and say where it is "
            "expected; with a motion prompt they also find how its mask moved and deformed. Where they are unsure of "
            "an object, and for a deformation seen by another model than the one they were trained with, the "
            "classical rule holds."
        ),
        Meta(label="Encoder"),
    ] = "classical"
    drift: Annotated[
        bool,
        Field(description="Estimate and verify a shift common to the whole frame (a stage that jumps)."),
        Meta(label="Shift of the stage"),
    ] = True
    flow: Annotated[
        bool,
        Field(description="Dense cue: the median of the optical flow inside the object's mask, where it is verified."),
        Meta(label="Optical flow"),
    ] = True
    flow_method: Annotated[
        FlowMethod,
        Field(
            description="'ilk' is scikit-image's, 'dis' is OpenCV's, 'torch' runs in batches on the model's device; "
            "'auto' takes 'torch' on a CUDA device, else 'dis' where it is installed, else 'ilk'."
        ),
    ] = "auto"
    keypoints: Annotated[
        bool,
        Field(
            description="Sparse cue: key points inside the mask, followed by cross-correlation and checked forward "
            "and backward."
        ),
        Meta(label="Key points"),
    ] = True
    kalman: Annotated[
        bool,
        Field(
            description="Forecast by a constant-velocity filter while masks overlap or the object is lost; never "
            "otherwise."
        ),
        Meta(label="Forecast lost cells"),
    ] = True
    velocity: Annotated[
        bool,
        Field(
            description="Repeat the last displacement of every object. A baseline for comparison: it loses cells "
            "that turn."
        ),
    ] = False
    prompt: Annotated[
        MotionPrompt,
        Field(
            description="What motion gives to a second decode of the same features: the last mask moved along, "
            "points inside it, its box. The better of all candidates is chosen by box_weight, mask_weight and "
            "overlap_weight."
        ),
        Meta(label="Prompt"),
    ] = "off"
    negatives: Annotated[
        int,
        Field(
            ge=0,
            le=8,
            description="Nearest neighbours whose centres are negative points of the second decode, where it has "
            "points.",
        ),
        Meta(unit="neighbours"),
    ] = 0
    box_weight: Annotated[
        Share,
        Field(
            description="Weight of the agreement of a candidate's box with the one that motion predicts; the "
            "predicted IoU has the rest, 1 - box_weight - mask_weight."
        ),
    ] = 0.15
    mask_weight: Annotated[
        Share,
        Field(description="Weight of the agreement of a candidate's mask with the one that motion predicts."),
    ] = 0.1
    overlap_weight: Annotated[
        Share,
        Field(description="Penalty on the share of a candidate that lies in other objects' predicted masks."),
    ] = 0.5

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        both = self.box_weight + self.mask_weight
        require(both <= 1, "motion box_weight + mask_weight", both, "1 or less")
        return self

    @classmethod
    def off(cls) -> Self:
        """No motion at all: the window stays at the centre of the last mask."""
        return cls(drift=False, flow=False, keypoints=False, kalman=False)


@settings("memory")
class MemoryConfig:
    """Spatial-temporal memory selection: what is written to an object's memory and what is read (MoSAM, section 3)."""

    selection: Annotated[
        Selection,
        Field(
            description="'sam2': every frame is remembered, the last six are read. 'gated': absent and suspect frames "
            "are never remembered, the last ones that were are read. 'reliable': gated, and of the last n_candidates "
            "frames the n_frames with the best rating are read, and the latest one always."
        ),
    ] = "gated"
    n_frames: Annotated[
        int,
        Field(ge=1, le=6, description="Tracked frames read at most (SAM 2 has six slots for them)."),
        Meta(unit="frames", label="Frames read"),
    ] = 6
    n_candidates: Annotated[
        int,
        Field(ge=1, le=64, description="Grid frames that are rated by 'reliable'."),
        Meta(unit="frames"),
    ] = 12
    stride: Annotated[
        int,
        Field(ge=1, le=32, description="Distance of the grid frames that 'reliable' keeps as candidates."),
        Meta(unit="frames"),
    ] = 1
    min_iou: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Predicted IoU below which 'reliable' does not read a frame, unless nothing better is left.",
        ),
    ] = 0.3
    pixels: Annotated[
        PixelFilter,
        Field(
            description="Per-pixel reliability of remembered masks. 'bias': unsure pixels are attended to less. "
            "'feature': their memory features are damped (for comparison: that disturbs more than it filters)."
        ),
    ] = "off"
    pixel_range: Annotated[
        tuple[Share, Share],
        AfterValidator(rising),
        Field(
            description="Confidence |2p - 1| at and below which a pixel counts nothing, and from which on it counts "
            "fully."
        ),
        Meta(allowed="(low, high) with 0 <= low < high <= 1"),
    ] = (0.2, 0.6)
    max_conditioning: Annotated[
        int,
        Field(ge=0, description="Prompted frames read at most, the nearest in time; 0 reads all."),
        Meta(unit="frames", label="Marks read"),
    ] = 4
    area_range: Annotated[
        AroundOne,
        Field(
            description="A frame is suspect when the area leaves this range times the median of the last "
            "area_history areas."
        ),
        Meta(label="Usual area"),
    ] = (0.4, 2.5)
    area_history: Annotated[
        int,
        Field(ge=1, description="Remembered frames over whose areas the median of area_range is taken."),
        Meta(unit="frames"),
    ] = 10
    min_consistency: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="A frame is suspect when the mask overlaps the motion-shifted previous mask less than this "
            "(IoU).",
        ),
        Meta(label="Least overlap"),
    ] = 0.15


@settings("life")
class LifecycleConfig:
    """When an object counts as present, lost and ended."""

    confirm: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description="Frames in a row on which a lost object must pass the gates before it counts as found again; "
            "0 believes the model's object score at once, as SAM 2 does.",
        ),
        Meta(unit="frames", label="Confirm for"),
    ] = 2
    gate_area: Annotated[
        AroundOne,
        Field(description="A returning mask must have between these multiples of the object's usual area."),
        Meta(label="Return area"),
    ] = (0.6, 1.7)
    gate_sigmas: Annotated[
        float,
        Field(
            gt=0, description="A returning mask must lie within this many standard deviations of the forecast place."
        ),
        Meta(unit="standard deviations", label="Distance (sd)"),
    ] = 4.0
    return_iou: Annotated[
        tuple[Share, Share],
        Field(
            description="Predicted IoU below which a returning mask is never believed, and from which on it is "
            "believed at once, without confirmation, and that of a present object up to two diameters off."
        ),
        Meta(label="Return IoU"),
    ] = (0.5, 0.7)
    min_contrast: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="A mask whose contrast with its surroundings falls below this share of what is usual for the "
            "object shows nothing, whatever the model says; 0 switches the check off. Thin cells in phase contrast are "
            "lost by it.",
        ),
        Meta(label="Least contrast"),
    ] = 0.0
    hide_others: Annotated[
        bool,
        Field(
            description="Paint the objects that are present out of the window in which a lost one is looked for, so "
            "that it is not found in one of them; not in full-frame mode, where all objects share one view."
        ),
        Meta(label="Hide other cells"),
    ] = True
    widen: Annotated[
        float,
        Field(ge=1, le=2, description="Growth of the window per lost frame; 1 keeps it."),
        Meta(label="Widen view"),
    ] = 1.05
    max_widen: Annotated[
        float,
        Field(ge=1, le=4, description="Largest window of a lost object, in units of its usual window."),
        Meta(label="Widest view"),
    ] = 1.5
    end_at_border: Annotated[
        int,
        Field(
            ge=0,
            description="Lost frames after which an object last seen at the frame's border has ended; 0 never ends "
            "one.",
        ),
        Meta(unit="frames", label="Border frames"),
    ] = 50
    max_hidden: Annotated[
        int,
        Field(
            ge=0,
            description="Frames in a row for which an object on a straight course may lie behind another or in it, "
            "told from it by its motion alone; 0 never does. More for movies with short intervals.",
        ),
        Meta(unit="frames", label="Hidden for"),
    ] = 40

    @classmethod
    def off(cls) -> Self:
        """The model's object score alone decides, as in SAM 2."""
        return cls(confirm=0, min_contrast=0.0, hide_others=False, widen=1.0, max_widen=1.0, end_at_border=0)


@settings()
class EngineConfig:
    """All settings of the engine."""

    window: WindowConfig = field(default_factory=WindowConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    life: LifecycleConfig = field(default_factory=LifecycleConfig)
    compete: Annotated[
        bool,
        Field(description="All objects of a frame compete for its pixels, in the output and in what is remembered."),
    ] = True
    prune: Annotated[
        bool,
        Field(
            description="A mask that nobody painted is one piece (8-connected) in the label frame, the one that "
            "continues the object's last mask, and its holes are filled."
        ),
        Meta(label="One piece, no holes"),
    ] = True
    duplicate_iou: Annotated[
        Share,
        Field(
            description="Where the masks of two objects overlap by more than this (IoU) they are one mask, and the "
            "object that continues its own keeps it; 1 leaves every overlap to the contest for pixels. Holds where "
            "objects compete."
        ),
        Meta(label="Duplicate IoU"),
    ] = 0.5

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
        return to_json(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Build from nested dictionaries; whatever is left out keeps its default.

        Raises
        ------
        ValueError
            For an unknown key, a value of another kind than its default, or one outside its range.
        """
        return from_json(cls, given)
