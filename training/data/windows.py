"""Windows of many frames at once: the batched twin of :mod:`napari_mosam.core.windows.window`, in the same coordinates.

A rectangle is (y0, x0, height, width): its upper left corner (an edge, not a pixel centre) and its size, in frame px.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from napari_mosam.core.windows.sampling import NO_LOGIT


def squares(centers_yx: Tensor, sides: Tensor) -> Tensor:
    """Square rectangles (…, 4) of `sides` (…) px around centres (…, 2)."""
    size = sides[..., None].expand(*sides.shape, 2)
    return torch.cat([centers_yx - size / 2, size], -1)


def whole(shape_yx: tuple[int, int], n: int, device: torch.device) -> Tensor:
    """The rectangle of a whole frame, (n, 4)."""
    return torch.tensor([-0.5, -0.5, float(shape_yx[0]), float(shape_yx[1])], device=device).expand(n, 4)


def read(canvas: Tensor, over: Tensor, wanted: Tensor, size: int, *, nearest: bool = False, pad: bool = True) -> Tensor:
    """Resample rectangles of canvases.

    Parameters
    ----------
    canvas : Tensor, shape (N, C, h, w)
    over : Tensor, shape (N, 4)
        The rectangle that each canvas covers.
    wanted : Tensor, shape (N, 4)
        The rectangle to read.
    size : int
        Side of the result.
    nearest : bool
        Take the nearest pixel instead of interpolating.
    pad : bool
        Continue the outermost pixels beyond the canvas; otherwise there are zeros.

    Returns
    -------
    Tensor, shape (N, C, size, size)
    """
    axis = (torch.arange(size, device=canvas.device, dtype=torch.float32) + 0.5) / size
    start = (wanted[:, :2] - over[:, :2]) / over[:, 2:]
    span = wanted[:, 2:] / over[:, 2:]
    y, x = ((start[:, k, None] + axis * span[:, k, None]) * 2 - 1 for k in (0, 1))
    if pad:
        height, width = canvas.shape[-2:]
        y, x = y.clamp(1 / height - 1, 1 - 1 / height), x.clamp(1 / width - 1, 1 - 1 / width)
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    return grid_sample(canvas, grid, mode="nearest" if nearest else "bilinear", align_corners=False)


def crop_images(images: Tensor, wanted: Tensor, size: int) -> Tensor:
    """Windows (N, size, size) of frames (N, Y, X); large windows are read from halved copies, as the engine does."""
    depths = ((wanted[:, 2:].amin(1) / size).log2() + 1e-6).floor().clamp(min=0).long()
    windows = images.new_empty(len(images), size, size)
    over = whole((images.shape[1], images.shape[2]), len(images), images.device)
    level = images[:, None]
    for depth in range(int(depths.max()) + 1):
        level = halved(level) if depth else level
        rows = (depths == depth).nonzero()[:, 0]
        if len(rows):
            extent = torch.tensor(level.shape[-2:], device=images.device) * 2.0**depth
            own = torch.cat([over[rows, :2], extent.expand(len(rows), 2)], 1)
            windows[rows] = read(level[rows], own, wanted[rows], size)[:, 0]
    return windows


def halved(images: Tensor) -> Tensor:
    """Images (N, 1, Y, X) at half the resolution, odd sides continued by one pixel."""
    height, width = images.shape[-2:]
    even = torch.nn.functional.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
    return avg_pool2d(even, 2)


def crop_labels(labels: Tensor, wanted: Tensor, size: int) -> Tensor:
    """Windows (N, size, size) of label frames (N, Y, X), nearest pixel, 0 outside; ids up to 2**24 stay exact."""
    over = whole((labels.shape[1], labels.shape[2]), len(labels), labels.device)
    return read(labels[:, None].float(), over, wanted, size, nearest=True, pad=False)[:, 0].round().int()


def move_logits(logits: Tensor, made_in: Tensor, wanted: Tensor, shifts_yx: Tensor) -> Tensor:
    """Mask logits of one frame as they are expected on the next.

    Parameters
    ----------
    logits : Tensor, shape (N, s, s)
        Over the rectangles `made_in`.
    made_in, wanted : Tensor, shape (N, 4)
        Windows on the two frames.
    shifts_yx : Tensor, shape (N, 2)
        Motion of the object between them, px of the frame.

    Returns
    -------
    Tensor, shape (N, s, s)
    """
    moved = torch.cat([made_in[:, :2] + shifts_yx, made_in[:, 2:]], 1)
    return read(logits.clamp(min=NO_LOGIT)[:, None], moved, wanted, logits.shape[-1])[:, 0]
