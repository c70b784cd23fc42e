"""A GPU that is none: tensors that say they are on 'cuda', compute on the CPU, and must not be mixed with others.

What CUDA refuses is refused here: an operation on tensors of both devices (a CPU tensor without axes is a number and
may be mixed in), and reading such a tensor from numpy; and what Apple's devices refuse: double precision. What CUDA
does silently is done: copies between devices, and numbers read from a tensor, and indices that are on the CPU; where
the processor would wait for the card meanwhile, :data:`WAITS` says so. Registering such a device cannot be taken back,
so all this belongs into a process of its own.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    _setup_privateuseone_for_python_backend("gpu")
GPU, CPU = torch.device("gpu", 0), torch.device("cpu")
MAY_MIX = {
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
}
COPIES = torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default
WAITS: list[str] = []
"""What the processor would have waited for, one entry each time, since the list was emptied."""


class MixedDevices(RuntimeError):
    """An operation got tensors of both devices."""


class OnGpu(torch.Tensor):
    """A tensor that says it is on the GPU; `held` are its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> "OnGpu":
        if real.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=GPU,
            requires_grad=real.requires_grad,
        )
        made.held = real
        return made

    def __repr__(self) -> str:
        return f"OnGpu({tuple(self.shape)}, {self.dtype})"

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert the GPU device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def item(self) -> Any:
        WAITS.append("item")
        return self.held.item()

    def tolist(self) -> Any:
        WAITS.append("tolist")
        return self.held.tolist()

    def __float__(self) -> float:
        WAITS.append("float")
        return float(self.held)

    def __int__(self) -> int:
        WAITS.append("int")
        return int(self.held)

    __index__ = __int__

    def __bool__(self) -> bool:
        WAITS.append("bool")
        return bool(self.held)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class GpuMode(TorchDispatchMode):
    """Sees every operation, so that tensors are made where they are asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, computed on the CPU."""
    given = [t for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    there = [t for t in given if isinstance(t, OnGpu)]
    here = [t for t in given if not isinstance(t, OnGpu) and t.ndim > 0]
    if there and here and func not in MAY_MIX:
        shapes = [tuple(t.shape) for t in given]
        raise MixedDevices(f"{func} got tensors of the GPU and of the CPU, of shapes {shapes}")
    if _waited_for(func, args, kwargs, there, here):
        WAITS.append(str(func))
    wanted = kwargs.get("device")
    to_gpu = torch.device(wanted).type == GPU.type if wanted is not None else bool(there)
    if func is torch.ops.aten.copy_.default:
        to_gpu = isinstance(args[0], OnGpu)
    if wanted is not None:
        kwargs = kwargs | {"device": CPU}
    if func is torch.ops.aten._to_copy.default and wanted is not None:
        kwargs.pop("non_blocking", None)
    real_args, real_kwargs = tree_map(_real, (args, kwargs))
    if func is torch.ops.aten._conj.default:  # a mark on the tensor, which is not looked at below this place
        return OnGpu(torch.ops.aten.conj_physical.default(*real_args)) if there else func(*real_args)
    found = func(*real_args, **real_kwargs)
    wrapped = tree_map(lambda t: OnGpu(t) if to_gpu and isinstance(t, torch.Tensor) else t, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


def _waited_for(func: Any, args: Any, kwargs: dict[str, Any], there: list[Any], here: list[Any]) -> bool:
    """Whether CUDA would hold the processor up: all copies from it, and those to it that are not said to be otherwise.

    Numbers of places, whatever they select, are copied to it first, and masks are counted.
    """
    if func in COPIES:
        source = args[1] if func is COPIES[1] else args[0]
        wanted = kwargs.get("device", args[0].device if func is COPIES[1] else source.device)
        from_gpu, to_gpu = isinstance(source, OnGpu), torch.device(wanted).type == GPU.type
        return from_gpu != to_gpu and (from_gpu or not (kwargs.get("non_blocking") or True in args[2:]))
    if func in MAY_MIX:
        return bool(there) and (bool(here) or any(t.dtype == torch.bool for t in there[1:]))
    return func in (torch.ops.aten.nonzero.default, torch.ops.aten.masked_select.default) and bool(there)


def _real(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


class AnyGenerator(torch.Generator):
    """Random numbers for tensors of either device."""

    def __new__(cls, device: torch.device | str = CPU) -> "AnyGenerator":
        made = super().__new__(cls)
        made.where = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return self.where


class NoGrad(torch.no_grad):
    """In place of inference mode, which tensors of this kind do not know."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """A machine with one more device, for as long as the block runs; gives that device."""
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…) copies where the mode sees it
    try:
        with patch.multiple(torch, Generator=AnyGenerator, inference_mode=NoGrad), GpuMode():
            yield GPU
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
