"""What a TIFF file holds of what it promises: told from its pages and the place of their pixels, never filled in."""

import logging
import math
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.folders import natural_key

_DESCRIPTION = 270
"""Number of the tag with the description of a page, after the TIFF specification."""

WITHOUT_PROMISE = ("generic", "uniform")
"""Kinds of series of which nothing says how many images they should have, as tifffile calls them."""

_NEIGHBOURS = 8
"""Files of a set that are opened to find the one that describes it: nearly always the first by name."""

_MAX_OME_BYTES = 2**28
"""Of a description beside its images; that of 100,000 planes takes a tenth."""


@contextmanager
def unheard() -> Iterator[None]:
    """What tifffile says of a damaged file is not printed: that it fills in what is missing, and we do not."""
    logger, nobody = logging.getLogger("tifffile"), logging.NullHandler()
    logger.addHandler(nobody)
    try:
        yield
    finally:
        logger.removeHandler(nobody)


def series_of(tiff: Any) -> Sequence[Any]:
    """The images of an open file, each as long as it was meant to be.

    Tifffile makes an image of what is left of a file that ends early; here what is left out is None among its pages.

    Raises
    ------
    ValueError
        For a file that ends before its description, or in it.
    """
    _check_description(tiff)
    found = list(tiff.series)
    promised = _promise(tiff) if found and found[0].kind in ("shaped", *WITHOUT_PROMISE) else None
    if promised is None or math.prod(found[0].shape) >= math.prod(promised[0]):
        return found
    return [_padded(tiff, *promised)]


def _check_description(tiff: Any) -> None:
    """The first page lists what is said of it; tifffile leaves out what the file does not hold."""
    file, words, first = tiff.filehandle, tiff.tiff, tiff.pages.first
    file.seek(first.offset)
    n_tags = struct.unpack(words.tagnoformat, file.read(words.tagnosize))[0]
    listed = file.read(n_tags * words.tagsize)
    codes = {struct.unpack_from(f"{words.byteorder}H", listed, i * words.tagsize)[0] for i in range(n_tags)}
    if _DESCRIPTION in codes and _DESCRIPTION not in first.tags:
        raise ValueError("its description is cut off")


def _promise(tiff: Any) -> tuple[tuple[int, ...], str, str] | None:
    """Shape, axes and kind that ImageJ's or tifffile's description of a file says."""
    page = tiff.pages.first
    if tiff.is_shaped:
        said = (tiff.shaped_metadata or [{"shape": page.shape}])[0]
        shape = tuple(said["shape"])
        return shape, said.get("axes") or "Q" * (len(shape) - len(page.shape)) + page.axes, "shaped"
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        sizes = [int(said.get(name, 1)) for name in ("frames", "slices", "channels")]
        if math.prod(sizes) == 1:
            sizes[0] = int(said.get("images", 1))
        return (*sizes, *page.shape), f"TZC{page.axes}", "imagej"
    return None


def _padded(tiff: Any, shape: tuple[int, ...], axes: str, kind: str) -> Any:
    """A series of that shape: the pages that are there, or one whose pixels go on behind it."""
    from tifffile import TiffPageSeries

    page = tiff.pages.first
    n_pages = math.prod(shape) // page.size
    pages = [p for p in tiff.pages if p.hash == page.hash][:n_pages]
    behind = len(pages) == 1 and page.is_contiguous
    pages += [] if behind else [None] * (n_pages - len(pages))
    return TiffPageSeries(pages, shape, page.dtype, axes, parent=tiff, kind=kind, truncated=behind)


def absent_pages(series: Any) -> NDArray[np.bool_]:
    """Which pages of a series the file does not hold whole; one value for each along the axes before those of a page.

    Raises
    ------
    ValueError
        If its pages do not make up its shape.
    """
    lead = _lead(series)
    n_pages = math.prod(lead)
    if series.dataoffset is not None:
        ends = series.dataoffset + series.keyframe.nbytes * np.arange(1, n_pages + 1)
        return np.asarray(ends > series.keyframe.parent.filehandle.size).reshape(lead)
    return np.array([not _is_whole(_page(series, i)) for i in range(n_pages)], bool).reshape(lead)


def _page(series: Any, i: int) -> Any:
    """A page; None where there is none."""
    try:
        return series[i]
    except IndexError:
        return None


def _is_whole(page: Any) -> bool:
    """Whether the file goes on to the end of all segments of a page, and any of them has pixels."""
    if page is None or not any(page.databytecounts):
        return False
    ends = (start + n for start, n in zip(page.dataoffsets, page.databytecounts, strict=False))
    return bool(max(ends) <= page.parent.filehandle.size)


def _lead(series: Any) -> tuple[int, ...]:
    """Lengths of the axes along which pages follow each other."""
    size = series.keyframe.size
    for i in range(len(series.shape), -1, -1):
        if math.prod(series.shape[i:]) == size:
            return tuple(series.shape[:i])
    raise ValueError(f"its pages of {series.keyframe.shape} px do not make up its shape {series.shape}")


def chain_breaks_off(tiff: Any) -> bool:
    """Whether the last page that can be found names another one."""
    tiff.filehandle.seek(tiff.pages.next_page_offset)
    said = tiff.filehandle.read(tiff.tiff.offsetsize)
    return len(said) < tiff.tiff.offsetsize or any(said)


def description_beside(path: Path, xml: str) -> Path | None:
    """The file that describes a set of OME-TIFF files, where the one at `path` only says which it is, or nothing.

    Raises
    ------
    MovieError
        If it is not there.
    """
    if ".ome." in path.name.lower() and (not xml or "BinaryOnly" in xml) and "MetadataFile" not in xml:
        return _neighbour_that_names(path)
    found = re.search(r"<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile\s*=\s*\"([^\"]+)\"", xml)
    if found is None:
        return None
    name = unescape(found[1])
    beside = path.parent / name
    if not beside.exists():
        raise MovieError(
            f"{path.name} is one file of a set that is described in {name}, which is not beside it; copy the whole "
            "set into one folder"
        )
    return beside


def _neighbour_that_names(path: Path) -> Path | None:
    """One of the first OME-TIFF files in the folder, if it says that an image is in the file at `path` too."""
    import tifffile

    others = sorted((p for p in path.parent.glob("*.ome.*") if p.suffix == path.suffix and p != path), key=natural_key)
    for other in others[:_NEIGHBOURS]:
        try:
            with tifffile.TiffFile(other) as tiff:
                if path.name in files_named(tiff.ome_metadata or ""):
                    return other
        except (OSError, ValueError):
            continue  # a damaged neighbour describes nothing
    return None


def read_description(path: Path) -> str:
    """The text of an OME companion file; ValueError where it is too large for one."""
    if path.stat().st_size > _MAX_OME_BYTES:
        raise ValueError(f"{path.name} is larger than the description of a set of files can be")
    return path.read_text(encoding="utf-8")


def files_named(xml: str) -> list[str]:
    """Names of the files that OME metadata spread an image over, each once."""
    return list(dict.fromkeys(map(unescape, re.findall(r"<(?:\w+:)?UUID\b[^>]*\bFileName\s*=\s*\"([^\"]+)\"", xml))))
