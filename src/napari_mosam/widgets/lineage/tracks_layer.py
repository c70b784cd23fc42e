"""Where the objects of a result were, as a Tracks layer of napari with their kin, and its switch."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox

from napari_mosam.core.lineage.tree import TrackTable
from napari_mosam.widgets.layers.outputs import find_output, insert_layer
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.layers.tags import layer_name, movie_id, put_tag
from napari_mosam.widgets.picture.colors import object_color

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.support import Reporting
    from napari_mosam.widgets.widget import MosamWidget

ROLE = "tracks"


class TracksOutput:
    """The layer of tracks of a movie; found again where it is there."""

    def __init__(self, viewer: Any, source: "MovieSource") -> None:
        self._viewer, self._source = viewer, source

    @property
    def layer(self) -> Any:
        """The layer; None where it is not shown."""
        return find_output(self._viewer, ROLE, self._source)

    def show(self, table: TrackTable, colors: "Mapping[int, int]") -> None:
        """Show tracks: data, features and graph together, since napari forgets the last two with new data."""
        if not len(table.ids):
            self.remove()
            return
        layer, features = self.layer, {"object": table.ids, "color": _ranks(table)}
        data = np.column_stack([table.ids, self._coordinates(table)])
        if layer is None:
            layer = self._new_layer(data, features, table)
        else:
            layer.color_by, layer.graph = "track_id", {}
            layer.data = data
            layer.features = features
            layer.graph = table.graph
        layer.colormaps_dict = {**layer.colormaps_dict, "color": _colormap(table, colors)}
        layer.color_by = "color"

    def remove(self) -> None:
        """Take the layer away."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _coordinates(self, table: TrackTable) -> Any:
        """Places (P, D) in coordinates of the image."""
        corner = np.asarray(self._source.corner(), float)
        places = np.tile(corner, (len(table.ids), 1))
        places[:, self._source.time_axis] = table.frames
        places[:, -2:] = table.yx
        return places

    def _new_layer(self, data: Any, features: "Mapping[str, Any]", table: TrackTable) -> Any:
        from napari.layers import Tracks

        source = self._source
        layer = Tracks(
            data,
            features=features,
            graph=table.graph,
            name=layer_name(self._viewer, "MoSAM tracks", ROLE, source.image),
            tail_width=3,
            tail_length=max(10, source.shape[0]),
            **source.placement(),
        )
        put_tag(layer, ROLE, movie_id(source.image), source.plane)
        return insert_layer(self._viewer, layer, on_top=True)


class TracksSwitch:
    """Has the layer, or not, and draws it anew whenever the result is another; off, it costs nothing."""

    def __init__(self, dock: "MosamWidget", reporting: "Reporting") -> None:
        self._dock, self._reporting = dock, reporting
        self._shown: tuple[Result, dict[int, int]] | None = None
        self._drawn = False
        self.box = QCheckBox("Tracks layer")
        self.box.setToolTip("Draw where every cell was, with its daughters, as a Tracks layer of napari.")
        self.box.toggled.connect(self._toggled)
        dock.pages.listeners.append(self._sync)

    def close(self) -> None:
        """Follow the result no longer; the layer stays, as the labels do."""
        if self._sync in self._dock.pages.listeners:
            self._dock.pages.listeners.remove(self._sync)

    def _toggled(self, wanted: bool) -> None:
        self._shown, self._drawn = None, False
        with self._reporting:
            source = self._dock.source
            if not wanted:
                TracksOutput(self._dock.viewer, source).remove()
            elif source.time_axis != 0 or source.shape[0] < 2:
                self.box.setChecked(False)
                raise SourceError("a Tracks layer needs a movie whose first axis is time")
        self._sync()

    def _sync(self) -> None:
        view = self._dock.jobs.view
        if not self.box.isChecked() or view is None:
            return
        result, shown = view.session.result, self._shown
        output = TracksOutput(self._dock.viewer, view.source)
        if self._drawn and output.layer is None:
            self.box.setChecked(False)  # somebody removed the layer
        elif result is None:
            self._shown, self._drawn = None, False
            output.remove()
        elif shown is None or result is not shown[0] or view.colors != shown[1]:
            self._shown = result, dict(view.colors)
            self._dock.jobs.background(partial(_tracks, result), partial(self._read, self._shown))

    def _read(self, wanted: "tuple[Result, dict[int, int]]", outcome: "JobEnd") -> None:
        view = self._dock.jobs.view
        if outcome.error is not None:
            self._dock.controls.say(f"The tracks cannot be drawn: {outcome.error}", error=True)
        elif wanted is self._shown and view is not None:
            output = TracksOutput(self._dock.viewer, view.source)
            output.show(outcome.value, wanted[1])
            self._drawn = output.layer is not None


def _tracks(result: "Result") -> TrackTable:
    return TrackTable.of(result.object_ids, result.places(), result.parents)


def _ranks(table: TrackTable) -> Any:
    """A number in [0, 1] for each object, the middle of its part of the map of colours."""
    _, rank = np.unique(table.ids, return_inverse=True)
    return (rank + 0.5) / (rank.max() + 1)


def _colormap(table: TrackTable, others: "Mapping[int, int]") -> Any:
    """The colours of the labels."""
    from napari.utils.colormaps import Colormap

    ids = np.unique(table.ids).tolist()
    colors = np.array([object_color(i, others) for i in ids])
    return Colormap(colors, controls=np.linspace(0, 1, len(ids) + 1), interpolation="zero", name="MoSAM objects")
