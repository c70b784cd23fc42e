"""Reading images at other places than their pixels, and writing windows back: the only place where this is done."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from napari_mosam.core.windows.canvas import HALVED_TILE_PX, Canvas
from napari_mosam.core.windows.tiles import Part, Tiles
from napari_mosam.core.windows.window import Window

NO_LOGIT = -32.0
""""No object here" wherever logits are put on a canvas: a probability of 1e-14. Stored logits end there, too."""

_MARGIN_PX = 1.0
"""Of what is looked at beyond a view: the neighbour that is interpolated with, and the rounding of single precision."""

Padding = Literal["border", "zeros", "reflection"]
"""What lies outside an image: its outermost pixels go on, nothing, or its mirror image."""

Mode = Literal["bilinear", "nearest"]


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
            image, scale = self.level(depth, centers[rows], sizes[rows] / 2)
            source = image if len(image) == 1 else image[rows]
            crops[rows] = read_windows(source, centers[rows], sizes[rows], size, scale=scale)[:, 0]
        return crops

    def level(self, depth: int, centers: Tensor, reaches: Tensor) -> tuple[Tensor, int]:
        """The frames halved `depth` times, (1 or B, 1, y, x), and how much smaller they are; less for tiny frames.

        Parameters
        ----------
        depth : int
        centers, reaches : Tensor, shape (N, 2)
            What will be looked at: places, and how far to either side of them, px of the frame. More may be there.
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

    def level(self, depth: int, centers: Tensor, reaches: Tensor) -> tuple[Tensor, int]:
        """See :meth:`Pyramid.level`."""
        canvas, scale = self._canvas.level(depth)
        parts = _looked_at(centers, reaches, scale, canvas.shape)
        canvas.need(parts)
        if self._device.type == "cpu":
            return torch.from_numpy(canvas.pixels)[None, None], scale
        image, tiles = self._there.setdefault(scale, self._placed(canvas, scale))
        for part in tiles.missing(parts):
            canvas.need([part])
            image[part] = torch.from_numpy(np.ascontiguousarray(canvas.pixels[part])).to(self._device)
            tiles.mark(part)
        return image[None, None], scale

    def _placed(self, canvas: Canvas, scale: int) -> tuple[Tensor, Tiles]:
        image = self._levels[0][0, 0] if scale == 1 else _on_device(canvas, self._device)
        return image, Tiles(canvas.shape, (HALVED_TILE_PX, HALVED_TILE_PX))


def _on_device(canvas: Canvas, device: torch.device) -> Tensor:
    """Where the pixels of a frame are, or will be put."""
    return torch.from_numpy(canvas.pixels) if device.type == "cpu" else torch.zeros(canvas.shape, device=device)


def _looked_at(centers: Tensor, reaches: Tensor, scale: int, shape_yx: tuple[int, int]) -> list[Part]:
    """Parts of a halved copy from which views are interpolated; a view beyond the frame sees its edge."""
    middles, margins = (centers + 0.5) / scale - 0.5, reaches / scale + _MARGIN_PX
    ends = torch.stack([middles - margins, middles + margins], 1).double().cpu().numpy()
    most = np.array(shape_yx) - 1
    first = np.clip(np.floor(ends[:, 0]), 0, most).astype(int)
    last = np.clip(np.ceil(ends[:, 1]), 0, most).astype(int)
    return [
        (slice(y0, y1 + 1), slice(x0, x1 + 1)) for (y0, x0), (y1, x1) in zip(first.tolist(), last.tolist(), strict=True)
    ]


def halve(images: Tensor) -> Tensor:
    """Images (B, C, Y, X) averaged over blocks of 2 x 2 px; an odd last row or column is repeated first."""
    even = pad(images, (0, images.shape[-1] % 2, 0, images.shape[-2] % 2), mode="replicate")
    return avg_pool2d(even, 2)


def alike(depths: Tensor) -> list[tuple[int, Tensor]]:
    """The different values of whole numbers (B,) and the rows that have each, on the same device."""
    return [(int(depth), (depths == depth).nonzero()[:, 0]) for depth in sorted(set(depths.tolist()))]


def placed(windows: Sequence[Window]) -> tuple[Tensor, Tensor]:
    """Centres and sizes of windows, each (B, 2) as (y, x), float64 in main memory."""
    rows = torch.tensor([(*w.center_yx, *w.size_yx) for w in windows], dtype=torch.float64).view(-1, 4)
    return rows[:, :2], rows[:, 2:]


