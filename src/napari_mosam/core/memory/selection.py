"""Which remembered frames an object attends to: pure functions over what a bank holds.

Slots follow SAM 2 (arXiv 2408.00714, section 4): 0 for prompted frames, then 1 … n - 1 for tracked frames, the
largest being the most recent.
"""

from collections.abc import Sequence

from napari_mosam.core.config import MemoryConfig
from napari_mosam.core.model.segmenter import MemoryFrame, Recall

MAX_POINTERS = 16


def recall_sam2(
    conditioning: Sequence[MemoryFrame],
    tracked: Sequence[MemoryFrame],
    t: int,
    step: int,
    n_frames: int,
    n_slots: int,
    config: MemoryConfig,
) -> Recall:
    """SAM 2's rule: the frames at distance 1 … n_slots - 1, each in the slot of its distance.

    Parameters
    ----------
    conditioning, tracked : sequence of MemoryFrame
        What the bank holds.
    t : int
        Current frame, never among those read.
    step : int
        +1 forward, -1 backward.
    n_frames : int
        Length of the movie; SAM 2 limits pointers by it.
    n_slots : int
        The model's number of temporal slots.
    config : MemoryConfig
    """
    chosen, others = nearest_conditioning(conditioning, t, config.max_conditioning)
    by_distance = {(t - frame.t) * step: frame for frame in (*others, *tracked)}
    slots = [(n_slots - d, by_distance[d]) for d in range(n_slots - 1, 0, -1) if d in by_distance]
    reach = min(n_frames, MAX_POINTERS)
    pointers = [(d, by_distance[d]) for d in range(1, reach) if d in by_distance]
    return Recall((*((0, f) for f in chosen), *slots), (*_past(chosen, t, step), *pointers))


def recall_gated(
    conditioning: Sequence[MemoryFrame],
    tracked: Sequence[MemoryFrame],
    t: int,
    step: int,
    n_frames: int,
    n_slots: int,
    config: MemoryConfig,
) -> Recall:
    """The most recent frames that passed the write gate, slots without gaps however long ago they were.

    Same parameters as :func:`recall_sam2`.
    """
    chosen, _ = nearest_conditioning(conditioning, t, config.max_conditioning)
    recent = sorted((f for f in tracked if f.t != t), key=lambda f: abs(f.t - t))
    slots = [(n_slots - 1 - rank, frame) for rank, frame in enumerate(recent[: min(config.n_frames, n_slots - 1)])]
    reach = min(n_frames, MAX_POINTERS) - 1
    pointers = [((t - frame.t) * step, frame) for frame in recent[:reach]]
    return Recall((*((0, f) for f in chosen), *slots), (*_past(chosen, t, step), *pointers))


def nearest_conditioning(
    conditioning: Sequence[MemoryFrame], t: int, limit: int
) -> tuple[list[MemoryFrame], list[MemoryFrame]]:
    """Split prompted frames into those read (the first and the nearest, at most `limit`; 0 = all) and the rest."""
    ordered = sorted(conditioning, key=lambda f: abs(f.t - t))
    if limit == 0 or len(ordered) <= limit:
        return ordered, []
    first = min(ordered, key=lambda f: f.t)
    near = [f for f in ordered if f is not first][: limit - 1]
    chosen = [*near, first]
    return chosen, [f for f in ordered if f not in chosen]


def _past(frames: Sequence[MemoryFrame], t: int, step: int) -> list[tuple[int, MemoryFrame]]:
    return [((t - f.t) * step, f) for f in frames if (t - f.t) * step >= 0]
