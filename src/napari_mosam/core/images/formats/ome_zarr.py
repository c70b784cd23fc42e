"""zarr and OME-Zarr: arrays, images of several resolutions, and series as bioformats2raw writes them."""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mosam.core.files.codecs import check_codecs
from napari_mosam.core.files.places import RESULT_MARK
from napari_mosam.core.files.zarr_files import open_zarr
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.source import SeriesInfo, Source, choose_series, chunks_of

ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
"""Of which one lies in every zarr store."""

_AXIS_TYPES = {"time": "T", "channel": "C"}


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store, whatever its name."""
    return any((path / name).exists() for name in ZARR_FILES)


def open_store(path: Path, series: int | None = None) -> Source:
    """The array, or an image, in a folder."""
    import zarr

    node = open_zarr(path)
    return zarr_source(node, path.name) if isinstance(node, zarr.Array) else open_group(node, path.name, series)


def zarr_source(array: Any, name: str, axes: str | None = None) -> Source:
    """A zarr array on disk, with the axes of an OME-Zarr image where it belongs to one."""
    check_codecs(name, array.metadata.to_dict())
    kind = f"zarr v{array.metadata.zarr_format}" + (", OME" if axes else "")
    return Source(name, kind, array, axes or dimension_axes(array), chunks_of(array), is_file=True)


def open_group(group: Any, name: str, series: int | None = None) -> Source:
    """An image in a zarr group: the only one, or one of the series of bioformats2raw or of the fields of a plate.

    Raises
    ------
    MovieError
        For a result of ours, and where there is none, or more than one of which nothing tells.
    """
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
    listed = _paths_of_images(group, ome)
    if listed:
        return _one_of(group, listed, name, series)
    with warnings.catch_warnings(action="ignore"):  # of what else lies in the folder
        images, arrays = dict(group.groups()), dict(group.arrays())
    if len(arrays) == 1:
        return zarr_source(next(iter(arrays.values())), name)
    inside = ", ".join(sorted([*arrays, *images])) or "nothing"
    raise MovieError(
        f"{name} is a zarr group without one image in it; it holds: {inside}; give the path of one of them"
    )


def _paths_of_images(group: Any, ome: Mapping[str, Any]) -> list[str]:
    """Of the series of a file that bioformats2raw converted, or of the fields of all wells of a plate."""
    if "plate" in ome:
        wells = [str(well["path"]) for well in ome["plate"]["wells"]]
        return [f"{well}/{field['path']}" for well in wells for field in ome_metadata(group[well])["well"]["images"]]
    if "bioformats2raw.layout" not in ome:
        return []
    said = ome_metadata(group["OME"]).get("series") if "OME" in group else None
    return list(said or itertools.takewhile(group.__contains__, map(str, itertools.count())))


def _one_of(group: Any, paths: Sequence[str], name: str, series: int | None) -> Source:
    listed = tuple(_series_info(group[path], number, path) for number, path in enumerate(paths))
    chosen = choose_series(listed, series, name)
    return replace(open_multiscales(group[paths[chosen]], name), series=listed, chosen=chosen)


def _series_info(group: Any, number: int, path: str) -> SeriesInfo:
    scales = ome_metadata(group)["multiscales"][0]
    level0 = group[scales["datasets"][0]["path"]]
    said = scales.get("name")
    name = f"{path} ({said})" if isinstance(said, str) and said not in ("", "/", path) else path
    return SeriesInfo(number, name, tuple(level0.shape), _ome_axes(scales.get("axes"), level0.ndim))


def ome_metadata(group: Any) -> Mapping[str, Any]:
    """What OME-Zarr says of a group: in a block of its own from version 0.5 on."""
    attrs = dict(group.attrs)
    return attrs["ome"] if isinstance(attrs.get("ome"), Mapping) else attrs


def open_multiscales(group: Any, name: str) -> Source:
    """The full resolution of an OME-Zarr image, however its levels are called."""
    ome = ome_metadata(group)
    scales = ome["multiscales"][0]
    first, *coarser = (level["path"] for level in scales["datasets"])
    arrays = [group[first], *(group[path] for path in coarser if path in group)]
    axes = _ome_axes(scales.get("axes"), arrays[0].ndim)
    source, *levels = (zarr_source(array, name, axes) for array in arrays)
    return replace(source, calibration=_ome_calibration(scales), channels=_channel_names(ome), levels=tuple(levels))


def _channel_names(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """As the settings for viewers call them; none where those are damaged."""
    shown = ome.get("omero")
    channels = shown.get("channels") if isinstance(shown, Mapping) else None
    known = isinstance(channels, list) and all(isinstance(channel, Mapping) for channel in channels)
    return tuple(str(channel.get("label", "")) for channel in channels or ()) if known else ()


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


def dimension_axes(array: Any) -> str | None:
    """One letter per axis, where a zarr array names its dimensions."""
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    if names is None and type(array).__module__.startswith("zarr"):
        names = array.attrs.get("_ARRAY_DIMENSIONS")
    return _letters(names) if names and all(names) else None


def _letters(names: Any) -> str:
    words = {"time": "T", "channel": "C", "t": "T", "c": "C", "z": "Z", "y": "Y", "x": "X", "s": "S"}
    return "".join(words.get(str(name).lower(), "Q") for name in names)
