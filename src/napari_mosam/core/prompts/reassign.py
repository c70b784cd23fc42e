"""Ids that are exchanged, split off or joined from a frame on: whose marks and daughters are whose afterwards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from napari_mosam.core.prompts.collection import Prompt, Prompts

SWAP, SPLIT, MERGE = "swap", "split", "merge"
"""Kinds."""


@dataclass(frozen=True, slots=True)
class Reassignment:
    """Which object each mask is of afterwards.

    Attributes
    ----------
    kind : {'swap', 'split', 'merge'}
    first : int
        One of the two that are swapped; the object that is split; the one that stays of two that are merged.
    second : int
        The other of the two; the new object; the one that joins the first.
    start : int
        The first frame on which anything changes.
    holders : mapping of int to int
        Of a merge, by frame on which the second is known: whose mask the first has afterwards; 0 for both joined.
    """

    kind: str
    first: int
    second: int
    start: int
    holders: Mapping[int, int] = field(default_factory=dict)

    @property
    def ids(self) -> dict[int, int]:
        """Ids that change from the first frame on."""
        there = {SWAP: (self.first, self.second), SPLIT: (self.first,), MERGE: (self.second,)}[self.kind]
        return {one: self.second if one == self.first else self.first for one in there}

    def id_at(self, object_id: int, t: int) -> int:
        """What an object of frame `t` is afterwards."""
        return self.ids.get(object_id, object_id) if t >= self.start else object_id

    def prompts(self, given: Iterable[Prompt]) -> Prompts:
        """Marks as they are afterwards; where both of a merge are marked on a frame, those of its holder stay."""
        marks = tuple(given)
        dropped = self._dropped({(p.object_id, p.frame) for p in marks})
        return Prompts(
            replace(p, object_id=self.id_at(p.object_id, p.frame))
            for p in marks
            if (p.object_id, p.frame) not in dropped
        )

    def _dropped(self, marked: set[tuple[int, int]]) -> set[tuple[int, int]]:
        if self.kind != MERGE:
            return set()
        both = [t for i, t in marked if i == self.second and t >= self.start and (self.first, t) in marked]
        return {(self.first if self.holders.get(t) == self.second else self.second, t) for t in both}

    def parents(self, known: Mapping[int, int], first_seen: Mapping[int, int]) -> dict[int, int]:
        """Mothers by daughter as they are afterwards.

        Parameters
        ----------
        known : mapping of int to int
            As they are.
        first_seen : mapping of int to int
            By object, its first frame.
        """
        found: dict[int, int] = {}
        for child in sorted(known, key=lambda child: first_seen.get(child, 0)):
            birth = first_seen.get(child, 0)
            now, mother = self.id_at(child, birth), self.id_at(known[child], birth - 1)
            if now != mother:
                found.setdefault(now, mother)
        return found
