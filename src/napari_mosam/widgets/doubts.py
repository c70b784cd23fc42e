"""What a run or a preview is not sure of, in words."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from napari_mosam.core.results.frame import ObjectState

if TYPE_CHECKING:
    from napari_mosam.core.results.frame import FrameResult, ObjectResult

SURE_IOU = 0.7
"""Predicted IoU below which a mask deserves a look: its median is .58 where a mask fails and .93 where it is good."""

MAX_NAMED = 4
"""Objects named in a sentence, the others are counted; not measured."""


class Doubts:
    """Objects of a run that are lost, gone or unsure, judged by the masks that are kept."""

    def __init__(self) -> None:
        self._followed: dict[int, set[int]] = {}
        self._lost: dict[int, dict[int, float]] = {}  # by object: predicted IoU by frame, in the order of the run
        self._left: dict[int, dict[int, float]] = {}
        self._unsure: dict[int, dict[int, float]] = {}

    def follow(self, t: int, ids: Iterable[int]) -> None:
        """Objects that were followed through a frame, whatever came of it."""
        for object_id in ids:
            self._followed.setdefault(object_id, set()).add(t)

    def note(self, t: int, item: "ObjectResult") -> None:
        """Take a mask for the one that is kept of its object on frame `t`, in place of an earlier one."""
        for kind in (self._lost, self._left, self._unsure):
            kind.get(item.object_id, {}).pop(t, None)
        doubt = self._kind(item)
        if doubt is not None:
            doubt.setdefault(item.object_id, {})[t] = item.predicted_iou

    def sentences(self, *, painted: bool = False) -> str:
        """What to look at, the worst first; or that all is well, where nobody `painted`."""
        lost, left, unsure = _starts(self._lost), _starts(self._left), _worst_first(self._unsure)
        parts = [
            f"Not found on some frames: object {_listed(lost)}." if lost else "",
            f"Left the picture: object {_listed(left)}." if left else "",
            f"Unsure: object {_listed(unsure)}." if unsure else "",
        ]
        return " ".join(filter(None, parts)) or self._all_well(painted)

    def _all_well(self, painted: bool) -> str:
        frames = set().union(*self._followed.values())
        everywhere = all(followed == frames for followed in self._followed.values())
        but = [] if everywhere else ["that it was followed through"]
        but += ["that you did not paint on"] if painted else []
        return " ".join(["Every object was found on every frame", " and ".join(but)]).strip() + "."

    def _kind(self, item: "ObjectResult") -> dict[int, dict[int, float]] | None:
        if item.state is ObjectState.ENDED:
            return self._left
        if item.state is ObjectState.LOST or not item.area:
            return self._lost
        return None if item.predicted_iou >= SURE_IOU else self._unsure


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
        f"Propagate works {_frames(followed)} only; widen that range to start here." if outside else "",
        "If they look right, press Propagate." if found and not outside else "",
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
