"""Reading images at other places than their pixels, and writing windows back: the only place where this is done."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from napari_mosam.core.windows.devices import put, rows_on
from napari_mosam.core.windows.tiles import Part
from napari_mosam.core.windows.window import Window

NO_LOGIT = -32.0
""""No object here" wherever logits are put on a canvas: a probability of 1e-14. Stored logits end there, too."""

LARGEST_BATCH_PX = 2**22
"""Pixels of images of like size that are read at once: 16 MiB. Not measured."""

Padding = Literal["border", "zeros", "reflection"]
"""What lies outside an image: its outermost pixels go on, nothing, or its mirror image."""

Mode = Literal["bilinear", "nearest"]


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
    starts = put((centers - sizes / 2 + 0.5).float(), images.device)
    spans = put(sizes.float(), images.device)
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
    starts, spans = (centers - sides / 2 + 0.5).astype(np.float32), sides.astype(np.float32)
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    places = starts[:, :, None] + axis * spans[:, :, None]
    lines = put(_kept_inside(places / extents.astype(np.float32) * 2 - 1, extents), device)
    found = torch.empty(len(shapes), size, size, device=device)
    for own, image, (y, x) in zip(found, images, lines, strict=True):
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
    cut = torch.split(put(_kept_inside(lines, extent), logits[0].device), lengths)
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
            put((axis - places[rows, k, None]) / places[rows, k + 2, None] * 2 - 1, logits.device)
            for k, axis in enumerate(axes)
        )
        own = logits[rows_on(logits.device, rows)]
        yield rows, _read_axes(own[:, None].float(), y, x, "border", "bilinear")[:, 0]


def _read_axes(images: Tensor, y: Tensor, x: Tensor, padding: Padding, mode: Mode) -> Tensor:
    """Images on grids of rows (B, h) and columns (B, w) in [-1, 1]; clamped while they are lines, which is faster."""
    height, width = images.shape[-2:]
    if padding == "border":
        y, x = y.clamp(1 / height - 1, 1 - 1 / height), x.clamp(1 / width - 1, 1 - 1 / width)
    return _read(images, y[:, :, None], x[:, None, :], padding, mode)


def _kept_inside(lines: NDArray[Any], extents: NDArray[Any]) -> NDArray[np.float32]:
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
