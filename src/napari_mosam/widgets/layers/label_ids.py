"""Which ids the labels in the viewer hold, so that a new object never joins an old one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.mapping import label_frame
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.layers.tags import movie_id, tag_of

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from napari_mosam.widgets.layers.source import MovieSource

SEEN = "napari-mosam largest id"


class LabelIds:
    """Ids in the labels of one viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the labels are.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer

    @property
    def layers(self) -> "list[Labels]":
        """Labels layers of the user and of runs."""
        from napari.layers import Labels

        labels = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        return [layer for layer in labels if _role(layer) != "preview"]

    def watch(self, layer: "Labels", ids: Iterable[int] = ()) -> None:
        """Remember ids that a run writes into `layer`, and those that the user will paint there."""
        layer.metadata[SEEN] = max(layer.metadata.get(SEEN, 0), *ids, 0)
        layer.events.paint.connect(_painted)

    def largest(self, source: "MovieSource", frame: int) -> int:
        """Largest id that runs and strokes left in results of the movie, and in visible labels on a frame."""
        largest = 0
        for layer in self.layers:
            tag = tag_of(layer)
            if tag is not None and tag.movie != movie_id(source.image):
                continue
            largest = max(largest, layer.metadata.get(SEEN, 0) if tag is not None else 0)
            try:
                shown = label_frame(source, layer, frame) if layer.visible else np.zeros(0)
            except SourceError:
                continue  # labels of another image
            largest = max(largest, int(shown.max(initial=0)))
        return largest


def _role(layer: "Layer") -> str:
    tag = tag_of(layer)
    return "" if tag is None else tag.role


def _painted(event: Any) -> None:
    metadata = event.source.metadata
    metadata[SEEN] = max(metadata[SEEN], int(event.source.selected_label))
