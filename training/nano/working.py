"""The network as it computes: at several input sizes, in the precision of the device, with one set of weights."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from napari_mosam.core.model.configs import Description, at_size, build_network
from napari_mosam.core.model.sam2_parts import Sam2Parts


class WorkingNetworks:
    """One network per input size, all with the same weights.

    Where a device computes in bfloat16, the weights are kept twice: in float32, which the optimiser changes, and
    rounded, which everything is computed with. Autocast would cast them anew for every use.

    Parameters
    ----------
    network : SAM2Base
        With the weights in float32, on its device.
    description : dict
        What it was built from.
    sizes : tuple of int
        Sides of the input, px.
    dtype : torch.dtype
    """

    def __init__(self, network: Any, description: Description, sizes: tuple[int, ...], dtype: torch.dtype) -> None:
        self._masters = [p for p in network.parameters() if p.requires_grad]
        first = network if dtype == torch.float32 else _rounded(network, description, dtype)
        self._weights = [p for p in first.parameters() if p.requires_grad]
        self._parts = {size: Sam2Parts(_sharing(first, description, size), dtype) for size in sizes}

    def parts(self, size: int) -> Sam2Parts:
        """The parts of the network for windows of `size` px."""
        return self._parts[size]

    @property
    def _is_rounded(self) -> bool:
        return self._weights[0] is not self._masters[0]

    @torch.no_grad()
    def collect(self) -> None:
        """Add the gradients of what was computed to those of the weights in float32."""
        if not self._is_rounded:
            return
        for master, weight in zip(self._masters, self._weights, strict=True):
            if weight.grad is not None:
                master.grad = weight.grad.float() if master.grad is None else master.grad.add_(weight.grad)
                weight.grad = None

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over what the optimiser has changed."""
        if self._is_rounded:
            torch._foreach_copy_(list(self._weights), list(self._masters))


class WrittenOutAttention(TorchFunctionMode):
    """Attention as two matrix products and a softmax.

    The gradient of torch's own fused attention takes a processor 4 to 12 times as long in bfloat16, at the sizes that
    are used here.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        if func is functional.scaled_dot_product_attention:
            return _attention(*args)
        return func(*args, **(kwargs or {}))


def attention_for(device: torch.device) -> AbstractContextManager[object]:
    """The context in which gradients through attention are cheapest on a device.

    On a GPU that is not cuDNN's attention: it plans anew for every shape, and batches have many.
    """
    if device.type == "cpu":
        return WrittenOutAttention()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), -1) @ v


def _rounded(network: Any, description: Description, dtype: torch.dtype) -> Any:
    """A copy with its weights in `dtype`; fixed codes stay as they are."""
    device = next(network.parameters()).device
    copy: Any = _empty(description).to(device)
    copy.load_state_dict(network.state_dict())
    for parameter in copy.parameters():
        parameter.data = parameter.data.to(dtype)
    return copy


def _sharing(network: Any, description: Description, size: int) -> Any:
    """A network for another input size that holds the same parameters; the network itself for its own."""
    if size == network.image_size:
        return network
    other: Any = _empty(at_size(description, size)).to(next(network.parameters()).device)
    other.load_state_dict(network.state_dict())
    for name, parameter in network.named_parameters():
        path, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(path), leaf, parameter)
    return other


def _empty(description: Description) -> Any:
    with torch.random.fork_rng(devices=[]):
        return build_network(description, "the network").train()
