"""A result opened: its session, and its movie among the images of the viewer or as a new image."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files.places import ResultError, is_result, settled
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.session.session_file import kept_in
from napari_mosam.widgets.layers.result_view import FrameView
from napari_mosam.widgets.layers.source import MovieSource

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_mosam.core.images.calibration import Calibration
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.session.session import Session


class Opener(Protocol):
    """What gives the session of a result; see :meth:`Engine.open`."""

    def open(self, path: Path, source: Any = None) -> "Session":
        """The session, with a movie that `source` opens, or the one that the result names."""


class MovieMissingError(Refused):
    """The result can be opened, but its movie is not there."""


class NoResultError(Refused):
    """There is no result, so nothing of it can be shown."""


@dataclass(frozen=True, slots=True)
class MovieFile:
    """A movie that a person chose."""

    path: Path

    def open(self) -> Path:
        """What a session opens."""
        return self.path


@dataclass(frozen=True, slots=True)
class Found:
    """A session that was opened.

    Attributes
    ----------
    session : Session
    source : MovieSource or None
        The image that shows its movie; None where none does yet.
    progress : str
        How much of the result is there.
    """

    session: "Session"
    source: MovieSource | None
    progress: str


def find(engine: Opener, path: Path, sources: Iterable[MovieSource], movie: Path | None = None) -> Found:
    """Open a result; reads some frames, so it belongs in a thread.

    Parameters
    ----------
    engine : Opener
    path : Path
        Of the result.
    sources : iterable of MovieSource
        Images that may show its movie.
    movie : Path, optional
        A movie that a person chose.

    Raises
    ------
    MovieMissingError
        If only the movie is wanting.
    NoResultError
        If there is none.
    ResultError
        If it is damaged.
    """
    _require(path)
    asked, progress = _known(path)
    marks = None if is_result(path) else kept_in(path)
    if marks is not None:  # nothing tells whether they fit an image but the file that it was opened from
        sources = [source for source in sources if _lies_at(source, Path(marks.movie))]
    for source in (_at_plane(source, asked) for source in sources if movie is None):
        with suppress(ValueError, OSError):
            return Found(engine.open(path, source), source, progress)
    try:
        return Found(engine.open(path, None if movie is None else MovieFile(movie)), None, progress)
    except ResultError:
        raise
    except (ValueError, OSError) as error:
        raise MovieMissingError(str(error).partition(";")[0].replace(str(path), path.name)) from error


def _require(path: Path) -> None:
    """Refuse what holds neither a result nor marks: no movie would help."""
    there = settled(path)
    if not there.exists():
        raise NoResultError(f"there is no '{path}'; perhaps it was moved, or has another name now")
    if not is_result(there) and kept_in(there) is None:
        raise NoResultError(
            f"'{path.name}' is no result of MoSAM; choose a folder that was saved here, such as cells.zarr"
        )


def _lies_at(source: MovieSource, movie: Path) -> bool:
    lies = source.image.source.path
    return bool(lies) and os.path.realpath(str(lies)) == os.path.realpath(movie)


def _known(path: Path) -> tuple[dict[str, Any], str]:
    """How the movie of a result was read, and how much of the result is there; nothing of marks without one."""
    from napari_mosam.core.store.result import Result

    if not is_result(path):
        return {}, ""
    stored = Result.open(path)
    return stored.attrs.get("provenance", {}).get("movie", {}).get("asked", {}), str(stored.progress)


def image_of(movie: "Movie") -> "tuple[Image, MovieSource]":
    """An image (T, Y, X) of a movie, whose frames are read when they are shown, in its place and units."""
    from napari.layers import Image

    view = FrameView(movie.shape, 0, lambda: movie.dtype, _Lenient(movie))
    name = movie.name if movie.path is None else movie.path.stem
    layer = Image(view, name=name, contrast_limits=_contrast(movie), colormap="gray", **place_of(movie.calibration))
    return layer, MovieSource(layer, "TYX", 0, (0,))


def place_of(calibration: "Calibration") -> dict[str, Any]:
    """Scale, units and axis labels of a layer (T, Y, X)."""
    interval, pixel = calibration.interval_s, calibration.pixel_um
    units = ("second" if interval else "pixel", *(("micrometer",) * 2 if pixel else ("pixel",) * 2))
    return {"scale": (interval or 1.0, *(pixel or (1.0, 1.0))), "units": units, "axis_labels": ("t", "y", "x")}


@dataclass(frozen=True, slots=True, eq=False)
class _Lenient:
    """Frames of a movie; one that cannot be read is black, as a run would say of it what is wrong."""

    movie: "Movie"

    def __call__(self, t: int) -> "NDArray[Any]":
        try:
            return self.movie.raw(t)
        except MovieError:
            return np.zeros(self.movie.frame_shape, self.movie.dtype)


def _contrast(movie: "Movie") -> tuple[float, float]:
    low, high = movie.limits
    return (low, high) if high > low else (low, low + 1)


def _at_plane(source: MovieSource, asked: dict[str, Any]) -> MovieSource:
    """The same image at the channel and plane from which a result was made."""
    lengths = source.image.data.shape if not source.image.multiscale else source.image.data[0].shape
    wanted = (asked.get({"C": "channel", "Z": "z"}.get(letter, "")) for letter in source.axes)
    parts = zip(source.plane, wanted, lengths, strict=False)
    plane = tuple(there if not isinstance(to, int) or to >= n else to for there, to, n in parts)
    return replace(source, plane=plane)
