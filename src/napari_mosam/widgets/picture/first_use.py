"""First use without a freeze: what napari compiles for its first drawn shape is compiled in a child process before.

napari draws shapes with functions that numba compiles when they are called first, for 7 to 12 s in which nothing in the
window moves, and keeps on the disk. numba chooses the place: beside napari or, where that cannot be written, in the
user's cache.
"""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
from qtpy.QtCore import QObject, Signal

from napari_mosam.core.model.catalogue import cache_folder
from napari_mosam.widgets.picture.beside import NoCollections

CODE = "from napari_mosam.widgets.picture.first_use import draw_shapes; draw_shapes()"
"""What the child does."""

SQUARE = ((0.0, 0.0, 0.0), (0.0, 0.0, 9.0), (0.0, 9.0, 9.0), (0.0, 9.0, 0.0))
"""Corners of a shape on a frame of a movie."""

KINDS = {"rectangle": 4, "ellipse": 4, "polygon": 4, "path": 4, "line": 2}
"""Kinds of shapes, and how many corners each is given by."""

NOTE = "shapes_drawn"
"""Folder of the files that say that all is compiled: what a child that was ended has compiled is not all."""

PATIENCE = 10
"""Niceness of the child where there is such a thing: the window goes first, and a busy computer does not starve it."""


class FirstUse(QObject):
    """Has what the first shape needs compiled and loaded; what was asked for meanwhile is done then.

    Parameters
    ----------
    say : callable
        Says that something waits.

    Attributes
    ----------
    calm : NoCollections
        Entered while something is loaded.
    """

    _loaded = Signal()

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__()
        self._say, self._waiting = say, []  # type: tuple[Callable[[str], object], list[Callable[[], object]]]
        self.calm = NoCollections()
        self._child: subprocess.Popen[bytes] | None = None
        self.ready = self._closed = False
        self._loaded.connect(self._do_waiting)

    def start(self) -> None:
        """Begin, in a thread; what is compiled on the disk already needs no waiting for."""
        if self._closed:
            return
        self.ready = shapes_compiled()
        Thread(target=self._prepare, args=(self.ready,), name="first use", daemon=True).start()

    def when_ready(self, job: Callable[[], object]) -> None:
        """Do something that needs the first shape: now, or as soon as nothing freezes."""
        if self.ready:
            job()
        else:
            self._waiting = [job]
            self._say("Getting the drawing tools ready; only the first time, for some seconds…")

    def close(self) -> None:
        """End the child; what waits is not done."""
        self._closed, self._waiting = True, []
        self.calm.thaw()
        if self._child is not None:
            self._child.kill()

    def _prepare(self, compiled: bool) -> None:
        if not compiled:
            self._compile()
        if not self._closed:
            with self.calm:
                draw_shapes()
            with suppress(RuntimeError):  # the window may be gone
                self._loaded.emit()

    def _compile(self) -> None:
        self._child = subprocess.Popen([sys.executable, "-c", CODE], stderr=subprocess.DEVNULL)
        with suppress(psutil.Error):  # it may have ended
            _make_patient(psutil.Process(self._child.pid))
        self._child.wait()

    def _do_waiting(self) -> None:
        self.ready, waiting, self._waiting = True, self._waiting, []
        for job in waiting:
            self._say("Ready: draw on the image.")
            job()


def shapes_compiled() -> bool:
    """Whether what the first shape needs lies compiled on the disk, or need not be, or no child can be had."""
    from napari.layers.shapes import _accelerated_triangulate_dispatch as dispatch

    note = _note()
    no_python = not Path(sys.executable).stem.lower().startswith("python")  # in a bundle it would be napari again
    if note is None or no_python:
        return True
    kept = any(Path(dispatch.generate_2D_edge_meshes._cache.cache_path).glob("*.nbi"))
    return kept and note.is_file() and note.stat().st_mtime >= Path(dispatch.__file__).stat().st_mtime


def draw_shapes() -> None:
    """Draw shapes of all kinds where nobody sees them: the first ones compile what they need, or load it."""
    from napari.layers import Shapes

    layer = Shapes(ndim=3)
    for kind, n in KINDS.items():
        layer.add(np.array(SQUARE[:n]), shape_type=kind)
    note = _note()
    if note is not None:
        with suppress(OSError):  # then it is compiled once more the next time
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def _note() -> Path | None:
    """A file of ours which says that numba keeps all in a certain folder; None where numba compiles nothing."""
    from napari.layers.shapes import _accelerated_triangulate_dispatch as dispatch

    kept = getattr(dispatch.generate_2D_edge_meshes, "_cache", None)
    if kept is None:
        return None
    return cache_folder() / NOTE / sha256(str(kept.cache_path).encode()).hexdigest()[:16]


def _make_patient(process: Any) -> None:
    process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else PATIENCE)
