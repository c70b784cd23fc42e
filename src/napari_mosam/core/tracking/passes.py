"""Which objects are followed from where, in which direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_mosam.core.config.engine import Direction
from napari_mosam.core.prompts.collection import Prompt, Prompts, only_negative


@dataclass(frozen=True, slots=True)
class PropagationPass:
    """One run over the movie in one direction.

    Attributes
    ----------
    time_step : int
        +1 forward, -1 backward.
    frames : range
        In the order they are visited.
    entries : mapping of int to int
        Frame on which each object enters.
    report_start : bool
        Whether an object's result on its starting frame belongs to this pass.
    """

    time_step: int
    frames: range
    entries: Mapping[int, int]
    report_start: bool

    @property
    def direction(self) -> str:
        """'forward' or 'backward'."""
        return "forward" if self.time_step > 0 else "backward"

    def reported(self, t: int) -> bool:
        """Whether any object has a result on frame `t`."""
        ahead = (t - min(self.entries.values())) if self.time_step > 0 else (max(self.entries.values()) - t)
        return ahead > 0 or (ahead == 0 and self.report_start)


def plan_passes(prompts: Prompts, start: int, stop: int, direction: Direction) -> list[PropagationPass]:
    """Which objects are followed from where, in which direction.

    With 'both', every object is followed forward from its first prompt, then backward from its last one that says
    where it is: between two prompts there are two results, which tell on each other.
    """
    first = {i: prompts.first_frame(i) for i in prompts.object_ids}
    last = {i: _last_positive(prompts.of(i)) for i in prompts.object_ids}
    if not first:
        return []
    if direction == "backward":
        return [PropagationPass(-1, range(max(last.values()), start - 1, -1), last, True)]
    forward = PropagationPass(1, range(min(first.values()), stop), first, True)
    if direction == "forward" or max(last.values()) == start:
        return [forward]
    return [forward, PropagationPass(-1, range(max(last.values()), start - 1, -1), last, False)]


def _last_positive(by_frame: Mapping[int, Sequence[Prompt]]) -> int:
    return max((t for t, prompts in by_frame.items() if not all(map(only_negative, prompts))), default=0)
