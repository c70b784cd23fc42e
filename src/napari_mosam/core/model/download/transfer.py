"""One file over HTTP, in as many attempts as it takes: what came so far lies in a part file and is continued.

requests does the talking, because pooch brings it anyway, it knows proxies, and it has its own certificates where
Python's standard library has none (python.org's Python on macOS).
"""

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.core.model.catalogue import Progress, in_megabytes
from napari_mosam.core.model.download.network import (
    DownloadCancelled,
    DownloadError,
    Interrupted,
    check_status,
    shown,
    translate_errors,
)
from napari_mosam.core.model.download.partial_file import PartialFile, RemoteVersion

if TYPE_CHECKING:
    from requests import Response

Cancelled = Callable[[], bool]

CHUNK = 1 << 15
"""Bytes read at once: little enough that a cancelled download ends soon on a slow line; not measured."""

REPORT_S = 0.1
"""Between two reports of progress; faster ones nobody sees."""

POLL_S = 0.05
"""Between two looks at whether a waiting download is cancelled: at once for a person."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and when to give up.

    Attributes
    ----------
    attempts : int
        In a row that brought nothing.
    first_wait_s, longest_wait_s : float
        Before the second attempt, then doubled each time up to the longest.
    timeout_s : float
        Without a single byte, until a connection counts as broken.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8
    timeout_s: float = 20

    def wait_s(self, failures: int) -> float:
        """Seconds before the next attempt."""
        return float(min(self.longest_wait_s, self.first_wait_s * 2 ** (failures - 1)))


class ResumingDownloader:
    """A downloader for pooch that continues where an earlier one stopped.

    pooch asks for a file under a temporary name beside the final one, hashes it, and moves it. The part file lies
    in the same folder under a lasting name, and is handed over by a rename once it is whole.

    Parameters
    ----------
    part : Path
        Where the bytes are collected.
    size : int or None
        What the whole file must have, where known.
    progress : callable, optional
        Told of the bytes there and in all, about ten times a second.
    cancelled : callable, optional
        Asked before every chunk.
    patience : RetryPolicy
        How often a broken connection is tried again.
    """

    def __init__(
        self,
        part: Path,
        size: int | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
        patience: RetryPolicy | None = None,
    ) -> None:
        self._part, self._size = PartialFile(part), size
        self._progress, self._cancelled = progress or _nobody, cancelled or bool
        self._patience = patience or RetryPolicy()

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Download `url` and leave it at `output_file`.

        Raises
        ------
        DownloadError
            If it cannot be had.
        DownloadCancelled
            If somebody said so.
        """
        try:
            self._fetch(url)
            self._part.hand_over(Path(output_file))
        except OSError as error:
            raise _cannot_write(error, self._part.path) from error

    def _fetch(self, url: str) -> None:
        failures, most = 0, self._part.size
        while True:
            try:
                return self._attempt(url)
            except Interrupted as error:
                failures = 0 if self._part.size > most else failures + 1
                most = max(most, self._part.size)
                if failures >= self._patience.attempts:
                    raise DownloadError(self._gave_up(url, str(error))) from error
                self._wait(max(error.wait_s, self._patience.wait_s(max(1, failures))))

    def _attempt(self, url: str) -> None:
        """Get what is missing, or all of it where the part cannot be continued."""
        self._check_cancelled()
        origin = self._part.origin_at(shown(url))
        if origin is None:
            self._part.discard()
        elif origin.total == self._part.size:
            return
        with translate_errors(), self._open(url, origin) as response:
            check_status(response, url)
            offered = RemoteVersion.of(shown(url), response, self._size)
            self._check_size(offered)
            start = _start_of(response, origin, offered, self._part)
            self._check_room(offered, start)
            if not start:
                self._part.begin(offered)
            self._copy(response, start, offered.total)
        self._check_end(offered)

    def _open(self, url: str, origin: RemoteVersion | None) -> "Response":
        import requests

        headers = {"Accept-Encoding": "identity"}
        if origin is not None:
            headers |= {"Range": f"bytes={self._part.size}-", "If-Range": str(origin.validator)}
        return requests.get(url, headers=headers, stream=True, timeout=self._patience.timeout_s)

    def _copy(self, response: "Response", start: int, total: int | None) -> None:
        done, reported = start, time.monotonic()
        self._progress(done, total)
        with self._part.path.open("ab" if start else "wb") as file:
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                self._check_cancelled()
                done += len(chunk)
                self._check_end_is_near(done, response.url)
                file.write(chunk)
                if time.monotonic() - reported >= REPORT_S:
                    self._progress(done, total)
                    reported = time.monotonic()
        self._progress(done, total)

    def _check_size(self, offered: RemoteVersion) -> None:
        if None not in (self._size, offered.total) and self._size != offered.total:
            self._part.discard()
            raise DownloadError(
                f"{offered.url} is {offered.total} bytes long instead of {self._size}, so it is another file; "
                "check the address of the mirror"
            )

    def _check_end_is_near(self, done: int, url: str) -> None:
        """Hang up on a server that goes on sending after the last byte; nothing of what it sent is kept."""
        if self._size is not None and done > self._size:
            self._part.discard()
            raise DownloadError(
                f"{shown(url)} sends more than the {self._size} bytes that the weights have, so it is another file, "
                "and was cut off; check the address of the mirror"
            )

    def _check_room(self, offered: RemoteVersion, start: int) -> None:
        needed, free = (offered.total or 0) - start, shutil.disk_usage(self._part.path.parent).free
        if needed > free:
            raise DownloadError(
                f"the disk is too full: {in_megabytes(needed)} are needed in '{self._part.path.parent}' and "
                f"{in_megabytes(free)} are free; make room, or choose another folder"
            )

    def _check_end(self, offered: RemoteVersion) -> None:
        there = self._part.size
        if offered.total is not None and there != offered.total:
            if there > offered.total:
                self._part.discard()
            raise Interrupted(f"the connection ended after {there} of {offered.total} bytes")

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise DownloadCancelled(f"cancelled; {in_megabytes(self._part.size)} are kept and will be continued")

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check_cancelled()
            time.sleep(min(POLL_S, max(0.0, end - time.monotonic())))

    def _gave_up(self, url: str, reason: str) -> str:
        there = self._part.size
        kept = f"; {in_megabytes(there)} are kept for the next download" if there else ""
        folder = self._part.path.parent
        return (
            f"{shown(url)} cannot be downloaded ({reason}){kept}. Check the connection; without one, get this file on "
            f"another machine and put it into '{folder}'"
        )


def _start_of(response: "Response", origin: RemoteVersion | None, offered: RemoteVersion, part: PartialFile) -> int:
    """The byte at which the answer begins; the part is let go where the answer does not continue it."""
    if response.status_code == 200:
        return 0
    if response.status_code == 206 and origin is not None and offered.continues(origin, part.size):
        return part.size
    part.discard()
    raise Interrupted("the file has changed on the server")


def _cannot_write(error: OSError, path: Path) -> DownloadError:
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    what = "the disk is full" if full else os.strerror(error.errno) if error.errno else str(error)
    return DownloadError(f"the download to '{path}' failed: {what}; make room, or choose another folder")


def _nobody(done: int, total: int | None) -> None:
    """Is told of progress where nobody else is."""
