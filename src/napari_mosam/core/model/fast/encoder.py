"""The image encoder on tokens in nested order (see ``order``): sam2's Hiera and its neck, grey images in.

The trunk is Hiera (Ryali et al. 2023, arXiv 2306.00989) as SAM 2 has it. Three things are computed once instead of for
every image: grey is not repeated as red, green and blue, which the weights of the patch embedding are added up for;
the mean that is taken from the colours and the position code are one constant; and a 1 x 1 convolution of the neck
and the one of the mask decoder after it are one matrix.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_mosam.core.model.fast.layers import Dense, Norm, Packer, mixed
from napari_mosam.core.model.fast.order import Windows, nested, windows_of

CELL = 4
"""Side of the cells that a patch is put together from, px: the stride of SAM 2's patch embedding."""

TAPS = 2 * CELL
"""Side of a patch of two cells, px; the kernel has 7, the eighth tap is zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One block of Hiera: attention in windows, then a perceptron, each added to what was there."""

    before: Norm
    qkv: Dense
    project: Dense
    shortcut: Dense | None
    between: Norm
    widen: Dense
    narrow: Dense
    n_heads: int
    windows: Windows
    pooled: bool

    def __call__(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) to (B, N or N / 4, C')."""
        normed = self.before(x)
        around = self._around(x, normed)
        x = self.project(self._attended(normed), around)
        return self.narrow(self.widen(self.between(x)), x)

    def _around(self, x: Tensor, normed: Tensor) -> Tensor:
        if self.shortcut is None:
            return x
        wide = self.shortcut(normed)
        return _largest_of_four(torch.unflatten(wide, 1, (-1, 4)), 2) if self.pooled else wide

    def _attended(self, normed: Tensor) -> Tensor:
        n, into, back = self.windows.n_tokens, self.windows.into, self.windows.back
        if into is not None:
            qkv = self.qkv(functional.pad(normed, (0, 0, 0, 1))).index_select(1, into)
        else:
            qkv = self.qkv(normed)
        batch, width = len(normed), qkv.shape[-1] // 3
        q, k, v = qkv.reshape(-1, n, 3, self.n_heads, width // self.n_heads).unbind(2)
        if self.pooled:
            q = _largest_of_four(torch.unflatten(q, 1, (-1, 4)), 2)
        seen = mixed(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2).reshape(batch, -1, width)
        return seen if back is None else seen.index_select(1, back)


class Encoder:
    """Grey windows to the features that the mask decoder and the memory read.

    Parameters
    ----------
    network : SAM2Base
    packer : Packer
    mean, std : Tensor, shape (1, 3, 1, 1)
        What sam2 takes from red, green and blue, and divides them by.
    """

    def __init__(self, network: Any, packer: Packer, mean: Tensor, std: Tensor) -> None:
        trunk, neck, decoder = network.image_encoder.trunk, network.image_encoder.neck, network.sam_mask_decoder
        self._dtype = packer.dtype
        self._embed = packer.dense(_grey_patches(trunk.patch_embed.proj.weight, std))
        self._blocks = _blocks(trunk, network.image_size // CELL, packer)
        self._ends = tuple(trunk.stage_ends)
        lowest, top, middle, fine = (level.conv for level in neck.convs)
        self._lowest, self._top = packer.of(lowest), packer.of(top)
        self._middle = packer.of_two(middle, decoder.conv_s1)
        self._fine = packer.of_two(fine, decoder.conv_s0)
        self._place(network, packer, mean, std)

    def placed(self, network: Any, packer: Packer, mean: Tensor, std: Tensor) -> "Encoder":
        """The same layers for the input size of a network that has the same weights."""
        other = copy(self)
        windows = _windows(network.image_encoder.trunk, network.image_size // CELL, packer.device)
        other._blocks = [replace(block, windows=own) for block, own in zip(self._blocks, windows, strict=True)]
        other._place(network, packer, mean, std)
        return other

    def _place(self, network: Any, packer: Packer, mean: Tensor, std: Tensor) -> None:
        """Where the tokens of the network's grid stand, and what is added to them."""
        self._grid = network.image_size // CELL
        self._cells = _cells_of_patches(self._grid).to(packer.device)
        self._constant = packer.exact(_constant(network.image_encoder.trunk, self._grid, network.image_size, mean, std))
        sides = [self._grid, self._grid // 2, self._grid // 4]
        self._raster = [torch.from_numpy(np.argsort(nested(side))).to(packer.device) for side in sides]

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of windows (B, S, S): stride 16 (B, C, h, w), stride 8, stride 4, as views of tokens."""
        x = self._embed(self._patches(images), self._constant)
        levels = []
        for k, block in enumerate(self._blocks):
            x = block(x)
            if k in self._ends:
                levels.append(x)
        fine, middle, top, lowest = levels
        above = self._lowest(lowest)[:, :, None].float()
        upper = (torch.unflatten(self._top(top), 1, (-1, 4)) + above).flatten(1, 2)
        levels = [self._fine(fine), self._middle(middle), upper]
        fine, middle, upper = (self._as_image(level, k) for k, level in enumerate(levels))
        return upper, middle, fine

    def _patches(self, images: Tensor) -> Tensor:
        """Pixels under each token's patch, (B, N, 64)."""
        batch, around = len(images), self._grid + 1
        padded = functional.pad(images.to(self._dtype), (CELL - 1, 1, CELL - 1, 1))
        cells = padded.view(batch, around, CELL, around, CELL).transpose(2, 3).reshape(batch, around**2, CELL**2)
        return cells.index_select(1, self._cells).view(batch, -1, TAPS**2)

    def _as_image(self, tokens: Tensor, level: int) -> Tensor:
        side = self._grid >> level
        in_raster = tokens.index_select(1, self._raster[level])
        return torch.unflatten(in_raster.transpose(1, 2), 2, (side, side))


def _largest_of_four(x: Tensor, dim: int) -> Tensor:
    first, second, third, fourth = x.unbind(dim)
    return torch.maximum(torch.maximum(first, second), torch.maximum(third, fourth))


def _cells_of_patches(grid: int) -> Tensor:
    """The four cells of each patch, (N * 4,), tokens in nested order."""
    y, x = np.divmod(nested(grid), grid)
    corners = [(y + dy) * (grid + 1) + x + dx for dy in (0, 1) for dx in (0, 1)]
    return torch.from_numpy(np.stack(corners, 1).ravel())


def _grey_patches(weight: Tensor, std: Tensor) -> Tensor:
    """Weights (C, 64) of the pixels of a patch, cell by cell, for an image whose colours are all the same."""
    grey = (weight.detach() / std).sum(1)
    taps = functional.pad(grey, (0, TAPS - grey.shape[2], 0, TAPS - grey.shape[1]))
    return taps.view(-1, 2, CELL, 2, CELL).transpose(2, 3).flatten(1)


@torch.no_grad()
def _constant(trunk: Any, grid: int, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """What is added to every token whatever the image, (1, N, C)."""
    black = (-mean / std).expand(1, 3, size, size)
    embedded = trunk.patch_embed(black) + trunk._get_pos_embed((grid, grid))
    return torch.as_tensor(embedded.flatten(1, 2)[:, torch.from_numpy(nested(grid)).to(embedded.device)])


def _blocks(trunk: Any, grid: int, packer: Packer) -> list[Block]:
    windows = _windows(trunk, grid, packer.device)
    return [_block(module, own, packer) for module, own in zip(trunk.blocks, windows, strict=True)]


def _windows(trunk: Any, side: int, device: torch.device) -> Iterator[Windows]:
    """Those of each block, the grid of the first one having that side."""
    for module in trunk.blocks:
        pooled = module.q_stride is not None
        yield windows_of(side, module.window_size, pooled=pooled, device=device)
        side = side // 2 if pooled else side


def _block(module: Any, windows: Windows, packer: Packer) -> Block:
    widen, narrow = module.mlp.layers
    return Block(
        before=packer.norm(module.norm1),
        qkv=packer.dense(*_scaled(module.attn)),
        project=packer.of(module.attn.proj),
        shortcut=packer.of(module.proj) if module.dim != module.dim_out else None,
        between=packer.norm(module.norm2),
        widen=packer.of(widen, "gelu"),
        narrow=packer.of(narrow),
        n_heads=module.attn.num_heads,
        windows=windows,
        pooled=module.q_stride is not None,
    )


def _scaled(attention: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer of queries, keys and values, the queries divided by the root of a head's width."""
    width = attention.qkv.out_features // 3
    scale = torch.ones(3 * width, 1)
    scale[:width] = (width // attention.num_heads) ** -0.5
    scale = scale.to(attention.qkv.weight.device)
    return attention.qkv.weight.detach() * scale, attention.qkv.bias.detach() * scale[:, 0]
