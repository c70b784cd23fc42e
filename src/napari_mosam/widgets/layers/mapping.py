"""The ids of a Labels layer on the pixels of a movie, through the transforms of both layers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.widgets.layers.source import SourceError

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_mosam.widgets.layers.source import MovieSource

_EXACT = 1e-6
"""Of a pixel: what the rounding of two transforms leaves; not measured."""


class OffFrameError(SourceError):
    """Labels of which nothing lies on the frame."""


def label_frame(source: "MovieSource", labels: "Labels", frame: int) -> "NDArray[Any]":
    """The ids that lie on a frame of the movie, as the viewer shows them: shape (Y, X) of the movie, 0 = background.

    Raises
    ------
    SourceError
        For labels that are turned or sheared against the image, that do not lie on the frame, and for labels of
        another size of which nothing says where they lie.
    """
    grid = _Grid.of(source, labels, frame)
    data = labels.data[0] if labels.multiscale else labels.data
    height, width = data.shape[-2:]
    plane = grid.plane(data.shape[:-2])
    rows, columns = grid.indices(source.shape[1:])
    inside = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    if plane is None or not inside[0].size or not inside[1].size:
        raise OffFrameError(f"'{labels.name}' {_where(labels)} does not lie on frame {frame} of {_named(source)}")
    if grid.says_nothing and (height, width) != source.shape[1:]:
        raise SourceError(
            f"'{labels.name}' {_where(labels)} and {_named(source)} differ in size but not in scale, so where the "
            "labels lie is not known; choose labels of the same size, or give the layer the scale of its pixels"
        )
    ids = np.zeros(source.shape[1:], data.dtype)
    ids[inside] = np.asarray(data[plane])[np.ix_(rows[inside[0][:, 0]], columns[inside[1][0]])]
    return ids


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the pixels of a frame lie in a labels layer: along each axis of theirs, a start and steps.

    Attributes
    ----------
    start : tuple of float
        Of the first pixel, in coordinates of the labels.
    step_yx : tuple of float
        From pixel to pixel of the movie, px of the labels.
    """

    start: tuple[float, ...]
    step_yx: tuple[float, float]

    @classmethod
    def of(cls, source: "MovieSource", labels: "Labels", frame: int) -> "_Grid":
        corner = np.asarray(source.corner(frame), float)
        axes = np.eye(len(corner))
        start, down, right = (
            np.asarray(labels.world_to_data(source.image.data_to_world(corner + step)), float)
            for step in (0 * axes[0], axes[-2], axes[-1])
        )
        dy, dx = down - start, right - start
        stray = np.abs([*dy[:-2], dy[-1], *dx[:-1]])
        if stray.size and stray.max() > _EXACT:
            raise SourceError(
                f"'{labels.name}' {_where(labels)} is turned or sheared against {_named(source)}, so pixels of both do "
                "not match; give both layers the same rotation and shear"
            )
        return cls(tuple(start.tolist()), (float(dy[-2]), float(dx[-1])))

    @property
    def says_nothing(self) -> bool:
        """Whether pixels lie on pixels, the first on the first, as where no scale was ever given."""
        return bool(np.allclose((*self.start[-2:], *self.step_yx), (0, 0, 1, 1), atol=_EXACT))

    def plane(self, lengths: tuple[int, ...]) -> tuple[int, ...] | None:
        """Index along the leading axes of labels of these lengths, where one plane is shown on all; None outside."""
        found = [0 if n == 1 else int(_nearest(c)) for c, n in zip(self.start[:-2], lengths, strict=True)]
        return tuple(found) if all(0 <= i < n for i, n in zip(found, lengths, strict=True)) else None

    def indices(self, shape_yx: tuple[int, int]) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
        """Row and column of the labels under each row and column of the frame."""
        rows, columns = (
            _nearest(start + step * np.arange(n))
            for start, step, n in zip(self.start[-2:], self.step_yx, shape_yx, strict=True)
        )
        return rows, columns


def _nearest(coordinates: "NDArray[Any] | float") -> "NDArray[np.intp]":
    """Pixels that hold these places; a place between two belongs to the second, as the viewer draws it."""
    return np.asarray(np.floor(np.asarray(coordinates) + 0.5 + _EXACT), np.intp)


def _named(source: "MovieSource") -> str:
    return f"'{source.image.name}' {_where(source.image)}"


def _where(layer: "Layer") -> str:
    """Shape, scale and translation of a layer, for a message."""
    shape = tuple((layer.data[0] if layer.multiscale else layer.data).shape)
    moved = f", moved by {_listed(layer.translate)}" if np.any(layer.translate) else ""
    return f"(shape {shape}, scale {_listed(layer.scale)}{moved})"


def _listed(numbers: "NDArray[Any]") -> str:
    return "(" + ", ".join(f"{n:g}" for n in numbers) + ")"
