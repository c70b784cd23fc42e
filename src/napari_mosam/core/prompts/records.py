"""Prompts as plain JSON records, painted masks included, so that a result knows what it was made from.

Points and boxes have the keys of a prompts file. A mask is kept as the crop that holds it: ``{"origin": [y, x],
"shape": [h, w], "runs": [...]}``, the lengths of its runs row by row, the first outside the mask.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompt, Prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = dict[str, Any]


def to_records(prompts: Iterable[Prompt]) -> list[Json]:
    """One JSON record per prompt, in their order."""
    return [to_record(prompt, _to_runs) for prompt in prompts]


def to_record(prompt: Prompt, mask_as: Callable[[MaskPrompt], Any]) -> Json:
    """A prompt with the keys of a prompts file; `mask_as` says what stands for a mask."""
    record: Json = {"object": int(prompt.object_id), "frame": int(prompt.frame)}
    match prompt:
        case PointPrompt():
            return record | {"point": [float(v) for v in prompt.yx], "positive": bool(prompt.positive)}
        case BoxPrompt():
            return record | {"box": [float(v) for v in prompt.box]}
        case MaskPrompt():
            return record | {"mask": mask_as(prompt)}


def from_records(records: Iterable[Mapping[str, Any]], shape_yx: tuple[int, int]) -> Prompts:
    """The prompts of a movie whose frames have that shape (Y, X); the inverse of :func:`to_records`."""
    return Prompts([_from_record(record, shape_yx) for record in records])


def changed_frames(before: Iterable[Prompt], after: Iterable[Prompt]) -> dict[int, set[int]]:
    """Frames on which an object's prompts differ, by object id; the order of prompts on a frame plays no part."""
    old, new = _by_place(before), _by_place(after)
    changed: dict[int, set[int]] = {}
    for place in old.keys() | new.keys():
        if old.get(place) != new.get(place):
            changed.setdefault(place[0], set()).add(place[1])
    return changed


def _by_place(prompts: Iterable[Prompt]) -> dict[tuple[int, int], list[str]]:
    found: dict[tuple[int, int], list[str]] = {}
    for prompt in prompts:
        found.setdefault((prompt.object_id, prompt.frame), []).append(repr(sorted(to_record(prompt, _to_runs).items())))
    return {place: sorted(records) for place, records in found.items()}


def _to_runs(prompt: MaskPrompt) -> Json:
    """Of a mask without a pixel too: a session keeps half a mark, a run refuses it."""
    origin, mask = prompt.tight
    flat = np.concatenate([[False], mask.ravel()])
    changes = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"origin": [int(v) for v in origin], "shape": list(mask.shape), "runs": runs.tolist()}


def _from_record(record: Mapping[str, Any], shape_yx: tuple[int, int]) -> Prompt:
    object_id, frame = record["object"], record["frame"]
    if "point" in record:
        y, x = record["point"]
        return PointPrompt(object_id, frame, (y, x), record["positive"])
    if "box" in record:
        y0, x0, y1, x1 = record["box"]
        return BoxPrompt(object_id, frame, (y0, x0, y1, x1))
    y, x = record["mask"]["origin"]
    runs, (height, width) = record["mask"]["runs"], record["mask"]["shape"]
    if not 0 <= height * width == sum(runs) <= shape_yx[0] * shape_yx[1]:
        raise ValueError(f"the painted mask of object {object_id} on frame {frame} is damaged; its runs make no crop")
    return MaskPrompt(object_id, frame, _from_runs(runs, (height, width)), (y, x), shape_yx)


def _from_runs(runs: Sequence[int], shape: Sequence[int]) -> "NDArray[np.bool_]":
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(tuple(shape))