def read_windows(
    images: Tensor,
    centers: Tensor,
    sizes: Tensor,
    size: int,
    *,
    scale: int = 1,
    padding: Padding = "border",
    mode: Mode = "bilinear",
) -> Tensor:
    """Resample B windows of B images, or of one.

    Parameters
    ----------
    images : Tensor, shape (B or 1, C, Y / scale, X / scale)
        Possibly shrunk by an integer `scale`.
    centers, sizes : Tensor, shape (B, 2)
        Of the windows, (y, x), px of the full-resolution frame; on any device.
    size : int
        Output side.
    scale : int
        How much smaller the images are than the frame.
    padding, mode
        See :data:`Padding` and :data:`Mode`.

    Returns
    -------
    Tensor, shape (B, C, size, size)
    """
    axis = (torch.arange(size, device=images.device, dtype=torch.float32) + 0.5) / size
    starts = (centers - sizes / 2 + 0.5).float().to(images.device)
    spans = sizes.float().to(images.device)
    y, x = (
        (starts[:, k, None] + axis * spans[:, k, None]) / (scale * extent) * 2 - 1
        for k, extent in enumerate(images.shape[-2:])
    )
    return _read_axes(images, y, x, padding, mode)


def read_places(
    images: Tensor, rows: Tensor, columns: Tensor, *, padding: Padding = "border", mode: Mode = "bilinear"
) -> Tensor:
    """Images at any places.

    Parameters
    ----------
    images : Tensor, shape (B or 1, C, Y, X)
    rows, columns : Tensor, shapes that broadcast to (B, h, w)
        Positions, px; integers are pixel centres.
    padding, mode
        See :data:`Padding` and :data:`Mode`.

    Returns
    -------
    Tensor, shape (B, C, h, w)
    """
    height, width = images.shape[-2:]
    if padding == "border":
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    y, x = (rows + 0.5) * (2 / height) - 1, (columns + 0.5) * (2 / width) - 1
    return _read(images, y, x, padding, mode)


def sample(image: Tensor, window: Window, size: int, *, padding: Padding = "border") -> Tensor:
    """One window of one image (1, 1, Y, X), bilinear, (1, size, size); see :func:`read_windows`."""
    return read_windows(image, *placed([window]), size, padding=padding)[0]


def read_logits(logits: Tensor, made_in: Window, window: Window, size: int) -> Tensor:
    """Logits (h, w) over one window read in another, (1, size, size); see :func:`move_logits`."""
    return move_logits(logits[None], placed([made_in]), placed([window]), size)


def move_logits(logits: Tensor, made_in: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], size: int) -> Tensor:
    """Logits over windows read in other windows, bilinear; the outermost go on beyond the edge.

    Parameters
    ----------
    logits : Tensor, shape (B, s, s)
    made_in, wanted : tuple of Tensor
        Centres (B, 2) and sizes (B, 2) of where they lie and of where they are wanted, px of the frame.
    size : int
        Side of the result.

    Returns
    -------
    Tensor, shape (B, size, size)
    """
    (centers, sizes), (to_centers, to_sizes) = made_in, wanted
    scale = logits.shape[-1] / sizes
    local = (to_centers - (centers - sizes / 2)) * scale - 0.5
    return read_windows(logits.clamp(min=NO_LOGIT)[:, None].float(), local, to_sizes * scale, size)[:, 0]


def paste(
    logits: Tensor, window: Window, shape_yx: tuple[int, int], pixels: tuple[slice, slice] | None = None
) -> tuple[tuple[slice, slice], Tensor]:
    """Resample a window's logits to frame pixels.

    Parameters
    ----------
    logits : Tensor, shape (h, w)
        Over the window, any resolution.
    window : Window
        Where the logits lie.
    shape_yx : tuple of int
        Shape of the frame.
    pixels : tuple of slice, optional
        Which of the frame pixels of the window are wanted; all by default.

    Returns
    -------
    region : tuple of slice
        The frame pixels covered; empty when the window misses the frame.
    values : Tensor
        Bilinear logits at those pixels.
    """
    rows, columns = window.pixels(shape_yx) if pixels is None else pixels
    values = logits.new_empty((rows.stop - rows.start, columns.stop - columns.start))
    if values.numel() == 0:
        return (rows, columns), values
    y, x = (
        (torch.arange(span.start, span.stop, device=logits.device, dtype=torch.float32) - start) / side * 2 - 1
        for span, start, side in zip((rows, columns), window.start_yx, window.size_yx, strict=True)
    )
    return (rows, columns), _read_axes(logits[None, None].float(), y[None], x[None], "border", "bilinear")[0, 0]


def _read_axes(images: Tensor, y: Tensor, x: Tensor, padding: Padding, mode: Mode) -> Tensor:
    """Images on grids of rows (B, h) and columns (B, w) in [-1, 1]; clamped while they are lines, which is faster."""
    height, width = images.shape[-2:]
    if padding == "border":
        y, x = y.clamp(1 / height - 1, 1 - 1 / height), x.clamp(1 / width - 1, 1 - 1 / width)
    return _read(images, y[:, :, None], x[:, None, :], padding, mode)


def _read(images: Tensor, y: Tensor, x: Tensor, padding: Padding, mode: Mode) -> Tensor:
    """Images at places in [-1, 1]; for 'border' they are clamped already, since Apple's GPU has no such mode."""
    grid = torch.stack(torch.broadcast_tensors(x, y), -1)  # type: ignore[no-untyped-call]
    outside = "zeros" if padding == "border" else padding
    return grid_sample(images.expand(len(grid), -1, -1, -1), grid, mode, outside, align_corners=False)
