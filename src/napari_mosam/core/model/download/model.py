"""Weights of known models from their public address or a mirror into the cache folder.

pooch decides whether a file is there and right, checks the hash of a new one and moves it into place; the bytes come
by :class:`ResumingDownloader`. Nothing is written outside the folder.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_mosam.core.model.catalogue import (
    URL_VARIABLE,
    ModelInfo,
    Progress,
    download_url,
    model_folder,
    model_info,
)
from napari_mosam.core.model.download.hashes import file_sha256, known_sha256, record_path, record_sha256
from napari_mosam.core.model.download.network import DownloadCancelled, DownloadError, check_url, shown
from napari_mosam.core.model.download.transfer import Cancelled, ResumingDownloader, RetryPolicy

__all__ = ["DownloadCancelled", "DownloadError", "download_model"]

LOCK_POLL_S = 0.2
"""Between two looks at whether a download that waits for another one is cancelled: at once for a person."""

logger = logging.getLogger(__name__)


def download_model(
    name: str,
    *,
    folder: str | Path | None = None,
    url: str | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    patience: RetryPolicy | None = None,
) -> Path:
    """Make sure that the weights of a model are on this machine, and right.

    A download that was cut off or cancelled leaves a ``.part`` file, and the next one continues it if the file on the
    server is still the same. Processes that want the same file at once wait for the first of them.

    Parameters
    ----------
    name : str
        A name of :func:`available_models`.
    folder : str or Path, optional
        Where to; by default :func:`cache_folder`.
    url : str, optional
        Folder of a mirror; by default ``$MOSAM_MODELS_URL``, or where the makers publish the weights.
    progress : callable, optional
        Called with the bytes that are there and those in all (None if not known), about ten times a second.
    cancelled : callable, optional
        Returns True when the download shall stop.
    patience : RetryPolicy, optional
        How often a broken connection is tried again.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    DownloadError
        No connection, no such file, a wrong hash, no room, no permission.
    DownloadCancelled
        If `cancelled` said so.
    ModelError
        If there is no such model.
    """
    info = model_info(name)
    there = _right_file(info, folder)
    if there is not None:
        return there
    address = download_url(info, url)
    check_url(address, chosen=bool(url or os.environ.get(URL_VARIABLE)))
    home = model_folder(folder)
    _prepare(home)
    part = info.part(folder)
    downloader = ResumingDownloader(part, info.size, progress=progress, cancelled=cancelled, patience=patience)
    with _alone(home / f".{info.file}.lock", cancelled):
        return _retrieve(info, address, home, downloader)


def _right_file(info: ModelInfo, folder: str | Path | None) -> Path | None:
    """The weights, if they need no download; a shared folder may well be read-only then."""
    path = info.find(folder)
    if info.shipped and path is None:
        raise DownloadError(f"'{info.name}' comes with the package and its weights are missing; reinstall napari-mosam")
    if path is None or info.shipped:
        return path
    known = known_sha256(info, path.parent)
    return path if known is None or file_sha256(path) == known else None


def _retrieve(info: ModelInfo, url: str, home: Path, downloader: ResumingDownloader) -> Path:
    import pooch

    known, path = known_sha256(info, home), home / info.file
    known_hash = f"sha256:{known}" if known else None
    new = not path.is_file()
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(url, known_hash=known_hash, fname=info.file, path=home, downloader=downloader)
    except DownloadError:
        raise
    except ValueError as error:  # pooch's word for a wrong hash; it has removed the file
        raise DownloadError(_wrong_hash(info, url, home)) from error
    if known is None and new:
        found = record_sha256(path, shown(url))
        logger.warning(
            "no SHA-256 is known for '%s'; that of this first download is kept to compare with: %s",
            path.name,
            found,
        )
    return path


def _wrong_hash(info: ModelInfo, url: str, home: Path) -> str:
    hint = (
        "try again, or another mirror"
        if info.sha256
        else f"if the makers have published new weights, remove '{record_path(home / info.file)}' and try again"
    )
    return (
        f"what came from {shown(url)} is not the weights of '{info.name}' (its SHA-256 differs) and was removed; {hint}"
    )


def _prepare(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
    except OSError as error:
        raise DownloadError(
            f"cannot write into '{home}': {error.strerror or error}; choose another folder (--folder, or MOSAM_CACHE)"
        ) from error


@contextmanager
def _alone(lock_path: Path, cancelled: Cancelled | None) -> Iterator[None]:
    """Hold a lock that the system lets go when the process ends, however it ends."""
    from filelock import FileLock, Timeout

    lock, told = FileLock(lock_path), False
    while True:
        try:
            lock.acquire(timeout=LOCK_POLL_S)
            break
        except Timeout:
            if cancelled is not None and cancelled():
                raise DownloadCancelled("cancelled while another process was downloading the same file") from None
            if not told:
                logger.warning("another process is downloading '%s'; waiting for it", lock_path.name[1:-5])
            told = True
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quiet(pooch_logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from telling of a download on stderr, where the progress is shown."""
    level = pooch_logger.level
    pooch_logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        pooch_logger.setLevel(level)
