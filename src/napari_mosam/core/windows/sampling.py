"""Reading images at other places than their pixels, and writing windows back: the only place where this is done."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

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

LARGEST_BATCH_PX = 2**22
"""Pixels of images of like size that are read at once: 16 MiB. Not measured."""

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
            self.look(depth, centers[rows], sizes[rows] / 2)
            image, scale = self.level(depth)
            source = image if len(image) == 1 else image[rows]
            crops[rows] = read_windows(source, centers[rows], sizes[rows], size, scale=scale)[:, 0]
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
            image[part] = torch.from_numpy(np.ascontiguousarray(canvas.pixels[part])).to(self._device)
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


def alike(values: Tensor) -> list[tuple[int, Tensor | slice]]:
    """The different values of whole numbers (B,), and the rows that have each: on the same device, or all."""
    different = sorted(set(values.tolist()))
    if len(different) == 1:
        return [(int(different[0]), slice(None))]
    return [(int(value), (values == value).nonzero()[:, 0]) for value in different]


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


def read_each(images: Sequence[NDArray[Any]], windows: Sequence[Window], size: int) -> Tensor:
    """One window of each of B small images that differ in shape, those of like shape at once; bilinear, 0 outside.

    Parameters
    ----------
    images : sequence of B ndarray, shape (Y, X)
        Of numbers, each of one pixel at least.
    windows : sequence of B Window
        In the coordinates of its image.
    size : int
        Output side.

    Returns
    -------
    Tensor, shape (B, size, size)
        What :func:`sample` reads of each alone, with 'zeros', but for the rounding of single precision.
    """
    found, steps = torch.empty(len(images), size, size), (np.arange(size) + 0.5) / size
    for side, rows in _like_size(np.array([max(image.shape) for image in images])):
        stack = np.zeros((len(rows), side, side), np.float32)
        for own, row in zip(stack, rows, strict=True):
            own[: images[row].shape[0], : images[row].shape[1]] = images[row]
        canvas = torch.from_numpy(stack)
        places = np.array([(*windows[row].start_yx, *windows[row].size_yx) for row in rows])
        axes = (places[:, k, None] + steps * places[:, k + 2, None] for k in (0, 1))
        y, x = (_shares(torch.from_numpy(axis.astype(np.float32)), side) for axis in axes)
        found[rows] = y @ canvas @ x.mT
    return found


def _shares(places: Tensor, side: int) -> Tensor:
    """What each of `side` pixels of a line counts at places (B, n), px, shape (B, n, side)."""
    pixels = torch.arange(side, device=places.device, dtype=places.dtype)
    return (places[:, :, None] - pixels).abs_().neg_().add_(1).clamp_(min=0)


def _like_size(extents: NDArray[np.int_]) -> Iterator[tuple[int, list[int]]]:
    """Powers of two and the rows whose extent they are next above, as many at once as memory should be taken for."""
    sides = 2 ** np.ceil(np.log2(extents)).astype(int)
    for side in np.unique(sides).tolist():
        rows, most = np.flatnonzero(sides == side).tolist(), max(1, LARGEST_BATCH_PX // side**2)
        yield from ((side, rows[first : first + most]) for first in range(0, len(rows), most))


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


def sample_each(
    images: Iterable[Tensor],
    shapes: Sequence[tuple[int, int]],
    windows: Sequence[Window],
    size: int,
    device: torch.device,
) -> Tensor:
    """One window of each of B images that differ in shape, one after the other.

    Parameters
    ----------
    images : iterable of B Tensor, shape (Y, X)
        float32, on `device`.
    shapes : sequence of B tuple of int
        Of the images, in advance.
    windows : sequence of B Window
        In the coordinates of its image.
    size : int
        Output side.

    Returns
    -------
    Tensor, shape (B, size, size)
        What :func:`sample` reads of each.
    """
    centers, sides = (t.numpy() for t in placed(windows))
    extents = np.array(shapes, float)[:, :, None]
    starts, axis = (centers - sides / 2 + 0.5).astype(np.float32), (np.arange(size, dtype=np.float32) + 0.5) / size
    lines = starts[:, :, None] + axis * sides.astype(np.float32)[:, :, None]
    lines = _kept_inside(lines / extents.astype(np.float32) * 2 - 1, extents)
    found = torch.empty(len(shapes), size, size, device=device)
    for own, image, (y, x) in zip(found, images, torch.from_numpy(lines).to(device), strict=True):
        own.copy_(_read_lines(image, y, x))
    return found


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
    part = window.pixels(shape_yx) if pixels is None else pixels
    return part, next(paste_each([logits], [window], [part]))


def paste_each(logits: Sequence[Tensor], windows: Sequence[Window], pixels: Sequence[Part]) -> Iterator[Tensor]:
    """Windows' logits resampled to frame pixels, one after the other.

    Parameters
    ----------
    logits : sequence of Tensor, shape (h, w)
        Any resolutions, on one device.
    windows, pixels : sequence of Window, of tuple of slice
        Where each lies, and which frame pixels are wanted.

    Yields
    ------
    Tensor, shape (y, x)
        Bilinear logits at those pixels; empty where none are wanted.
    """
    if not len(logits):
        return
    spans = [span for part in pixels for span in part]
    lengths = [span.stop - span.start for span in spans]
    of_axes = np.array([(w.start_yx, w.size_yx, own.shape) for w, own in zip(windows, logits, strict=True)])
    start, side, extent = of_axes.swapaxes(1, 2).reshape(-1, 3).repeat(lengths, 0).T
    places = np.concatenate([np.arange(span.start, span.stop, dtype=np.float32) for span in spans])
    lines = (places - start.astype(np.float32)) / side.astype(np.float32) * 2 - 1
    cut = torch.from_numpy(_kept_inside(lines, extent)).to(logits[0].device).split(lengths)
    for own, y, x in zip(logits, cut[::2], cut[1::2], strict=True):
        yield _read_lines(own, y, x)


def paste_alike(
    logits: Tensor, windows: Sequence[Window], pixels: Sequence[Part]
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Windows' logits resampled to frame pixels, those of like extent at once.

    Parameters
    ----------
    logits : Tensor, shape (B, h, w)
    windows : sequence of B Window
        Where they lie.
    pixels : sequence of B tuple of slice
        Which frame pixels are wanted; one at least of each.

    Yields
    ------
    rows : sequence of int
        Those whose extents have the same power of two next to them.
    values : Tensor, shape (N, Y, X)
        Their logits; a row's own pixels are the first of each axis, and what is beyond them says nothing.
    """
    corners = np.array([[span.start for span in part] for part in pixels], np.float32)
    extents = np.array([[span.stop - span.start for span in part] for part in pixels])
    places = np.array([(*w.start_yx, *w.size_yx) for w in windows], np.float32)
    for _, rows in _like_size(extents.max(1)):
        axes = (corners[rows, k, None] + np.arange(extents[rows, k].max(), dtype=np.float32) for k in (0, 1))
        y, x = (
            torch.from_numpy((axis - places[rows, k, None]) / places[rows, k + 2, None] * 2 - 1).to(logits.device)
            for k, axis in enumerate(axes)
        )
        own = logits if len(rows) == len(logits) else logits[rows]
        yield rows, _read_axes(own[:, None].float(), y, x, "border", "bilinear")[:, 0]


