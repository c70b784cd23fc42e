"""What the objects of a clip remember: one tensor per frame for all rows; what is read of it is the engine's to say."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mosam.core.config.engine import MemoryConfig
from napari_mosam.core.memory.selection import ReadContext, Reading, recall_gated, recall_sam2
from napari_mosam.core.model.sam2_parts import MemoryBatch

ALL_PROMPTS = MemoryConfig(max_conditioning=0)
"""Every prompted frame is read: a clip has two at most."""


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


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """A frame of the clip: its index there, and the frame of the movie that it is taken to be."""

    index: int
    t: int


def reading(t: int, prompted: Sequence[int], tracked: Sequence[int], rules: MemoryRules) -> Reading[ClipFrame]:
    """What is read on frame `t`, by the engine's rules.

    Parameters
    ----------
    t : int
    prompted : sequence of int
        Conditioning frames of the clip.
    tracked : sequence of int
        Remembered frames before `t`.
    rules : MemoryRules
    """
    rule = recall_gated if rules.gated else recall_sam2
    first = [ClipFrame(s, -rules.age if s == 0 else s) for s in prompted]
    now = ReadContext(t, 1, rules.n_frames, rules.num_maskmem)
    return rule(first, [ClipFrame(s, s) for s in tracked], now, ALL_PROMPTS)


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

    def readings(self, t: int, n_rows: int) -> list[Reading[ClipFrame]]:
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
    rows: list[int], readings: list[Reading[ClipFrame]], place: dict[int, int], features: Tensor, pointers: Tensor
) -> tuple[Tensor, MemoryBatch]:
    device = features.device

    def gathered(source: Tensor, chosen: list[list[int]]) -> Tensor:
        index = torch.tensor(chosen, device=device).flatten()
        return source.index_select(0, index).view(len(chosen), len(chosen[0]), *source.shape[1:])

    spatial = [[place[f.index] + row for _, f in own.frames] for row, own in zip(rows, readings, strict=True)]
    pointing = [[place[f.index] + row for _, f in own.pointers] for row, own in zip(rows, readings, strict=True)]
    slots = torch.tensor([[slot for slot, _ in own.frames] for own in readings], device=device)
    distances = torch.tensor([[d for d, _ in own.pointers] for own in readings], device=device)
    memory = MemoryBatch(gathered(features, spatial), slots, gathered(pointers, pointing), distances)
    return torch.tensor(rows, device=device), memory
