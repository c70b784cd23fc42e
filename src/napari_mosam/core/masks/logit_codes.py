"""Mask logits as bytes: what is stored is also what competes, so a frame composed anew from storage is the same."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mosam.core.windows.devices import put
from napari_mosam.core.windows.sampling import NO_LOGIT

MAX_LOGIT = -NO_LOGIT
"""Largest logit that a code stands for."""

_KNEE = 4.0
"""Below this logit codes are nearly linear (11 to a logit), above it nearly logarithmic; not measured."""

_STEPS = 127 / float(np.arcsinh(MAX_LOGIT / _KNEE))
"""Codes per unit of asinh(logit / knee): the 127 of a signed byte end at `MAX_LOGIT`."""

_VALUES = (np.sinh(np.arange(-128, 128) / _STEPS) * _KNEE).clip(-MAX_LOGIT, MAX_LOGIT).astype(np.float32)
"""The logit of every code from -128 on, for decoding."""


def encode_logits(logits: NDArray[np.float32]) -> NDArray[np.int8]:
    """Logits of any shape as int8; beyond ±32 they are clipped, and no sign ever changes (tiny ones become 0)."""
    codes = np.arcsinh(logits / np.float32(_KNEE))
    codes *= np.float32(_STEPS)
    return np.asarray(np.clip(np.rint(codes), -127, 127), np.int8)


def decode_logits(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """The logits that int8 codes stand for."""
    return np.asarray(_VALUES.take(codes.astype(np.int16) + 128))


def coded(logits: Sequence[Tensor]) -> list[Tensor]:
    """Logits, all on one device, as they come back from storage: what a contest takes, so that it can be held again.

    The codes are made by the processor wherever the logits are: another device has other last bits, and then what
    competed would not be what is stored. They come from there and go back at once.
    """
    if not len(logits):
        return []
    flat = torch.cat([own.flatten().float() for own in logits])
    back = put(decode_logits(encode_logits(flat.cpu().numpy())), flat.device)
    parts = torch.split(back, [own.numel() for own in logits])
    return [part.view(own.shape) for part, own in zip(parts, logits, strict=True)]
