"""From stored pixels to what the engine sees."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def normalise(frame: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Map `limits` to 0 and 1 and clip; NaN becomes 0, and so does everything when the limits are equal."""
    low, half_span = limits[0] / 2, limits[1] / 2 - limits[0] / 2
    if not half_span > 0:
        return np.zeros(frame.shape, np.float32)
    scaled: NDArray[Any] = frame.astype(np.float32 if frame.dtype.itemsize <= 2 else np.float64)
    with np.errstate(all="ignore"):
        # Halves, because the span of the largest floats is itself too large for a float.
        scaled *= 0.5
        scaled -= low
        scaled /= half_span
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(scaled, 0, 1, out=scaled).astype(np.float32, copy=False)
