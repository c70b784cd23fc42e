"""Which part of an image layer is the movie, and where its frames lie in the viewer's world."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_mosam.core.config.run import Limits
    from napari_mosam.core.images.movie import Movie

TIME_NAMES = ("t", "time", "frame", "frames")
CHANNEL_NAMES = ("c", "ch", "channel", "channels")
PLANE_NAMES = ("z", "plane", "planes", "slice", "slices")


class SourceError(ValueError):
    """The image layer cannot be read as a movie."""


@dataclass(frozen=True, slots=True, eq=False)
class MovieSource:
    """A movie inside an image layer: the last two axes, one axis of time, and one plane of every other axis.

    Parameters
    ----------
    image : napari.layers.Image
        The layer shown.
    axes : str
        One letter per axis of the array, as ``Movie.open`` reads them.
    time_axis : int or None
        None for a single image.
    plane : tuple of int
        Index along the leading axes; 0 along time.
    """

    image: "Image"
    axes: str
    time_axis: int | None
    plane: tuple[int, ...]

    @classmethod
    def from_layer(cls, image: "Image", world_point: Sequence[float]) -> "MovieSource":
        """Read `image` as a movie; axes other than time and the last two are fixed where the viewer stands.

        Raises
        ------
        SourceError
            If the layer has more than five axes, or none to show.
        """
        n_leading = image.ndim - 2
        if n_leading < 0 or n_leading > 3 or 0 in image_array(image).shape:
            shape = tuple(image_array(image).shape)
            raise SourceError(
                f"'{image.name}' has the shape {shape}; a movie needs the axes (T, Y, X), with at most a channel "
                "and a z axis besides, and at least one frame"
            )
        time = time_axis(image)
        here = np.round(image.world_to_data(world_point)[:n_leading]).astype(int)
        shape = image_array(image).shape
        plane = tuple(0 if a == time else int(np.clip(here[a], 0, shape[a] - 1)) for a in range(n_leading))
        return cls(image, _axes(image, n_leading, time), time, plane)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X) of the movie."""
        shape = image_array(self.image).shape
        n_leading = len(self.plane)
        n_frames = 1 if self.time_axis is None else shape[self.time_axis]
        return int(n_frames), int(shape[n_leading]), int(shape[n_leading + 1])

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """Shape of an array that lies on the movie in the viewer: the leading axes but time have one plane."""
        n_frames, height, width = self.shape
        return (*(n_frames if a == self.time_axis else 1 for a in range(len(self.plane))), height, width)

    def index(self, t: int) -> tuple[int, ...]:
        """Index of frame `t` in an array of :attr:`layer_shape`."""
        return tuple(t if a == self.time_axis else 0 for a in range(len(self.plane)))

    def corner(self, t: int = 0) -> tuple[int, ...]:
        """Image coordinates of the first pixel of frame `t`."""
        return (*(t if a == self.time_axis else p for a, p in enumerate(self.plane)), 0, 0)

    def frame_at(self, world_point: Sequence[float]) -> int:
        """The frame nearest to a point of the world, inside the movie."""
        if self.time_axis is None:
            return 0
        return int(np.clip(np.round(self.image.world_to_data(world_point)[self.time_axis]), 0, self.shape[0] - 1))

    def open(self, limits: "Limits" = None, ram: str | None = None) -> "Movie":
        """The frames, read lazily, between grey limits; the contrast of the layer has no part in them.

        `ram` is what a run may take, as text.
        """
        from napari_mosam.core.images.movie import Movie

        fixed = {
            letter.lower(): index
            for letter, index in zip(self.axes, self.plane, strict=False)
            if letter in "CZ" and index is not None
        }
        array, channel, z = image_array(self.image), fixed.get("c"), fixed.get("z")
        movie = Movie.open(array, axes=self.axes, channel=channel, z=z, limits=limits, ram=ram)
        return movie.calibrated(*self._calibration()).named(self.image.name)

    def _calibration(self) -> tuple[float | None, float | None]:
        """Size of a square pixel, µm, and time between frames, s, where the layer has them in such units."""
        from napari_mosam.core.images.calibration import Calibration

        image, time = self.image, self.time_axis
        units, scale = [str(unit) for unit in image.units], image.scale
        step, unit = (None, "") if time is None else (scale[time], units[time])
        found = Calibration.of(scale[-2], scale[-1], units[-1], step, unit)
        square = found.pixel_um is not None and scale[-2] == scale[-1] and units[-2] == units[-1]
        return found.pixel_um[0] if square and found.pixel_um else None, found.interval_s

    def to_tyx(self, layer: "Layer", coordinates: "NDArray[np.floating[Any]]") -> "NDArray[np.float64]":
        """Positions in `layer` (N, D) as movie coordinates (N, 3): frame, y, x in px of the image.

        A mark counts for its frame, whatever channel or plane of the image it lies on.
        """
        data = np.asarray([self.image.world_to_data(layer.data_to_world(c)) for c in coordinates], float)
        data = data.reshape(len(coordinates), self.image.ndim)
        frames = np.zeros(len(data)) if self.time_axis is None else data[:, self.time_axis]
        return np.column_stack([frames, data[:, -2:]])

    def placement(self, corner: Sequence[float] | None = None) -> dict[str, Any]:
        """Arguments that put a new layer, whose first pixel is `corner` of the image, onto the image."""
        from napari.utils.transforms import Affine

        image = self.image
        placed = Affine(
            scale=image.scale, translate=image.translate, rotate=image.rotate, shear=image.shear, ndim=image.ndim
        )
        return {
            "scale": image.scale,
            "translate": placed(np.asarray(corner if corner is not None else np.zeros(image.ndim), float)),
            "rotate": image.rotate,
            "shear": image.shear,
            "affine": image.affine,
            "units": image.units,
            "axis_labels": image.axis_labels,
        }

    def describe(self) -> str:
        """One line for the user, as the command has it."""
        return self.open().summary()


def image_array(image: "Image") -> Any:
    """The full-resolution array of an image layer."""
    return image.data[0] if image.multiscale else image.data


def time_axis(image: "Image") -> int | None:
    """The axis of an image that is time: the one that is called so, or the first unnamed one; None without one."""
    labels = [str(label).lower() for label in image.axis_labels[:-2]]
    named = [axis for axis, label in enumerate(labels) if label in TIME_NAMES]
    unnamed = [axis for axis, label in enumerate(labels) if label not in CHANNEL_NAMES + PLANE_NAMES]
    return next(iter(named + unnamed), None)


def _axes(image: "Image", n_leading: int, time_axis: int | None) -> str:
    labels = [str(label).lower() for label in image.axis_labels[:n_leading]]
    others = [axis for axis in range(n_leading) if axis != time_axis]
    channels = [axis for axis in others if labels[axis] in CHANNEL_NAMES] or (others[:1] if len(others) > 1 else [])
    letters = ["T" if a == time_axis else "C" if a in channels[:1] else "Z" for a in range(n_leading)]
    return "".join(letters) + "YX" + ("S" if image.rgb else "")
