"""Clicks that were saved and opened again, known by the features that napari saves with them; and how clicks look."""

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.source import MovieSource
from napari_mosam.widgets.layers.tags import ROLE, movie_id, put_tag

if TYPE_CHECKING:
    from napari.layers import Image, Layer

POINTS = "points"
MASK = "mask"
"""In place of the sign of a click: a mark that stands for a mask."""

SIGN_COLORS: dict[str, str] = {"+": "#2ecc71", "-": "#ff4b4b", MASK: "#4aa3ff"}


POINT_PX = (0, 40)
"""Least and largest size of a click on the screen, px. napari draws a frame without points as one of size 0 in a
corner, which a least size would show."""


def know_again(viewer: Any, image: "Image") -> None:
    """Make clicks of ours that were opened from a file those of a movie."""
    for layer in [layer for layer in viewer.layers if _was_saved(layer) and layer.ndim == image.ndim]:
        _lay_onto(layer, MovieSource.from_layer(image, viewer.dims.point))
        layer.text = id_text()
        layer.face_color = np.array([color_of_sign(sign) for sign in layer.features["sign"]])
        put_tag(layer, POINTS, movie_id(image))


def _was_saved(layer: "Layer") -> bool:
    """Whether it has the features of our clicks and was never a layer of any movie; copies of layers have a tag."""
    features = getattr(layer, "features", {})
    if ROLE in layer.metadata or not {"object_id", "sign"} <= set(features) or hasattr(layer, "shape_type"):
        return False
    return len(features) > 0 and set(features["sign"]) <= {"+", "-"} and features["object_id"].dtype.kind in "iu"


def _lay_onto(layer: Any, source: MovieSource) -> None:
    """Place clicks on the movie; a file holds places in pixels of the image, and no transforms."""
    if np.allclose(layer.scale, 1) and not np.any(layer.translate):
        for name, value in source.placement().items():
            setattr(layer, name, value)


def color_of_sign(sign: str) -> list[float]:
    """RGBA of a click."""
    color = SIGN_COLORS[sign]
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] + [1.0]


def id_text() -> dict[str, Any]:
    """How the id of an object is written beside its marks."""
    return {"string": "{object_id}", "size": 10, "color": "white", "anchor": "upper_left"}
