"""Files of which whole planes are read, as arrays; and the packages, of extras, that read them."""

import importlib
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.source import Source

Index = tuple[int | slice, ...]
ReadPlane = Callable[[tuple[int, ...], Index], NDArray[Any]]
"""Reads a part, the index, of the plane that is at a place along the first axes."""

UNTRIED = "not tried on real files"
"""Said of formats that no file could be had of: what reads them follows the documentation of a library."""


class MissingPackageError(MovieError):
    """A file of a kind whose package is not installed."""


def package_of(module: str, extra: str, name: str, since: str = "") -> Any:
    """The package that reads the file `name`; `since` says from which Python on the extra brings it.

    Raises
    ------
    MissingPackageError
        With the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f'{name} is read by the package {module}, which is not here; pip install "napari-mosam[{extra}]"{since}'
        ) from error


def kept_open(file: Any, make: Callable[[Any], Source]) -> Source:
    """What is made of an open file, which is closed when its pixels are gone, or at once where nothing is made."""
    try:
        source = make(file)
    except BaseException:
        file.close()
        raise
    weakref.finalize(source.pixels, file.close)
    return source


class PlaneStack:
    """An array whose last axes make a plane, of which one is read after the other, by one thread at a time.

    Parameters
    ----------
    outer, plane : tuple of int
        Lengths of the first axes, and of those of a plane.
    dtype : data-type
    read : callable
        See `ReadPlane`.
    """

    def __init__(self, outer: tuple[int, ...], plane: tuple[int, ...], dtype: Any, read: ReadPlane) -> None:
        self._outer, self._read, self._lock = outer, read, threading.Lock()
        self.shape, self.chunks = (*outer, *plane), (*(1 for _ in outer), *plane)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        """Read the part named by integers and slices, one for each axis."""
        outer, inner = index[: len(self._outer)], index[len(self._outer) :]
        along = [range(n)[i] if isinstance(i, slice) else (i,) for i, n in zip(outer, self._outer, strict=True)]
        kept = [len(places) for places, i in zip(along, outer, strict=True) if isinstance(i, slice)]
        with self._lock:
            planes = [self._read(place, inner) for place in itertools.product(*along)]
        return np.stack(planes).reshape(*kept, *planes[0].shape) if kept else planes[0]
