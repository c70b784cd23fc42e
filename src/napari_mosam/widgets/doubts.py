"""What a run or a preview is not sure of, in words."""

from collections.abc import Collection, Iterable, Mapping
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
    """Objects of a run that are lost, gone or unsure.

    Attributes
    ----------
    lost, left, unsure : mapping of int to (mapping of int to float)
        By object: expected IoU by frame.
    everywhere : bool
        Whether every object was followed through all frames.
    """

    lost: "Kind"
    left: "Kind"
    unsure: "Kind"
    everywhere: bool

    @classmethod
    def of(cls, table: "ReviewTable", ids: Iterable[int], frames: Iterable[int]) -> "Doubts":
        """Those on some frames of objects of a result, where a person has had no say."""
        asked, columns = sorted(frames), [table.object_ids.index(i) for i in ids if i in table.object_ids]
        at = np.ix_(asked, columns)
        names, no_say = [table.object_ids[column] for column in columns], ~table.judged[at]
        in_words = partial(_by_object, iou=table.expected_iou[at], names=names, frames=asked)
        lost, left, unsure = table.missing[at] & no_say, table.ended[at] & no_say, table.unsure()[at]
        return cls(in_words(lost), in_words(left), in_words(unsure & ~lost), bool(table.followed[at].all()))

    def sentences(self, *, painted: bool = False) -> str:
        """What to look at, the worst first; or that all is well, where nobody `painted`."""
        lost, left, unsure = _starts(self.lost), _starts(self.left), _worst_first(self.unsure)
        parts = [
            f"Not found on some frames: object {_listed(lost)}." if lost else "",
            f"Left the picture: object {_listed(left)}." if left else "",
            f"Unsure: object {_listed(unsure)}." if unsure else "",
        ]
        return " ".join(filter(None, parts)) or self._all_well(painted)

    def _all_well(self, painted: bool) -> str:
        but = [] if self.everywhere else ["that it was followed through"]
        but += ["that you did not paint on"] if painted else []
        return " ".join(["Every object was found on every frame", " and ".join(but)]).strip() + "."


def changed_sentence(changed: Mapping[int, Collection[int]]) -> str:
    """Which objects have other pixels than before, and where."""
    told = [f"{object_id} {_frames(frames)}" for object_id, frames in sorted(changed.items()) if frames]
    return f"Changed: object {_listed(told)}." if told else ""


def _by_object(
    kind: "NDArray[np.bool_]", iou: "NDArray[np.float32]", names: list[int], frames: list[int]
) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = {}
    for row, column in np.argwhere(kind):
        found.setdefault(names[column], {})[frames[row]] = float(iou[row, column])
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
