"""The folder of one widget, in the user's cache, where results are kept while napari shows them."""

import logging
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

STALE_DAYS = 3.0
"""Age from which on the folder of a process that ended is removed; not measured."""


class ScratchStore:
    """Creates zarr arrays in a folder of its own, made with the first array.

    The folder outlives the widget, since its layers may still be shown or saved; :func:`remove_stale` sweeps later.

    Parameters
    ----------
    root : Path or None
        Parent of the folder; the user's cache by default.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the arrays lie."""
        if self._folder is None:
            self._folder = _make_folder(self._root or default_root())
        return self._folder

    def new_array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of zeros, one chunk per frame (the last two axes)."""
        import zarr

        path = self.folder / f"{name}-{uuid.uuid4().hex[:8]}.zarr"
        chunks = (*(1 for _ in shape[:-2]), *shape[-2:])
        fast = zarr.codecs.BloscCodec(cname="lz4", clevel=3)
        return zarr.create_array(str(path), shape=shape, chunks=chunks, dtype=np.dtype(dtype), compressors=[fast])


def default_root() -> Path:
    """Parent folder of all sessions of this user."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("napari-mosam")) / "sessions"


def _make_folder(root: Path) -> Path:
    name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        (root / name).mkdir(parents=True)
    except OSError as error:
        logger.warning("cannot write to %s (%s); results go to the temporary folder", root, error)
        return Path(tempfile.mkdtemp(prefix="napari-mosam-"))
    return root / name


def remove_stale(root: Path | None = None, days: float = STALE_DAYS) -> list[Path]:
    """Delete sessions older than `days` whose napari no longer runs; returns what was deleted."""
    root = root or default_root()
    if not root.is_dir():
        return []
    oldest = time.time() - days * 86400
    stale = [f for f in root.iterdir() if f.is_dir() and f.stat().st_mtime < oldest and not _is_running(f.name)]
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return stale


def _is_running(name: str) -> bool:
    import psutil

    pid = name.split("-")[0]
    return pid.isdigit() and bool(psutil.pid_exists(int(pid)))
