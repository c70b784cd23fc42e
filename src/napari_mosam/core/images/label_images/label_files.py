"""The one door for labels: any array or path as a :class:`LabelStack`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import local_path
from napari_mosam.core.files.places import settled
from napari_mosam.core.files.zarr_files import open_zarr
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.folders import natural_key
from napari_mosam.core.images.formats.image_files import FileStack, read_image
from napari_mosam.core.images.formats.numpy_files import ObjectsError, read_numpy
from napari_mosam.core.images.formats.ome_zarr import (
    is_zarr,
    ome_metadata,
    open_group,
    open_multiscales,
    zarr_source,
)
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.formats.tiff import read_tiff
from napari_mosam.core.images.label_images.ctc_folder import CtcFrames
from napari_mosam.core.images.label_images.labels import LabelError, LabelStack, refusing
from napari_mosam.core.images.sources import TIFF_SUFFIXES, open_source

PICTURE_SUFFIXES = (".png",)
NUMPY_SUFFIXES = (".npy", ".npz")
FILE_SUFFIXES = (*sorted(TIFF_SUFFIXES), *PICTURE_SUFFIXES, *NUMPY_SUFFIXES)
"""Of single files with labels; labels are in folders too."""

ALLOWED = (
    "a TIFF, PNG, .npy or .npz file, a zarr or OME-Zarr folder, a result, a folder of the Cell Tracking Challenge, or "
    "a folder or pattern of images with one number that counts the frames"
)


def open_labels(given: Any, name: str | None = None) -> LabelStack:
    """Open labels without reading their frames.

    Parameters
    ----------
    given : path, array, zarr.Group or LabelStack
        A TIFF or PNG file (of one with a palette the indices count), ``.npy`` or ``.npz``; a zarr array; an OME-Zarr
        image with one label image in it, its group of labels, or the label image; a result of ours; a folder of the
        Cell Tracking Challenge (``man_trackNNN.tif`` and ``man_track.txt``, ``maskNNN.tif`` and ``res_track.txt``, or
        ``man_segNNN.tif``, some frames only); a folder or pattern of images, one file per frame; a numpy, dask or zarr
        array of shape (Y, X) or (T, Y, X).
    name : str, optional
        What an array is called in messages; its kind by default.

    Raises
    ------
    LabelError
        For what cannot be opened or holds no labels, with what to do.
    """
    if isinstance(given, LabelStack):
        return given
    if not isinstance(given, str | Path):
        with refusing(name or "the array"):
            return LabelStack.of(_open_array(given, name))
    with refusing(str(given)):
        return _open_path(settled(local_path(given, "a label image")))


def _open_array(given: Any, name: str | None) -> Source:
    if hasattr(given, "shape"):
        source = open_source(given)
        return replace(source, name=name or source.name)
    import zarr

    if isinstance(given, zarr.Group):
        return _label_group(given, name or given.basename or "the zarr group")
    return _open_array(np.asarray(given), name)


def _open_path(path: Path) -> LabelStack:
    if path.is_dir():
        return _open_folder(path)
    if is_pattern(path):
        return _open_files(list(path.parent.glob(path.name)), str(path))
    if not path.exists():
        raise LabelError(f"{path} does not exist; check the spelling; allowed: {ALLOWED}")
    return LabelStack.of(_open_file(path))


def is_pattern(path: Path) -> bool:
    """Whether a path names files by a pattern, such as ``f*.tif``."""
    return any(sign in path.name for sign in "*?[") and not path.exists()


def _open_file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return open_source(path)
    if suffix in PICTURE_SUFFIXES:
        return _file_source([path], path.name)
    if suffix in NUMPY_SUFFIXES:
        return replace(open_source(_read_numpy(path)), name=path.name)
    lossy = suffix in (".jpg", ".jpeg")
    kind = "JPEG, which changes ids" if lossy else f"of a kind that cannot be read ({suffix or 'no suffix'})"
    raise LabelError(f"{path.name} is {kind}; allowed: {ALLOWED}")


def _open_folder(folder: Path) -> LabelStack:
    if is_zarr(folder):
        return LabelStack.of(_open_zarr(folder))
    frames = CtcFrames.find(folder)
    if frames is None:
        known = {*TIFF_SUFFIXES, *PICTURE_SUFFIXES}
        images = [p for p in folder.iterdir() if p.suffix.lower() in known and not p.name.startswith(".")]
        return _open_files(images, str(folder))
    stack = LabelStack.of(_file_source(frames.files, str(folder)))
    return replace(stack, numbers=frames.numbers, parents=frames.parents, linked=frames.linked)


# --- one file per frame ----------------------------------------------------------------------------------------------


def _open_files(paths: Sequence[Path], name: str) -> LabelStack:
    if not paths:
        raise LabelError(f"{name} holds no label image; allowed: {ALLOWED}")
    if len(paths) == 1:
        return LabelStack.of(_open_file(paths[0]))
    ordered = sorted(paths, key=natural_key)
    _check_series(ordered, name)
    return LabelStack.of(_file_source(ordered, name))


def _file_source(paths: Sequence[Path], name: str) -> Source:
    return Source(name, "label images", FileStack(paths, _read_ids), is_file=True)


def _read_ids(path: Path) -> NDArray[Any]:
    """One label image, its ids of the type that holds all of them, since files may differ in theirs."""
    pixels = read_image(path, indices=True) if path.suffix.lower() in PICTURE_SUFFIXES else read_tiff(path)
    still = LabelStack.of(replace(open_source(pixels), name=path.name))
    if still.shape[0] > 1:
        raise LabelError(f"{path.name} holds {still.shape[0]} frames; of one file per frame each holds one")
    return still[0].astype(np.uint32)


def _check_series(paths: Sequence[Path], name: str) -> None:
    """Refuse files whose names do not count the frames: of several kinds, with several numbers, or with a gap."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault(re.sub(r"\d+", "#", path.name), []).append(path.name)
    if len(kinds) > 1:
        patterns = [f"'{_pattern(Path(names[0]))}'" for names in kinds.values()]
        raise LabelError(f"{name} holds {len(kinds)} kinds of files; give one of them: {', '.join(patterns[:4])}")
    numbers = [[int(n) for n in re.findall(r"\d+", path.stem)] for path in paths]
    counting = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(counting) != 1 or len(set(counting[0])) < len(paths):
        raise LabelError(
            f"the names in {name} have {len(counting)} numbers that differ, so which frame a file is is not certain; "
            f"give a pattern in which one number counts the frames, or name them f000{paths[0].suffix} and so on"
        )
    _check_gaps(sorted(counting[0]), paths, name)


