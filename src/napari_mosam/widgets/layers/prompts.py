"""The Points and Shapes layers in which the user marks objects, and their conversion to prompts."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, Prompts
from napari_mosam.core.prompts.kinds import label_masks
from napari_mosam.widgets.layers.mapping import OffFrameError, label_frame
from napari_mosam.widgets.layers.marks import (
    BOXES,
    FILLED,
    SCRIBBLES,
    apply,
    forget_masks,
    layers_of,
    mark_masks,
    marked,
    masks_of,
    new_layer,
)
from napari_mosam.widgets.layers.outputs import Later, at_once
from napari_mosam.widgets.layers.saved_clicks import MASK, POINTS, know_again
from napari_mosam.widgets.layers.source import MovieSource, SourceError
from napari_mosam.widgets.layers.tags import Tag, movie_id, tag_of
from napari_mosam.widgets.marking.gestures import Gestures

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Points, Shapes
    from numpy.typing import NDArray

Sign = Literal["+", "-", "pick"]


class PromptLayers:
    """Prompts of all kinds of one viewer; each belongs to one movie (image layer) and never runs on another.

    Clicks and boxes lie in layers of their movie, masks in the metadata of its image, so that all of them outlive the
    widget. Properties and tools are about the movie given to :meth:`show_movie` last.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers live; they are made when first needed.
    on_change : callable
        Called after the user has added, moved or deleted a prompt.
    on_mode : callable
        Called after the user has taken another tool in a prompt layer.
    max_label : callable
        Largest id in the results, so that a new object never joins an old one.
    shown, diameter, picked : callable
        See :class:`Gestures`.
    later : callable
        See :func:`insert_layer`.

    Attributes
    ----------
    changed : bool
        Whether the user changed marks; whoever takes notice sets it back.
    """

    def __init__(
        self,
        viewer: Any,
        on_change: Callable[[], None],
        on_mode: Callable[..., None],
        max_label: Callable[[], int],
        shown: "Callable[[int], NDArray[Any] | None]" = lambda _: None,
        diameter: Callable[[], float | None] = lambda: None,
        picked: Callable[[int], object] = lambda _: None,
        later: Later = at_once,
    ) -> None:
        self.viewer, self._later = viewer, later
        self._on_change = on_change
        self._on_mode = on_mode
        self._max_label = max_label
        self._gestures = Gestures(self, shown, diameter, picked)
        self._n_shapes = 0
        self._image: Image | None = None
        self._object_ids: dict[str, int] = {}
        self._put_away: set[str] = set()
        self.sign: Sign = "+"
        self._links: list[tuple[Any, Callable[..., None]]] = []
        self._quiet = False
        self.changed = False

    def show_movie(self, image: "Image | None") -> None:
        """Show and use the marks of this movie, and put those of the others away."""
        self._image = image
        self.adopt()
        if image is None:
            return
        mine = movie_id(image)
        for layer in self._layers():
            self._put_away_or_back(layer, _tag(layer).movie == mine)
        self._on_change()

    def adopt(self) -> None:
        """Take over the layers of marks that are in the viewer: of an earlier widget, put back, or saved and opened."""
        if self._image is not None:
            know_again(self.viewer, self._image)
        for layer in self._layers():
            self._listen(layer)

    def moved(self, event: Any) -> None:
        """A layer was removed, or put back, and its marks with it."""
        tag = tag_of(event.value)
        self.changed |= not self._quiet and tag is not None and tag.role in (POINTS, BOXES) and tag.movie == self._movie

    @property
    def object_id(self) -> int:
        """The object that the next mark belongs to; at first a new one, where a movie comes with marks or results."""
        movie = self._movie
        if movie not in self._object_ids:
            tags = (tag_of(layer) for layer in self.viewer.layers)
            known = self._masks() or any(tag is not None and tag.movie == movie for tag in tags)
            self._object_ids[movie] = self.next_id() if known else 1
        return self._object_ids[movie]

    @object_id.setter
    def object_id(self, object_id: int) -> None:
        self._object_ids[self._movie] = object_id

    def close(self) -> None:
        """Leave the layers alone, so that another widget can take them over."""
        for emitter, slot in self._links:
            emitter.disconnect(slot)
        self._links.clear()
        self._gestures.close()

    @property
    def points(self) -> "Points | None":
        """The layer of clicks, if there is one."""
        return self._find(POINTS)

    @property
    def shapes(self) -> "Shapes | None":
        """The layer of boxes and outlines, if there is one."""
        return self._find(BOXES)

    def use_points(self, source: MovieSource, sign: Sign) -> None:
        """Let the next clicks on the canvas add points of `sign` to the current object."""
        self.sign = sign
        self._activate(self._layer_for(source, POINTS), "add")

    def use_again(self, source: MovieSource) -> None:
        """Keep the tool in hand for the next object; take that of boxes where there is none."""
        layer: Any = self.viewer.layers.selection.active
        if layer is None or layer not in (self.points, self.shapes) or not str(layer.mode).startswith("add"):
            self.use_boxes(source)
            return
        self.sign, layer.selected_data = "+", set()

    def click(self, world: "NDArray[Any]") -> None:
        """Add a click of the tool in hand at a point of the world."""
        source = self.source
        if source is not None:
            with self.quietly():
                layer = self._layer_for(source, POINTS)
            layer.add(np.asarray(layer.world_to_data(world)))

    def drop(self, layer: Any, rows: set[int]) -> None:
        """Take marks out that are none."""
        with self.quietly():
            layer.selected_data = rows
            layer.remove_selected()

    def use_boxes(self, source: MovieSource) -> None:
        """Let the next drag on the canvas draw a box."""
        self._activate(self._layer_for(source, BOXES), "add_rectangle")

    def ids(self) -> set[int]:
        """Every object id that has a prompt."""
        drawn = (layer.features["object_id"] for layer in self._drawn())
        return ({int(i) for column in drawn for i in column if i > 0}) | {mask.object_id for mask in self._masks()}

    def next_id(self) -> int:
        """An id that neither a prompt nor a result has."""
        return max(self.ids() | {self._max_label()}, default=0) + 1

    def counts(self) -> dict[str, int]:
        """Number of boxes, outlines, scribbles, clicks and masks."""
        kinds = [kind for layer in layers_of(self.viewer, BOXES, self._image) for kind in layer.shape_type]
        n_outlines, n_scribbles = (sum(kind in which for kind in kinds) for which in (FILLED, SCRIBBLES))
        points = layers_of(self.viewer, POINTS, self._image)
        n_clicks = sum(sign != MASK for layer in points for sign in layer.features["sign"])
        return {
            "box": len(kinds) - n_outlines - n_scribbles,
            "outline": n_outlines,
            "scribble": n_scribbles,
            "click": n_clicks,
            "mask": len(self._masks()),
        }

    def seed(self, source: MovieSource, labels: "Labels", frames: Iterable[int], *, first: bool = False) -> list[int]:
        """Make every id which `labels` shows on these frames a mask prompt; returns the ids.

        Parameters
        ----------
        source : MovieSource
        labels : napari.layers.Labels
        frames : iterable of int
        first : bool
            Of each object only the first of the frames on which it is.

        Raises
        ------
        SourceError
            If the labels lie on none of the frames, or show nothing there; see :func:`label_frame`.
        PromptError
            For negative ids.
        """
        masks: dict[tuple[int, int], MaskPrompt] = {}
        known: set[int] = set()
        asked = list(frames)
        for t in asked:
            shown = [m for m in _masks_on(source, labels, t, alone=len(asked) == 1) if m.object_id not in known]
            known |= {mask.object_id for mask in shown} if first else set()
            masks |= {(mask.object_id, t): mask for mask in shown}
        if not masks:
            where = f"frame {asked[0]}" if len(asked) == 1 else "any frame"
            raise SourceError(f"'{labels.name}' has no object on {where}; go to a frame where cells are painted")
        masks_of(source.image).update(masks)
        with self.quietly():
            mark_masks(self.viewer, source, partial(self._layer_for, source))
        self.changed = True
        self._on_change()
        return sorted({object_id for object_id, _ in masks})

    def clear(self) -> None:
        """Remove every prompt of the movie; results stay."""
        for layer in self._drawn():
            if len(layer.data):
                layer.selected_data = set(range(len(layer.data)))
                layer.remove_selected()
        self._on_change()

    def prompts(self, source: MovieSource, only: int | None = None) -> Prompts:
        """All prompts that lie on the movie, or those of the object `only`; a request checks them."""
        items = marked(self.viewer, source)
        return Prompts(item for item in items if only in (None, item.object_id))

    def apply(self, source: MovieSource, wanted: Prompts, again: Callable[[], object] | None = None) -> bool:
        """Let the layers hold these marks, and tell nobody but of the end.

        False where two layers are wanting: one has been added then, and `again` will be called in a later turn. Without
        it both are added at once.
        """
        if self.prompts(source) == wanted:
            return True
        roles = {BOXES if isinstance(mark, BoxPrompt) else POINTS for mark in wanted}
        missing = [role for role in sorted(roles) if self._find(role) is None]
        with self.quietly():
            if len(missing) > 1 and again is not None:
                self._layer_for(source, missing[0])
                self._later(again)
                return False
            apply(self.viewer, source, wanted, partial(self._layer_for, source))
        self._on_change()
        return True

    @property
    def source(self) -> MovieSource | None:
        """The movie that is marked."""
        return None if self._image is None else MovieSource.from_layer(self._image, self.viewer.dims.point)

    @property
    def _movie(self) -> str:
        return "" if self._image is None else movie_id(self._image)

    def _find(self, role: str) -> Any:
        return next(iter(layers_of(self.viewer, role, self._image)), None)

    def _drawn(self) -> list[Any]:
        return [*layers_of(self.viewer, POINTS, self._image), *layers_of(self.viewer, BOXES, self._image)]

    def _layers(self) -> "list[Layer]":
        """Layers of clicks and boxes, of every movie."""
        tags = ((layer, tag_of(layer)) for layer in self.viewer.layers)
        return [layer for layer, tag in tags if tag is not None and tag.role in (POINTS, BOXES)]

    def _masks(self) -> list[MaskPrompt]:
        return [] if self._image is None else list(masks_of(self._image).values())

    def _put_away_or_back(self, layer: "Layer", mine: bool) -> None:
        """Hide the marks of another movie; what the user hid stays hidden."""
        key = movie_id(layer)
        if mine and key in self._put_away:
            self._put_away.remove(key)
            layer.visible = True
        elif not mine and layer.visible:
            self._put_away.add(key)
            layer.visible = False
            layer.mode = "pan_zoom"

    def _fits(self, layer: Any, source: MovieSource) -> bool:
        if layer is not None and layer.ndim < source.image.ndim:
            raise SourceError(
                f"'{layer.name}' was made for an image with fewer axes than '{source.image.name}'; "
                f"remove the layer '{layer.name}' first"
            )
        return layer is not None

    def _layer_for(self, source: MovieSource, role: str) -> Any:
        """The layer in which marks of a kind are drawn."""
        known = self._find(role)
        if self._fits(known, source):
            return known
        return new_layer(self.viewer, source, role, seen=not self._quiet, later=self._later)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Marks that the program makes and not the user."""
        active, quiet, self._quiet = self.viewer.layers.selection.active, self._quiet, True
        try:
            yield
        finally:
            self._quiet = quiet
            if active is None or active in self.viewer.layers:
                self.viewer.layers.selection.active = active

    def _activate(self, layer: Any, mode: str) -> None:
        self._listen(layer)
        layer.visible = True
        layer.selected_data = set()
        self.viewer.layers.selection.active = layer
        layer.mode = mode

    def _listen(self, layer: "Layer") -> None:
        on_data = self._on_points if _tag(layer).role == POINTS else self._on_shapes
        new = [(layer.events.data, on_data), (layer.events.mode, self._on_mode)]
        for emitter, slot in new:
            emitter.connect(slot)  # once, however often it is asked for
        self._links += [link for link in new if link not in self._links]
        self._gestures.watch(layer)

    def _on_points(self, event: Any) -> None:
        if self._quiet:
            return
        if event.action == "removed" and self.source is not None:
            forget_masks(self.viewer, self.source)
        if event.action == "added" and not self._gestures.clicked(event.source, _rows(event)):
            return
        self._report(event)

    def _on_shapes(self, event: Any) -> None:
        if self._quiet:
            return
        layer = event.source
        if event.action == "adding":
            self._n_shapes = layer.nshapes
        if event.action == "added" and (
            layer.nshapes == self._n_shapes  # an outline of two corners, which napari has dropped
            or not self._gestures.drawn(layer, _rows(event))
        ):
            return
        self._report(event)

    def _report(self, event: Any) -> None:
        if event.action in ("added", "removed", "changed"):
            self.changed = True
            self._on_change()


def _masks_on(source: MovieSource, labels: "Labels", t: int, *, alone: bool) -> list[MaskPrompt]:
    """The masks of a frame; labels may end before the movie does, where more than one frame is asked for."""
    try:
        return label_masks(label_frame(source, labels, t), t)
    except OffFrameError:
        if alone:
            raise
        return []


def _tag(layer: "Layer") -> Tag:
    tag = tag_of(layer)
    assert tag is not None, f"{layer.name} is no layer of marks"
    return tag


def _rows(event: Any) -> list[int]:
    n = len(event.source.data)
    return [i % n for i in event.data_indices]
