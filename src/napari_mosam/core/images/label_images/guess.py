"""Whether an image looks like labels: to say so where it is described, and to refuse one in place of its labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.label_images.labels import LabelError

_RESTLESS = 0.5
"""Changes along rows for each pixel that is not background, up to which a frame looks like labels: an object that is
four pixels wide has two. Of noise nearly every pixel is one."""


def n_changes(ids: NDArray[Any]) -> int:
    """How often a pixel of a frame (Y, X) differs from its neighbour in the row."""
    return int(np.count_nonzero(ids[:, 1:] != ids[:, :-1]))


def ids_of_labels(given: Any) -> list[int]:
    """Ids on the first frame of a path or array; none where it is an image, or cannot be labels at all."""
    try:
        stack = open_labels(given)
        ids = stack[stack.frames[0]]
    except LabelError:
        return []
    return [int(i) for i in np.unique(ids) if i] if looks_like_labels(ids) else []


def looks_like_labels(ids: NDArray[Any]) -> bool:
    """Whether a frame (Y, X) of whole numbers has a background, and even areas on it."""
    n_inside = int(np.count_nonzero(ids))
    return 0 < n_inside < ids.size and n_changes(ids) <= _RESTLESS * n_inside
