"""Write label frames in the Cell Tracking Challenge's result format."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core._checks import refuse_address

logger = logging.getLogger(__name__)

_MAX_LABEL = 65535
_TRACK_FILE = "res_track.txt"
_MASKS = "mask*.tif"


@dataclass(slots=True)
class _Segment:
    """A stretch of consecutive frames of one object; CTC calls it a track."""

    object_id: int
    first: int
    last: int
    label: int = 0
    parent: int = 0


def export_ctc(
    labels: Any, folder: str | Path, *, parents: Mapping[int, int] | None = None, overwrite: bool = False
) -> Path:
    """Write label frames as ``mask000.tif`` ... and ``res_track.txt``.

    A CTC track has no gaps: an object that is away for a while becomes several tracks, each the child of the one
    before. The first keeps the object's id, the others get new ones. Ids that do not fit uint16 are replaced by
    free ones. Frames are read one at a time, twice.

    Parameters
    ----------
    labels : array-like of int, shape (T, Y, X)
        Object ids, 0 = background: numpy, zarr or dask.
    folder : str or Path
        Where to write; created if missing.
    parents : mapping of int to int, optional
        Daughter id -> mother id, in the ids of `labels`. A mother whose last frame is not before her daughter's first
        is left out with a logged warning, because the format cannot hold it; so is one that never appears.
    overwrite : bool
        Replace an earlier export: ``mask*.tif`` and ``res_track.txt`` in `folder` are removed first, nothing else.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If `labels` is not (T, Y, X) with T > 0, not of integers, negative, or needs more than 65535 tracks; if
        `folder` is an address.
    FileExistsError
        If `folder` is not empty and `overwrite` is False, or is a file.
    """
    refuse_address(folder, "an export")
    folder = Path(folder)
    _check_labels(labels)
    _check_folder(folder, overwrite)
    segments = _find_segments(labels)
    _assign_labels(segments)
    _assign_parents(segments, parents or {})
    _clear(folder)
    _write_masks(labels, segments, folder)
    rows = sorted((s.label, s.first, s.last, s.parent) for track in segments.values() for s in track)
    text = "".join(f"{label} {first} {last} {parent}\n" for label, first, last, parent in rows)
    (folder / _TRACK_FILE).write_text(text, encoding="ascii", newline="\n")
    return folder


def _check_labels(labels: Any) -> None:
    shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
    if len(shape) != 3 or shape[0] == 0:
        raise ValueError(f"labels have the shape {shape}; CTC export takes (T, Y, X) with at least one frame")
    if dtype.kind not in "iu":
        raise ValueError(f"labels are of {dtype}; CTC export takes integer ids: use labels.astype('uint16')")


def _check_folder(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder for the CTC export")
    if folder.is_dir() and not overwrite and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another folder, or overwrite an earlier export there")


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob(_MASKS), folder / _TRACK_FILE):
        old.unlink(missing_ok=True)


def _frame(labels: Any, t: int) -> NDArray[np.integer[Any]]:
    return np.asarray(labels[t])


def _find_segments(labels: Any) -> dict[int, list[_Segment]]:
    """Every object's stretches of consecutive frames, in order."""
    found: dict[int, list[_Segment]] = {}
    for t in range(labels.shape[0]):
        ids = np.unique(_frame(labels, t))
        if ids.size and ids[0] < 0:
            raise ValueError(f"frame {t} holds the id {ids[0]}; ids are positive and 0 is the background")
        for object_id in (int(i) for i in ids if i):
            track = found.setdefault(object_id, [])
            if track and track[-1].last == t - 1:
                track[-1].last = t
            else:
                track.append(_Segment(object_id, t, t))
    return found


def _assign_labels(segments: dict[int, list[_Segment]]) -> None:
    """First stretches keep their ids where these fit; all others get new labels above them, or else free ones."""
    n_tracks = sum(map(len, segments.values()))
    if n_tracks > _MAX_LABEL:
        raise ValueError(f"{n_tracks} tracks do not fit the CTC format, which holds {_MAX_LABEL}; export fewer objects")
    kept = {object_id for object_id in segments if object_id <= _MAX_LABEL}
    for object_id in kept:
        segments[object_id][0].label = object_id
    others = [segment for track in segments.values() for segment in track if not segment.label]
    above = range(max(kept, default=0) + 1, _MAX_LABEL + 1)
    free = above if len(above) >= len(others) else [i for i in range(1, _MAX_LABEL + 1) if i not in kept]
    for segment, label in zip(others, free, strict=False):
        segment.label = label


def _assign_parents(segments: dict[int, list[_Segment]], parents: Mapping[int, int]) -> None:
    for object_id, track in segments.items():
        for earlier, later in pairwise(track):
            later.parent = earlier.label
        if parents.get(object_id):
            track[0].parent = _mother_label(track[0], segments.get(parents[object_id]), parents[object_id])


def _mother_label(daughter: _Segment, mother: list[_Segment] | None, mother_id: int) -> int:
    if mother is None:
        logger.warning("CTC export: object %d has no parent; mother %d never appears", daughter.object_id, mother_id)
        return 0
    if mother[-1].last >= daughter.first:
        logger.warning(
            "CTC export: object %d (from frame %d) has no parent; its mother %d is still there on frame %d",
            daughter.object_id,
            daughter.first,
            mother_id,
            mother[-1].last,
        )
        return 0
    return mother[-1].label


def _write_masks(labels: Any, segments: dict[int, list[_Segment]], folder: Path) -> None:
    import tifffile

    digits = max(3, len(str(labels.shape[0] - 1)))
    position = dict.fromkeys(segments, 0)
    for t in range(labels.shape[0]):
        ids, inverse = np.unique(_frame(labels, t), return_inverse=True)
        values = np.array([_label_at(segments, position, int(i), t) for i in ids], np.uint16)
        mask = values[inverse].reshape(labels.shape[1:])
        tifffile.imwrite(folder / f"mask{t:0{digits}d}.tif", mask, compression="zlib")


def _label_at(segments: dict[int, list[_Segment]], position: dict[int, int], object_id: int, t: int) -> int:
    """Look up the label of an object on frame t; `position` remembers the stretch, as frames only go up."""
    if object_id == 0:
        return 0
    track = segments[object_id]
    while track[position[object_id]].last < t:
        position[object_id] += 1
    return track[position[object_id]].label
