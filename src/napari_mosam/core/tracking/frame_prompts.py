"""What the user asks of one object on one frame, its prompts sorted by kind."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_mosam.core.config.engine import WindowConfig
from napari_mosam.core.masks.region import Region, mask_diameter
from napari_mosam.core.prompts.kinds import (
    BOX_END,
    BOX_START,
    NEGATIVE,
    POSITIVE,
    BoxPrompt,
    MaskPrompt,
    Point,
    PointPrompt,
    Prompt,
)
from napari_mosam.core.windows.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class FramePrompts:
    """All prompts of one object on one frame, sorted by kind.

    Attributes
    ----------
    object_id : int
    clicks : tuple of (y, x, label)
    box : tuple of float or None
        (y0, x0, y1, x1), inclusive.
    region : Region or None
        Painted mask.
    diameter : float or None
        Expected size where there are clicks only, px.
    """

    object_id: int
    clicks: tuple[Point, ...]
    box: tuple[float, float, float, float] | None
    region: Region | None
    diameter: float | None

    @classmethod
    def of(cls, object_id: int, prompts: Iterable[Prompt], diameter: float | None) -> "FramePrompts":
        """Sort the prompts of an object; a painted mask says more than a box beside it."""
        clicks: list[Point] = []
        box, region = None, None
        for prompt in prompts:
            if isinstance(prompt, PointPrompt):
                clicks.append((*prompt.yx, POSITIVE if prompt.positive else NEGATIVE))
            elif isinstance(prompt, BoxPrompt):
                box = prompt.box
            else:
                region = _painted(prompt)
        return cls(object_id, tuple(clicks), box, region, diameter)

    def sized(self, diameter: float) -> "FramePrompts":
        """The same, of an object of another expected size."""
        return replace(self, diameter=diameter)

    def points(self, margin: float) -> tuple[Point, ...]:
        """Corners of the box, `margin` px beyond the centres of its outermost pixels, and the clicks after them."""
        if self.box is None:
            return self.clicks
        y0, x0, y1, x1 = self.box
        return (y0 - margin, x0 - margin, BOX_START), (y1 + margin, x1 + margin, BOX_END), *self.clicks

    @property
    def clicked(self) -> Region | None:
        """The pixels under the positive clicks; None without any."""
        yx = np.array([(round(y), round(x)) for y, x, label in self.clicks if label == POSITIVE]).reshape(-1, 2)
        if not len(yx):
            return None
        origin = yx.min(0)
        mask = np.zeros(yx.max(0) - origin + 1, bool)
        mask[tuple((yx - origin).T)] = True
        return Region((int(origin[0]), int(origin[1])), mask)

    @property
    def needs_correction(self) -> bool:
        """Whether there are clicks beyond what makes the first mask; a box takes its clicks along."""
        if self.region is not None:
            return bool(self.clicks)
        return self.box is None and len(self.clicks) > 1

    @property
    def only_clicks(self) -> bool:
        """Whether there is neither a box nor a painted mask."""
        return self.box is None and self.region is None

    @property
    def is_positive(self) -> bool:
        """Whether the prompts say where the object is, not only where it is not."""
        return self.region is not None or self.box is not None or any(label == POSITIVE for *_, label in self.clicks)

    @property
    def first_click(self) -> tuple[float, float]:
        """(y, x) of the first positive click."""
        y, x, _ = next(click for click in self.clicks if click[2] == POSITIVE)
        return y, x

    @property
    def size(self) -> float | None:
        """Diameter that the prompts carry, px; None for clicks."""
        return next(self.sizes, None)

    @property
    def sizes(self) -> Iterator[float]:
        """Diameters of the painted mask and of the box, px."""
        if self.region is not None:
            yield self.region.diameter
        if self.box is not None:
            yield box_diameter(self.box)


def _painted(prompt: MaskPrompt) -> Region | None:
    """The pixels of a mask, which are not copied; None without any."""
    origin, mask = prompt.tight
    return Region(origin, mask) if mask.size else None


def box_diameter(box: tuple[float, float, float, float]) -> float:
    """Diameter of an object that fills an inclusive box as an ellipse does, px."""
    y0, x0, y1, x1 = box
    return mask_diameter(np.pi / 4 * (y1 - y0 + 1) * (x1 - x0 + 1), (round(y0), round(x0), round(y1), round(x1)))


def frame_window(
    shape_yx: tuple[int, int], center_yx: tuple[float, float], diameter: float, config: WindowConfig
) -> Window:
    """The window in which an object of a given place and size (px) is shown to the model."""
    if config.mode == "full":
        return Window.full(shape_yx)
    return Window.square(center_yx, config.ratio * diameter)
