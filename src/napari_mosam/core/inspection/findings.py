"""What is told of an object on a frame: which memory was read, where it was expected, and what showed the way."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mosam.core.masks.region import Region
from napari_mosam.core.results.frame import Cue, ObjectState
from napari_mosam.core.windows.sampling import paste
from napari_mosam.core.windows.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class MemoryInspection:
    """A memory frame that was read.

    Attributes
    ----------
    t : int
        Frame index.
    rating : float
        Reliability by which frames are ranked, in [0, 1]; 1 for prompted ones.
    prompted : bool
        Whether the user prompted the object there: such a frame is read whole.
    state : ObjectState or None
        Of the object there; None where the result has nothing of it any more.
    window : Window or None
        The part of frame `t` that the grids lie over.
    mask : Region or None
        The remembered mask, without the pixels of others; for a picture.
    reliability : ndarray of float32, shape (h, w), or None
        How sure the remembered mask is in each cell of the memory grid, in [0, 1].
    weight : ndarray of float32, shape (h, w), or None
        What the pixel filter lets through of each cell, in [0, 1]; ones where it is off, and on prompted frames.
    """

    t: int
    rating: float
    prompted: bool = False
    state: ObjectState | None = None
    window: Window | None = None
    mask: Region | None = None
    reliability: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None

    @property
    def filtered(self) -> NDArray[np.bool_] | None:
        """Cells (h, w) that are not read at all."""
        return None if self.weight is None else self.weight == 0

    def on_frame(self, shape_yx: tuple[int, int]) -> NDArray[np.float32]:
        """The reliability of each pixel of frame `t`, shape (Y, X), bilinear; NaN where nothing was remembered."""
        image = np.full(shape_yx, np.nan, np.float32)
        if self.reliability is not None and self.window is not None:
            place, values = paste(torch.from_numpy(self.reliability), self.window, shape_yx)
            image[place] = values.numpy()
        return image


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedObject:
    """Where motion said that an object would be, and the prompts that follow from it.

    Attributes
    ----------
    t : int
        The frame whose mask was moved.
    mask : Region
        That mask, moved.
    box : tuple of int
        (y0, x0, y1, x1), inclusive.
    points : tuple of (y, x)
        Inside the mask.
    used : bool
        Whether the decode with these prompts gave the mask; they are off by default.
    """

    t: int
    mask: Region
    box: tuple[int, int, int, int]
    points: tuple[tuple[float, float], ...]
    used: bool


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """Why an object has the mask that it has on a frame.

    Attributes
    ----------
    object_id, frame : int
    direction : {'forward', 'backward'}
    decoded_with : {'memory', 'motion', 'prompt', 'painted'}
    window : Window
        The part of the frame that the model saw.
    shift_yx : tuple of float
        Motion that placed the window, px since the frame before.
    cues : tuple of Cue
        What each source of motion said; those that placed the window are marked as used.
    memory : tuple of MemoryInspection
        Nearest first.
    expected : ExpectedObject or None
        None where the object was not seen on the frame before.
    """

    object_id: int
    frame: int
    direction: str
    decoded_with: str
    window: Window
    shift_yx: tuple[float, float]
    cues: tuple[Cue, ...]
    memory: tuple[MemoryInspection, ...]
    expected: ExpectedObject | None

    @property
    def used(self) -> tuple[Cue, ...]:
        """Cues that placed the window; none where the user did, or nothing moved it."""
        return tuple(cue for cue in self.cues if cue.used)


Memory = Literal["sam2", "mosam"]


@dataclass(frozen=True, slots=True, eq=False)
class MemoryComparison:
    """One object followed twice, each time alone: with SAM 2's memory, and with the settings of the result.

    Attributes
    ----------
    object_id : int
    frames : tuple of int
        On which it was followed, ascending.
    sam2, mosam : tuple of Region or None
        Its mask on each; None where it has none.
    shape_yx : tuple of int
        Of a frame, px.
    """

    object_id: int
    frames: tuple[int, ...]
    sam2: tuple[Region | None, ...]
    mosam: tuple[Region | None, ...]
    shape_yx: tuple[int, int]

    def masks(self, which: Memory) -> NDArray[np.bool_]:
        """The masks of one run, shape (n, Y, X)."""
        masks = np.zeros((len(self.frames), *self.shape_yx), bool)
        for mask, region in zip(masks, getattr(self, which), strict=True):
            if region is not None:
                y0, x0, y1, x1 = region.box
                mask[y0 : y1 + 1, x0 : x1 + 1] = region.mask
        return masks

    @property
    def agreement(self) -> NDArray[np.float64]:
        """IoU of both masks on each frame, (n,); 1 where both are absent."""
        return _j(self.masks("sam2"), self.masks("mosam"))

    def j(self, truth: NDArray[np.integer], true_id: int | None = None) -> dict[Memory, NDArray[np.float64]]:
        """J of both on each frame, (n,).

        Parameters
        ----------
        truth : ndarray of int, shape (T, Y, X)
            Of the whole movie.
        true_id : int, optional
            The object's id there; the same by default.
        """
        own = np.stack([truth[t] for t in self.frames]) == (self.object_id if true_id is None else true_id)
        return {"sam2": _j(self.masks("sam2"), own), "mosam": _j(self.masks("mosam"), own)}


def _j(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    both, either = (one & other).sum((1, 2)), (one | other).sum((1, 2))
    iou: NDArray[np.float64] = np.where(either == 0, 1.0, both / np.maximum(either, 1))
    return iou
