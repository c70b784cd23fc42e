"""The memory encoder: masks and image tokens to what is remembered of a frame."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_mosam.core.model.fast.layers import Dense, Norm, Packer


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution over pixels whose channels stand last, and the normalisation after it."""

    weight: Tensor
    bias: Tensor
    stride: int
    padding: int
    groups: int
    norm: Norm

    @classmethod
    def of(cls, module: Any, norm: Any, packer: Packer) -> "Convolution":
        """Of sam2's two modules."""
        weight = packer.tensor(module.weight).contiguous(memory_format=torch.channels_last)
        (stride, _), (padding, _) = module.stride, module.padding
        return cls(weight, packer.tensor(module.bias), stride, padding, module.groups, packer.norm(norm))

    def __call__(self, x: Tensor) -> Tensor:
        """Of (B, H, W, C)."""
        shown = x.permute(0, 3, 1, 2)
        seen = functional.conv2d(shown, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return self.norm(seen.permute(0, 2, 3, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Fuse:
    """One block of the fuser; what scales its output is part of the last layer's weights."""

    around: Convolution
    widen: Dense
    narrow: Dense

    def __call__(self, x: Tensor) -> Tensor:
        """Of (B, h, w, C)."""
        return self.narrow(self.widen(self.around(x)), x)


class MemoryWriter:
    """sam2's memory encoder.

    Parameters
    ----------
    network : SAM2Base
    packer : Packer
    """

    def __init__(self, network: Any, packer: Packer) -> None:
        encoder = network.memory_encoder
        *shrinking, last = encoder.mask_downsampler.encoder
        steps = zip(shrinking[::3], shrinking[1::3], strict=True)
        self._shrink = [Convolution.of(convolve, norm, packer) for convolve, norm in steps]
        self._mask, self._image = packer.of(last), packer.of(encoder.pix_feat_proj)
        self._fuse = [_fuse(block, packer) for block in encoder.fuser.layers]
        self._out = packer.of(encoder.out_proj)

    def __call__(self, image: Tensor, masks: Tensor) -> Tensor:
        """Memory (B, h, w, M) of image features (B, h, w, C) and of masks (B, S, S) as sam2 scales them."""
        x = masks[..., None].to(image.dtype)
        for step in self._shrink:
            x = functional.gelu(step(x))
        x = self._image(image, self._mask(x))
        for block in self._fuse:
            x = block(x)
        return self._out(x)


def _fuse(block: Any, packer: Packer) -> Fuse:
    gain = torch.ones_like(block.pwconv2.bias) if block.gamma is None else block.gamma
    return Fuse(
        Convolution.of(block.dwconv, block.norm, packer),
        packer.of(block.pwconv1, "gelu"),
        packer.dense(gain.detach()[:, None] * block.pwconv2.weight.detach(), gain.detach() * block.pwconv2.bias),
    )
