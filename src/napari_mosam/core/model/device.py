"""Where to compute, in which precision, and how many calls at a time."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TypeVar

import torch

from napari_mosam.core.config.checks import Refused

logger = logging.getLogger(__name__)

Given = TypeVar("Given")
Found = TypeVar("Found")

CPU_CHUNK = 8
"""Windows per call of the network: 4 to 8 are a tenth faster than 16 on two cores, whose caches they fit."""

GPU_CHUNK = 64
"""A call of 64 windows costs a large GPU .2 to .7 more than one of a single window."""

LARGEST_SIDE_BY_SIDE = 256
"""Input up to which calls are computed side by side, px: products of larger ones keep several threads busy, and take
several times the memory."""


class DeviceError(ValueError):
    """The requested device does not exist here."""


class DeviceMemoryError(Refused):
    """Not even one window of the network fits into the memory of a device."""


def available_devices() -> list[str]:
    """Names of the devices of this machine, best first: 'cuda', 'mps', 'cpu'."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in found.items() if there]


def choose_device(name: "str | torch.device | None" = None) -> "torch.device":
    """The device called `name`, or the best one there is.

    Parameters
    ----------
    name : str, torch.device or None
        'cuda', 'cuda:1', 'mps', 'cpu'; None or 'auto' chooses cuda > mps > cpu.

    Raises
    ------
    DeviceError
        If that device is not available.
    """
    there = available_devices()
    if name is None or name == "auto":
        return torch.device(there[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device '{name}' is unknown; available here: {', '.join(there)}") from error
    if device.type not in there or (device.index or 0) >= _count(device.type):
        raise DeviceError(f"device '{name}' is not available here; use {' or '.join(there)}, or leave it on 'auto'")
    return device


def _count(kind: str) -> int:
    return torch.cuda.device_count() if kind == "cuda" else 1


def choose_dtype(device: "torch.device", name: str | None = None) -> "torch.dtype":
    """Precision of the network: 'float32', 'bfloat16', or None for what pays on this device.

    bfloat16 is chosen where the processor computes it natively (CUDA, or a CPU with AVX-512 BF16 or AMX): there it is
    faster at the same accuracy (see ``docs/benchmarks.md``). Elsewhere float32.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name is not None:
        if name not in known:
            raise ValueError(f"dtype '{name}' is not possible; allowed: {', '.join(known)}")
        return known[name]
    return torch.bfloat16 if _computes_bfloat16(device) else torch.float32


def choose_fast(device: "torch.device") -> bool:
    """Whether the fast path is used on this device, where nothing else is asked for; on no card was it tried yet."""
    return device.type == "cpu"


def choose_chunk(device: "torch.device") -> int:
    """Windows per call of the network on this device, where nothing else is asked for."""
    return CPU_CHUNK if device.type == "cpu" else GPU_CHUNK


def side_by_side(device: "torch.device", image_size: int) -> bool:
    """Whether calls of a network are so small that they are better computed side by side, each with few threads."""
    return device.type == "cpu" and image_size <= LARGEST_SIDE_BY_SIDE


def _computes_bfloat16(device: "torch.device") -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return _processor_has("_is_avx512_bf16_supported") or has_matrix_unit()


@cache
def has_matrix_unit() -> bool:
    """Whether the processor multiplies matrices by tiles (AMX)."""
    return _processor_has("_is_amx_tile_supported")


def _processor_has(probe: str) -> bool:
    """Torch has no public way to ask; without its function the answer is the safe one."""
    there = getattr(torch.cpu, probe, None)
    return there is not None and bool(there())


def autocast(device: "torch.device", dtype: "torch.dtype") -> AbstractContextManager[object]:
    """A context in which the network computes in `dtype`; to be closed within one step."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


class Room:
    """How many windows a device has memory for in one call of a network; learnt from calls that failed.

    Attributes
    ----------
    most : int or None
        None while none has failed.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def fitting(
        self, function: Callable[[Sequence[int]], Found], rows: Sequence[int], device: torch.device
    ) -> list[Found]:
        """What a function answers to some rows: to all of them or, where these do not fit, to parts that do.

        Parameters
        ----------
        function : callable
            Raises torch's error where the memory does not suffice.
        rows : sequence of int
        device : torch.device
            Where it computes; for the message.

        Raises
        ------
        DeviceMemoryError
            Not even one row fits.
        """
        found: list[Found] = []
        done = 0
        while done < len(rows):
            some = rows[done : done + (self.most or len(rows))]
            answers = _tried(function, some, device)
            if answers:
                found += answers
                done += len(some)
                continue
            self.most = len(some) - len(some) // 2
            logger.warning(
                "%d windows do not fit into the memory of '%s': at most %d from now on", len(some), device, self.most
            )
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return found


def _tried(function: Callable[[Sequence[int]], Found], rows: Sequence[int], device: torch.device) -> list[Found]:
    """The answer to some rows; nothing where they do not fit. What the call allocated is gone when this returns."""
    try:
        return [function(rows)]
    except RuntimeError as error:
        if "out of memory" not in str(error).lower():
            raise
        if len(rows) > 1:
            return []
        raise DeviceMemoryError(
            f"one window of the network does not fit into the memory of '{device}' ({error}). Choose a smaller model "
            "or input, close what else uses the device, or compute on the processor (device='cpu')"
        ) from error


class Workers:
    """Computes several calls at a time; what comes out does not depend on how many.

    Parameters
    ----------
    n : int
        Calls at a time; with 1 they follow each other in the thread that asks.
    threads : int
        Of torch, for each call of several; a single one takes those of the thread that asks.
    """

    def __init__(self, n: int = 1, threads: int = 1) -> None:
        self.n, self.threads = n, threads
        self._pool = ThreadPoolExecutor(n, "mosam-network", _prepare, (threads,)) if n > 1 else None

    def __reduce__(self) -> tuple[type["Workers"], tuple[int, int]]:
        """Threads cannot be sent to another process; how many there are can."""
        return Workers, (self.n, self.threads)

    def __call__(self, function: Callable[[Given], Found], given: Sequence[Given]) -> list[Found]:
        """What a function answers to each of them, in their order."""
        if self._pool is None:
            return [function(one) for one in given]
        return list(self._pool.map(function, given))


def _prepare(threads: int) -> None:
    """Both are settings of a thread, and those of the pool do nothing else."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
