"""Settings of a training run, as frozen dataclasses."""

from dataclasses import asdict, dataclass, field
from typing import Any

from napari_mosam.core.config.checks import require


def _require_share(owner: object, *names: str) -> None:
    for name in names:
        given = getattr(owner, name)
        require(0 <= given <= 1, name, given, "0 to 1")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which network is trained.

    Parameters
    ----------
    name : str
        Name of the files that are written.
    network : str
        YAML file in sam2's form, beside the recipe; 'nano' takes that of the shipped model.
    weights : str
        Where training starts: '' (random), 'nano' (the shipped weights), or the path of a ``.safetensors`` file.
    image_size : int
        Side of the input, px; 0 takes that of the network's file.
    """

    name: str = "nano"
    network: str = "nano"
    weights: str = ""
    image_size: int = 0


@dataclass(frozen=True, slots=True)
class StageConfig:
    """What batches look like up to a point of the run.

    Parameters
    ----------
    until : float
        Share of the run at which the stage ends, in (0, 1].
    clips, objects, frames : int
        Windows that are followed, objects in each, and frames of each.
    sizes : tuple of int
        Sides of the network's input, px, multiples of 32: each batch has one of them by chance; empty: that
        of the network.
    """

    until: float = 1.0
    clips: int = 48
    objects: int = 3
    frames: int = 8
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(0 < self.until <= 1, "until", self.until, "above 0, to 1")
        for name in ("clips", "objects", "frames"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        require(all(s > 0 and s % 32 == 0 for s in self.sizes), "sizes", self.sizes, "multiples of 32")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where movies come from.

    Parameters
    ----------
    side : int
        Height and width of the movies' frames, px.
    stills : float
        Share of pseudo-movies made from real stills, where those are at hand.
    kinds : tuple of str
        Modalities of the simulator; empty: all of them.
    easy : bool
        Nothing but well-visible stained cells, which are quickly drawn and quickly learnt: to try the loop.
    per_movie : int
        Clips cut from each movie, around different objects.
    queue : int
        Batches prepared ahead, in a thread of their own; 0 prepares each when it is needed.
    processes : int
        Processes that draw them, on the CPU with one thread each, and as many batches ahead; 0 draws in that thread,
        on the device of the run, and takes turns with its updates.
    """

    side: int = 256
    stills: float = 0.5
    kinds: tuple[str, ...] = ()
    easy: bool = False
    per_movie: int = 1
    queue: int = 2
    processes: int = 0

    def __post_init__(self) -> None:
        require(self.side >= 64, "side", self.side, "64 or more")
        _require_share(self, "stills")
        require(self.per_movie >= 1, "per_movie", self.per_movie, "1 or more")
        for name in ("queue", "processes"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How objects are framed, as the engine and its users do it.

    Parameters
    ----------
    ratio : float
        Usual side of a window in object diameters.
    ratio_spread : float
        Spread of its logarithm, for the usual windows.
    wide : float
        Share of windows whose side is log-uniform over `ratio_range` instead: scales that a click may be tried at.
    ratio_range : tuple of float
    click_centred : float
        Share of clips whose first window is centred on a random pixel of the object, where it is then clicked.
    jitter : float
        Error of the window's centre on tracked frames, in object diameters.
    lag : float
        Share of clips in which motion is not, or not fully, followed: the window trails behind.
    absent : float
        Share of clips in which the window looks elsewhere for a while.
    scale_walk : float
        Random walk of the logarithm of the side, per frame.
    """

    ratio: float = 5.0
    ratio_spread: float = 0.2
    wide: float = 0.3
    ratio_range: tuple[float, float] = (2.0, 15.0)
    click_centred: float = 0.3
    jitter: float = 0.08
    lag: float = 0.4
    absent: float = 0.15
    scale_walk: float = 0.02

    def __post_init__(self) -> None:
        _require_share(self, "wide", "click_centred", "lag", "absent")
        low, high = self.ratio_range
        require(1 <= low <= self.ratio <= high, "ratio_range", self.ratio_range, "(1 or more, …) around ratio")


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """How objects are prompted.

    Parameters
    ----------
    click, inner_click, two_clicks, box, negative, mask : float
        Relative numbers of first prompts: a click anywhere, the innermost point, both, a jittered box, a click with
        a negative one on a neighbour, and the true mask.
    box_jitter : float
        Error of each side of a box, in units of its extent.
    corrections : int
        Most rounds of corrective clicks on the first frame.
    late_correction : float
        Probability that a clip is corrected by a click on one tracked frame.
    motion : float
        Share of objects that get the last mask, moved, as a mask prompt on a tracked frame.
    motion_error : float
        Error of that motion, in object diameters.
    """

    click: float = 0.3
    inner_click: float = 0.15
    two_clicks: float = 0.1
    box: float = 0.2
    negative: float = 0.1
    mask: float = 0.15
    box_jitter: float = 0.06
    corrections: int = 2
    late_correction: float = 0.25
    motion: float = 0.3
    motion_error: float = 0.1

    def __post_init__(self) -> None:
        _require_share(self, "late_correction", "motion", *KINDS)
        require(sum(getattr(self, kind) for kind in KINDS) > 0, "prompts", 0, "at least one kind above 0")


KINDS = ("click", "inner_click", "two_clicks", "box", "negative", "mask")
"""Kinds of first prompts."""


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """What tracked objects remember.

    Parameters
    ----------
    gated : float
        Share of batches in which absent frames are not remembered, as the engine has it by default; in the others
        every frame is, as in SAM 2.
    drop : float
        Probability that a remembered frame is not read, as where memory is selected.
    compete : float
        Share of batches in which the objects of a clip compete for the pixels of what is remembered.
    short : float
        Share of batches that are treated as movies of their own few frames; the others as parts of long ones.
    aged : float
        Share of batches in which the prompted frame is taken to lie up to `max_age` frames further back.
    max_age : int
    """

    gated: float = 0.75
    drop: float = 0.15
    compete: float = 0.7
    short: float = 0.2
    aged: float = 0.3
    max_age: int = 60

    def __post_init__(self) -> None:
        _require_share(self, "gated", "drop", "compete", "short", "aged")
        require(self.max_age >= 1, "max_age", self.max_age, "1 or more")


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the loss.

    Parameters
    ----------
    balanced, bce : tuple of float
        Weights of the balanced and of the plain cross-entropy, at the start of the run and once they have settled. At
        first the former has to outweigh the latter, or small objects are learnt as empty masks.
    settled : float
        Share of the run at which they have.
    dice : float
        Weight of the dice loss.
    iou, absent_iou, score : float
        Weights of the error of the predicted IoU, of the same where the object is absent (its IoU is 0), and of the
        cross-entropy of the object score.
    """

    balanced: tuple[float, float] = (4.0, 0.2)
    bce: tuple[float, float] = (2.0, 8.0)
    settled: float = 0.4
    dice: float = 1.5
    iou: float = 1.0
    absent_iou: float = 0.25
    score: float = 1.0

    def __post_init__(self) -> None:
        _require_share(self, "settled")
        for name in ("dice", "iou", "absent_iou", "score"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("balanced", "bce"):
            require(min(getattr(self, name)) >= 0, name, getattr(self, name), "(0 or more, 0 or more)")


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """How the network is changed.

    Parameters
    ----------
    seconds : float
        Length of the run; 0: `steps` decides.
    steps : int
        Updates; 0: `seconds` decides.
    rate, final_rate : float
        Learning rate after the warm-up, and its share at the end of the cosine.
    warmup : int
        Updates over which the rate grows.
    decay : float
        Weight decay of tensors with more than one axis.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the running mean of the weights.
    accumulate : int
        Batches per update.
    recompute : bool
        Recompute the image encoder's activations instead of storing them: slower, less memory.
    log_every, save_every : int
        Updates between two lines of the log, and between two checkpoints.
    """

    seconds: float = 0.0
    steps: int = 0
    rate: float = 5e-4
    final_rate: float = 0.01
    warmup: int = 100
    decay: float = 0.05
    clip: float = 1.0
    average: float = 0.998
    accumulate: int = 1
    recompute: bool = False
    log_every: int = 25
    save_every: int = 500

    def __post_init__(self) -> None:
        require(self.seconds > 0 or self.steps > 0, "seconds and steps", (self.seconds, self.steps), "one above 0")
        require(0 <= self.average < 1, "average", self.average, "0 to below 1")
        for name in ("accumulate", "log_every", "save_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A whole recipe; `stages` follow one another."""

    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    stages: tuple[StageConfig, ...] = (StageConfig(),)
    data: DataConfig = field(default_factory=DataConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(steps=1000))

    def __post_init__(self) -> None:
        ends = [stage.until for stage in self.stages]
        require(bool(ends) and ends == sorted(set(ends)) and ends[-1] == 1, "stages", ends, "growing ends, up to 1")

    def stage_at(self, progress: float) -> StageConfig:
        """The stage at a share of the run, in [0, 1]."""
        return next((stage for stage in self.stages if progress < stage.until), self.stages[-1])

    def sizes(self, own: int) -> tuple[int, ...]:
        """All sides of the input that batches have, px; `own` is that of the network."""
        return tuple(sorted({own, *(size for stage in self.stages for size in stage.sizes)}))

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested dictionaries."""
        return asdict(self)
