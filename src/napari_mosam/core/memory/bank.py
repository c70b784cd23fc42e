"""Storage of one object's memory in one direction; which of it is read is decided in ``selection``."""

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from napari_mosam.core.config.engine import MemoryConfig
from napari_mosam.core.memory.reliability import filtered, weight
from napari_mosam.core.memory.selection import MAX_POINTERS, RULES, ReadContext
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection

if TYPE_CHECKING:
    from torch import Tensor

KEPT_FRAMES = MAX_POINTERS - 1
"""Tracked frames kept for their pointers, which SAM 2 reads from up to 15 frames back."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """Prompted frames (kept for good) and tracked frames (a bounded number); each change gives a new bank.

    Attributes
    ----------
    config : MemoryConfig
        Gate and selection.
    num_maskmem : int
        Temporal slots of the model, SAM 2's ``num_maskmem``.
    conditioning : tuple of MemoryFrame
        Of the prompted frames, one per frame.
    tracked : tuple of MemoryFrame
        Oldest first.
    areas : tuple of float
        Of the object on the latest remembered frames, px.
    """

    config: MemoryConfig
    num_maskmem: int
    conditioning: tuple[MemoryFrame, ...] = ()
    tracked: tuple[MemoryFrame, ...] = ()
    areas: tuple[float, ...] = ()

    def conditioned(self, frame: MemoryFrame) -> "MemoryBank":
        """With a prompted frame; a newer prompt of the same frame takes the place of the older."""
        by_frame = {known.t: known for known in self.conditioning} | {frame.t: frame}
        return replace(self, conditioning=tuple(by_frame.values()))

    def accepts(self, area: float, object_score: float, consistency: float) -> bool:
        """Whether a tracked frame may be remembered: the write gate.

        Parameters
        ----------
        area : float
            Of the object's mask, px.
        object_score : float
            Logit.
        consistency : float
            IoU with the moved previous mask; NaN where there is none to compare with.
        """
        if self.config.selection == "sam2":
            return True
        if object_score <= 0 or area <= 0 or consistency < self.config.min_consistency:
            return False
        low, high = self.config.area_range
        usual = self.usual_area
        return usual is None or low * usual <= area <= high * usual

    @property
    def usual_area(self) -> float | None:
        """Median area of the latest remembered frames, px; None before the first."""
        return median(self.areas) if self.areas else None

    def remembering(self, frame: MemoryFrame) -> "MemoryBank":
        """With a tracked frame; the oldest drops out, and the one before unless it lies on the grid of candidates."""
        off_grid = self.config.selection == "reliable" and self.tracked and self.tracked[-1].t % self.config.stride
        kept = (*(self.tracked[:-1] if off_grid else self.tracked), frame)
        areas = (*self.areas, frame.area) if frame.area > 0 else self.areas
        longest = max(KEPT_FRAMES, self.config.n_candidates)
        return replace(self, tracked=kept[-longest:], areas=areas[-self.config.area_history :])

    def expecting(self, area: float) -> "MemoryBank":
        """With an area (px) from a prompt as what is usual, whatever was before; 0 tells nothing."""
        return replace(self, areas=(area,)) if area > 0 else self

    def recall(self, t: int, step: int, n_frames: int) -> MemorySelection:
        """What to attend to on frame `t`.

        Parameters
        ----------
        t : int
            Frame index.
        step : int
            +1 forward, -1 backward.
        n_frames : int
            Length of the movie.
        """
        rule = RULES[self.config.selection]
        now = ReadContext(t, step, n_frames, self.num_maskmem)
        return self._filtered(MemorySelection(*rule(self.conditioning, self.tracked, now, self.config)))

    def _filtered(self, recall: MemorySelection) -> MemorySelection:
        """A recall in which unsure pixels of tracked frames count less; prompted frames are never filtered."""
        if self.config.pixels == "off":
            return recall
        weights = tuple(None if slot == 0 else self._weight(frame) for slot, frame in recall.frames)
        if self.config.pixels == "bias":
            return replace(recall, weights=weights)
        pairs = zip(recall.frames, weights, strict=True)
        return replace(recall, frames=tuple((slot, _damped(frame, w)) for (slot, frame), w in pairs))

    def _weight(self, frame: MemoryFrame) -> "Tensor | None":
        return None if frame.confidence is None else weight(frame.confidence, *self.config.pixel_range)


def _damped(frame: MemoryFrame, by: "Tensor | None") -> MemoryFrame:
    return frame if by is None else replace(frame, features=filtered(frame.features, by))
