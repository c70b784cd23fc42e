"""Every kind of movie, seen as one array that is read by index and never as a whole."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, refuse_address
from napari_mosam.core.files.places import RESULT_MARK
from napari_mosam.core.files.zarr_files import check_codecs, open_zarr
from napari_mosam.core.images.axes import UNKNOWN, Calibration, MovieError
from napari_mosam.core.images.formats.tiff import IMAGE_AXES, FileStack, TiffStack, read_image, read_tiff, tiff_axes

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
ALLOWED = (
    "a TIFF file, a zarr or OME-Zarr folder, a PNG or JPEG image, a folder of images, or a pattern such as 'f*.tif'"
)

_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_AXIS_TYPES = {"time": "T", "channel": "C"}


class PixelArray(Protocol):
    """What is asked of an array: its shape, its dtype, and basic indexing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along every axis."""

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""

    def __getitem__(self, index: Any, /) -> Any:
        """Read the part named by integers and slices."""


_LONGEST_AXIS = 2**24
"""Frames or pixels: half a year at one frame a second; what is damaged says more, and each is counted in places."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An array that holds a movie, and what is known about it.

    Attributes
    ----------
    name : str
        For messages.
    kind : str
        Kind of file or array, in words.
    pixels : PixelArray
        Read by basic indexing only.
    axes : str or None
        One letter per axis where metadata says so.
    chunks : tuple of int or None
        What one read costs at least, where the array is lazy.
    is_file : bool
        Whether a failing read means a damaged file.
    path : Path or None
        What was given as its place.
    calibration : Calibration
        Size of a pixel and length of a frame, where metadata says so.
    """

    name: str
    kind: str
    pixels: PixelArray
    axes: str | None = None
    chunks: tuple[int, ...] | None = None
    is_file: bool = False
    path: Path | None = None
    calibration: Calibration = UNKNOWN

    def __post_init__(self) -> None:
        if max(self.shape, default=0) > _LONGEST_AXIS:
            raise MovieError(
                f"{self.name} says that it has the shape {self.shape}; no axis of a movie is longer than "
                f"{_LONGEST_AXIS:,} (is the file damaged? copy or export it again)"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return tuple(self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel, in the byte order of this computer."""
        return _native_dtype(self.name, self.pixels.dtype)

    @property
    def chunk_bytes(self) -> int:
        """Memory that one chunk takes when it is decoded, bytes; 0 where the array is not in chunks."""
        return math.prod(self.chunks) * self.dtype.itemsize if self.chunks else 0

    def read(self, index: tuple[int | slice, ...], what: str) -> NDArray[Any]:
        """Read one part; `what` names it in messages.

        Raises
        ------
        MovieError
            When a file cannot be read there.
        """
        if not self.is_file:
            return np.asarray(self.pixels[index], self.dtype)
        with _as_movie_error(f"{what} of {self.name} cannot be read"):
            return np.asarray(self.pixels[index], self.dtype)


def open_source(given: Any) -> Source:
    """Find the array in a path, a zarr group or an array.

    Raises
    ------
    MovieError
        For a path that is missing, damaged or of an unknown kind, and for an object that is no array.
    """
    if isinstance(given, str | Path):
        with _as_movie_error(f"{given} cannot be opened"):
            refuse_address(given, "a movie")
            place = Path(given).expanduser()
            return replace(_open_path(place), path=place)
    if isinstance(given, Sequence) and hasattr(given, "shape"):  # napari's pyramids: the full resolution comes first
        return open_source(given[0])
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return _open_array(given)
    import zarr

    if isinstance(given, zarr.Group):
        with _as_movie_error("the zarr group cannot be opened"):
            return open_group(given, given.basename or "zarr group")
    raise MovieError(
        f"a movie cannot be read from a {type(given).__name__}; allowed: an array (numpy, dask, zarr), {ALLOWED}"
    )


def _native_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    try:
        native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    except TypeError as error:
        raise MovieError(f"{name} holds pixels of type {dtype}; allowed: bool, integer or real numbers") from error
    return native


@contextmanager
def _as_movie_error(problem: str) -> Iterator[None]:
    try:
        yield
    except MovieError:
        raise
    except Refused as error:
        raise MovieError(str(error)) from error
    except Exception as error:  # every decoder has its own kinds of error
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise MovieError(f"{problem}: {said} (is the file complete? copy or export it again)") from error


def _open_array(array: Any) -> Source:
    kind = f"{type(array).__module__.split('.')[0]} array"
    if kind == "zarr array":
        with _as_movie_error("the zarr array cannot be read"):
            check_codecs(kind, array.metadata.to_dict())
    return Source(kind, kind, array, _dimension_axes(array), _chunks(array))


def _chunks(array: Any) -> tuple[int, ...] | None:
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    return tuple(chunks) if isinstance(chunks, Sequence) and all(isinstance(n, int) for n in chunks) else None


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
    raise MovieError(f"{path.name} is of a kind that cannot be read ({suffix or 'no suffix'}); allowed: {ALLOWED}")


