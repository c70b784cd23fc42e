"""The one door for movies: any path or array as a :class:`Source`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import refuse_address
from napari_mosam.core.files.zarr_files import check_codecs
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.ome_zarr import ZARR_FILES, dimension_axes, is_zarr, open_group, open_store
from napari_mosam.core.images.formats.other_files import open_other
from napari_mosam.core.images.formats.source import Source, as_movie_error, chunks_of
from napari_mosam.core.images.formats.tiff import IMAGE_AXES, FileStack, TiffStack, read_image, read_tiff, tiff_axes

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
ALLOWED = (
    "a TIFF file, a zarr or OME-Zarr folder, a PNG or JPEG image, a folder of images, a pattern such as 'f*.tif', "
    "ND2, CZI, LIF, IMS, NPY or NPZ files, or a film (MP4, AVI, MOV)"
)


def open_source(given: Any) -> Source:
    """Find the array in a path, a zarr group or an array.

    Raises
    ------
    MovieError
        For a path that is missing, damaged or of an unknown kind, and for an object that is no array.
    """
    if isinstance(given, str | Path):
        with as_movie_error(f"{given} cannot be opened"):
            refuse_address(given, "a movie")
            place = Path(given).expanduser()
            return replace(_open_path(place), path=place)
    if isinstance(given, Sequence) and hasattr(given, "shape"):  # napari's pyramids: the full resolution comes first
        return open_source(given[0])
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return _open_array(given)
    import zarr

    if isinstance(given, zarr.Group):
        with as_movie_error("the zarr group cannot be opened"):
            return open_group(given, given.basename or "zarr group")
    raise MovieError(
        f"a movie cannot be read from a {type(given).__name__}; allowed: an array (numpy, dask, zarr), {ALLOWED}"
    )


def _open_array(array: Any) -> Source:
    kind = f"{type(array).__module__.split('.')[0]} array"
    if kind == "zarr array":
        with as_movie_error("the zarr array cannot be read"):
            check_codecs(kind, array.metadata.to_dict())
    return Source(kind, kind, array, dimension_axes(array), chunks_of(array))


def _open_path(path: Path) -> Source:
    if not path.exists():
        if any(c in path.name for c in "*?["):
            return _open_files(sorted(path.parent.glob(path.name), key=natural_key), str(path))
        raise MovieError(f"{path} does not exist; check the spelling; allowed: {ALLOWED}")
    if path.is_dir():
        return _open_folder(path)
    return _open_file(path)


def _open_file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return _open_tiff(path)
    if suffix in IMAGE_SUFFIXES:
        return _open_files([path], path.name)
    return open_other(path, None, ALLOWED)


def _open_folder(path: Path) -> Source:
    if is_zarr(path):
        return open_store(path)
    if path.suffix == ".zarr":
        raise MovieError(
            f"{path} is not a zarr store: it holds none of {', '.join(ZARR_FILES)} (is the copy complete?)"
        )
    known = TIFF_SUFFIXES | IMAGE_SUFFIXES
    images = [p for p in path.iterdir() if p.suffix.lower() in known and not p.name.startswith(".")]
    return _open_files(sorted(images, key=natural_key), str(path))


def natural_key(path: Path) -> list[str | int]:
    """Sort key that puts ``t2`` before ``t10``."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", path.name)]


def _open_tiff(path: Path) -> Source:
    stack = TiffStack(path)
    return Source(path.name, stack.kind, stack, stack.axes, stack.chunks, is_file=True, calibration=stack.calibration)


def _open_files(paths: Sequence[Path], name: str) -> Source:
    if not paths:
        raise MovieError(f"{name} holds no image; allowed: files ending in {_listed(TIFF_SUFFIXES | IMAGE_SUFFIXES)}")
    if len(paths) == 1 and paths[0].suffix.lower() not in IMAGE_SUFFIXES:
        return _open_path(paths[0])
    suffixes = {p.suffix.lower() for p in paths}
    families = [family for family in (TIFF_SUFFIXES, IMAGE_SUFFIXES) if suffixes & family]
    if len(families) != 1 or suffixes - families[0]:
        raise MovieError(f"{name} mixes kinds of files ({_listed(suffixes)}); give a pattern such as 'folder/*.tif'")
    tiffs = families[0] is TIFF_SUFFIXES
    with as_movie_error(f"{paths[0].name} cannot be read as an image"):
        stack = FileStack(paths, read_tiff if tiffs else read_image)
        inner = tiff_axes(paths[0]) if tiffs else IMAGE_AXES[: len(stack.shape) - 1]
    kind = f"{len(paths)} image files" if len(paths) > 1 else "image file"
    return Source(name, kind, stack, "T" + inner, is_file=True)


def _listed(suffixes: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(s or "(no suffix)" for s in suffixes))
