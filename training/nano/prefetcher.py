"""Batches prepared in a thread of their own while the device computes."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
POLL_S = 0.1
LONGEST_WAIT_S = 10.0


class Prefetcher(Generic[Item]):
    """What ``make(k)`` gives for k = start, start + 1, …, in order.

    Parameters
    ----------
    make : callable
        A function of the index alone, so that the order of computing does not matter.
    start : int
    depth : int
        Items prepared ahead; 0 makes each when it is asked for.
    """

    def __init__(self, make: Callable[[int], Item], start: int, depth: int) -> None:
        self._make = make
        self._start = start
        self._depth = depth
        self._ready: queue.Queue[Item | Exception] = queue.Queue(max(1, depth))
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Item]:
        if self._depth == 0:
            k = self._start
            while True:
                yield self._make(k)
                k += 1
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        while True:
            item = self._ready.get()
            if isinstance(item, Exception):
                raise item
            yield item

    def stop(self) -> None:
        """Let the thread end after the item it is at, and wait: no process should end while one draws on a GPU."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(LONGEST_WAIT_S)

    def _work(self) -> None:
        k = self._start
        while not self._stopped.is_set():
            try:
                item: Item | Exception = self._make(k)
            except Exception as error:  # handed to the consumer, whose loop it ends
                item = error
            self._hand_over(item)
            if isinstance(item, Exception):
                return
            k += 1

    def _hand_over(self, item: Item | Exception) -> None:
        while not self._stopped.is_set():
            try:
                return self._ready.put(item, timeout=POLL_S)
            except queue.Full:
                continue
