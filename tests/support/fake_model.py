"""A model without a network, and movies for it: bright blobs are found, so the whole loop runs in milliseconds."""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import center_of_mass
from scipy.ndimage import label as label_components
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates

OUTSIDE = -12.0
POSITIVE, BOX_START, BOX_END = 1, 2, 3


@dataclass
class FakeSegmenter:
    """Fits the ``Segmenter`` protocol: the object is the bright component nearest to the prompt or window centre.

    Logits fall off from the component's middle, so that objects which touch divide the pixels between them. The
    object is absent when nothing bright lies within `reach` of the aim.

    Parameters
    ----------
    reach : float
        In window sides.
    span : float
        Radius of the largest object, in window sides; what touches and lies further off is not claimed.
    present_iou : float
        Predicted IoU of an object that is found; an absent one gets 0.05.
    """

    reach: float = 0.18
    span: float = 1.0
    present_iou: float = 0.9
    name: str = "fake"
    image_size: int = 128
    num_maskmem: int = 7
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    recalls: list = field(default_factory=list)
    remembered: list = field(default_factory=list)
    encoded: int = 0

    def encode_image(self, images):
        assert images.shape[1:] == (self.image_size, self.image_size)
        assert images.min() >= 0
        assert images.max() <= 1
        self.encoded += len(images)
        low = avg_pool2d(images[:, None], 4)
        return ImageFeatures(avg_pool2d(images[:, None], 16), (low,))

    def attend_memory(self, features, recalls, n_frames):
        assert len(recalls) == len(features)
        assert all(recall.frames for recall in recalls)
        self.recalls += recalls
        return features.vision

    def without_memory(self, features):
        return features.vision

    def decode_masks(self, features, conditioned, *, points=None, mask_logits=None, multimask=True):
        assert len(conditioned) == len(features)
        low = features.high_res[0][:, 0].numpy()
        aims = [self._aim(points, row) for row in range(len(features))]
        found = [self._find(image, aim) for image, aim in zip(low, aims, strict=True)]
        n = 3 if multimask else 1
        logits = torch.stack([torch.from_numpy(logits) for logits, _ in found])[:, None].repeat(1, n, 1, 1)
        scores = torch.tensor([score for _, score in found])
        best = torch.where(scores > 0, self.present_iou, 0.05)
        ious = best[:, None] - 0.01 * torch.arange(n)
        tokens = (logits > 0).float().mean((2, 3))[..., None].repeat(1, 1, 4)
        return MaskCandidates(logits, ious, scores, tokens)

    def object_pointers(self, tokens, object_score):
        return tokens * (object_score > 0).float()[:, None]

    def object_pointers_of_masks(self, features, masks):
        return masks.flatten(1).mean(1)[:, None].repeat(1, 4)

    def encode_memory(self, features, mask_logits, object_score, *, from_points=False):
        assert mask_logits.shape == (len(features), 1, self.image_size, self.image_size)
        self.remembered += [
            (float(score), (logits[0] > 0).numpy()) for score, logits in zip(object_score, mask_logits, strict=True)
        ]
        return adaptive_avg_pool2d(mask_logits.sigmoid(), 8).repeat(1, 2, 1, 1)

    def _aim(self, points, row):
        """The first positive point, else the middle of the box, else that of the window; (y, x) in logit pixels."""
        side = self.image_size // 4
        if points is None:
            return (side - 1) / 2, (side - 1) / 2
        xy, labels = points.xy[row].numpy(), points.labels[row].numpy()
        boxed = xy[(labels == BOX_START) | (labels == BOX_END)]
        inside = xy[labels == POSITIVE]
        if not len(boxed) and not len(inside):
            return (side - 1) / 2, (side - 1) / 2
        x, y = boxed.mean(0) if len(boxed) else inside[0]
        return (y + 0.5) / 4 - 0.5, (x + 0.5) / 4 - 0.5

    def _find(self, image, aim):
        side = len(image)
        nothing = np.full((side, side), OUTSIDE, np.float32), -5.0
        components, n = label_components(image > 0.5)
        if n == 0:
            return nothing
        y, x = np.indices(image.shape)
        distance = np.hypot(y - aim[0], x - aim[1])
        nearest = np.where(components > 0, distance, np.inf)
        own = components == components.flat[int(nearest.argmin())]
        if nearest.min() > self.reach * side:
            return nothing
        logits = np.where(
            own, 8 * np.exp(-distance / side), np.maximum(OUTSIDE, (image - 0.5) * 24 - 2 * (image > 0.5))
        )
        not_mine = (image > 0.5) & (~own | (distance > self.span * side))
        logits = np.where(not_mine, OUTSIDE, logits)
        return logits.astype(np.float32), 5.0


def disks(centers, shape=(96, 96), radius=8.0):
    """Bright disks on black.

    Parameters
    ----------
    centers : sequence over frames of sequences of (y, x) or None
        None: out of sight on that frame.

    Returns
    -------
    images : ndarray of uint16, shape (T, Y, X)
    labels : ndarray of uint16, shape (T, Y, X)
        Disk k of a frame has id k + 1.
    """
    y, x = np.indices(shape)
    labels = np.zeros((len(centers), *shape), np.uint16)
    for frame, places in zip(labels, centers, strict=True):
        for k, place in enumerate(places):
            if place is not None:
                frame[np.hypot(y - place[0], x - place[1]) <= radius] = k + 1
    return np.where(labels > 0, 1000, 100).astype(np.uint16), labels


def iou(a, b):
    """Intersection over union; 1 for two empty masks."""
    union = (a | b).sum()
    return 1.0 if union == 0 else (a & b).sum() / union


def middle(mask):
    """Centre of mass (y, x) of a mask."""
    return tuple(float(c) for c in center_of_mass(mask))


class CountingMovie:
    """An array that counts how often each frame is read and refuses to give more than one at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.reads = []

    def __getitem__(self, index):
        t = index[0] if isinstance(index, tuple) else index
        assert isinstance(t, int | np.integer), f"more than one frame was asked for: {index}"
        self.reads.append(int(t))
        return self.array[index]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole stack was read")
