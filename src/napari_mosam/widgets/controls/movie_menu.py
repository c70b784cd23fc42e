"""Which movie is chosen: the image that the user looks at, and whether it can be seen."""

from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QLabel

from napari_mosam.core.config.run import MovieConfig
from napari_mosam.widgets.layers.tags import RESULT, ROLE, movie_id, tag_of
from napari_mosam.widgets.support import ViewerLink

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_mosam.core.config.run import Limits
    from napari_mosam.core.images.grey.limits import GreyLimits
    from napari_mosam.widgets.controls.builders import LayerCombo

ROLES = ("t", "c", "z")
"""Names of axes before the last two."""

WORDS = {"t": "time", "c": "channels", "z": "z planes"}

OPAQUE = ("opaque", "translucent", "translucent_no_depth")


class AxesMenu(QComboBox):
    """A menu of what the axes before the last two can be; only in sight where there is more than one.

    What is chosen become the names of the axes of the image, which its sliders show. Channel and plane are those that
    the viewer shows.

    Parameters
    ----------
    movies : LayerCombo
        The menu of movies.
    """

    def __init__(self, movies: "LayerCombo") -> None:
        super().__init__()
        self._movies = movies
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setToolTip(
            "Which axis is time. Channel and z plane are those that the viewer shows: move their sliders to choose."
        )
        self.activated.connect(self._choose)
        self.hide()

    def update_axes(self, axes: str) -> None:
        """Show how the axes of the chosen movie are read, such as 'TCYX'; '' where there is none."""
        image, leading = self._movies.layer, axes.lower().partition("yx")[0]
        self.clear()
        self.setVisible(image is not None and len(leading) > 1)
        self.setEnabled(self._movies.isEnabled())
        for roles in permutations(ROLES, len(leading)):
            self.addItem(" · ".join(WORDS[role] for role in roles), "".join(roles))
        self.setCurrentIndex(max(self.findData(leading), 0))

    def _choose(self, row: int) -> None:
        image = self._movies.layer
        if image is not None:
            image.axis_labels = (*self.itemData(row), *image.axis_labels[-2:])


LINK = "#3d85e0"
"""Read on napari's dark and on its light grey; Qt's own blue is not on the dark one."""


