"""Numbers, or names, drawn on the objects of the frame that is shown: part of the labels layer, and no layer."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari._vispy.overlays.base import LayerOverlayMixin, VispySceneOverlay
from napari._vispy.utils.visual import overlay_to_visual
from napari._vispy.visuals.text import Text
from napari.components.overlays import SceneOverlay
from napari.layers.base._base_constants import Blending

if TYPE_CHECKING:
    from napari.layers import Labels

OVERLAY = "napari-mosam numbers"
"""Under which a labels layer has it."""

FONT_PT = 10
"""As the numbers beside marks; smaller ones cannot be read beside an image."""

HALO = 0.25
"""From which level of the font's distance field on the dark edge of a number is drawn; the number itself from .5.
By eye: wide enough to be read on white, and hides little."""

FAR = -1e7
"""Where the numbers are of objects which the frame does not have: writing other texts costs more than moving them."""

Places = Mapping[int, tuple[float, float]]
"""Middle (y, x) of each object that a frame has, px."""


class NumbersOverlay(SceneOverlay):
    """Texts on a layer.

    Attributes
    ----------
    texts : tuple of str
    places : tuple of (float, float)
        Of each, (y, x) in px of the layer.
    """

    blending: Blending = Blending.TRANSLUCENT_NO_DEPTH
    texts: tuple[str, ...] = ()
    places: tuple[tuple[float, float], ...] = ()


class _Outlined(Text):
    """A text with dark edges, drawn at once: two texts would take twice as long to write."""

    _shaders: ClassVar[dict[str, str]] = {
        **Text._shaders,
        "fragment": Text._shaders["fragment"]
        .replace("center = 0.5", f"center = {HALO}")
        .replace("vec4(v_color.rgb,", "vec4(v_color.rgb * smoothstep(0.5 - width, 0.5 + width, distance),"),
    }


class NumbersVisual(LayerOverlayMixin, VispySceneOverlay):
    """Draws a :class:`NumbersOverlay`, in white with dark edges; in 2-D views of the layer's last two axes alone."""

    overlay: NumbersOverlay

    def __init__(self, **given: Any) -> None:
        node = _Outlined(color="white", font_size=FONT_PT, font_info=given["font_info"])
        super().__init__(node=node, **given)
        self.overlay.events.texts.connect(self._write)
        self.overlay.events.places.connect(self._move)
        self.layer.events.set_data.connect(self._on_visible_change)  # other axes may be displayed now
        self.reset()

    def _should_be_visible(self) -> bool:
        displayed = tuple(self.layer._slice_input.displayed)
        flat = displayed == (self.layer.ndim - 2, self.layer.ndim - 1)
        return bool(self.overlay.visible and self.layer.visible and self.overlay.texts and flat)

    def _write(self) -> None:
        self.node.text = list(self.overlay.texts)
        self._move()

    def _move(self) -> None:
        self._on_visible_change()
        if self.overlay.texts:
            step = np.asarray(self.layer._transforms["tile2data"].scale)[-2:]  # of a layer that is shown smaller
            self.node.pos = (np.array(self.overlay.places, np.float32) / step)[:, ::-1]

    def reset(self) -> None:
        """Draw what the overlay says."""
        super().reset()
        self._write()


overlay_to_visual[NumbersOverlay] = NumbersVisual


class Numbers:
    """Keeps the numbers on a labels layer those of the frame that is shown.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    layer : Labels
    time_axis : int or None
        Of the layer; None for a single frame.
    places : callable
        Gives the middles of the objects of frame `t`.
    name_of : callable
        Gives what is written on an object.
    """

    def __init__(
        self,
        viewer: Any,
        layer: "Labels",
        time_axis: int | None,
        places: Callable[[int], Places],
        name_of: Callable[[int], str] = str,
    ) -> None:
        self._viewer, self._layer, self._time_axis = viewer, layer, time_axis
        self._places, self._name_of = places, name_of
        self._ids: tuple[int, ...] = ()
        self._shown: int | None = None
        self._overlay = layer._overlays[OVERLAY] = NumbersOverlay(visible=False)
        layer.events.set_data.connect(self._frame_drawn)

    @property
    def drawn(self) -> dict[str, tuple[float, float]]:
        """Texts that are seen, and where: (y, x) in px of the layer."""
        overlay = self._overlay
        pairs = zip(overlay.texts, overlay.places, strict=True) if overlay.visible else ()
        return {text: place for text, place in pairs if place != (FAR, FAR)}

    def show(self, wanted: bool) -> None:
        """Draw them, or not."""
        self._overlay.visible = wanted
        self.renew()

    def renew(self) -> None:
        """The result is another, or names are."""
        self._shown = None
        self._frame_drawn()

    def close(self) -> None:
        """Take them off the layer."""
        self._layer.events.set_data.disconnect(self._frame_drawn)
        self._layer._overlays.pop(OVERLAY, None)

    def _frame_drawn(self, *_: Any) -> None:
        t = self._frame()
        if self._overlay.visible and t != self._shown:
            self._shown = t
            self._draw({} if t is None else self._places(t))

    def _draw(self, places: Places) -> None:
        self._ids = tuple(sorted({*self._ids, *places}))
        overlay = self._overlay
        overlay.places = tuple(places.get(i, (FAR, FAR)) for i in self._ids)
        overlay.texts = tuple(map(self._name_of, self._ids))

    def _frame(self) -> int | None:
        """The frame of the layer that the viewer shows; None where it shows none."""
        leading = np.round(self._layer.world_to_data(self._viewer.dims.point)[:-2]).astype(int)
        inside = all(0 <= at < n for at, n in zip(leading, self._layer.data.shape, strict=False))
        return None if not inside else 0 if self._time_axis is None else int(leading[self._time_axis])
