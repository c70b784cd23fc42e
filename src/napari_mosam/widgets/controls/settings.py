"""What the controls of the widget say, as one frozen object."""

from dataclasses import dataclass, field

from napari_mosam.core.config.engine import DIRECTIONS, Direction, EngineConfig


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything a run needs besides the movie and the prompts.

    Parameters
    ----------
    model : str
        Name of a model of the registry.
    device : str or None
        'cuda', 'mps', 'cpu'; None chooses the best there is.
    diameter : float or None
        Typical cell diameter in px of the image; None lets the engine find it.
    frames : tuple of int or None
        (start, stop), stop excluded; None is the whole movie.
    direction : {'both', 'forward', 'backward'}
        Which way objects are followed from their prompts.
    config : EngineConfig
        Motion, memory and competition.
    limits : tuple of float or None
        Pixel values that the network sees as black and white; None finds them.
    """

    model: str = "nano"
    device: str | None = None
    diameter: float | None = None
    frames: tuple[int, int] | None = None
    direction: Direction = "both"
    config: EngineConfig = field(default_factory=EngineConfig)
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction = {self.direction!r} is not possible; allowed: {', '.join(DIRECTIONS)}")
        if self.frames is not None and not 0 <= self.frames[0] < self.frames[1]:
            raise ValueError(
                f"frames {self.frames[0]} to {self.frames[1] - 1} are empty; choose a last frame "
                "that is not before the first"
            )
        if self.diameter is not None and self.diameter <= 0:
            raise ValueError(f"cell diameter = {self.diameter} is not possible; give a positive number of px")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError(
                f"grey limits {self.limits[0]:g} to {self.limits[1]:g} are not possible; give a dark value and a "
                "brighter one, or none"
            )
