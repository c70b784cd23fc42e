"""What the user says about an object on a frame: points with a sign, boxes and masks.

Frames count from 0. Coordinates are (y, x) in pixels; an integer coordinate is the centre of a pixel, so a frame of
shape (Y, X) reaches from -0.5 to Y - 0.5 and X - 0.5. Boxes are inclusive. Object ids are at least 1 and become label
values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Self

import numpy as np

from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.prompts.chosen_frames import PromptFrames, chosen_masks
from napari_mosam.core.prompts.kinds import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptError,
    as_prompt_error,
    numbers,
    polygon_mask,
    where,
)

__all__ = [
    "BoxPrompt",
    "MaskPrompt",
    "PointPrompt",
    "Prompt",
    "PromptError",
    "Prompts",
    "polygon_mask",
]


@dataclass(frozen=True, eq=False, init=False)
class Prompts:
    """All prompts of a run; equal to others that say the same of every object on every frame.

    Parameters
    ----------
    items : sequence of PointPrompt, BoxPrompt or MaskPrompt
        In any order, for any object, on any frame.

    Raises
    ------
    PromptError
        For an item that is no prompt.
    """

    items: tuple[Prompt, ...]

    def __init__(self, items: Iterable[Prompt] = ()) -> None:
        object.__setattr__(self, "items", tuple(items))
        for item in self.items:
            if not isinstance(item, Prompt):
                raise PromptError(
                    f"{type(item).__name__} {item!r:.60} is no prompt; give PointPrompt, BoxPrompt or MaskPrompt"
                )

    @classmethod
    def from_labels(cls, labels: Any, frame: int = 0, frames: PromptFrames = "all") -> Self:
        """One mask for every id of a label image.

        Parameters
        ----------
        labels : array_like of int, shape (Y, X) or (T, Y, X), or path
            Object ids, 0 = background; whatever :func:`open_labels` takes. A stack gives a mask on every frame where an
            id is painted; it is read frame by frame, so it may be a zarr or dask array.
        frame : int
            Frame of a 2-D image, or of a stack's first frame.
        frames : {'all', 'first'}, int or sequence of int
            Frames of the movie that count: all of the stack, on each object's first only, or those named.

        Raises
        ------
        PromptError
            For another number of axes, values that are no ids, and frames that are not there.
        """
        with as_prompt_error():
            return cls(chosen_masks(open_labels(labels, "the label array"), frames, frame))

    def __add__(self, other: "Prompts") -> "Prompts":
        return Prompts((*self.items, *other.items))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        return self._by_object == other._by_object if isinstance(other, Prompts) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.object_ids, self.frames))

    @cached_property
    def object_ids(self) -> tuple[int, ...]:
        """Ids that are prompted, ascending."""
        return tuple(self._by_object)

    @cached_property
    def frames(self) -> tuple[int, ...]:
        """Frames with a prompt, ascending."""
        return tuple(sorted(self._by_frame))

    def first_frame(self, object_id: int) -> int:
        """Earliest frame on which the object is prompted; KeyError for an object without prompts."""
        return min(self._by_object[object_id])

    def last_frame(self, object_id: int) -> int:
        """Latest frame on which the object is prompted; KeyError for an object without prompts."""
        return max(self._by_object[object_id])

    def of(self, object_id: int) -> Mapping[int, Sequence[Prompt]]:
        """The prompts of an object by frame (ascending), in the order given; empty for an object without prompts."""
        return self._by_object.get(object_id, {})

    def between(self, start: int, stop: int) -> "Prompts":
        """The prompts on frames start … stop - 1; itself where that is all of them."""
        inside = [p for p in self.items if start <= p.frame < stop]
        return self if len(inside) == len(self) else Prompts(inside)

    def at(self, frame: int) -> dict[int, list[Prompt]]:
        """The prompts of a frame by object id (ascending), in the order given."""
        return {object_id: list(prompts) for object_id, prompts in self._by_frame.get(frame, {}).items()}

    def check(self, shape_tyx: tuple[int, int, int]) -> None:
        """Refuse prompts that cannot be used on a movie of that shape (T, Y, X).

        Raises
        ------
        PromptError
            No prompts at all; an id below 1; a frame outside the movie; a point or box outside the frame; an empty
            mask or one made for another shape; an object with negative points only; two masks or two boxes of an
            object on one frame.
        """
        if not self.items:
            raise PromptError("nothing is marked; mark at least one object with a point, a box or a mask")
        for prompt in self.items:
            _check_place(prompt, shape_tyx)
        self._check_doubles()
        self._check_signs()

    @cached_property
    def _by_object(self) -> Mapping[int, Mapping[int, Sequence[Prompt]]]:
        found: dict[int, dict[int, list[Prompt]]] = {}
        for prompt in self.items:
            found.setdefault(prompt.object_id, {}).setdefault(prompt.frame, []).append(prompt)
        return {object_id: dict(sorted(found[object_id].items())) for object_id in sorted(found)}

    @cached_property
    def _by_frame(self) -> Mapping[int, Mapping[int, Sequence[Prompt]]]:
        found: dict[int, dict[int, Sequence[Prompt]]] = {}
        for object_id, frames in self._by_object.items():
            for frame, prompts in frames.items():
                found.setdefault(frame, {})[object_id] = prompts
        return found

    def _check_doubles(self) -> None:
        together = chain.from_iterable(frames.values() for frames in self._by_object.values())
        for prompts in (prompts for prompts in together if len(prompts) > 1):
            for kind, name in ((MaskPrompt, "masks"), (BoxPrompt, "boxes")):
                n = sum(isinstance(prompt, kind) for prompt in prompts)
                if n > 1:
                    first = prompts[0]
                    raise PromptError(
                        f"object {first.object_id} has {n} {name} on frame {first.frame}; one is allowed: "
                        "join them, or give them different object ids"
                    )

    def _check_signs(self) -> None:
        for object_id, frames in self._by_object.items():
            if all(map(only_negative, chain.from_iterable(frames.values()))):
                raise PromptError(
                    f"object {object_id} has negative points only, which do not say where it is; "
                    "add a positive point, a box or a mask"
                )


def _check_place(prompt: Prompt, shape_tyx: tuple[int, int, int]) -> None:
    n_frames, *(height, width) = shape_tyx
    if prompt.object_id < 1:
        raise PromptError(f"{where(prompt)}: an object id is 1 or more (0 is the background)")
    if not 0 <= prompt.frame < n_frames:
        raise PromptError(
            f"{where(prompt)}: the movie has {n_frames} frames, so frames 0 to {n_frames - 1} are allowed (they count "
            "from 0; where yours count from 1, subtract 1)"
        )
    problem = _problem(prompt, (height, width))
    if problem:
        raise PromptError(f"{where(prompt)}: {problem}")


def _problem(prompt: Prompt, shape: tuple[int, int]) -> str:
    if isinstance(prompt, MaskPrompt):
        return _mask_problem(prompt, shape)
    if _overlaps((*prompt.yx, *prompt.yx) if isinstance(prompt, PointPrompt) else prompt.box, shape):
        return ""
    frame = f"the frame of {shape[0]} x {shape[1]} px"
    reach = f"y from 0 to {shape[0] - 1}, x from 0 to {shape[1] - 1}"
    if isinstance(prompt, PointPrompt):
        return f"point {numbers(prompt.yx)} lies outside {frame}; allowed: [y, x] with {reach}"
    return f"box {numbers(prompt.box)} lies outside {frame}; allowed: [y0, x0, y1, x1] that meets {reach}"


def _mask_problem(prompt: MaskPrompt, shape: tuple[int, int]) -> str:
    made_for = prompt.frame_shape or shape
    (top, left), (height, width) = prompt.origin, prompt.mask.shape
    if made_for != shape or top < 0 or left < 0 or top + height > shape[0] or left + width > shape[1]:
        given = made_for if made_for != shape else (top, left, top + height, left + width)
        return f"the mask {given} does not fit the frame; masks must have the movie's (Y, X) = {shape}"
    return "" if np.count_nonzero(prompt.mask) else "the mask is empty; paint at least one pixel, or leave it out"


def _overlaps(box: tuple[float, float, float, float], shape: tuple[int, int]) -> bool:
    y0, x0, y1, x1 = box
    return y1 >= -0.5 and x1 >= -0.5 and y0 < shape[0] - 0.5 and x0 < shape[1] - 0.5


def only_negative(prompt: Prompt) -> bool:
    """Whether a prompt says only where the object is not."""
    return not getattr(prompt, "positive", True)