def _pattern(file: Path) -> str:
    """The name of a file, any number in place of its last one."""
    return re.sub(r"\d+(?=\D*$)", "*", file.stem) + file.suffix


def _check_gaps(numbers: Sequence[int], paths: Sequence[Path], name: str) -> None:
    gaps = [f"{a + 1}" if b == a + 2 else f"{a + 1} to {b - 1}" for a, b in pairwise(numbers) if b > a + 1]
    if gaps:
        shown = ", ".join(gaps[:6]) + (f" and {len(gaps) - 6} more gaps" if len(gaps) > 6 else "")
        raise LabelError(
            f"{name} lacks the files with number {shown} between {paths[0].name} and {paths[-1].name}, so which frames "
            "the others are is not certain; add them (without an object: an empty image), or, for truth on some frames "
            "only, name the files by frame from man_seg000.tif on"
        )


# --- zarr and numpy --------------------------------------------------------------------------------------------------


def _open_zarr(path: Path) -> Source:
    import zarr

    node = open_zarr(path)
    return _label_group(node, path.name) if isinstance(node, zarr.Group) else zarr_source(node, path.name)


def _label_group(group: Any, name: str) -> Source:
    """The label image in a group: of a result, of an OME-Zarr image, one of several that are named, or itself."""
    import zarr

    inside, ome = group.get("labels"), ome_metadata(group)
    if isinstance(inside, zarr.Array):
        return zarr_source(inside, name)
    if isinstance(inside, zarr.Group):
        return _only_label(inside, f"{name}/labels")
    if isinstance(ome.get("labels"), list):
        return _only_label(group, name)
    if ome.get("multiscales"):
        return open_multiscales(group, name)
    first = group.get("0")
    return zarr_source(first, name) if isinstance(first, zarr.Array) else open_group(group, name)


def _only_label(group: Any, name: str) -> Source:
    names = [str(label) for label in ome_metadata(group).get("labels") or sorted(dict(group.groups()))]
    if len(names) != 1:
        held = ", ".join(names) or "none"
        raise LabelError(f"{name} holds {len(names)} label images ({held}); give the path of one, such as {name}/NAME")
    return _label_group(group[names[0]], f"{name}/{names[0]}")


def _read_numpy(path: Path) -> NDArray[Any]:
    try:
        return read_numpy(path)
    except ObjectsError as error:
        raise LabelError(
            f"{path.name} holds Python objects, which could run any program when they are loaded, so it is not read "
            "(the _seg.npy files of Cellpose are such); save the masks as PNG or TIFF and give those: in Cellpose, "
            "'Save masks as PNG/tif', or --save_png or --save_tif on its command line"
        ) from error
    except MovieError as error:
        raise LabelError(str(error)) from error
