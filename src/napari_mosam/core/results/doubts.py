"""When a mask deserves a look, and when a run stops to ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from napari_mosam.core.results.frame import FrameResult, ObjectResult, ObjectState

PAUSED = "paused"
"""Attribute of half a result: why its run stopped to ask, see :class:`Pause`."""

SURE_IOU = 0.7
"""Predicted IoU below which a mask deserves a look: its median is .58 where a mask fails and .93 where it is good."""


def is_unsure(one: ObjectResult) -> bool:
    """Whether an object was not found, or its mask deserves a look; not one that left, or that a person marked."""
    if one.prompted or one.state is ObjectState.ENDED:
        return False
    return one.state is ObjectState.LOST or not one.area or one.predicted_iou < SURE_IOU


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a run stopped to ask.

    Attributes
    ----------
    frame : int
        The last one that was followed.
    object_ids : tuple of int
        Objects that were unsure.
    n_frames : int
        On how many frames in a row.
    """

    frame: int
    object_ids: tuple[int, ...]
    n_frames: int

    def __str__(self) -> str:
        one, more = self.object_ids[0], self.object_ids[1:]
        who = f"{len(self.object_ids)} objects were" if more else f"object {one} was"
        named = f": {', '.join(map(str, self.object_ids))}" if more else ""
        return f"{who} unsure for {self.n_frames} frame{'s' * (self.n_frames != 1)} at frame {self.frame}{named}"

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return {"frame": self.frame, "objects": list(self.object_ids), "n_frames": self.n_frames}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """From the attributes of a result."""
        return cls(int(said["frame"]), tuple(int(i) for i in said["objects"]), int(said["n_frames"]))

    @classmethod
    def among(cls, attributes: Mapping[str, Any]) -> Self | None:
        """That in the attributes of a result; None where its run did not stop to ask."""
        return cls.from_json(attributes[PAUSED]) if PAUSED in attributes else None


class UnsureWatch:
    """Counts on how many frames in a row each object was unsure.

    It asks once for each such stretch, so that a run that is gone on with does not stop again for the same one.

    Parameters
    ----------
    patience : int or None
        Frames in a row after which it asks; None: never.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._in_a_row: dict[tuple[str, int], int] = {}  # by direction and object

    def seen(self, result: FrameResult) -> Pause | None:
        """Count a frame; what there is to ask after it."""
        if self._patience is None or result.skipped:
            return None
        due = [one.object_id for one in result.objects if self._counted(result, one) == self._patience]
        return Pause(result.t, tuple(due), self._patience) if due else None

    def _counted(self, result: FrameResult, one: ObjectResult) -> int:
        key = result.direction, one.object_id
        self._in_a_row[key] = self._in_a_row.get(key, 0) + 1 if is_unsure(one) else 0
        return self._in_a_row[key]
