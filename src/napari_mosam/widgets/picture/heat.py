"""Colours of what lies between 0 and 1, in layers and in the legend beside them."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_mosam.widgets.controls.builders import make_note, make_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTHING, LEFT_OUT = 0, 255
"""Values of a layer that are no number between 0 and 1: transparent, and in a colour of its own."""

STEPS = LEFT_OUT - NOTHING - 1
"""Values that are one."""

LEFT_OUT_COLOR = (0.86, 0.15, 0.15, 1.0)
"""Red, which the map of colours has not."""


def encoded(values: "NDArray[Any]", lowest: float = 0.0) -> "NDArray[np.uint8]":
    """Numbers between `lowest` and 1 as values of a layer; NaN as nothing."""
    finite = np.isfinite(values)
    shares = (np.where(finite, values, 0) - lowest) / (1 - lowest)
    levels = 1 + np.round(np.clip(shares, 0, 1) * (STEPS - 1))
    return np.where(finite, levels, NOTHING).astype(np.uint8)


def inside_rims(confidence: "NDArray[np.uint8]", labels: "NDArray[Any]", width: int) -> "NDArray[np.uint8]":
    """Values of a layer for the confidence 0 … 255 of the pixels of a frame (Y, X).

    Nothing on the rims of its cells, so many pixels wide: the colours of the cells below are seen there.
    """
    values = np.where(confidence > 0, 1 + np.round(confidence * ((STEPS - 1) / 255)), NOTHING).astype(np.uint8)
    for _ in range(width):
        down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
        labels = labels.copy()
        for part, differ in (
            *((labels[1:], down), (labels[:-1], down)),
            *((labels[:, 1:], across), (labels[:, :-1], across)),
        ):
            part[differ] = 0
    values[labels == 0] = NOTHING
    return values


@cache
def colors() -> "NDArray[np.float32]":
    """RGBA of the values 0 … 255: viridis, which rises in lightness and is read by colour-blind eyes too."""
    from napari.utils.colormaps import ensure_colormap

    shades = np.asarray(ensure_colormap("viridis").map(np.linspace(0, 1, STEPS)), np.float32)
    return np.concatenate([np.zeros((1, 4), np.float32), shades, np.array([LEFT_OUT_COLOR], np.float32)])


def layer_look() -> dict[str, Any]:
    """Arguments for an image layer of such values, that covers what it lies on and mixes with nothing."""
    from napari.utils.colormaps import Colormap

    own = Colormap(colors(), controls=np.linspace(0, 1, 257), interpolation="zero", name="MoSAM sure")
    return {"colormap": own, "contrast_limits": (0, 255), "blending": "translucent_no_depth", "opacity": 1.0}


def painted(values: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Such values as RGBA, (…, 4)."""
    return np.asarray(np.round(colors()[values] * 255), np.uint8)


class ColorBar(QWidget):
    """The colours, and what they say.

    Parameters
    ----------
    low, high : str
        What the lowest value and 1 mean.
    """

    def __init__(self, low: str, high: str) -> None:
        super().__init__()
        row = np.ascontiguousarray(painted(np.arange(1, 1 + STEPS, dtype=np.uint8))[None])
        picture = QImage(row.data, STEPS, 1, 4 * STEPS, QImage.Format.Format_RGBA8888).copy()
        bar = QLabel()
        bar.setPixmap(QPixmap.fromImage(picture))
        bar.setScaledContents(True)
        bar.setFixedHeight(10)
        bar.setMinimumWidth(40)
        right = QLabel(high)
        right.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.note = make_note()
        self.note.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(bar)
        self.low = QLabel(low)
        column.addLayout(make_row((self.low, 1), right))
        column.addWidget(self.note)

    def say(self, text: str) -> None:
        """Show a line below."""
        self.note.setText(text)
        self.note.setVisible(bool(text))
