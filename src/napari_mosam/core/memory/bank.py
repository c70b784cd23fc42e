"""Storage of one object's memory in one direction; which of it is read is decided in ``selection``."""

from collections import deque
from dataclasses import replace
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


class MemoryBank:
    """Prompted frames (kept for good) and tracked frames (a bounded number).

    Parameters
    ----------
    config : MemoryConfig
        Gate and selection.
    num_maskmem : int
        Temporal slots of the model, SAM 2's ``num_maskmem``.
    """

    def __init__(self, config: MemoryConfig, num_maskmem: int) -> None:
        self._config = config
        self._n_slots = num_maskmem
        self._conditioning: dict[int, MemoryFrame] = {}
        self._tracked: deque[MemoryFrame] = deque(maxlen=max(KEPT_FRAMES, config.n_candidates))
        self._areas: deque[float] = deque(maxlen=config.area_history)

    def condition(self, frame: MemoryFrame) -> None:
        """Keep a prompted frame; a newer prompt of the same frame replaces it."""
        self._conditioning[frame.t] = frame

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
        if self._config.selection == "sam2":
            return True
        if object_score <= 0 or area <= 0 or consistency < self._config.min_consistency:
            return False
        low, high = self._config.area_range
        usual = self.usual_area
        return usual is None or low * usual <= area <= high * usual

    @property
    def usual_area(self) -> float | None:
        """Median area of the latest remembered frames, px; None before the first."""
        return median(self._areas) if self._areas else None

    def remember(self, frame: MemoryFrame) -> None:
        """Keep a tracked frame; the oldest drops out, and the one before unless it lies on the grid of candidates."""
        if self._config.selection == "reliable" and self._tracked and self._tracked[-1].t % self._config.stride:
            self._tracked.pop()
        self._tracked.append(frame)
        if frame.area > 0:
            self._areas.append(frame.area)

    def expect_area(self, area: float) -> None:
        """Take an area (px) from a prompt as what is usual, whatever was before; 0 tells nothing."""
        if area > 0:
            self._areas.clear()
            self._areas.append(area)

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
        rule = RULES[self._config.selection]
        now = ReadContext(t, step, n_frames, self._n_slots)
        return self._filtered(rule(list(self._conditioning.values()), list(self._tracked), now, self._config))

    def _filtered(self, recall: MemorySelection) -> MemorySelection:
        """A recall in which unsure pixels of tracked frames count less; prompted frames are never filtered."""
        if self._config.pixels == "off":
            return recall
        weights = tuple(None if slot == 0 else self._weight(frame) for slot, frame in recall.frames)
        if self._config.pixels == "bias":
            return replace(recall, weights=weights)
        pairs = zip(recall.frames, weights, strict=True)
        return replace(recall, frames=tuple((slot, _damped(frame, w)) for (slot, frame), w in pairs))

    def _weight(self, frame: MemoryFrame) -> "Tensor | None":
        return None if frame.confidence is None else weight(frame.confidence, *self._config.pixel_range)


def _damped(frame: MemoryFrame, by: "Tensor | None") -> MemoryFrame:
    return frame if by is None else replace(frame, features=filtered(frame.features, by))
