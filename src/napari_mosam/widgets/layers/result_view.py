"""Arrays of a result as napari shows them: with the axes of the image, a frame at a time, and strokes on top."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

Read = Callable[[int], "NDArray[Any]"]


class FrameView:
    """Frames that somebody else keeps, as an array that lies on a movie; indexed as numpy indexes.

    Parameters
    ----------
    shape : tuple of int
        Of the array: that of :attr:`MovieSource.layer_shape`.
    time_axis : int or None
        Which of its axes is time; None for a single frame.
    dtype : callable
        Gives the type of a pixel as it is now.
    read : callable
        Gives frame `t`, shape (Y, X).
    """

    def __init__(self, shape: tuple[int, ...], time_axis: int | None, dtype: Callable[[], Any], read: Read) -> None:
        self.shape, self._time_axis, self._dtype, self._read = shape, time_axis, dtype, read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return np.dtype(self._dtype())

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return 1 if self._time_axis is None else self.shape[self._time_axis]

    def frame(self, t: int) -> "NDArray[Any]":
        """Frame `t`, shape (Y, X); may be changed without harm."""
        return np.array(self._read(t))

    def __len__(self) -> int:
        return self.shape[0]

    def __deepcopy__(self, memo: Any) -> Any:
        """An array of its own in memory, compressed: what napari makes of a layer that the user duplicates."""
        import zarr

        store, chunks = zarr.storage.MemoryStore(), self._block_shape(1)
        copy = zarr.create_array(store, shape=self.shape, chunks=chunks, dtype=self.dtype)
        for t in range(self.n_frames):
            at = tuple(slice(t, t + 1) if axis == self._time_axis else slice(None) for axis in range(self.ndim))
            copy[at] = self[at]
        return copy

    def __getitem__(self, key: Any) -> "NDArray[Any]":
        times, inner = self._split(key)
        found = np.asarray(self._block(times)[inner])
        if isinstance(key, tuple) or any(map(self._is_painted, times)):
            return np.array(found)  # what is returned may be changed without harm
        found = found.view()  # napari asks for a frame at each touch of a brush, for its type alone
        found.flags.writeable = False
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "NDArray[Any]":
        return np.asarray(self[...], dtype)

    def _is_painted(self, t: int) -> bool:
        """Whether what is read of a frame now may change."""
        return False

    def _block(self, times: "NDArray[np.intp]") -> "NDArray[Any]":
        """These frames, with all axes; not to be changed."""
        if len(times) == 1:
            return self._read(int(times[0])).astype(self.dtype, copy=False).reshape(self._block_shape(1))
        block = np.empty((len(times), *self.shape[-2:]), self.dtype)
        for row, t in zip(block, times, strict=True):
            row[...] = self._read(int(t))
        return block.reshape(self._block_shape(len(times)))

    def _block_shape(self, n: int) -> tuple[int, ...]:
        return tuple(n if axis == self._time_axis else length for axis, length in enumerate(self.shape))

    def _split(self, key: Any) -> tuple["NDArray[np.intp]", tuple[Any, ...]]:
        """Frames that an index touches, rising, and the same index into a block of these alone."""
        parts = list(_per_axis(key, self.ndim))
        if self._time_axis is None:
            return np.zeros(1, np.intp), tuple(parts)
        chosen = np.arange(self.shape[self._time_axis])[parts[self._time_axis]]
        times = np.unique(chosen)
        inner = np.searchsorted(times, chosen)
        if isinstance(parts[self._time_axis], slice):
            parts[self._time_axis] = slice(None) if (np.diff(inner) > 0).all() else slice(None, None, -1)
        else:
            parts[self._time_axis] = inner if inner.ndim else int(inner)
        return times, tuple(parts)


def _per_axis(key: Any, ndim: int) -> Iterator[Any]:
    """One index for each axis; a mask of several axes becomes the places at which it is true, as in numpy."""
    given = tuple(chain.from_iterable(map(_places, key if isinstance(key, tuple) else (key,))))
    at = next((k for k, part in enumerate(given) if part is Ellipsis), len(given))
    before, after = given[:at], given[at + 1 :]
    if len(before) + len(after) > ndim or any(part is None for part in given):
        raise IndexError(f"an array with {ndim} axes cannot be indexed with {key}")
    yield from before
    yield from [slice(None)] * (ndim - len(before) - len(after))
    yield from after


def _places(part: Any) -> tuple[Any, ...]:
    return part.nonzero() if isinstance(part, np.ndarray) and part.dtype == bool and part.ndim else (part,)


@dataclass(eq=False)
class _Held:
    """A frame in which somebody painted what is not in the result yet.

    Attributes
    ----------
    frame : ndarray of int, shape (Y, X)
        As it is shown.
    touched : ndarray of bool, shape (Y, X)
        What was painted or erased.
    strokes : int
        How often.
    """

    frame: "NDArray[Any]"
    touched: "NDArray[np.bool_]"
    strokes: int = 0


class LabelsView(FrameView):
    """Labels of a result in which a person may paint: a frame is held in memory until its strokes are written.

    Parameters
    ----------
    shape, time_axis, dtype, read
        As in :class:`FrameView`.
    """

    def __init__(self, shape: tuple[int, ...], time_axis: int | None, dtype: Callable[[], Any], read: Read) -> None:
        super().__init__(shape, time_axis, dtype, self._seen)
        self._held: dict[int, _Held] = {}
        self._widest = np.dtype(np.uint8)
        self._stored = read
        self._listeners: list[Callable[[list[int]], object]] = []

    def connect(self, dtype: Callable[[], Any], read: Read, on_write: Callable[[list[int]], object]) -> None:
        """Show the frames of another, and tell it too of the frames that were painted."""
        self._dtype, self._stored = dtype, read
        self._listeners.append(on_write)

    def disconnect(self, on_write: Callable[[list[int]], object]) -> None:
        """Tell somebody no more."""
        self._listeners.remove(on_write)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel; it grows with what is painted."""
        return np.promote_types(self._dtype(), self._widest)

    @property
    def held(self) -> dict[int, int]:
        """How often somebody painted in frames that are held, by frame."""
        return {t: held.strokes for t, held in self._held.items()}

    def make_room(self, object_id: int) -> bool:
        """Let the pixels hold an id; whether their type had no room for it."""
        too_narrow = object_id > np.iinfo(self.dtype).max
        if too_narrow:
            self._widest = np.min_scalar_type(object_id)
        return too_narrow

    def release(self, t: int, strokes: int | None = None) -> bool:
        """Show a frame as it is stored, unless there were more strokes since; whether it is."""
        held = self._held.get(t)
        if held is not None and strokes in (None, held.strokes):
            del self._held[t]
        return t not in self._held

    def renew(self, t: int) -> None:
        """The stored frame of one that is held is another: strokes stay on top."""
        held = self._held.get(t)
        if held is not None:
            held.frame = np.where(held.touched, held.frame, self._stored(t))

    def repaint(self, t: int, masks: "Mapping[int, NDArray[np.bool_] | None]") -> None:
        """Let nothing but these masks, None for absent objects, be painted on a frame."""
        if t in self._held:
            stored = self._stored(t)
            frame = np.where(np.isin(stored, list(masks)), 0, stored).astype(self.dtype)
            for object_id, mask in masks.items():
                if mask is not None:
                    frame[mask] = object_id
            self._held[t] = _Held(frame, frame != stored, self._held[t].strokes)

    def __setitem__(self, key: Any, value: Any) -> None:
        times, inner = self._split(key)
        self._check_and_make_room(value)
        held = [self._hold(int(t)) for t in times]
        if len(held) == 1:  # a brush: nothing but its pixels is touched
            self._assign(held[0], inner, value)
        else:
            self._assign_each(held, self._block(times), inner, value)
        for told in self._listeners:
            told(times.tolist())

    def _assign(self, held: _Held, inner: tuple[Any, ...], value: Any) -> None:
        shape = self._block_shape(1)
        frame, touched = held.frame.reshape(shape), held.touched.reshape(shape)
        old = frame[inner]
        touched[inner] = touched[inner] | (old != value)
        frame[inner] = value
        held.strokes += 1

    def _assign_each(self, held: list[_Held], block: "NDArray[Any]", inner: tuple[Any, ...], value: Any) -> None:
        changed = block.copy()
        changed[inner] = value
        for one, old, new in zip(held, _frames(block), _frames(changed), strict=True):
            one.touched |= old != new
            one.frame = new
            one.strokes += 1

    def _check_and_make_room(self, value: Any) -> None:
        if np.min(value, initial=0) < 0:
            raise Refused("labels cannot be negative; paint with 0 to erase, or with the number of an object")
        self.make_room(int(np.max(value, initial=0)))

    def _hold(self, t: int) -> _Held:
        if t not in self._held:
            frame = np.array(self._stored(t))
            self._held[t] = _Held(frame, np.zeros(frame.shape, bool))
        held = self._held[t]
        held.frame = held.frame.astype(self.dtype, copy=False)
        return held

    def _is_painted(self, t: int) -> bool:
        return t in self._held

    def _seen(self, t: int) -> "NDArray[Any]":
        held = self._held.get(t)
        return self._stored(t) if held is None else held.frame


def _frames(block: "NDArray[Any]") -> "NDArray[Any]":
    return block.reshape(-1, *block.shape[-2:])


def take_label(layer: "Labels", object_id: int) -> None:
    """Let the next stroke in the labels of a result be of an object, however large its id."""
    view = layer.data
    if isinstance(view, LabelsView) and view.make_room(object_id):
        layer.data = view  # napari looks at the type of the array when it is given
    layer.selected_label = object_id
