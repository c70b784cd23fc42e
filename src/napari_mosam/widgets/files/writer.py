"""Writers of napari: layers of ours as results, as stacks of labels, and as prompts.

Nothing that is there is replaced by a result, and a movie never by anything.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer

from napari_mosam.core.config.whole_files import whole_file
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.widgets.layers.marks import marked
from napari_mosam.widgets.layers.source import MovieSource
from napari_mosam.widgets.layers.tags import RESULT, ROLE, Tag, movie_id
from napari_mosam.widgets.sessions import all_sessions

if TYPE_CHECKING:
    from numpy.typing import NDArray

Meta = Mapping[str, Any]
FullLayerData = tuple[Any, Meta, str]
MARKS = ("points", "shapes")


class WriteError(OSError):
    """What is refused, in words; napari takes a ValueError for a writer that does not fit, and says something else."""


def write_result(path: str, data: Any, meta: Meta) -> list[str]:
    """Copy the result that a labels layer shows: its table, prompts, history, settings.

    Raises
    ------
    WriteError
        For labels that are no result, and for a place that is taken.
    """
    from napari_mosam.core.session.moves import copy

    source, target = _result(meta), Path(path)
    if os.path.lexists(target):
        raise WriteError(f"'{target}' exists already; choose another name, or Save as… in the dock, which asks")
    copy(source, Path(os.path.realpath(target)))
    return [str(target)]


def write_stack(path: str, data: Any, meta: Meta) -> list[str]:
    """Write labels as a TIFF: ids as they are, axes (T, Y, X), and the size of pixels and frames.

    Raises
    ------
    WriteError
        For a name that a movie has, and for negative ids.
    """
    with whole_file(_not_a_movie(Path(path))) as part:
        _write_tiff(part, data, meta)
    return [path]


def write_marks(path: str, layers: Sequence[FullLayerData]) -> list[str]:
    """Write all marks of the movie to which layers of clicks or boxes belong, as JSON or CSV.

    Raises
    ------
    WriteError
        For layers that are none of ours, or of several movies.
    """
    from napari_mosam.core.prompts.saving import save_prompts

    tags = [_tag(meta) for _, meta, _ in layers]
    movies = {tag.movie for tag in tags if tag is not None}
    if len(movies) != 1 or None in tags:
        raise WriteError("these layers are not the marks of one movie; choose clicks and boxes of MoSAM alone")
    try:
        prompts, shape = _marks(movies.pop())
        place = _not_a_movie(Path(path))
        asked = place.exists()  # of a file that is there napari asked whether to replace it
        return [str(file) for file in save_prompts(prompts, place, shape[1:], overwrite=asked)]
    except ValueError as error:
        raise WriteError(str(error)) from error


def write_all(path: str, layers: Sequence[FullLayerData]) -> list[str]:
    """Write results, other labels and marks into a folder; images stay where they are."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    labels = [layer for layer in layers if layer[2] == "labels"]
    written = [file for data, meta, _ in labels for file in _write_labels(folder, data, meta)]
    marks = [(tag.movie, layer) for layer in layers if layer[2] in MARKS and (tag := _tag(layer[1])) is not None]
    for movie in dict.fromkeys(movie for movie, _ in marks):
        place = _free(folder, f"{_name(_image(movie)[1].name)} marks.json")
        written += write_marks(str(place), [layer for of, layer in marks if of == movie])
    return written


def _write_labels(folder: Path, data: Any, meta: Meta) -> list[str]:
    name = _name(meta["name"])
    if _result_path(meta) is None:
        return write_stack(str(_free(folder, f"{name}.tif")), data, meta)
    return write_result(str(_free(folder, f"{name}.zarr")), data, meta)


# ---- results


def _result(meta: Meta) -> Path:
    path = _result_path(meta)
    if path is None:
        raise WriteError(f"'{meta['name']}' is no result of MoSAM; save it as a .tif")
    return path


def _result_path(meta: Meta) -> Path | None:
    """The result that a layer shows, with all that was painted."""
    read, tag = meta["metadata"].get(RESULT), _tag(meta)
    if isinstance(read, str):
        return Path(read)
    return None if tag is None or tag.role != "labels" else _session_path(tag)


def _session_path(tag: Tag) -> Path | None:
    for sessions in all_sessions():
        session = sessions.at((tag.movie, tag.plane))
        if session is not None:
            if sessions.dock is not None:
                sessions.dock.flush()
            return session.path
    return None


