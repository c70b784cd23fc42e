"""Which remembered frames an object attends to: pure functions over what a bank holds, whatever it holds of them.

Slots follow SAM 2 (arXiv 2408.00714, section 4): 0 for prompted frames, then 1 … n - 1 for tracked frames, the
largest being the most recent. Rating and ranking follow MoSAM's temporal memory selection (arXiv 2505.00739); the
constants are ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, isnan
from typing import Generic, NamedTuple, Protocol, TypeVar

from napari_mosam.core.config.engine import MemoryConfig, Selection
from napari_mosam.core.model.protocol import MemoryFrame

MAX_POINTERS = 16
"""SAM 2's `max_obj_ptrs_in_encoder`: object pointers of tracked frames are read from less than so many frames back."""


class Remembered(Protocol):
    """Something that is remembered of a frame."""

    @property
    def t(self) -> int:
        """Frame index."""
        ...


class Rated(Remembered, Protocol):
    """The same with what tells how reliable it is, see :class:`~napari_mosam.core.model.protocol.MemoryFrame`."""

    @property
    def predicted_iou(self) -> float:
        """In [0, 1]."""
        ...

    @property
    def object_score(self) -> float:
        """Logit, positive = visible."""
        ...

    @property
    def rating(self) -> float:
        """In [0, 1]."""
        ...


FrameT = TypeVar("FrameT", bound=Remembered)
RatedT = TypeVar("RatedT", bound=Rated)


class Reading(NamedTuple, Generic[FrameT]):
    """What is read on one frame.

    Attributes
    ----------
    frames : tuple of (slot, frame)
        Slot 0 is a prompted frame; 1..n are SAM 2's temporal slots, n being the frame just before.
    pointers : tuple of (distance, frame)
        Distance in frames along the direction of the run.
    """

    frames: tuple[tuple[int, FrameT], ...]
    pointers: tuple[tuple[int, FrameT], ...]


@dataclass(frozen=True, slots=True)
class ReadContext:
    """Where a run stands.

    Attributes
    ----------
    t : int
        Current frame, never among those read.
    step : int
        +1 forward, -1 backward.
    n_frames : int
        Length of the movie; SAM 2 limits pointers by it.
    num_maskmem : int
        The model's number of temporal slots.
    """

    t: int
    step: int
    n_frames: int
    num_maskmem: int

    def distance(self, frame: Remembered) -> int:
        """Frames since `frame`, along the direction of the run."""
        return (self.t - frame.t) * self.step

    @property
    def reach(self) -> int:
        """Object pointers read at most, plus one."""
        return min(self.n_frames, MAX_POINTERS)


def reliability(predicted_iou: float, object_score: float, consistency: float) -> float:
    """Reliability of a tracked frame: ``q * max(0, 2 sigmoid(o) - 1) * (0.5 + 0.5 m)``.

    Parameters
    ----------
    predicted_iou : float
        q, in [0, 1].
    object_score : float
        o, logit.
    consistency : float
        m, IoU with the mask that motion predicted, in [0, 1]; NaN where there was none counts as 1.

    Returns
    -------
    float
        In [0, 1]; 0 for an absent object.
    """
    visible = max(0.0, 2 / (1 + exp(-max(-60.0, object_score))) - 1)
    return predicted_iou * visible * (0.5 + 0.5 * (1.0 if isnan(consistency) else consistency))


def recall_sam2(
    conditioning: Sequence[FrameT], tracked: Sequence[FrameT], now: ReadContext, config: MemoryConfig
) -> Reading[FrameT]:
    """SAM 2's rule: the frames at distance 1 … num_maskmem - 1, each in the slot of its distance.

    Parameters
    ----------
    conditioning, tracked : sequence of Remembered
        What the bank holds.
    now : ReadContext
    config : MemoryConfig
    """
    chosen, others = nearest_conditioning(conditioning, now.t, config.max_conditioning)
    by_distance = {now.distance(frame): frame for frame in (*others, *tracked)}
    slots = [(now.num_maskmem - d, by_distance[d]) for d in range(now.num_maskmem - 1, 0, -1) if d in by_distance]
    pointers = [(d, by_distance[d]) for d in range(1, now.reach) if d in by_distance]
    return Reading((*((0, f) for f in chosen), *slots), (*_past(chosen, now), *pointers))


def recall_gated(
    conditioning: Sequence[FrameT], tracked: Sequence[FrameT], now: ReadContext, config: MemoryConfig
) -> Reading[FrameT]:
    """The most recent frames that passed the write gate, slots without gaps however long ago they were.

    Same parameters as :func:`recall_sam2`.
    """
    return _compacted(conditioning, _by_age(tracked, now)[: config.n_frames], _by_age(tracked, now), now, config)


def recall_reliable(
    conditioning: Sequence[RatedT], tracked: Sequence[RatedT], now: ReadContext, config: MemoryConfig
) -> Reading[RatedT]:
    """The most reliable of the latest candidates, and the latest frame whatever its rating.

    Candidates lie on an absolute grid of ``stride`` frames. Without a reliable one the latest are read as they are.
    Same parameters as :func:`recall_sam2`.
    """
    recent = _by_age(tracked, now)
    grid = [f for f in recent if f.t % config.stride == 0][: config.n_candidates]
    able = [f for f in grid if f.object_score > 0 and f.predicted_iou > config.min_iou]
    ranked = sorted(able, key=lambda f: -f.rating) or recent
    best = ranked[: config.n_frames]
    if recent and recent[0] not in best:
        best = [*best[: now.num_maskmem - 2], recent[0]]
    chosen = _by_age(best, now)
    return _compacted(conditioning, chosen, chosen, now, config)


RULES: dict[
    Selection, Callable[[Sequence[MemoryFrame], Sequence[MemoryFrame], ReadContext, MemoryConfig], Reading[MemoryFrame]]
] = {
    "sam2": recall_sam2,
    "gated": recall_gated,
    "reliable": recall_reliable,
}


def nearest_conditioning(conditioning: Sequence[FrameT], t: int, limit: int) -> tuple[list[FrameT], list[FrameT]]:
    """Split prompted frames into those read (the first and the nearest, at most `limit`; 0 = all) and the rest."""
    ordered = sorted(conditioning, key=lambda f: abs(f.t - t))
    if limit == 0 or len(ordered) <= limit:
        return ordered, []
    first = min(ordered, key=lambda f: f.t)
    near = [f for f in ordered if f is not first][: limit - 1]
    chosen = [*near, first]
    return chosen, [f for f in ordered if f not in chosen]


def _by_age(frames: Sequence[FrameT], now: ReadContext) -> list[FrameT]:
    return sorted((f for f in frames if f.t != now.t), key=lambda f: abs(f.t - now.t))


def _compacted(
    conditioning: Sequence[FrameT],
    spatial: Sequence[FrameT],
    pointing: Sequence[FrameT],
    now: ReadContext,
    config: MemoryConfig,
) -> Reading[FrameT]:
    """Frames, nearest first, in the model's latest slots without gaps, and the pointers that go with them."""
    chosen, _ = nearest_conditioning(conditioning, now.t, config.max_conditioning)
    slots = [(now.num_maskmem - 1 - rank, frame) for rank, frame in enumerate(spatial[: now.num_maskmem - 1])]
    pointers = [(now.distance(frame), frame) for frame in pointing[: now.reach - 1]]
    return Reading((*((0, f) for f in chosen), *slots), (*_past(chosen, now), *pointers))


def _past(frames: Sequence[FrameT], now: ReadContext) -> list[tuple[int, FrameT]]:
    return [(now.distance(f), f) for f in frames if now.distance(f) >= 0]
