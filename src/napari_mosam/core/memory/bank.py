"""Storage of one object's memory in one direction; which of it is read is decided in ``selection``."""

from collections import deque
from statistics import median

from napari_mosam.core.config import MemoryConfig
from napari_mosam.core.memory.selection import recall_gated, recall_sam2
from napari_mosam.core.model.segmenter import MemoryFrame, Recall

KEPT_FRAMES = 15
"""Tracked frames kept; SAM 2 reads object pointers from up to 15 frames back."""


class MemoryBank:
    """Prompted frames (kept for good) and tracked frames (the latest few).

    Parameters
    ----------
    config : MemoryConfig
        Gate and selection.
    n_slots : int
        Temporal slots of the model, SAM 2's ``num_maskmem``.
    """

    def __init__(self, config: MemoryConfig, n_slots: int) -> None:
        self._config = config
        self._n_slots = n_slots
        self._conditioning: dict[int, MemoryFrame] = {}
        self._tracked: deque[MemoryFrame] = deque(maxlen=KEPT_FRAMES)
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
        """Keep a tracked frame; the oldest drops out."""
        self._tracked.append(frame)
        if frame.area > 0:
            self._areas.append(frame.area)

    def expect_area(self, area: float) -> None:
        """Take an area (px) from a prompt as what is usual, whatever was before; 0 tells nothing."""
        if area > 0:
            self._areas.clear()
            self._areas.append(area)

    def recall(self, t: int, step: int, n_frames: int) -> Recall:
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
        rule = recall_sam2 if self._config.selection == "sam2" else recall_gated
        return rule(
            list(self._conditioning.values()), list(self._tracked), t, step, n_frames, self._n_slots, self._config
        )