# ---- stacks of labels


def _write_tiff(path: Path, data: Any, meta: Meta) -> None:
    import tifffile

    kept = [axis for axis, n in enumerate(data.shape) if n > 1 or axis >= data.ndim - 2]
    dtype = np.dtype(np.uint16 if np.can_cast(data.dtype, np.uint16) else np.uint32)
    plain = dtype == np.uint16  # ImageJ knows no larger whole numbers
    tifffile.imwrite(
        path,
        _frames(data, dtype, meta["name"]),
        shape=tuple(data.shape[axis] for axis in kept),
        dtype=dtype,
        imagej=plain,
        ome=not plain,
        **(_imagej if plain else _ome)(_calibration(meta, kept), "TZYX"[: len(kept) - 2] + "YX"),
    )


def _imagej(known: Calibration, axes: str) -> dict[str, Any]:
    told: dict[str, Any] = {"axes": axes}
    if known.interval_s:
        told["finterval"] = known.interval_s
    if known.pixel_um is None:
        return {"metadata": told}
    y, x = known.pixel_um
    return {"metadata": told | {"unit": "um"}, "resolution": (1 / x, 1 / y)}


def _ome(known: Calibration, axes: str) -> dict[str, Any]:
    told: dict[str, Any] = {"axes": axes}
    for name, size in zip("YX", known.pixel_um or (), strict=False):
        told |= {f"PhysicalSize{name}": size, f"PhysicalSize{name}Unit": "µm"}
    if known.interval_s:
        told |= {"TimeIncrement": known.interval_s, "TimeIncrementUnit": "s"}
    return {"metadata": told}


def _calibration(meta: Meta, kept: Sequence[int]) -> Calibration:
    scale, units = ([meta[name][axis] for axis in kept] for name in ("scale", "units"))
    time, unit_of_time = (scale[0], str(units[0])) if len(kept) > 2 else (None, "")
    return Calibration.of(scale[-2], scale[-1], str(units[-1]), time, unit_of_time)


def _frames(data: Any, dtype: "np.dtype[Any]", name: str) -> "Iterator[NDArray[Any]]":
    for index in np.ndindex(*data.shape[:-2]):
        frame = np.asarray(data[index])
        if frame.min(initial=0) < 0 or frame.max(initial=0) > np.iinfo(dtype).max:
            raise WriteError(f"'{name}' has ids below 0 or above {np.iinfo(dtype).max}; give its objects other numbers")
        yield frame.astype(dtype)


# ---- marks


def _marks(movie: str) -> tuple[Prompts, tuple[int, int, int]]:
    """All marks of a movie, and its shape."""
    viewer, image = _image(movie)
    source = MovieSource.from_layer(image, viewer.dims.point)
    return Prompts(marked(viewer, source)), source.shape


def _image(movie: str) -> tuple[Any, Any]:
    """The viewer and the image with an id."""
    viewer = current_viewer()
    for layer in () if viewer is None else viewer.layers:
        if movie_id(layer) == movie:
            return viewer, layer
    raise WriteError("the movie of these marks is not in the viewer any more; open it again, then save")


# ---- names


def _tag(meta: Meta) -> Tag | None:
    tag = meta["metadata"].get(ROLE)
    return tag if isinstance(tag, Tag) else None


def _name(given: str) -> str:
    """A name of a layer as that of a file."""
    return re.sub(r'[\\/:*?"<>|]', "_", given)


def _free(folder: Path, name: str) -> Path:
    """A place in a folder at which nothing is."""
    stem, suffix = os.path.splitext(name)
    names = (name, *(f"{stem}-{n}{suffix}" for n in range(2, 1000)))
    return next(place for place in (folder / one for one in names) if not os.path.lexists(place))


def _not_a_movie(path: Path) -> Path:
    """A path, unless a movie of a session lies there."""
    movies = (session.movie.path for sessions in all_sessions() for session in sessions.all())
    viewer = current_viewer()
    images = () if viewer is None else (layer.source.path for layer in viewer.layers if _is_image(layer))
    if any(os.path.realpath(path) == os.path.realpath(movie) for movie in (*movies, *images) if movie):
        raise WriteError(f"'{path}' is a movie that is open; choose another name")
    return path


def _is_image(layer: Any) -> bool:
    from napari.layers import Image

    return isinstance(layer, Image)
