"""Files that are neither TIFF nor pictures, by their suffix: what reads them, or what to do about them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.bioio_files import open_with_bioio
from napari_mosam.core.images.formats.microscopes.imaris import open_ims
from napari_mosam.core.images.formats.microscopes.leica import open_lif
from napari_mosam.core.images.formats.microscopes.nikon import open_nd2
from napari_mosam.core.images.formats.microscopes.zeiss import open_czi
from napari_mosam.core.images.formats.numpy_files import open_numpy
from napari_mosam.core.images.formats.planes import MissingPackageError
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.formats.video import CONTAINERS, open_video

Opener = Callable[[Path, int | None], Source]
"""Of a path, and the number of a series."""

_FIJI = "open it in Fiji (Bio-Formats) and save it as OME-TIFF, or install bioio and its reader for such files"
_AS_FILM = "save it as MP4 or AVI, or as TIFF"
_AS_ARRAY = "export the data set as .npy, zarr or TIFF, or pass it as an array in Python"
_AS_PICTURE = "save it as PNG or TIFF"

REFUSED: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys((".oib", ".oif", ".oir", ".vsi", ".ets"), ("an Olympus or Evident file", _FIJI)),
    **dict.fromkeys((".dv", ".r3d"), ("a DeltaVision file", _FIJI)),
    **dict.fromkeys((".sld", ".sldy"), ("a SlideBook file", _FIJI)),
    **dict.fromkeys((".nd", ".htd"), ("a list of files of MetaMorph", _FIJI)),
    **dict.fromkeys((".flex", ".mea", ".c01"), ("a file of a plate reader", _FIJI)),
    **dict.fromkeys((".svs", ".ndpi", ".scn", ".mrxs"), ("a file of a slide scanner", _FIJI)),
    **dict.fromkeys((".zvi", ".ics", ".ids", ".mrc", ".lei"), ("a microscope's file", _FIJI)),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5", ".mat"), ("a file of data sets in no fixed layout", _AS_ARRAY)),
    **dict.fromkeys((".gif", ".wmv", ".flv", ".mpg", ".mpeg"), ("a film of a kind", _AS_FILM)),
    **dict.fromkeys((".bmp", ".webp", ".jp2", ".jxl", ".heic"), ("a picture of a kind", _AS_PICTURE)),
}
"""What files of a suffix are, and what to do."""


def open_other(path: Path, series: int | None, allowed: str) -> Source:
    """A file by its suffix; what is not read here, bioio may read.

    Parameters
    ----------
    path : Path
    series : int or None
        Which image of several, the largest by default.
    allowed : str
        For the message on a kind that nobody knows.

    Raises
    ------
    MovieError
        With the extra that is missing, or with what to do.
    """
    opener = OPENERS.get(path.suffix.lower())
    try:
        found = opener(path, series) if opener else open_with_bioio(path, series)
    except MissingPackageError:
        found = open_with_bioio(path, series)
        if found is None:
            raise
    if found is None:
        raise MovieError(_refusal(path, allowed))
    return found


def _refusal(path: Path, allowed: str) -> str:
    suffix = path.suffix.lower()
    if suffix in REFUSED:
        what, advice = REFUSED[suffix]
        return f"{path.name} is {what} that is not read here ({suffix}); {advice}"
    return f"{path.name} is of a kind that cannot be read ({suffix or 'no suffix'}); allowed: {allowed}"


def _single(opener: Callable[[Path], Source]) -> Opener:
    return lambda path, series: opener(path)


OPENERS: Mapping[str, Opener] = {
    ".nd2": open_nd2,
    ".czi": open_czi,
    **dict.fromkeys((".lif", ".lof", ".xlif", ".xlef"), open_lif),
    ".ims": _single(open_ims),
    **dict.fromkeys((".npy", ".npz"), _single(open_numpy)),
    **dict.fromkeys(CONTAINERS, _single(open_video)),
}
"""What reads files of a suffix."""
