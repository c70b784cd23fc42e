"""What the objects of a clip remember, and what of it they read: the engine's rules for many rows at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mosam.core.memory.selection import MAX_POINTERS
from napari_mosam.core.model.sam2_parts import MemoryBatch


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """How a batch remembers.

    Attributes
    ----------
    gated : bool
        Frames on which an object is absent are not remembered, and what is read moves up into the latest slots;
        otherwise SAM 2's rule: everything is, in the slot of its distance.
    num_maskmem : int
        The model's number of temporal slots.
    n_frames : int
        Length of the movie that the clip is taken to be part of.
    age : int
        Frames by which the prompted frame lies further back than in the clip.
    """

    gated: bool
    num_maskmem: int
    n_frames: int
    age: int

    @property
    def reach(self) -> int:
        """Pointers read at most, plus one."""
        return min(self.n_frames, MAX_POINTERS)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one row reads on a frame: (slot, frame) of spatial memories and (distance, frame) of pointers."""

    frames: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]


def reading(t: int, prompted: Sequence[int], tracked: Sequence[int], rules: MemoryRules) -> Reading:
    """What is read on frame `t`, as :mod:`napari_mosam.core.memory.selection` has it.

    Parameters
    ----------
    t : int
    prompted : sequence of int
        Conditioning frames, oldest first.
    tracked : sequence of int
        Remembered frames before `t`.
    rules : MemoryRules
    """
    recent = sorted(tracked, reverse=True)
    if rules.gated:
        slots = [(rules.num_maskmem - 1 - rank, s) for rank, s in enumerate(recent[: rules.num_maskmem - 1])]
        pointers = [(t - s, s) for s in recent[: rules.reach - 1]]
    else:
        slots = [(rules.num_maskmem - (t - s), s) for s in reversed(recent) if t - s < rules.num_maskmem]
        pointers = [(t - s, s) for s in recent if t - s < rules.reach]
    nearest = sorted(prompted, reverse=True)
    first = [(t - s + (rules.age if s == 0 else 0), s) for s in nearest]
    return Reading((*((0, s) for s in nearest), *slots), (*first, *pointers))


class ClipMemory:
    """Memories of N rows; each frame is written once, for all of them.

    Parameters
    ----------
    rules : MemoryRules
    """

    def __init__(self, rules: MemoryRules) -> None:
        self._rules = rules
        self._features: dict[int, Tensor] = {}
        self._pointers: dict[int, Tensor] = {}
        self._prompted: list[int] = []
        self._tracked: dict[int, list[bool]] = {}

    def condition(self, t: int, features: Tensor, pointers: Tensor) -> None:
        """Keep a prompted frame: features (N, M, h, w) and pointers (N, C)."""
        self._features[t], self._pointers[t] = features, pointers
        self._prompted.append(t)

    def remember(self, t: int, features: Tensor, pointers: Tensor, readable: Sequence[bool]) -> None:
        """Keep a tracked frame; rows that are not `readable` do not get to see it."""
        self._features[t], self._pointers[t] = features, pointers
        self._tracked[t] = list(readable)

    def readings(self, t: int, n_rows: int) -> list[Reading]:
        """What each row reads on frame `t`."""
        tracked = [[s for s, readable in self._tracked.items() if readable[row]] for row in range(n_rows)]
        return [reading(t, self._prompted, own, self._rules) for own in tracked]

    def batches(self, t: int, n_rows: int) -> list[tuple[Tensor, MemoryBatch]]:
        """Memories for frame `t`, rows with the same numbers of them together: (row indices, memory)."""
        readings = self.readings(t, n_rows)
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, own in enumerate(readings):
            alike[len(own.frames), len(own.pointers)].append(row)
        frames = list(self._features)
        stacked = torch.cat([self._features[s] for s in frames]), torch.cat([self._pointers[s] for s in frames])
        place = {s: k * n_rows for k, s in enumerate(frames)}
        return [_batch(rows, [readings[row] for row in rows], place, *stacked) for rows in alike.values()]


def _batch(
    rows: list[int], readings: list[Reading], place: dict[int, int], features: Tensor, pointers: Tensor
) -> tuple[Tensor, MemoryBatch]:
    device = features.device

    def gathered(source: Tensor, chosen: list[list[int]]) -> Tensor:
        index = torch.tensor(chosen, device=device).flatten()
        return source.index_select(0, index).view(len(chosen), len(chosen[0]), *source.shape[1:])

    spatial = [[place[s] + row for _, s in own.frames] for row, own in zip(rows, readings, strict=True)]
    pointing = [[place[s] + row for _, s in own.pointers] for row, own in zip(rows, readings, strict=True)]
    slots = torch.tensor([[slot for slot, _ in own.frames] for own in readings], device=device)
    distances = torch.tensor([[d for d, _ in own.pointers] for own in readings], device=device)
    memory = MemoryBatch(gathered(features, spatial), slots, gathered(pointers, pointing), distances)
    return torch.tensor(rows, device=device), memory
