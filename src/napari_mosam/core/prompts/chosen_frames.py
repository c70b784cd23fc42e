"""Which frames of a file of prompts count: all, the first of each object, or some."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from napari_mosam.core.images.label_images.guess import n_changes
from napari_mosam.core.images.label_images.labels import LabelStack
from napari_mosam.core.prompts.kinds import MaskPrompt, PromptError, label_masks

PromptFrames = Literal["all", "first"] | int | Sequence[int]
"""All frames, each object's first one, or those that are named, from 0."""

_MANY = 50
"""Ids of a frame that may be an image: fewer are worth no suspicion."""

_RESTLESS = 0.5
"""Share of pixels that differ from their neighbour from which on a frame is no label image: of objects that are as
small as 2 x 2 px and touch each other everywhere it is just that."""

_ALLOWED = "'all', 'first' (each object's first frame), or frames counted from 0, such as 0,5,10"


def checked_frames(given: PromptFrames) -> Literal["all", "first"] | frozenset[int]:
    """What was asked for, frames as a set; PromptError for what names none."""
    if given == "all" or given == "first":
        return given
    frames = list(given) if isinstance(given, Iterable) else [given]
    if not frames or not all(isinstance(t, int) and t >= 0 for t in frames):
        raise PromptError(f"prompt frames {given!r:.60} are not possible; allowed: {_ALLOWED}")
    return frozenset(frames)


def chosen_records(numbered: Iterable[tuple[int, Any]], given: PromptFrames) -> list[tuple[int, Any]]:
    """Records of the frames that count; what is no record is left in, for who reads them."""
    frames, records = checked_frames(given), list(numbered)
    if frames == "all":
        return records
    if frames == "first":
        first: dict[Any, Any] = {}
        for _, record in records:
            if _is_placed(record):
                first[record["object"]] = min(record["frame"], first.get(record["object"], record["frame"]))
        return [(n, one) for n, one in records if not _is_placed(one) or one["frame"] == first[one["object"]]]
    return [(n, one) for n, one in records if not _is_placed(one) or one["frame"] in frames]


def _is_placed(record: Any) -> bool:
    known = isinstance(record, dict) and {"object", "frame"} <= record.keys()
    return known and all(isinstance(record[key], int | float) for key in ("object", "frame"))


def chosen_masks(stack: LabelStack, given: PromptFrames, frame: int = 0) -> Iterator[MaskPrompt]:
    """Masks of the ids on the frames that count; no other frame is read, but for each object's first.

    A single image is the one frame that is named. `frame` is the frame of the movie on which the first one lies.

    Raises
    ------
    PromptError
        For values that are no ids, and for frames that are not there.
    LabelError
        For what cannot be read.
    """
    frames = checked_frames(given)
    if isinstance(frames, frozenset):
        return _named(stack, frames, frame)
    if not stack.linked and len(stack.frames) > 1:
        raise PromptError(
            "segmentation truth numbers the objects of every frame anew, so it does not say which are the same; give "
            "tracking truth, or name one frame of it (--prompt-frames 0)"
        )
    return _first(stack, frame) if frames == "first" else _all(stack, frame)


def _all(stack: LabelStack, frame: int) -> Iterator[MaskPrompt]:
    return (mask for t in stack.frames for mask in _masks(stack, t, frame + t))


def _masks(stack: LabelStack, t: int, frame: int) -> list[MaskPrompt]:
    """Those of a stored frame; PromptError for what is an image instead of its labels."""
    ids = stack[t]
    masks = label_masks(ids, frame)
    if len(masks) > _MANY and n_changes(ids) > _RESTLESS * ids.size:
        raise PromptError(
            f"frame {t} of {stack.name} holds {len(masks)} ids, and hardly two neighbouring pixels have the same; is "
            "it an image instead of its labels?"
        )
    return masks


def _first(stack: LabelStack, frame: int) -> Iterator[MaskPrompt]:
    known: set[int] = set()
    for t in stack.frames:
        new = [mask for mask in _masks(stack, t, frame + t) if mask.object_id not in known]
        known |= {mask.object_id for mask in new}
        yield from new


def _named(stack: LabelStack, frames: frozenset[int], frame: int) -> Iterator[MaskPrompt]:
    if len(frames) > 1 and (stack.shape[0] == 1 or not stack.linked):
        kind = "a single image" if stack.shape[0] == 1 else "segmentation truth, whose ids do not last"
        raise PromptError(f"{stack.name} is {kind}: name one frame, not {len(frames)}")
    for t in sorted(frames):
        yield from _masks(stack, 0 if stack.shape[0] == 1 else t - frame, t)
