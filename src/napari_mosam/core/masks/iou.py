"""Intersection over union of masks that are tensors; of regions it is :meth:`~.region.Region.iou`."""

from torch import Tensor


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of masks.

    Parameters
    ----------
    a, b : Tensor, shapes (…, Y, X) that broadcast
        Bool; or float in [0, 1], where each pixel counts by how far it is covered.

    Returns
    -------
    Tensor of float32, shape (…)
        In [0, 1]; a union of less than one pixel counts as one, so that empty masks give 0.
    """
    return a.minimum(b).sum((-2, -1)) / a.maximum(b).sum((-2, -1)).clamp(min=1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU (…) of the bounding boxes of masks (…, Y, X), bool; 0 where one is empty."""
    return mask_iou(_box(a), _box(b))


def _box(masks: Tensor) -> Tensor:
    """The bounding box of each mask as a mask."""
    rows, columns = _span(masks.any(-1)), _span(masks.any(-2))
    return rows[..., :, None] & columns[..., None, :]


def _span(line: Tensor) -> Tensor:
    """Everything between the first and the last true value along the last axis."""
    reached = line.int().cummax(-1).values
    left = line.int().flip(-1).cummax(-1).values.flip(-1)
    return (reached & left).bool()
