"""The one door for movies: any path or array as a :class:`Source`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import local_path
from napari_mosam.core.files.codecs import check_codecs
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.folders import FrameFiles
from napari_mosam.core.images.formats.image_files import IMAGE_AXES, FileStack, read_image
from napari_mosam.core.images.formats.ome_zarr import ZARR_FILES, dimension_axes, is_zarr, open_group, open_store
from napari_mosam.core.images.formats.other_files import open_other
from napari_mosam.core.images.formats.source import Source, as_movie_error, chunks_of, sides_of
from napari_mosam.core.images.formats.tiff import COMPANION, open_tiff, read_tiff, tiff_layout

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_SHOWN_NAMES = 6
"""Of what lies in a folder, in a message that has to stay one line."""

ALLOWED = (
    "a TIFF file, a zarr or OME-Zarr folder, a PNG or JPEG image, a folder of images, a pattern such as 'f*.tif', "
    "ND2, CZI, LIF, IMS, NPY or NPZ files, or a film (MP4, AVI, MOV)"
)


def open_source(given: Any, series: int | None = None) -> Source:
    """Find the array in a path, several paths, a zarr group or an array.

    Parameters
    ----------
    given : path, sequence of paths, zarr.Group or array
    series : int, optional
        Which image of a file that holds several, from 0; the largest by default.

    Raises
    ------
    MovieError
        For a path that is missing, damaged or of an unknown kind, for an object that is no array, and for an image
        that is not there.
    """
    found = _open_given(given, series)
    if series and not found.series:
        raise MovieError(f"series={series} (--series) is not in {found.name}, which holds one image; leave it out")
    return found


def _open_given(given: Any, series: int | None) -> Source:
    if isinstance(given, str | Path):
        with as_movie_error(f"{given} cannot be opened"):
            place = local_path(given, "a movie")
            return replace(_open_path(place, series), path=place)
    if isinstance(given, Sequence) and hasattr(given, "shape"):  # napari's pyramids: the full resolution comes first
        full, *levels = (_open_given(level, series) for level in given)
        return replace(full, levels=tuple(levels))
    if isinstance(given, list | tuple) and given and all(isinstance(one, str | Path) for one in given):
        return _open_listed(given, series)
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return _open_array(given)
    import zarr

    if isinstance(given, zarr.Group):
        with as_movie_error("the zarr group cannot be opened"):
            return open_group(given, given.basename or "zarr group", series)
    raise MovieError(
        f"a movie cannot be read from a {type(given).__name__}; allowed: an array (numpy, dask, zarr), {ALLOWED}"
    )


def _open_listed(given: Sequence[str | Path], series: int | None) -> Source:
    """Images that are named one by one, as a shell does with a pattern."""
    if len(given) == 1:
        return _open_given(given[0], series)
    paths = [local_path(one, "a movie") for one in given]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise MovieError(
            f"{missing}, one of {len(paths)} that are given as the frames of a movie, is no file; give one movie, its "
            "images one by one, or a pattern in quotes such as 'f*.tif'"
        )
    with as_movie_error(f"the {len(paths)} files that are given cannot be opened"):
        return replace(_open_files(paths, f"{paths[0].name} and {len(paths) - 1} others"), path=_pattern_of(paths))


def _pattern_of(paths: Sequence[Path]) -> Path | None:
    """What names these files and no others; None where nothing does."""
    pattern = paths[0].parent / FrameFiles.of(paths, "").pattern
    return pattern if set(pattern.parent.glob(pattern.name)) == set(paths) else None


def _open_array(array: Any) -> Source:
    kind = f"{type(array).__module__.split('.')[0]} array"
    if kind == "zarr array":
        with as_movie_error("the zarr array cannot be read"):
            check_codecs(kind, array.metadata.to_dict())
    return Source(kind, kind, array, dimension_axes(array), chunks_of(array), sides=sides_of(array))


def _open_path(path: Path, series: int | None = None) -> Source:
    if not path.exists():
        if any(c in path.name for c in "*?["):
            return _open_files(list(path.parent.glob(path.name)), str(path), series)
        raise MovieError(f"{path} does not exist; check the spelling; allowed: {ALLOWED}")
    if path.is_dir():
        return _open_folder(path, series)
    return _open_file(path, series)


def _open_file(path: Path, series: int | None) -> Source:
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES or path.name.lower().endswith(COMPANION):
        return open_tiff(path, series)
    if suffix in IMAGE_SUFFIXES:
        return _open_files([path], path.name)
    return open_other(path, series, ALLOWED)


def _open_folder(path: Path, series: int | None) -> Source:
    if is_zarr(path):
        return open_store(path, series)
    if path.suffix == ".zarr":
        raise MovieError(
            f"{path} is not a zarr store: it holds none of {', '.join(ZARR_FILES)} (is the copy complete?)"
        )
    known = TIFF_SUFFIXES | IMAGE_SUFFIXES
    images = [p for p in path.iterdir() if p.suffix.lower() in known and not p.name.startswith(".")]
    if not images:
        raise MovieError(f"{path} holds no image{_others(path)}; allowed: files ending in {_listed(known)}")
    return _open_files(images, str(path), series)


def _others(folder: Path) -> str:
    """What a folder without images holds, where one of it may be what is meant."""
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f", but {', '.join(names[:_SHOWN_NAMES])}{more}: give one of them" if names else ""


def _open_files(paths: Sequence[Path], name: str, series: int | None = None) -> Source:
    if not paths:
        raise MovieError(f"{name} holds no image; allowed: files ending in {_listed(TIFF_SUFFIXES | IMAGE_SUFFIXES)}")
    if len(paths) == 1 and paths[0].suffix.lower() not in IMAGE_SUFFIXES:
        return _open_file(paths[0], series)
    suffixes = {p.suffix.lower() for p in paths}
    families = [family for family in (TIFF_SUFFIXES, IMAGE_SUFFIXES) if suffixes & family]
    if len(families) != 1 or suffixes - families[0]:
        raise MovieError(f"{name} mixes kinds of files ({_listed(suffixes)}); give a pattern such as 'folder/*.tif'")
    frames = FrameFiles.of(paths, name)
    tiffs = families[0] is TIFF_SUFFIXES
    with as_movie_error(f"{next(filter(None, frames.files)).name} cannot be read as an image"):
        stack = FileStack(frames.files, read_tiff if tiffs else read_image)
        inner, inverted = tiff_layout(stack.example) if tiffs else (IMAGE_AXES[: len(stack.shape) - 1], False)
    kind = f"{len(paths)} image files" if len(paths) > 1 else "image file"
    return Source(
        name,
        kind,
        stack,
        "T" + inner,
        is_file=True,
        absent=stack.absent,
        note=frames.note,
        inverted=inverted,
    )


def _listed(suffixes: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(s or "(no suffix)" for s in suffixes))
