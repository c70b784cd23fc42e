"""Reading windows of a frame and writing them back: the only place where pixels are resampled."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from napari_mosam.core.windows.window import Window

NO_LOGIT = -32.0  # stands for "no object here" wherever logits are put on a canvas


class Pyramid:
    """A frame and its halved copies, so that large windows are averaged instead of aliased.

    Parameters
    ----------
    image : Tensor, shape (Y, X)
        One frame.
    """

    def __init__(self, image: Tensor) -> None:
        self._levels = [image[None, None]]

    @classmethod
    def of(cls, frame: NDArray[np.float32], device: torch.device) -> "Pyramid":
        """A frame (Y, X) put on a device."""
        return cls(torch.from_numpy(frame).to(device))

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Shape of the full-resolution frame."""
        _, _, height, width = self._levels[0].shape
        return int(height), int(width)

    def crop(self, windows: Sequence[Window], size: int) -> Tensor:
        """Resample windows to (B, size, size), bilinear, frame edges replicated."""
        return torch.cat([self._crop_one(w, size) for w in windows])

    def _crop_one(self, window: Window, size: int) -> Tensor:
        depth = max(0, int(np.floor(np.log2(min(window.size_yx) / size) + 1e-6)))
        image, depth = self._level(depth)
        return sample(image, window, size, scale=2**depth, padding="border")

    def _level(self, depth: int) -> tuple[Tensor, int]:
        while len(self._levels) <= depth and min(self._levels[-1].shape[-2:]) > 1:
            last = self._levels[-1]
            even = pad(last, (0, last.shape[-1] % 2, 0, last.shape[-2] % 2), mode="replicate")
            self._levels.append(avg_pool2d(even, 2))
        depth = min(depth, len(self._levels) - 1)
        return self._levels[depth], depth


def sample(image: Tensor, window: Window, size: int, *, scale: int = 1, padding: str = "border") -> Tensor:
    """Read a window from a canvas.

    Parameters
    ----------
    image : Tensor, shape (1, 1, Y / scale, X / scale)
        The canvas, possibly shrunk by an integer `scale`.
    window : Window
        In coordinates of the full-resolution frame.
    size : int
        Output side.
    scale : int
        How much smaller the canvas is than the frame.
    padding : {'border', 'zeros'}
        What lies outside the canvas.

    Returns
    -------
    Tensor, shape (1, size, size)
    """
    height, width = image.shape[-2:]
    axis = (torch.arange(size, device=image.device, dtype=torch.float32) + 0.5) / size
    (y0, x0), (side_y, side_x) = window.start_yx, window.size_yx
    y = (y0 + 0.5 + axis * side_y) / (scale * height) * 2 - 1
    x = (x0 + 0.5 + axis * side_x) / (scale * width) * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]
    return _read(image, grid, padding)[0]


def read_logits(logits: Tensor, made_in: Window, window: Window, size: int) -> Tensor:
    """Logits (h, w) over one window read in another, (1, size, size), bilinear; the outermost go on beyond the edge.

    Parameters
    ----------
    logits : Tensor, shape (h, w)
    made_in : Window
        Where they lie.
    window : Window
        Where they are wanted.
    size : int
        Side of the result.
    """
    side = logits.shape[-1]
    scale_y, scale_x = (side / s for s in made_in.size_yx)
    (y0, x0), (cy, cx) = made_in.start_yx, window.center_yx
    center = (cy - y0) * scale_y - 0.5, (cx - x0) * scale_x - 0.5
    local = Window(center, (window.size_yx[0] * scale_y, window.size_yx[1] * scale_x))
    return sample(logits.clamp(min=NO_LOGIT)[None, None].float(), local, size)


def paste(logits: Tensor, window: Window, shape_yx: tuple[int, int]) -> tuple[tuple[slice, slice], Tensor]:
    """Resample a window's logits to frame pixels.

    Parameters
    ----------
    logits : Tensor, shape (h, w)
        Over the window, any resolution.
    window : Window
        Where the logits lie.
    shape_yx : tuple of int
        Shape of the frame.

    Returns
    -------
    region : tuple of slice
        The frame pixels covered; empty when the window misses the frame.
    values : Tensor
        Bilinear logits at those pixels.
    """
    rows, columns = window.pixels(shape_yx)
    values = logits.new_empty((rows.stop - rows.start, columns.stop - columns.start))
    if values.numel() == 0:
        return (rows, columns), values
    (y0, x0), (side_y, side_x) = window.start_yx, window.size_yx
    y = (torch.arange(rows.start, rows.stop, device=logits.device, dtype=torch.float32) - y0) / side_y * 2 - 1
    x = (torch.arange(columns.start, columns.stop, device=logits.device, dtype=torch.float32) - x0) / side_x * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]
    return (rows, columns), _read(logits[None, None].float(), grid, "border")[0, 0]


def _read(image: Tensor, grid: Tensor, padding: str) -> Tensor:
    """Bilinear samples; 'border' clamps to the outer pixel centres, since Apple's GPU has no such mode of its own."""
    if padding == "border":
        height, width = image.shape[-2:]
        edge = torch.tensor([1 - 1 / width, 1 - 1 / height], device=grid.device)
        grid = torch.maximum(torch.minimum(grid, edge), -edge)
    return grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
