"""Frames and their halved copies, as far as something looks at them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from napari_mosam.core.windows.canvas import HALVED_TILE_PX, Canvas
from napari_mosam.core.windows.devices import put, rows_on
from napari_mosam.core.windows.sampling import alike, placed, read_windows
from napari_mosam.core.windows.tiles import Tiles
from napari_mosam.core.windows.window import Window

_MARGIN_PX = 1.0
"""Of what is looked at beyond a view: the neighbour that is interpolated with, and the rounding of single precision."""


class Pyramid:
    """Frames and their halved copies, so that large windows are averaged instead of aliased.

    Parameters
    ----------
    images : Tensor, shape (Y, X) or (B, Y, X)
        One frame, from which any number of windows is read, or B, of which each gives one.
    """

    def __init__(self, images: Tensor) -> None:
        self._levels = [images[None, None] if images.ndim == 2 else images[:, None]]

    @classmethod
    def of(cls, frame: NDArray[np.float32] | Canvas, device: torch.device) -> "Pyramid":
        """A frame (Y, X) put on a device, as far as windows look at it."""
        return CanvasPyramid(Canvas.of(frame), device)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Shape of the full-resolution frame."""
        _, _, height, width = self._levels[0].shape
        return int(height), int(width)

    @property
    def device(self) -> torch.device:
        """Where windows are read."""
        return self._levels[0].device

    def crop(self, windows: Sequence[Window], size: int) -> Tensor:
        """Resample windows to (B, size, size), bilinear, frame edges replicated."""
        return self.read(*placed(windows), size)

    def read(self, centers: Tensor, sizes: Tensor, size: int) -> Tensor:
        """The same for centres (B, 2) and sizes (B, 2), px of the frame, see :func:`read_windows`."""
        steps = sizes.amin(1) / size
        crops = self._levels[0].new_empty(len(centers), size, size)
        for depth, rows in alike((steps.log2() + 1e-6).floor().clamp(min=0)):
            self.look(depth, centers[rows], sizes[rows] / 2)
            image, scale = self.level(depth)
            source = image if len(image) == 1 else image[rows]
            crop = read_windows(source, centers[rows], sizes[rows], size, scale=scale)
            crops[rows_on(crops.device, rows)] = crop[:, 0]
        return crops

    def look(self, depth: int, centers: Tensor, reaches: Tensor) -> None:
        """Have a part of a level there before it is read.

        Parameters
        ----------
        depth : int
            See :meth:`level`.
        centers, reaches : Tensor, shape (N, 2)
            In main memory: what will be read, px of the frame: places, and how far to either side of them.
        """

    def level(self, depth: int) -> tuple[Tensor, int]:
        """The frames halved `depth` times, (1 or B, 1, y, x), and how much smaller they are; less for tiny frames.

        What was not looked for with :meth:`look` need not be there, and is 0 then.
        """
        while len(self._levels) <= depth and min(self._levels[-1].shape[-2:]) > 1:
            self._levels.append(halve(self._levels[-1]))
        depth = min(depth, len(self._levels) - 1)
        return self._levels[depth], 2**depth


class CanvasPyramid(Pyramid):
    """One frame that is read, halved and put on a device where windows look at it, and nowhere else."""

    def __init__(self, canvas: Canvas, device: torch.device) -> None:
        super().__init__(_on_device(canvas, device))
        self._canvas, self._device = canvas, device
        self._there: dict[int, tuple[Tensor, Tiles]] = {}

    def look(self, depth: int, centers: Tensor, reaches: Tensor) -> None:
        """See :meth:`Pyramid.look`."""
        canvas, scale = self._canvas.level(depth)
        boxes = _looked_at(centers, reaches, scale, canvas.shape)
        canvas.need(canvas.tiles.around(*boxes))
        if self._device.type == "cpu":
            return
        image, tiles = self._placed(canvas, scale)
        for part in tiles.missing(tiles.around(*boxes)):
            canvas.need([part])
            image[part] = put(np.ascontiguousarray(canvas.pixels[part]), self._device)
            tiles.mark(part)

    def level(self, depth: int) -> tuple[Tensor, int]:
        """See :meth:`Pyramid.level`."""
        canvas, scale = self._canvas.level(depth)
        if self._device.type == "cpu":
            return torch.from_numpy(canvas.pixels)[None, None], scale
        return self._placed(canvas, scale)[0][None, None], scale

    def _placed(self, canvas: Canvas, scale: int) -> tuple[Tensor, Tiles]:
        """A level on the device, and which of its tiles are there."""
        if scale not in self._there:
            image = self._levels[0][0, 0] if scale == 1 else _on_device(canvas, self._device)
            self._there[scale] = image, Tiles(canvas.shape, (HALVED_TILE_PX, HALVED_TILE_PX))
        return self._there[scale]


def _on_device(canvas: Canvas, device: torch.device) -> Tensor:
    """Where the pixels of a frame are, or will be put."""
    return torch.from_numpy(canvas.pixels) if device.type == "cpu" else torch.zeros(canvas.shape, device=device)


def _looked_at(
    centers: Tensor, reaches: Tensor, scale: int, shape_yx: tuple[int, int]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """First and last pixels (N, 2) of a halved copy that views need; a view beyond the frame sees its edge."""
    middles, margins = (centers + 0.5) / scale - 0.5, reaches / scale + _MARGIN_PX
    first, last = torch.stack([middles - margins, middles + margins]).double().numpy()
    most = np.array(shape_yx) - 1
    return np.clip(np.floor(first), 0, most).astype(int), np.clip(np.ceil(last), 0, most).astype(int)


def halve(images: Tensor) -> Tensor:
    """Images (B, C, Y, X) averaged over blocks of 2 x 2 px; an odd last row or column is repeated first."""
    even = pad(images, (0, images.shape[-1] % 2, 0, images.shape[-2] % 2), mode="replicate")
    return avg_pool2d(even, 2)
