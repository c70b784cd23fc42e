"""Label frames: what counts as labels, and how one frame of them is read.

Every pixel holds the id of an object, 0 = background. Painted prompts, truth, results and the masks of training are
read through `LabelStack` alone, and
:func:`napari_mosam.core.images.label_images.label_files.open_labels` makes one of an array or path.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mosam.core.config.checks import Refused, require_room
from napari_mosam.core.images.axes import COLOUR_SIZES, FramePlan, MovieError, check_pixels
from napari_mosam.core.images.formats.image_files import SMALLER
from napari_mosam.core.images.formats.source import Source

LARGEST_ID = 2**32 - 1
"""That a label image of ours can hold."""

_BYTES_OF_ID = 24
"""That sorting a frame of labels takes of each pixel."""

Shape = tuple[int, int, int]


class LabelError(MovieError):
    """Labels that cannot be read; the message says what was given, what is allowed and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelStack:
    """Label frames of a movie, read one at a time: ``stack[t]`` is frame t.

    Attributes
    ----------
    source : Source
        The array they are stored in.
    plan : FramePlan
        How one frame is cut out of it.
    numbers : tuple of int or None
        Which frame of the movie each stored one is, where only some are there; None: all, from frame 0 on.
    parents : mapping of int to int
        Daughter id -> mother id, where that is known.
    linked : bool
        Whether an id is one object on all frames. Segmentation truth numbers the objects of every frame anew.
    new_ids : mapping of int to int or None
        What stored ids are called; what is not in it is background. None: as they are.
    """

    source: Source
    plan: FramePlan
    numbers: tuple[int, ...] | None = None
    parents: Mapping[int, int] = field(default_factory=dict)
    linked: bool = True
    new_ids: Mapping[int, int] | None = None

    @classmethod
    def of(cls, source: Source) -> "LabelStack":
        """The labels in an array, all frames.

        Raises
        ------
        LabelError
            For colours, for more axes than (T, Y, X) that are longer than one, for pixels that are no numbers, and for
            a frame that does not fit into memory.
        """
        with refusing(source.name):
            check_pixels(source.name, source.shape, source.dtype)
            axes = _label_axes(source)
            plan = FramePlan(axes, source.shape, {axis: 0 for axis in axes if axis not in "TYX"})
            n_pixels = plan.frame_shape[0] * plan.frame_shape[1]
            n_bytes = n_pixels * (source.dtype.itemsize + _BYTES_OF_ID) + source.chunk_bytes
            require_room(n_bytes, f"one frame of {source.name}", SMALLER)
        return cls(replace(source, inverted=False), plan)

    @property
    def name(self) -> str:
        """File name, or the kind of array."""
        return self.source.name

    @property
    def frames(self) -> Sequence[int]:
        """Frames of the movie that are there, ascending."""
        return range(self.plan.n_frames) if self.numbers is None else self.numbers

    @property
    def shape(self) -> Shape:
        """Shape (T, Y, X), up to the last frame that is there; a still is one frame."""
        return self.frames[-1] + 1, *self.plan.frame_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the ids in a frame, always of whole numbers."""
        return np.dtype(np.uint32) if self.new_ids is not None else _id_dtype(self.source.dtype)

    def __getitem__(self, t: int) -> NDArray[Any]:
        """The ids on frame `t` of the movie: whole numbers, shape (Y, X), 0 = background.

        Raises
        ------
        LabelError
            For a frame that is not there or damaged, and for values that are no ids, see :func:`as_ids`.
        """
        t, what = operator.index(t), f"frame {t} of {self.name}"
        if t not in self.frames:
            raise LabelError(f"frame {t} is not in {self.name}, which has {_listed(self.frames)}")
        with refusing(what):
            stored = self.source.read(self.plan.index(self.frames.index(t)), f"frame {t}")
        ids = as_ids(self.plan.flatten(stored), what)
        return ids if self.new_ids is None else _renamed(ids, self.new_ids)

    def renamed(self, new_ids: Mapping[int, int]) -> "LabelStack":
        """The same labels under other ids, id here -> id there; objects without one become background."""
        return replace(self, new_ids=dict(new_ids))

    def first(self, n_frames: int) -> "LabelStack":
        """The labels of the first frames of the movie."""
        return replace(self, numbers=tuple(t for t in self.frames if t < n_frames))

    def check_fit(self, shape_tyx: Shape, movie: str, *, whole: bool) -> None:
        """Refuse labels of another movie.

        Parameters
        ----------
        shape_tyx : tuple of int
            Shape (T, Y, X) of the movie, or of other labels of it.
        movie : str
            What the other is called in the message.
        whole : bool
            Whether every frame has to be there; segmentation truth may lack some all the same.

        Raises
        ------
        LabelError
            With both shapes.
        """
        n_frames, *frame_shape = shape_tyx
        enough = self.shape[0] == n_frames if whole and self.linked else self.shape[0] <= n_frames
        if not enough or self.plan.frame_shape != tuple(frame_shape):
            still = "" if whole else f"(Y, X) = {tuple(frame_shape)} for frame 0, or "
            raise LabelError(
                f"{self.name} has the shape {self.shape} and {movie} has {tuple(shape_tyx)} (T, Y, X), so they are not "
                f"of one movie; give {still}(T, Y, X) = {tuple(shape_tyx)}"
            )


def as_ids(pixels: NDArray[Any], what: str) -> NDArray[Any]:
    """The ids in pixels of labels, as whole numbers of the same shape; NaN is background.

    Parameters
    ----------
    pixels : ndarray of bool, int or float
    what : str
        Names them in messages.

    Raises
    ------
    LabelError
        For fractions, infinity, negative ids, and ids above 4294967295.
    """
    if pixels.dtype.kind not in "buif":
        raise LabelError(f"{what} holds {pixels.dtype}; allowed: whole numbers, the ids of objects, 0 = background")
    if pixels.dtype.kind == "f":
        pixels = np.where(np.isnan(pixels), 0, pixels)
        if not (np.isfinite(pixels) & (pixels == np.floor(pixels))).all():
            raise LabelError(
                f"{what} holds fractions; ids are whole numbers, 0 = background: is it an image instead of its labels?"
            )
    if pixels.size and pixels.min() < 0:
        raise LabelError(
            f"{what} holds {pixels.min():g}; ids are 1 or more, 0 = background: set pixels outside of objects to 0"
        )
    if pixels.size and pixels.max() > LARGEST_ID:
        raise LabelError(
            f"{what} holds the id {pixels.max():.0f}; allowed: up to {LARGEST_ID}: number the objects anew"
        )
    return pixels.astype(_id_dtype(pixels.dtype), copy=False)


def as_mask(pixels: ArrayLike, what: str) -> NDArray[np.bool_]:
    """Where an object is: pixels that are not 0, NaN being background; LabelError for what :func:`as_ids` refuses."""
    return np.asarray(as_ids(np.asarray(pixels), what) != 0)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever the readers of all formats raise into one kind of error.

    Raises
    ------
    LabelError
        In place of it.
    """
    try:
        yield
    except LabelError:
        raise
    except (MovieError, Refused) as error:
        raise LabelError(str(error)) from error
    except Exception as error:  # every decoder has its own kinds of error
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise LabelError(f"{what} cannot be read: {said} (is the file complete? copy or export it again)") from error


