"""Mask logits as bytes: what is stored is also what competes, so a frame composed anew from storage is the same."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.windows.sampling import NO_LOGIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LOGIT = -NO_LOGIT
"""Largest logit that a code stands for."""

_KNEE = 4.0
"""Below this logit codes are nearly linear (11 to a logit), above it nearly logarithmic; not measured."""

_STEPS = 127 / float(np.arcsinh(MAX_LOGIT / _KNEE))
"""Codes per unit of asinh(logit / knee): the 127 of a signed byte end at `MAX_LOGIT`."""

_VALUES = (np.sinh(np.arange(-128, 128) / _STEPS) * _KNEE).clip(-MAX_LOGIT, MAX_LOGIT).astype(np.float32)
"""The logit of every code from -128 on, for decoding."""


def encode_logits(logits: "Tensor") -> "Tensor":
    """Logits of any shape as int8; beyond ±32 they are clipped, and no sign ever changes (tiny ones become 0)."""
    return (torch.asinh(logits.float() / _KNEE) * _STEPS).round().clamp(-127, 127).to(torch.int8)


def decode_logits(codes: "Tensor") -> "Tensor":
    """The float32 logits that int8 codes stand for."""
    return torch.from_numpy(_VALUES).to(codes.device)[codes.long() + 128]


def coded(logits: "Tensor") -> "Tensor":
    """Logits as they come back from storage. A contest takes these, so that it can be held again later."""
    return decode_logits(encode_logits(logits))


def decode_array(codes: "NDArray[np.int8]") -> "NDArray[np.float32]":
    """:func:`decode_logits` for arrays."""
    return _VALUES[codes.astype(np.int16) + 128]
