"""Write label frames in the Cell Tracking Challenge's result format.

A file beside the masks names what an export wrote, and nothing else is ever replaced or removed.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import local_path
from napari_mosam.core.files.places import Place, alone, shown
from napari_mosam.core.images.label_images.ctc_folder import IDS, MANIFEST, WORKSHOP, Manifest, foreign_files

if TYPE_CHECKING:
    from napari_mosam.core.store.result import Result

logger = logging.getLogger(__name__)

_MAX_LABEL = 65535
"""Label images of the Cell Tracking Challenge have 16 bits."""

_TRACK_FILE = "res_track.txt"


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
    free ones. Where an id had to change, ``napari_mosam_ids.csv`` says which track is which object's. Frames are read
    one at a time, twice.

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
        Replace an earlier export when the new one is whole. Only what ``napari_mosam_export.json`` in `folder` names
        as written by an export is replaced or removed.

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
        If `folder` is not empty and `overwrite` is False, is a file, or holds masks or tracks that no export wrote.
    ResultBusyError
        If another export is writing there.
    """
    folder = local_path(folder, "an export")
    _check_labels(labels)
    check_folder(folder, overwrite=overwrite)
    segments = _find_segments(labels)
    _assign_labels(segments)
    _assign_parents(segments, parents or {})
    with alone(folder / MANIFEST, make_folder=True):
        check_folder(folder, overwrite=overwrite)
        workshop = folder / WORKSHOP
        _remove(workshop)
        workshop.mkdir(parents=True)
        try:
            _write_masks(labels, segments, workshop)
            _write_tracks(segments, workshop)
            _write_ids(segments, workshop)
            _take_place(workshop, folder)
        finally:
            _remove(workshop)
    return folder


def export_result(result: "Result", folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write the labels and mothers of a result; of half a result up to the last frame on which anything was followed.

    What was not followed is logged as a warning, since it is no background. Else as :func:`export_ctc`.

    Raises
    ------
    ValueError
        As `export_ctc`, and for a result in which nothing was followed yet.
    """
    progress = result.progress
    if progress.complete:
        _say_unfollowed(result)
        return export_ctc(result.labels, folder, parents=result.parents, overwrite=overwrite)
    there = progress.begun
    if not there:
        raise ValueError(f"{shown(result.path)} is half a result ({progress}), so there is nothing to export")
    n_frames, missing = there[-1] + 1, ~progress.followed & progress.wanted
    holes = np.flatnonzero(missing[:n_frames].any(axis=1))
    rest = f"; on {len(holes)} of them not all objects were followed, such as frame {holes[0]}" if holes.size else ""
    logger.warning(
        "CTC export: %s is half a result (%s); frames 0 to %d are written%s",
        *(shown(result.path), progress, n_frames - 1, rest),
    )
    return export_ctc(_FirstFrames(result.labels, n_frames), folder, parents=result.parents, overwrite=overwrite)


def _say_unfollowed(result: "Result") -> None:
    """Frames outside the range of a run are no background either."""
    missing = np.flatnonzero(~(result.progress.followed.any(axis=1) | (result.area > 0).any(axis=1)))
    if missing.size:
        logger.warning(
            "CTC export: %s was followed on %d of %d frames; the masks of the others, such as frame %d, are empty",
            *(shown(result.path), len(result.area) - missing.size, len(result.area), int(missing[0])),
        )


class _FirstFrames:
    """The first frames of labels, read one at a time."""

    def __init__(self, labels: Any, n_frames: int) -> None:
        self._labels, self.dtype = labels, labels.dtype
        self.shape = (n_frames, *labels.shape[1:])

    def __getitem__(self, t: int) -> Any:
        return self._labels[t]


def _check_labels(labels: Any) -> None:
    shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
    if len(shape) != 3 or shape[0] == 0:
        raise ValueError(f"labels have the shape {shape}; CTC export takes (T, Y, X) with at least one frame")
    if dtype.kind not in "iu":
        raise ValueError(f"labels are of {dtype}; CTC export takes integer ids: use labels.astype('uint16')")


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder in which an export would replace what no export wrote.

    Raises
    ------
    FileExistsError
        If it is a file, not empty (without `overwrite`), or holds such files.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder for the CTC export")
    foreign = foreign_files(folder)
    if foreign:
        raise FileExistsError(
            f"{folder} holds {foreign[0]}, of which {MANIFEST} there does not say that an export wrote it, so it is "
            "not replaced; choose another folder, or, if it is an export of an earlier version, remove that first"
        )
    left = {WORKSHOP, MANIFEST, Place.of(folder / MANIFEST).lock.name}
    if folder.is_dir() and not overwrite and any(path.name not in left for path in folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another folder, or overwrite an earlier export there")


def _remove(workshop: Path) -> None:
    """Only files of ours lie there."""
    if workshop.is_dir():
        for path in workshop.iterdir():
            path.unlink()
        workshop.rmdir()


def _take_place(workshop: Path, folder: Path) -> None:
    """Exchange an earlier export for the new one, file by file; until that is done the manifest says so."""
    before, now = Manifest.read(folder).files, sorted(path.name for path in workshop.iterdir())
    Manifest(tuple(sorted({*before, *now})), whole=False).write(folder)
    for name in now:
        (workshop / name).replace(folder / name)
    for name in set(before) - set(now):
        (folder / name).unlink(missing_ok=True)
    Manifest(tuple(now)).write(folder)


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


def _write_tracks(segments: dict[int, list[_Segment]], folder: Path) -> None:
    rows = sorted((s.label, s.first, s.last, s.parent) for track in segments.values() for s in track)
    text = "".join(f"{label} {first} {last} {parent}\n" for label, first, last, parent in rows)
    (folder / _TRACK_FILE).write_text(text, encoding="ascii", newline="\n")


def _write_ids(segments: dict[int, list[_Segment]], folder: Path) -> None:
    """Which track is which object's, where that is not the same number for all."""
    stretches = [s for _, track in sorted(segments.items()) for s in track]
    if all(s.label == s.object_id for s in stretches):
        return
    rows = "".join(f"{s.object_id},{s.label},{s.first},{s.last}\n" for s in stretches)
    (folder / IDS).write_text(f"object,track,first,last\n{rows}", encoding="ascii", newline="\n")
    renamed = [track[0] for _, track in sorted(segments.items()) if track[0].label != track[0].object_id]
    if renamed:
        logger.warning(
            "CTC export: %d ids are above %d and have others there, such as %d -> %d; all are in %s",
            *(len(renamed), _MAX_LABEL, renamed[0].object_id, renamed[0].label, IDS),
        )


def _label_at(segments: dict[int, list[_Segment]], position: dict[int, int], object_id: int, t: int) -> int:
    """Look up the label of an object on frame t; `position` remembers the stretch, as frames only go up."""
    if object_id == 0:
        return 0
    track = segments[object_id]
    while track[position[object_id]].last < t:
        position[object_id] += 1
    return track[position[object_id]].label
