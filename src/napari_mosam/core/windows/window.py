"""Object-centred windows, and every change of coordinates between frame and model.

Frame coordinates follow napari: an integer is the centre of a pixel, so a frame of H rows spans
[-0.5, H - 0.5]. Model coordinates follow SAM 2: pixel k of an S-pixel input has index k. Everything is in
(y, x) order except what goes to SAM 2's prompt encoder, which is (x, y).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the frame that is resampled to the model's square input.

    Attributes
    ----------
    center_yx : tuple of float
        Centre in frame coordinates, px.
    size_yx : tuple of float
        Height and width in px; equal for object-centred windows.
    """

    center_yx: tuple[float, float]
    size_yx: tuple[float, float]

    @classmethod
    def square(cls, center_yx: tuple[float, float], side: float) -> "Window":
        """A square window of `side` px."""
        return cls((float(center_yx[0]), float(center_yx[1])), (float(side), float(side)))

    @classmethod
    def full(cls, shape_yx: tuple[int, int]) -> "Window":
        """The whole frame."""
        height, width = shape_yx
        return cls(((height - 1) / 2, (width - 1) / 2), (float(height), float(width)))

    @property
    def start_yx(self) -> tuple[float, float]:
        """Upper left corner (the edge, not a pixel centre), frame coordinates."""
        return self.center_yx[0] - self.size_yx[0] / 2, self.center_yx[1] - self.size_yx[1] / 2

    def seen_from(self, origin_yx: tuple[int, int]) -> "Window":
        """The window in the coordinates of a part of the frame that begins at a pixel."""
        (y, x), (cy, cx) = origin_yx, self.center_yx
        return Window((cy - y, cx - x), self.size_yx)

    def to_model(self, yx: "NDArray[np.floating]", size: int) -> "NDArray[np.float64]":
        """Frame coordinates (N, 2) to model pixel indices (N, 2), both (y, x), for an input of `size` px."""
        scale = size / np.asarray(self.size_yx)
        return (np.asarray(yx, float) - self.start_yx) * scale - 0.5

    def to_frame(self, yx: "NDArray[np.floating]", size: int) -> "NDArray[np.float64]":
        """Model pixel indices (N, 2) to frame coordinates (N, 2); the inverse of :meth:`to_model`."""
        scale = np.asarray(self.size_yx) / size
        return (np.asarray(yx, float) + 0.5) * scale + self.start_yx

    def pixels(self, shape_yx: tuple[int, int]) -> tuple[slice, slice]:
        """Frame pixels whose centre lies in the window, clipped to a frame of `shape_yx`; may be empty."""
        spans = []
        for start, side, extent in zip(self.start_yx, self.size_yx, shape_yx, strict=True):
            low = max(0, int(np.ceil(start)))
            high = min(extent, int(np.ceil(start + side)))
            spans.append(slice(low, max(low, high)))
        return spans[0], spans[1]

    def meets(self, box: tuple[int, int, int, int]) -> bool:
        """Whether an inclusive box (y0, x0, y1, x1) of frame pixels lies partly in the window."""
        (y0, x0), (height, width) = self.start_yx, self.size_yx
        return box[2] >= y0 and box[0] <= y0 + height and box[3] >= x0 and box[1] <= x0 + width