def _read_axes(images: Tensor, y: Tensor, x: Tensor, padding: Padding, mode: Mode) -> Tensor:
    """Images on grids of rows (B, h) and columns (B, w) in [-1, 1]; clamped while they are lines, which is faster."""
    height, width = images.shape[-2:]
    if padding == "border":
        y, x = y.clamp(1 / height - 1, 1 - 1 / height), x.clamp(1 / width - 1, 1 - 1 / width)
    return _read(images, y[:, :, None], x[:, None, :], padding, mode)


def _kept_inside(lines: NDArray[np.float32], extents: NDArray[np.float64]) -> NDArray[np.float32]:
    """Places in [-1, 1] along axes of so many px, none beyond the middle of the outermost pixel."""
    least = (1 / extents - 1).astype(np.float32)
    return np.asarray(lines.clip(least, -least))


def _read_lines(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """An image (Y, X) at rows (h,) and columns (w,) in [-1, 1] that are not beyond its edge, bilinear."""
    return _read(image[None, None].float(), y[None, :, None], x[None, None], "border", "bilinear")[0, 0]


def _read(images: Tensor, y: Tensor, x: Tensor, padding: Padding, mode: Mode) -> Tensor:
    """Images at places in [-1, 1]; for 'border' they are clamped already, since Apple's GPU has no such mode."""
    grid = torch.stack(torch.broadcast_tensors(x, y), -1)  # type: ignore[no-untyped-call]
    outside = "zeros" if padding == "border" else padding
    return grid_sample(images.expand(len(grid), -1, -1, -1), grid, mode, outside, align_corners=False)
