"""From main memory to a device, without waiting for it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def put(values: Tensor | NDArray[np.generic], device: torch.device) -> Tensor:
    """Values on a device, without waiting for what it is computing.

    CUDA copies them away before it goes on, so that the caller may change them; of Apple's devices that is not said,
    and they are waited for.
    """
    given = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return given.to(device, non_blocking=device.type != "mps")


def rows_on(device: torch.device, rows: Sequence[int] | Tensor | slice) -> Tensor | slice:
    """What selects rows of a tensor on a device: torch would wait for the device if the numbers were not there.

    Rows that follow each other are a slice, which copies nothing.
    """
    if isinstance(rows, slice):
        return rows
    if isinstance(rows, Tensor):
        return put(rows, device)
    first = rows[0] if len(rows) else 0
    if list(rows) == list(range(first, first + len(rows))):
        return slice(first, first + len(rows))
    return put(torch.tensor(rows), device)
