"""What decides the last bits of a run's numbers beside its input: rows of a network call, and threads.

How many calls are computed at a time changes none. All of it is settled once, when a run starts, and written down with
its result, so that it can be repeated bit by bit (docs/adr/0005-determinism.md).
"""

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch

from napari_mosam.core.config.run import ComputeConfig
from napari_mosam.core.model.device import choose_chunk, side_by_side
from napari_mosam.core.model.fast.parts import FastParts
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.sam2 import Network, Sam2Segmenter

logger = logging.getLogger(__name__)

MAX_WORKERS = 4
"""Calls at a time; more cores than that are shared out as threads of a call. Not measured: no machine with more than
two cores was there."""

Step = TypeVar("Step")


def resolve(compute: ComputeConfig, model: Segmenter) -> ComputeConfig:
    """Settle what `compute` leaves open; what a run uses, writes down, and is given when it is repeated.

    Parameters
    ----------
    compute : ComputeConfig
        As the user gave it, or as a result says that it was made.
    model : Segmenter
        Its own chunk is used where none is asked for.

    Returns
    -------
    ComputeConfig
        Nothing in it is None, but `network` for a model that is none of SAM 2, and `workers`, on which no bit
        depends. `threads` is never more than this machine has: more would be many times slower, and another processor
        has other last bits anyway.
    """
    own = model.chunk if isinstance(model, Sam2Segmenter) else choose_chunk(model.device)
    chunk = own if compute.chunk is None else compute.chunk
    network = _possible(compute.network, model) if isinstance(model, Sam2Segmenter) else compute.network
    by_rule = max(1, torch.get_num_threads() // (MAX_WORKERS if side_by_side(model.device, model.image_size) else 1))
    threads = _at_most(by_rule if compute.threads is None else compute.threads, usable_cores())
    return replace(compute, chunk=chunk, threads=threads, network=network)


def described_here(model: Segmenter) -> dict[str, str]:
    """What a run of a model uses on this machine where nothing else is asked for, each by its name."""
    compute = resolve(ComputeConfig(), model)
    card = model.device.type == "cuda"
    told = {
        "device": f"{model.device} ({torch.cuda.get_device_name(model.device)})" if card else str(model.device),
        "processors": f"{usable_cores()}, of which torch takes {torch.get_num_threads()}",
        "torch": torch.__version__,
    }
    if isinstance(model, Sam2Segmenter):
        workers, threads = _workers(model, compute), compute.threads
        told |= {
            "precision": str(model.dtype).removeprefix("torch."),
            "network": str(compute.network),
            "calls": f"up to {compute.chunk} windows, {workers} at a time, {threads} thread(s) each",
        }
    return told


def as_settled(model: Segmenter, compute: ComputeConfig) -> Segmenter:
    """The same model as `compute` wants it, which :func:`resolve` gave; one that has no such choices stays as it is.

    Calls of the network stand side by side on all threads that torch may take when this is called.
    """
    if not isinstance(model, Sam2Segmenter):
        return model
    chosen = model.in_chunks_of(compute.chunk) if compute.chunk is not None else model
    chosen = chosen.side_by_side(_workers(model, compute), compute.threads or 1)
    return chosen.computed_by(compute.network) if compute.network is not None else chosen


def narrowed(model: Segmenter) -> int | None:
    """Windows per call that a device had memory for, where it had too little for what was settled; else None."""
    return model.room.most if isinstance(model, Sam2Segmenter) else None


def usable_cores() -> int:
    """Processors that this process may run on."""
    asked = getattr(os, "sched_getaffinity", None)
    return len(asked(0)) if asked is not None else os.cpu_count() or 1


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Compute with so many threads of torch inside; never to be left open across a ``yield``.

    Parameters
    ----------
    threads : int
        At least 1. How a sum is split among threads decides its last bits. The number is the calling thread's: runs
        in other threads keep theirs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stepwise(steps: Iterator[Step], threads: int) -> Iterator[Step]:
    """The same steps, each computed with so many threads; between two steps the caller has its own number back.

    Parameters
    ----------
    steps : iterator
        Such as the frames of a run.
    threads : int
        See :func:`fixed_threads`.
    """
    while True:
        with fixed_threads(threads):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
        del step  # what it holds is not needed while the next one is computed


def give_back() -> None:
    """Return freed memory to the system where the C library keeps it: 300 to 400 MB in a run of 30 objects."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)


def _workers(model: Segmenter, compute: ComputeConfig) -> int:
    """Calls at a time: as many as torch has threads for."""
    by_rule = torch.get_num_threads() // (compute.threads or 1) if side_by_side(model.device, model.image_size) else 1
    return compute.workers or max(1, by_rule)


def _possible(network: Network | None, model: Sam2Segmenter) -> Network:
    if network == "fast" and not FastParts.takes(model.network):
        logger.warning("the fast path does not know all parts of '%s': sam2's own modules compute it", model.name)
        return "plain"
    return network or model.computed


def _at_most(threads: int, cores: int) -> int:
    if threads > cores:
        logger.warning(
            "%d threads are asked for and this machine has %d: it takes %d, and the last bits of the numbers may be "
            "other ones",
            threads,
            cores,
            cores,
        )
    return min(threads, cores)
