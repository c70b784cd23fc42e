"""The napari side: controls -> settings -> worker -> layers. Nothing here is imported by the engine."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mosam.widgets.widget import MosamWidget

__all__ = ["MosamWidget"]


def __getattr__(name: str) -> Any:
    if name == "MosamWidget":
        from napari_mosam.widgets.widget import MosamWidget

        return MosamWidget
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