def _label_axes(source: Source) -> str:
    """T, Y, X or, of length one, Q for each axis.

    Labels have neither channels nor planes: the one long axis that is no side of a frame is time, however it is called.
    """
    axes, shape = _found_axes(source), source.shape
    if axes[-1] == "S" and shape[-1] > 1:
        raise LabelError(
            f"{source.name} holds colours ({shape[-1]} values per pixel), which are no ids; give the label image, with "
            "one whole number per pixel"
        )
    others = [i for i, axis in enumerate(axes) if axis not in "YX" and shape[i] > 1]
    if len(others) > 1:
        raise LabelError(
            f"{source.name} has the shape {shape}, more than (T, Y, X); labels have one plane and one channel: save "
            "those that are meant on their own"
        )
    return "".join(axis if axis in "YX" else "T" if i in others else "Q" for i, axis in enumerate(axes))


def _found_axes(source: Source) -> str:
    shape = source.shape
    if source.axes and len(source.axes) == len(shape) and source.axes.count("Y") == source.axes.count("X") == 1:
        return source.axes
    if len(shape) < 2:
        raise LabelError(f"{source.name} has the shape {shape}; labels have (Y, X), or (T, Y, X)")
    colours = len(shape) > 2 and shape[-1] in COLOUR_SIZES and source.dtype == np.uint8
    return "YXS".rjust(len(shape), "Q") if colours else "YX".rjust(len(shape), "Q")


def _id_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype({"b": np.uint8, "f": np.uint32}.get(stored.kind, stored))


def _renamed(ids: NDArray[Any], new_ids: Mapping[int, int]) -> NDArray[np.uint32]:
    found, rows = np.unique(ids, return_inverse=True)
    return np.array([new_ids.get(int(i), 0) for i in found], np.uint32)[rows].reshape(ids.shape)


def _listed(frames: Sequence[int]) -> str:
    if len(frames) == frames[-1] - frames[0] + 1:
        return f"frames {frames[0]} to {frames[-1]}"
    return f"frames {', '.join(map(str, frames[:12]))}{' …' if len(frames) > 12 else ''}"
