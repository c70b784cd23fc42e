"""What a result or a preview is not sure of, in words."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.results.doubts import SURE_IOU

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.review.table import ReviewTable

Kind = Mapping[int, Mapping[int, float]]

MAX_NAMED = 4
"""Objects named in a sentence, the others are counted; not measured."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """Objects of a result that are lost, gone or unsure.

    Attributes
    ----------
    unplaced, lost, left, unsure : mapping of int to (mapping of int to float)
        By object: expected IoU by frame. Unplaced is an object that has no mask where a person marked it.
    everywhere : bool
        Whether every object was followed through all frames of the result.
    sent_away : bool
        Whether a person said of any that it is not there, or locked it so, on a frame through which it was followed.
    """

    unplaced: "Kind"
    lost: "Kind"
    left: "Kind"
    unsure: "Kind"
    everywhere: bool
    sent_away: bool

    @classmethod
    def of(cls, table: "ReviewTable") -> "Doubts":
        """Those of all objects of a result."""
        in_words = partial(_by_object, iou=table.expected_iou, names=table.object_ids)
        no_mask, no_say = table.followed & ~table.found, ~table.judged
        lost, frames = table.missing & no_say, table.followed.any(axis=1)
        return cls(
            in_words(no_mask & table.prompted & ~table.fixed),
            in_words(lost),
            in_words(table.ended & no_say),
            in_words(table.unsure() & ~lost),
            bool(table.followed[frames].all()),
            bool((no_mask & table.fixed).any()),
        )

    def sentences(self) -> str:
        """What to look at, the worst first; or that all is well."""
        unplaced, lost, left = _starts(self.unplaced), _starts(self.lost), _starts(self.left)
        unsure = _worst_first(self.unsure)
        parts = [
            f"No mask where it is marked: object {_listed(unplaced)}." if unplaced else "",
            f"Not found on some frames: object {_listed(lost)}." if lost else "",
            f"Left the picture: object {_listed(left)}." if left else "",
            f"Unsure: object {_listed(unsure)}." if unsure else "",
        ]
        return " ".join(filter(None, parts)) or self._all_well()

    def _all_well(self) -> str:
        followed = "" if self.everywhere else " that it was followed through"
        but = ", except where you said, or locked, that it is not there" if self.sent_away else ""
        return f"Every object was found on every frame{followed}{but}."


def changed_sentence(changed: Mapping[int, Collection[int]]) -> str:
    """Which objects have other pixels than before, and where."""
    told = [f"{object_id} {_frames(frames)}" for object_id, frames in sorted(changed.items()) if frames]
    return f"Changed: object {_listed(told)}." if told else ""


def _by_object(
    kind: "NDArray[np.bool_]", iou: "NDArray[np.float32]", names: Sequence[int]
) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = {}
    for t, column in np.argwhere(kind).tolist():
        found.setdefault(names[column], {})[t] = float(iou[t, column])
    return found


def preview_sentence(result: "FrameResult", followed: range) -> str:
    """What a preview outlined, what it is not sure of, and what to do next, where a run follows those frames."""
    found = [item for item in result.objects if item.area]
    missing = [str(item.object_id) for item in result.objects if not item.area]
    unsure = sorted((item.predicted_iou, item.object_id) for item in found if item.predicted_iou < SURE_IOU)
    outside = result.t not in followed
    parts = [
        f"Frame {result.t}: {len(found)} of {len(result.objects)} objects outlined.",
        f"Not found: object {_listed(missing)}." if missing else "",
        f"Unsure: object {_listed([f'{i} ({_short(iou)})' for iou, i in unsure])}." if unsure else "",
        "" if found else "Mark them more clearly, with a box around each cell.",
        f"Track works {_frames(followed)} only; widen that range to start here." if outside else "",
        "If they look right, press Track." if found and not outside else "",
    ]
    return " ".join(filter(None, parts))


def _starts(kind: Mapping[int, Mapping[int, float]]) -> list[str]:
    return [f"{object_id} {_frames(frames)}" for object_id, frames in sorted(kind.items()) if frames]


def _worst_first(kind: Mapping[int, Mapping[int, float]]) -> list[str]:
    unsure = sorted((min(frames.values()), object_id, frames) for object_id, frames in kind.items() if frames)
    return [f"{object_id} {_frames(frames)} ({_short(worst)})" for worst, object_id, frames in unsure]


def _frames(frames: Iterable[int]) -> str:
    first, *more = sorted(frames)
    if not more:
        return f"on frame {first}"
    if more[-1] - first == len(more):
        return f"on frames {first} to {more[-1]}"
    return f"on {len(more) + 1} frames from {first} to {more[-1]}"


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(iou: float) -> str:
    return f"{max(0.0, iou):.2f}".lstrip("0") or "0"
