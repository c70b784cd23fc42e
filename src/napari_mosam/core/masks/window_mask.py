"""A mask as the model gives it: logits over a window, and the frame pixels it stands for."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_mosam.core.masks.region import Region
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class WindowMask:
    """One mask of one object.

    Attributes
    ----------
    logits : Tensor, shape (s, s)
    window : Window
        Where they lie.
    region : Region or None
        The frame pixels of the mask; None where it has none.
    """

    logits: "Tensor"
    window: Window
    region: Region | None

    @property
    def center_yx(self) -> tuple[float, float]:
        """Centre of the pixels' box, or of the window where there are none."""
        return self.region.center_yx if self.region is not None else self.window.center_yx

    def window_at(self, center_yx: tuple[float, float]) -> Window:
        """The window of the same mask moved to another centre."""
        y, x = (w + new - old for w, new, old in zip(self.window.center_yx, center_yx, self.center_yx, strict=True))
        return replace(self.window, center_yx=(y, x))
