"""What the engine asks of a model, and the shapes that pass between them.

B is the number of objects in a batch, S the model's input side, C and M the channels of image and memory
features, h = w = S / 16 the token grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from napari_mosam.core.windows.devices import rows_on

LOGIT_STRIDE, MEMORY_STRIDE = 4, 16
"""Model pixels per decoded mask logit and per memory token, as SAM 2's networks have them."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """Image features of a batch of windows.

    Attributes
    ----------
    vision : Tensor, shape (B, C, h, w)
        Stride-16 features, without memory.
    high_res : tuple of Tensor
        Stride-4 and stride-8 features for the mask decoder.
    """

    vision: "Tensor"
    high_res: "tuple[Tensor, ...]"

    def __len__(self) -> int:
        return int(self.vision.shape[0])

    @classmethod
    def join(cls, parts: "Sequence[ImageFeatures]") -> "ImageFeatures":
        """The rows of several batches in one."""
        levels = zip(*(part.high_res for part in parts), strict=True)
        return cls(torch.cat([part.vision for part in parts]), tuple(torch.cat(level) for level in levels))

    def take(self, rows: Sequence[int]) -> "ImageFeatures":
        """The features of some rows of the batch; where they follow each other nothing is copied."""
        index = rows_on(self.vision.device, rows)
        return ImageFeatures(self.vision[index], tuple(level[index] for level in self.high_res))

    def rows(self) -> "list[ImageFeatures]":
        """Each row as a batch of its own; nothing is copied."""
        cuts = [slice(row, row + 1) for row in range(len(self))]
        return [ImageFeatures(self.vision[cut], tuple(level[cut] for level in self.high_res)) for cut in cuts]


@dataclass(frozen=True, slots=True, eq=False)
class MemoryFrame:
    """What an object's memory holds of one frame.

    Attributes
    ----------
    t : int
        Frame index.
    features : Tensor, shape (M, h, w)
        Spatial memory, in the coordinates of the window it was written in.
    pointer : Tensor, shape (C,)
        Object pointer.
    predicted_iou : float
        In [0, 1].
    object_score : float
        Logit, positive = visible.
    area : float
        Mask area, px of the frame.
    confidence : Tensor or None, shape (h, w)
        How sure the remembered mask is at each pixel of the memory grid, in [0, 1]; None: sure everywhere.
    rating : float
        Reliability by which frames are ranked, in [0, 1]; prompted frames have 1.
    """

    t: int
    features: "Tensor"
    pointer: "Tensor"
    predicted_iou: float
    object_score: float
    area: float
    confidence: "Tensor | None" = None
    rating: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class MemorySelection:
    """The memory that one object attends to on one frame.

    Attributes
    ----------
    frames : tuple of (slot, MemoryFrame)
        Slot 0 is a prompted frame; 1..n are SAM 2's temporal slots, n being the frame just before.
    pointers : tuple of (distance, MemoryFrame)
        Distance in frames along the direction of propagation, as SAM 2's pointer encoding wants it.
    weights : tuple of (Tensor or None)
        For each of `frames`, how much each pixel (h, w) of its memory may contribute, in [0, 1]; None: all of it.
        Empty: no frame is weighted.
    """

    frames: tuple[tuple[int, MemoryFrame], ...]
    pointers: tuple[tuple[int, MemoryFrame], ...]
    weights: "tuple[Tensor | None, ...]" = ()

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.frames):
            raise ValueError(
                f"a recall of {len(self.frames)} frames got {len(self.weights)} weights; give one (or None) for each "
                "frame, or none at all"
            )


@dataclass(frozen=True, slots=True, eq=False)
class PointPrompts:
    """Points of a batch, all rows with the same number.

    Attributes
    ----------
    xy : Tensor, shape (B, P, 2)
        Model pixel indices, (x, y).
    labels : Tensor of int32, shape (B, P)
        1 positive, 0 negative, 2 and 3 upper left and lower right corner of a box.
    """

    xy: "Tensor"
    labels: "Tensor"


@dataclass(frozen=True, slots=True, eq=False)
class MaskCandidates:
    """Candidate masks of a batch.

    Attributes
    ----------
    logits : Tensor, shape (B, K, S/4, S/4)
        K candidates, not gated by the object score.
    predicted_iou : Tensor, shape (B, K)
        In [0, 1].
    object_score : Tensor, shape (B,)
        Logit, positive = visible.
    mask_tokens : Tensor, shape (B, K, C)
        Output token of each candidate, from which its pointer is made.
    """

    logits: "Tensor"
    predicted_iou: "Tensor"
    object_score: "Tensor"
    mask_tokens: "Tensor"

    def take(self, rows: Sequence[int]) -> "MaskCandidates":
        """Some rows, all their candidates."""
        index = rows_on(self.logits.device, rows)
        return MaskCandidates(*(getattr(self, name)[index] for name in self.__slots__))

    def chosen(self, best: "Tensor") -> "MaskCandidates":
        """One candidate of each row, (B, 1, …), by their numbers (B,), on the same device."""
        rows = torch.arange(len(best), device=best.device)
        columns = (self.logits, self.predicted_iou, self.mask_tokens)
        logits, ious, tokens = (column[rows, best][:, None] for column in columns)
        return MaskCandidates(logits, ious, self.object_score.clone(), tokens)

    def replaced(self, by_row: "Mapping[int, MaskCandidates]") -> "MaskCandidates":
        """With some rows exchanged for those of other batches of one row."""
        if not by_row:
            return self
        rows = list(by_row)
        columns = {name: getattr(self, name).clone() for name in self.__slots__}
        for name, column in columns.items():
            column[rows] = torch.cat([getattr(other, name) for other in by_row.values()])
        return MaskCandidates(**columns)


class Segmenter(Protocol):
    """A promptable model with memory; :class:`~napari_mosam.core.model.sam2.Sam2Segmenter` is one."""

    name: str
    image_size: int
    num_maskmem: int
    device: "torch.device"

    def encode_image(self, images: "Tensor") -> ImageFeatures:
        """ImageFeatures of windows (B, S, S) with values in [0, 1]."""
        ...

    def attend_memory(self, features: ImageFeatures, recalls: Sequence[MemorySelection], n_frames: int) -> "Tensor":
        """Features (B, C, h, w) after attending to memory; `n_frames` is the length of the movie.

        A weight w in a recall adds log(w + 1e-6) to the attention logits of that pixel of memory.
        """
        ...

    def without_memory(self, features: ImageFeatures) -> "Tensor":
        """ImageFeatures (B, C, h, w) for a frame decoded without memory."""
        ...

    def decode_masks(
        self,
        features: ImageFeatures,
        conditioned: "Tensor",
        *,
        points: PointPrompts | None = None,
        mask_logits: "Tensor | None" = None,
        multimask: bool = True,
    ) -> MaskCandidates:
        """Candidate masks; `mask_logits` (B, 1, S/4, S/4) is a mask prompt."""
        ...

    def object_pointers(self, tokens: "Tensor", object_score: "Tensor") -> "Tensor":
        """Object pointers (B, C) of chosen tokens (B, C), replaced where the object is absent."""
        ...

    def object_pointers_of_masks(self, features: ImageFeatures, masks: "Tensor") -> "Tensor":
        """Object pointers (B, C) of given binary masks (B, 1, S, S)."""
        ...

    def encode_memory(
        self, features: ImageFeatures, mask_logits: "Tensor", object_score: "Tensor", *, from_points: bool = False
    ) -> "Tensor":
        """Memory features (B, M, h, w) of mask logits (B, 1, S, S)."""
        ...
