"""Work in threads beside a window that stays alive: it asks for the interpreter often, and waits for it shortly."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_mosam.widgets.sessions.threads import do_once

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_mosam.widgets.engine import Engine
    from napari_mosam.widgets.sessions.threads import GuiThread

SWITCH_S = 0.0005
"""How long a thread keeps the interpreter while another asks for it; Python's own 5 ms, once for each of the 100 calls
of OpenGL of a picture, are half a second."""

LIBRARIES = ("libtorch_global_deps", "libtorch_python")
"""What torch loads first, in its order."""


class ShortTurns:
    """Lets threads take turns often, until it is closed; several docks may each have one."""

    def __init__(self) -> None:
        self._before = sys.getswitchinterval()
        sys.setswitchinterval(min(self._before, SWITCH_S))

    def close(self) -> None:
        """As it was before, unless somebody else has changed it since."""
        if self._before > SWITCH_S and sys.getswitchinterval() <= SWITCH_S:
            sys.setswitchinterval(self._before)


class NoCollections:
    """Many imports without collections of garbage, of which each stops all threads for .2 s or more and finds none.

    A context for several threads at a time; collections go on after the last. What is there then is garbage only once
    the user takes something away: until :meth:`thaw`, collections do not look through it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._wanted, self._frozen = Lock(), 0, False, False

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._wanted = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            if not gc.get_freeze_count():  # else somebody else decides about it
                gc.freeze()
                self._frozen = True
            if self._wanted:
                gc.enable()

    def thaw(self) -> None:
        """Let collections look through everything again."""
        if self._frozen:
            self._frozen = False
            gc.unfreeze()


def load_torch_library() -> None:
    """Load the library of torch without the interpreter, which an import would keep for .3 s; torch may be absent."""
    found = find_spec("torch")
    if os.name != "posix" or found is None or found.origin is None or "torch" in sys.modules:
        return
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    for name, scope in zip(LIBRARIES, (os.RTLD_GLOBAL, os.RTLD_LOCAL), strict=True):
        load(bytes(Path(found.origin).parent / "lib" / f"{name}{suffix}"), os.RTLD_NOW | scope)


def look_around(
    dock: "QObject", engine: "Engine", calm: NoCollections, gui: "GuiThread", on_found: Callable[[Any], object]
) -> None:
    """Import what a run needs, and list models and devices, while the user looks at the dock, which is drawn first.

    Nothing new is begun once `gui` is closed; Python waits for what is going before it ends: a library that is loaded
    into a process that ends would bring it down.
    """

    def look() -> Any:
        with calm:
            models = engine.models()
            if gui.closed:
                return None
            load_torch_library()
            devices = engine.devices()
            if not gui.closed:
                engine.warm_up()
        return models, devices

    once_drawn(dock, lambda: do_once("MoSAM look", gui, look, lambda end: end.value and on_found(end.value)))


def once_drawn(dock: "QObject", job: Callable[[], object]) -> None:
    """Do something as soon as what is being shown has been drawn, if the dock is there still."""
    timer = QTimer(dock)  # Qt draws before it lets a timer fire
    timer.setSingleShot(True)
    timer.timeout.connect(job)
    timer.start(1)
