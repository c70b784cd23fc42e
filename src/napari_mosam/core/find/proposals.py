"""Masks that are proposed for the cells of a frame: nobody's marks until a person accepts them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.masks.label_frames import in_one_piece, label_dtype
from napari_mosam.core.masks.region import Region
from napari_mosam.core.prompts.collection import MaskPrompt, Prompts


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """Cells that were found on a frame, each with a number from 1, the surest first.

    Attributes
    ----------
    frame : int
    labels : ndarray of uint16 or uint32, shape (Y, X)
        The number of the proposal that holds a pixel, 0 for none.
    scores : ndarray of float32, shape (N,)
        How sure the model is of each, in [0, 1]: predicted IoU times stability.
    diameter : float
        Of a typical cell, px; as it was given, or estimated.
    complete : bool
        Whether the whole frame was looked at; not where somebody stopped it.
    """

    frame: int
    labels: NDArray[np.unsignedinteger]
    scores: NDArray[np.float32]
    diameter: float
    complete: bool = True

    @classmethod
    def of(
        cls,
        frame: int,
        shape_yx: tuple[int, int],
        found: Sequence[tuple[Region, float]],
        diameter: float,
        *,
        complete: bool = True,
        taken: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Regions with their scores, each of one piece without holes; a pixel of several is that of the surest.

        None has a pixel that is `taken`, (Y, X). A region of which nothing is left is out.
        """
        from scipy.ndimage import binary_fill_holes

        ranked = sorted(found, key=lambda one: -one[1])
        labels = np.zeros(shape_yx, label_dtype(len(ranked)))
        for number, (region, _) in reversed(list(enumerate(ranked, 1))):
            y0, x0, y1, x1 = region.box
            labels[y0 : y1 + 1, x0 : x1 + 1][binary_fill_holes(region.mask)] = number
        if taken is not None:
            labels[taken] = 0
        labels = in_one_piece(labels, range(1, len(ranked) + 1))
        scores = np.array([score for _, score in ranked], np.float32)
        return cls(frame, labels, scores, diameter, complete)._packed(np.unique(labels[labels > 0]))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def ids(self) -> range:
        """Numbers of the proposals."""
        return range(1, len(self) + 1)

    def only(self, ids: Collection[int]) -> Self:
        """Some proposals, numbered anew in the same order; Refused for one that is not there."""
        self._check(ids)
        return self._packed(np.array(sorted(set(ids)), int))

    def without(self, ids: Collection[int]) -> Self:
        """All proposals but some."""
        self._check(ids)
        return self._packed(np.array(sorted(set(self.ids) - set(ids)), int))

    def above(self, score: float) -> Self:
        """Proposals with at least this score."""
        return self._packed(np.flatnonzero(self.scores >= score) + 1)

    def prompts(self, first_id: int = 1) -> Prompts:
        """A mask prompt for each, with object ids from `first_id` on in the order of the numbers."""
        return Prompts(
            MaskPrompt.from_frame(first_id + number - 1, self.frame, self.labels == number) for number in self.ids
        )

    def _packed(self, ids: NDArray[np.integer]) -> Self:
        numbers = np.zeros(len(self) + 1, self.labels.dtype)
        numbers[ids] = np.arange(1, len(ids) + 1)
        return type(self)(self.frame, numbers[self.labels], self.scores[ids - 1], self.diameter, self.complete)

    def _check(self, ids: Collection[int]) -> None:
        strange = sorted(set(ids) - set(self.ids))
        if strange:
            raise Refused(f"there is no proposal {strange[0]}; allowed: {f'1 to {len(self)}' if len(self) else 'none'}")
