"""Mark cells in a time-lapse and follow them, mask by mask: SAM 2 video segmentation for microscopy.

Nothing is imported until it is asked for: ``import napari_mosam`` loads neither torch nor napari, and the command
can be stopped with Ctrl-C from its first moment on.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_mosam.core.api import find, import_labels, preview, segment, track
    from napari_mosam.core.api_results import replay, rerun
    from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig, WindowConfig
    from napari_mosam.core.find.proposals import Proposals
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.model.download.model import download_model
    from napari_mosam.core.model.registry import available_models, load_model
    from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompts
    from napari_mosam.core.prompts.files import load_prompts
    from napari_mosam.core.results.frame import FrameResult, ObjectResult
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.sessions import session

    __version__: str

__all__ = [
    "BoxPrompt",
    "EngineConfig",
    "FrameResult",
    "MaskPrompt",
    "MemoryConfig",
    "MotionConfig",
    "Movie",
    "ObjectResult",
    "PointPrompt",
    "Prompts",
    "Proposals",
    "Result",
    "Session",
    "WindowConfig",
    "__version__",
    "available_models",
    "download_model",
    "find",
    "import_labels",
    "load_model",
    "load_prompts",
    "preview",
    "replay",
    "rerun",
    "segment",
    "session",
    "track",
]

_HOME = {
    "core.api": ("find", "import_labels", "preview", "segment", "track"),
    "core.api_results": ("replay", "rerun"),
    "core.config.engine": ("EngineConfig", "MemoryConfig", "MotionConfig", "WindowConfig"),
    "core.find.proposals": ("Proposals",),
    "core.model.download.model": ("download_model",),
    "core.model.registry": ("available_models", "load_model"),
    "core.images.movie": ("Movie",),
    "core.prompts.collection": ("BoxPrompt", "MaskPrompt", "PointPrompt", "Prompts"),
    "core.prompts.files": ("load_prompts",),
    "core.results.frame": ("FrameResult", "ObjectResult"),
    "core.session.session": ("Session",),
    "core.store.result": ("Result",),
    "widgets.sessions": ("session",),
}
_MODULE_OF = {name: f"napari_mosam.{module}" for module, names in _HOME.items() for name in names}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-mosam")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