def _open_folder(path: Path) -> Source:
    if is_zarr(path):
        return _open_zarr(path)
    if path.suffix == ".zarr":
        raise MovieError(
            f"{path} is not a zarr store: it holds none of {', '.join(_ZARR_FILES)} (is the copy complete?)"
        )
    known = TIFF_SUFFIXES | IMAGE_SUFFIXES
    images = [p for p in path.iterdir() if p.suffix.lower() in known and not p.name.startswith(".")]
    return _open_files(sorted(images, key=natural_key), str(path))


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store, whatever its name."""
    return any((path / name).exists() for name in _ZARR_FILES)


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
    with _as_movie_error(f"{paths[0].name} cannot be read as an image"):
        stack = FileStack(paths, read_tiff if tiffs else read_image)
        inner = tiff_axes(paths[0]) if tiffs else IMAGE_AXES[: len(stack.shape) - 1]
    kind = f"{len(paths)} image files" if len(paths) > 1 else "image file"
    return Source(name, kind, stack, "T" + inner, is_file=True)


def _listed(suffixes: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(s or "(no suffix)" for s in suffixes))


def _open_zarr(path: Path) -> Source:
    import zarr

    node = open_zarr(path)
    return zarr_source(node, path.name) if isinstance(node, zarr.Array) else open_group(node, path.name)


def zarr_source(array: Any, name: str, axes: str | None = None) -> Source:
    """A zarr array on disk, with the axes of an OME-Zarr image where it belongs to one."""
    check_codecs(name, array.metadata.to_dict())
    kind = f"zarr v{array.metadata.zarr_format}" + (", OME" if axes else "")
    return Source(name, kind, array, axes or _dimension_axes(array), _chunks(array), is_file=True)


def open_group(group: Any, name: str) -> Source:
    """The one image in a zarr group; MovieError for a result of ours, and where there is none or more than one."""
    attrs = dict(group.attrs)
    if RESULT_MARK in attrs:
        labels = "0" if "0" in group else "labels"
        raise MovieError(
            f"{name} is a result of 'mosam track', not a movie; 'mosam info' describes it, and its label image is "
            f"{name}/{labels}"
        )
    ome = ome_metadata(group)
    if ome.get("multiscales"):
        return open_multiscales(group, name)
    images, arrays = dict(group.groups()), dict(group.arrays())
    if "bioformats2raw.layout" in ome and len(images.keys() - {"OME"}) == 1:
        return open_group(next(g for key, g in images.items() if key != "OME"), name)
    if len(arrays) == 1:
        return zarr_source(next(iter(arrays.values())), name)
    inside = ", ".join(sorted([*arrays, *images])) or "nothing"
    raise MovieError(
        f"{name} is a zarr group without one image in it; it holds: {inside}; give the path of one of them"
    )


def ome_metadata(group: Any) -> Mapping[str, Any]:
    """What OME-Zarr says of a group: in a block of its own from version 0.5 on."""
    attrs = dict(group.attrs)
    return attrs["ome"] if isinstance(attrs.get("ome"), Mapping) else attrs


def open_multiscales(group: Any, name: str) -> Source:
    """The full resolution of an OME-Zarr image, however its levels are called."""
    scales = ome_metadata(group)["multiscales"][0]
    level0 = group[scales["datasets"][0]["path"]]
    source = zarr_source(level0, name, _ome_axes(scales.get("axes"), level0.ndim))
    return replace(source, calibration=_ome_calibration(scales))


def _ome_calibration(scales: Mapping[str, Any]) -> Calibration:
    """The size of a step, that of the full resolution times that of all."""
    steps = [_ome_scale(scales["datasets"][0]), _ome_scale(scales)]
    known = [scale for scale in steps if scale]
    axes = [axis for axis in scales.get("axes") or () if isinstance(axis, Mapping)]
    return Calibration.of_scale(axes, [math.prod(step) for step in zip(*known, strict=False)])


def _ome_scale(node: Mapping[str, Any]) -> Sequence[float]:
    """Where the transformations of an image or a level name one."""
    given = node.get("coordinateTransformations")
    found = [one.get("scale") for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    numbers = next((scale for scale in found if isinstance(scale, list)), [])
    return numbers if all(isinstance(step, int | float) for step in numbers) else []


def _ome_axes(axes: Sequence[Any] | None, n_axes: int) -> str:
    if axes is None:
        return "TCZYX"[-n_axes:]
    return _letters(a if isinstance(a, str) else _AXIS_TYPES.get(a.get("type", ""), a["name"]) for a in axes)


def _dimension_axes(array: Any) -> str | None:
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    if names is None and type(array).__module__.startswith("zarr"):
        names = array.attrs.get("_ARRAY_DIMENSIONS")
    return _letters(names) if names and all(names) else None


def _letters(names: Any) -> str:
    words = {"time": "T", "channel": "C", "t": "T", "c": "C", "z": "Z", "y": "Y", "x": "X", "s": "S"}
    return "".join(words.get(str(name).lower(), "Q") for name in names)
