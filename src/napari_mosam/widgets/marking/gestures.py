"""Marks that a person drew: which object they are of, with which sign; and what is no mark but a choice."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_mosam.core.prompts.collection import PointPrompt
from napari_mosam.widgets.layers.marks import SCRIBBLES, along, box_at, click_at, marked, recolor, set_features
from napari_mosam.widgets.layers.next_cell import object_boxed, object_meant, object_under
from napari_mosam.widgets.layers.saved_clicks import color_of_sign
from napari_mosam.widgets.layers.source import MovieSource
from napari_mosam.widgets.marking.press import Press, PressWatch

if TYPE_CHECKING:
    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_mosam.widgets.layers.prompts import PromptLayers

DRAGGED = ("rectangle", "ellipse", "line")
"""Kinds of shapes that are drawn with one drag, so that a click alone is no shape."""


class Gestures:
    """Decides about marks as they are drawn.

    Parameters
    ----------
    marks : PromptLayers
        Whose layers they are drawn in, and which has an object in hand.
    shown : callable
        Gives the ids (Y, X) that are shown on a frame, or None.
    diameter : callable
        Gives the diameter of a typical cell, px, or None.
    picked : callable
        Told what was taken in hand; 0 where there is no object.
    """

    def __init__(
        self,
        marks: "PromptLayers",
        shown: "Callable[[int], NDArray[Any] | None]",
        diameter: Callable[[], float | None],
        picked: Callable[[int], object],
    ) -> None:
        self._marks, self._shown, self._diameter, self._picked = marks, shown, diameter, picked
        self._watch = PressWatch()
        self.watch, self.close = self._watch.watch, self._watch.close

    def clicked(self, layer: "Points", rows: Sequence[int]) -> bool:
        """Say what points are that were added; False where they were none."""
        press, marks = self._watch.press, self._marks
        with marks.quietly():
            _onto_planes(layer, rows)
        if press.picks or marks.sign == "pick":
            self._pick(layer, rows[-1])
            return False
        sign = "-" if press.right else marks.sign
        if sign == "+" and len(rows) == 1 and not press.stays:
            self._mean_cell(layer, rows[0])
        set_features(layer, rows, marks.object_id, sign)
        colors = np.array(layer.face_color)
        colors[rows] = color_of_sign(sign)
        layer.face_color = colors
        return True

    def drawn(self, layer: "Shapes", rows: Sequence[int]) -> bool:
        """Say what shapes are that were added; False where one is none."""
        press, row = self._watch.press, rows[-1]
        if press.still and layer.shape_type[row] in DRAGGED:
            set_features(layer, rows, 0, "+")
            QTimer.singleShot(0, partial(self._click_instead, layer, press))  # napari is not done with it
            return False
        set_features(layer, rows, 0, "+")
        source = self._source
        if source is not None:
            self._mean_boxed(source, layer, row)
        set_features(layer, rows, self._marks.object_id, "+")
        recolor(layer)
        return True

    # ---- inside

    @property
    def _source(self) -> MovieSource | None:
        return self._marks.source

    def _mean_cell(self, layer: "Points", row: int) -> None:
        """Take the cell in hand that a click is meant for."""
        source = self._source
        if source is None:
            return
        click = click_at(source, layer, row, self._marks.object_id)
        others = [p for p in self._all(source) if (p.frame, getattr(p, "yx", None)) != (click.frame, click.yx)]
        self._take(object_meant(click, others, self._shown(click.frame), self._diameter()))

    def _mean_boxed(self, source: MovieSource, layer: "Shapes", row: int) -> None:
        """Take the cell in hand that a box or an outline is drawn around, or a scribble on."""
        box = box_at(source, layer, row, self._marks.object_id)
        others, shown = [p for p in self._all(source) if p.object_id], self._shown(box.frame)
        if layer.shape_type[row] in SCRIBBLES:
            ((y, x),) = along(source.to_tyx(layer, layer.data[row])[:, 1:], 1)
            middle = PointPrompt(box.object_id, box.frame, (float(y), float(x)))
            self._take(object_meant(middle, others, shown, self._diameter()))
        else:
            self._take(object_boxed(box, others, shown))

    def _all(self, source: MovieSource) -> "list[Any]":
        return list(marked(self._marks.viewer, source))

    def _take(self, meant: int | None) -> None:
        self._marks.object_id = self._marks.next_id() if meant is None else meant

    def _pick(self, layer: "Points", row: int) -> None:
        """Take the object in hand whose mask, or mark, lies there."""
        marks, source = self._marks, self._source
        assert source is not None
        place = click_at(source, layer, row, marks.object_id)
        marks.drop(layer, {row})
        others = (p for p in self._all(source) if p.frame == place.frame)
        found = object_under(place, others, self._shown(place.frame))
        if found:
            marks.object_id = found
        self._picked(found)

    def _click_instead(self, layer: "Shapes", press: Press) -> None:
        """Click where a shape was to be drawn and the mouse was not moved."""
        rows = [row for row, i in enumerate(layer.features["object_id"]) if i == 0]
        if rows:
            place = layer.data_to_world(np.asarray(layer.data[rows[-1]])[0])
            self._marks.drop(layer, set(rows))
            self._watch.press = press
            self._marks.click(place)
            self._watch.press = Press()


def _onto_planes(layer: "Points", rows: Sequence[int]) -> None:
    """Put points between two planes, as where another layer has finer ones, onto one of them: else both show them."""
    data = np.array(layer.data)
    data[rows, :-2] = np.round(data[rows, :-2])
    if not np.array_equal(data, layer.data):
        layer.data = data
