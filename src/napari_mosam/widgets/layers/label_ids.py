"""Which ids the labels in the viewer hold, so that a new object never joins an old one."""

from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.layers.mapping import label_frame
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.layers.tags import tag_of

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_mosam.widgets.layers.source import MovieSource


def labels_layers(viewer: Any) -> "list[Labels]":
    """Labels layers of the user and of results."""
    from napari.layers import Labels

    tags = ((layer, tag_of(layer)) for layer in viewer.layers if isinstance(layer, Labels))
    return [layer for layer, tag in tags if tag is None or tag.role == "labels"]


def own_labels(viewer: Any) -> "list[Labels]":
    """Labels layers of the user, and those that are nobody's."""
    return [layer for layer in labels_layers(viewer) if tag_of(layer) is None]


def largest_id(viewer: Any, source: "MovieSource", frame: int) -> int:
    """Largest id in visible labels of the user on a frame of a movie."""
    largest = 0
    for layer in labels_layers(viewer):
        if tag_of(layer) is None and layer.visible:
            try:
                largest = max(largest, int(label_frame(source, layer, frame).max(initial=0)))
            except SourceError:
                continue  # labels of another image
    return largest
