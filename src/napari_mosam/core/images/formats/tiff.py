"""TIFF files as lazy arrays, and one picture of them."""

import math
import re
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import require_room
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.calibration import UNKNOWN, Calibration
from napari_mosam.core.images.formats.image_files import SMALLER
from napari_mosam.core.images.formats.source import SeriesInfo, Source, choose_series
from napari_mosam.core.images.formats.tiff_pages import (
    WITHOUT_PROMISE,
    absent_pages,
    chain_breaks_off,
    description_beside,
    files_named,
    read_description,
    series_of,
    unheard,
)

COMPANION = ".companion.ome"
"""How the name of a file ends that describes a set of OME-TIFF files."""

_WHITE_IS_ZERO = 0
"""Photometric interpretation of a page whose black is its largest value, after the TIFF specification."""


class TiffStack:
    """One image series of a TIFF file, read through tifffile's zarr store; safe to read from threads.

    Parameters
    ----------
    series : TiffPageSeries
    close : callable
        Closes its file; called when this goes.
    """

    def __init__(self, series: Any, close: Callable[[], None]) -> None:
        import zarr

        self._close = weakref.finalize(self, close)
        self._array: Any = zarr.open(series.aszarr(level=0), mode="r")
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along every axis."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""
        return self._array.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is decoded at once."""
        return tuple(self._array.chunks)

    def __getitem__(self, index: Any, /) -> Any:
        """Read the part named by integers and slices; what the file does not hold would be zeros."""
        with self._lock:
            return self._array[index]


def open_tiff(path: Path, number: int | None = None) -> Source:
    """A TIFF file, or the set of OME-TIFF files that one of them or their description names, as one array.

    Parameters
    ----------
    path : Path
    number : int, optional
        Which of its images, from 0; the largest by default.

    Raises
    ------
    MovieError, ValueError
        For a file whose description is cut off or not there, for one without a whole page, and for another number.
    """
    if not path.stat().st_size:
        raise ValueError("the file is empty")
    with unheard():
        return _opened(path, number)


def _opened(path: Path, number: int | None) -> Source:
    with ExitStack() as unless_opened:
        tiff = _open(path, unless_opened)
        found = series_of(tiff)
        listed = tuple(SeriesInfo(i, s.name, tuple(s.shape), s.axes) for i, s in enumerate(found))
        chosen = choose_series(listed, number, path.name)
        absent = absent_pages(found[chosen])
        if absent.all():
            raise ValueError("the file ends early, before its first image does")
        stack = TiffStack(found[chosen], unless_opened.pop_all().close)
    return Source(
        path.name,
        _kind(found[chosen], len(found)),
        stack,
        found[chosen].axes,
        stack.chunks,
        is_file=True,
        calibration=_calibration(tiff, chosen),
        channels=_channel_names(_ome_image(tiff, chosen)),
        series=listed,
        chosen=chosen,
        absent=absent,
        note=_note(tiff, found[chosen], path, absent),
        inverted=_is_inverted(found[chosen]),
    )


def _open(path: Path, files: ExitStack) -> Any:
    """The file, described by another one where it says so."""
    import tifffile

    if path.name.lower().endswith(COMPANION):
        return _described(path, read_description(path), files)
    tiff = files.enter_context(tifffile.TiffFile(path))
    beside = description_beside(path, tiff.ome_metadata or "")
    if beside is not None:
        tiff.close()
        return _open(beside, files)
    if _is_one_series_per_page(tiff):
        tiff.close()
        return files.enter_context(tifffile.TiffFile(path, is_shaped=False))
    return tiff


def _described(companion: Path, xml: str, files: ExitStack) -> Any:
    """The first file of a set that is there, with the description of all."""
    import tifffile

    names = files_named(xml)
    there = next((companion.parent / name for name in names if (companion.parent / name).is_file()), None)
    if there is None:
        raise MovieError(
            f"none of the {len(names)} files that {companion.name} describes is beside it; copy the whole set into one "
            "folder"
        )
    return files.enter_context(tifffile.TiffFile(there, omexml=xml))


def _is_one_series_per_page(tiff: Any) -> bool:
    """Whether the frames were appended one by one, each with a description of its own."""
    first = tiff.series[0]
    return (
        len(tiff.series) > 1
        and first.kind == "shaped"
        and all(len(s) == 1 and (s.shape, s.dtype) == (first.shape, first.dtype) for s in tiff.series)
    )


def _kind(series: Any, n_series: int) -> str:
    words = ["TIFF", *({series.kind} & {"ome", "imagej", "lsm", "stk"})]
    return ", ".join(words + ([f"{n_series} series"] if n_series > 1 else []))


def _note(tiff: Any, series: Any, path: Path, absent: NDArray[np.bool_]) -> str:
    """Why pages are not there, as far as the file tells."""
    names = files_named(tiff.ome_metadata or "")
    lost = [name for name in names if not (path.parent / name).exists()]
    if lost and (absent.any() or len(names) > 1):
        return f"{len(lost)} of the files of {path.name} are not there: {', '.join(lost[:6])}"
    if series.kind in WITHOUT_PROMISE and chain_breaks_off(tiff):
        return f"the list of images in {path.name} breaks off: there may have been more frames than those that are read"
    return ""


def _is_inverted(series: Any) -> bool:
    return int(series.keyframe.photometric) == _WHITE_IS_ZERO


def _ome_image(tiff: Any, number: int) -> str:
    """What OME metadata say of an image; empty where there are none."""
    images = re.split(r"<(?:\w+:)?Image\b", (tiff.ome_metadata or "") if tiff.is_ome else "")[1:]
    return images[number] if number < len(images) else ""


def _channel_names(ome_image: str) -> tuple[str, ...]:
    """One for each channel; none where some have no name."""
    channels = re.findall(r"<(?:\w+:)?Channel\b([^>]*)>", ome_image)
    names = [re.search(r'\bName\s*=\s*"([^"]*)"', said) for said in channels]
    return tuple(unescape(name[1]) for name in names if name) if all(names) else ()


def _calibration(tiff: Any, number: int) -> Calibration:
    """What OME or ImageJ metadata say."""
    if tiff.is_ome:
        return Calibration.of_ome(_ome_image(tiff, number))
    if not tiff.is_imagej:
        return UNKNOWN
    said, tags = tiff.imagej_metadata or {}, tiff.pages[0].tags
    y, x = (_step(tags, name) for name in ("YResolution", "XResolution"))
    return Calibration.of(y, x, str(said.get("unit", "")), said.get("finterval"), str(said.get("tunit", "s")))


def _step(tags: Any, name: str) -> float | None:
    """Length of a pixel: the inverse of the resolution, which is a fraction."""
    above, below = tags[name].value if name in tags else (0, 0)
    return below / above if above else None


def read_tiff(path: Path) -> NDArray[Any]:
    """Read the largest image series of one TIFF file, whole; ValueError where some of it is not there."""
    import tifffile

    if not path.stat().st_size:
        raise ValueError(f"{path.name} is empty")
    # The OME metadata of one file may name the whole movie, which would then be read for every frame.
    with unheard(), tifffile.TiffFile(path, is_ome=False) as tiff:
        series = _largest(tiff)
        require_room(series.nbytes, f"the picture in {path.name}", SMALLER)
        if absent_pages(series).any():
            raise ValueError(f"{path.name} ends before its last image does")
        frame: NDArray[Any] = series.asarray(level=0)
    return frame


def tiff_layout(path: Path) -> tuple[str, bool]:
    """One letter per axis of what `read_tiff` returns, and whether its black is its largest value."""
    import tifffile

    with tifffile.TiffFile(path, is_ome=False) as tiff:
        series = _largest(tiff)
        return str(series.axes), _is_inverted(series)


def _largest(tiff: Any) -> Any:
    return max(series_of(tiff), key=lambda series: math.prod(series.shape))