class LimitsNote(QLabel):
    """Says between which grey values the network sees the movie, with a link to where they are typed."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setToolTip(
            "What is darker than the first is black to the network, what is brighter than the second white."
        )
        self.hide()

    def say(self, limits: "GreyLimits | None", typed: "Limits", *, possible: bool = True) -> None:
        """Say it of limits that are known, or not yet, and of what was typed, or asked for, instead."""
        if not possible:
            said = "The grey limits that were typed are not possible"
        elif isinstance(typed, tuple):
            said = f"Seen from {typed[0]:.6g} to {typed[1]:.6g}, as typed"
        elif limits is not None:
            said = f"Seen from {limits.low:.6g} to {limits.high:.6g}"
        else:
            said = f"Grey limits: {typed or 'automatic'}, known with the first outline"
        note = "" if limits is None or isinstance(typed, tuple) else limits.note().partition(": ")[2]
        words = [f"{said} (<a href='limits' style='color: {LINK}'>change</a>)", note[:1].upper() + note[1:]]
        self.setText(". ".join(filter(None, words)))


def typed_limits(low: str, high: str) -> "Limits":
    """The grey limits of two boxes; None where both are empty.

    Raises
    ------
    ValueError
        For limits that cannot be.
    """
    if not low and not high:
        return None
    try:
        return MovieConfig(limits=(float(low), float(high))).limits
    except ValueError as error:
        raise ValueError(
            f"grey limits '{low}' to '{high}' are not possible; give two numbers, a dark and a brighter value, or "
            "leave both empty"
        ) from error


class MovieMenu:
    """Keeps the menu of movies on the image that is selected, or alone visible, in the layer list.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the images are.
    menu : LayerCombo
        The menu.
    is_busy : callable
        Whether a run is going: its movie stays chosen.
    on_sight : callable
        Called when an image is shown, hidden or made transparent.
    """

    def __init__(
        self, viewer: Any, menu: "LayerCombo", is_busy: Callable[[], bool], on_sight: Callable[[], None]
    ) -> None:
        self._viewer, self._menu, self._is_busy, self._on_sight = viewer, menu, is_busy, on_sight
        self._images: list[Image] = []
        self._link = ViewerLink(viewer)

    def refresh(self, *_: Any) -> None:
        """Offer the images of the viewer; where the chosen one is gone, choose another that the user sees."""
        from napari.layers import Image

        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        self._images = [i for i in images if not {ROLE, RESULT} & i.metadata.keys() and i.ndim >= 2]
        self._link.close()
        emitters = [e for i in self._images for e in (i.events.visible, i.events.opacity, i.events.blending)]
        names = (self._viewer.dims.events.axis_labels, self._sliders_named)
        self._link = ViewerLink(self._viewer, [names, *((emitter, self._sight_changed) for emitter in emitters)])
        visible = [image for image in self._images if image.visible]
        self._menu.set_layers(self._images, self._active() or (visible or self._images or [None])[-1])

    def follow_active(self, *_: Any) -> None:
        """Choose the movie whose image, marks or result is selected in the layer list."""
        image = self._active()
        if image is not None and not self._is_busy():
            self._menu.layer = image

    def _sliders_named(self, *_: Any) -> None:
        """Axes without names of their own have those that the user gave the sliders."""
        names = tuple(self._viewer.dims.axis_labels)
        for image in self._images:
            own = tuple(str(-axis) for axis in range(image.ndim, 0, -1))
            if image.ndim == len(names) and tuple(image.axis_labels) == own != names:
                image.axis_labels = names

    def close(self) -> None:
        """Leave the images alone."""
        self._link.close()

    def caveat(self) -> str:
        """Says that the chosen movie cannot be seen; '' where it can."""
        image = self._menu.layer
        if image is None or image not in self._viewer.layers:
            return ""
        if not image.visible or not image.opacity:
            return f'Runs on "{image.name}", which is hidden.'
        cover = self._cover(image)
        return "" if cover is None else f'Runs on "{image.name}", which "{cover.name}" covers.'

    def _active(self) -> "Image | None":
        layer = self._viewer.layers.selection.active
        tag = None if layer is None else tag_of(layer)
        mine = (i for i in self._images if i == layer or (tag is not None and tag.movie == movie_id(i)))
        return next(mine, None)  # not 'is': what napari gives a plugin's dock is wrapped

    def _sight_changed(self, event: Any) -> None:
        """Choose the selected image when it is shown again, else the only one that is visible."""
        visible, active = [image for image in self._images if image.visible], self._active()
        again = event.type == "visible" and event.source == active and active in visible
        shown = active if again else visible[0] if len(visible) == 1 else None
        if shown is not None and not self._is_busy():
            self._menu.layer = shown
        self._on_sight()

    def _cover(self, image: "Layer") -> "Image | None":
        """The topmost image that hides all of `image` at the place where the viewer stands."""
        layers = list(self._viewer.layers)
        above = [layer for layer in layers[layers.index(image) + 1 :] if layer in self._images]
        opaque = (o for o in reversed(above) if o.visible and o.opacity >= 1 and str(o.blending) in OPAQUE)
        return next((other for other in opaque if _covers(other, image, self._viewer.dims)), None)


def _covers(other: "Layer", image: "Layer", dims: Any) -> bool:
    """Whether the extent of `other` holds that of `image` in the displayed axes, and the point shown in the rest."""
    if dims.ndisplay != 2:
        return False
    for axis in range(dims.ndim):
        own, its = axis - dims.ndim + image.ndim, axis - dims.ndim + other.ndim
        if its < 0 or own < 0:
            continue  # a layer with fewer axes is there at every place of the others
        low, high = other.extent.world[:, its]
        half = abs(other.extent.step[its]) / 2
        wanted = image.extent.world[:, own] if axis in dims.displayed else np.array([dims.point[axis]] * 2)
        if wanted[0] < low - half or wanted[1] > high + half:
            return False
    return True
