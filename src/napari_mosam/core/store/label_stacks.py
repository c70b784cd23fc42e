"""Label stacks on disk: results, TIFF, zarr, folders, and the folders of the Cell Tracking Challenge."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import refuse_address
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.images.places import settled
from napari_mosam.core.images.zarr_files import open_zarr, read_whole, require_frame_room
from napari_mosam.core.results.progress import ResultProgress
from napari_mosam.core.store.ctc_manifest import MANIFEST, Manifest
from napari_mosam.core.store.layout import open_group, reading

_CTC_KINDS = (("man_track", "man_track.txt"), ("mask", "res_track.txt"), ("man_seg", None))


@dataclass(frozen=True, slots=True, eq=False)
class LabelStack:
    """Labels on disk and what is known about their objects.

    Attributes
    ----------
    labels : array_like of int, shape (T, Y, X)
        Object ids, 0 = background; read frame by frame.
    frames : tuple of int or None
        Which frames of the movie they are, where some are left out; else None.
    parents : mapping of int to int
        Daughter id -> mother id.
    object_ids : tuple of int or None
        The objects that were followed, where that is known.
    prompted : mapping of int to sequence of int, or None
        Object id -> frames on which it was prompted, where that is known.
    followed : (start, stop) or None
        Half-open range of the frames that were run, where that is known.
    progress : ResultProgress or None
        How far they came, where that is known.
    """

    labels: Any
    frames: tuple[int, ...] | None = None
    parents: Mapping[int, int] = field(default_factory=dict)
    object_ids: tuple[int, ...] | None = None
    prompted: Mapping[int, Sequence[int]] | None = None
    followed: tuple[int, int] | None = None
    progress: ResultProgress | None = None

    @property
    def half(self) -> bool:
        """Whether they are of a run that was stopped before its end."""
        return self.progress is not None and not self.progress.complete

    def picked(self, frames: Sequence[int]) -> "FramePick":
        """Only some frames, as a stack."""
        return FramePick(self.labels, frames)


class FramePick:
    """Some frames of a stack, in a given order."""

    def __init__(self, labels: Any, frames: Sequence[int]) -> None:
        self._labels, self._frames = labels, tuple(frames)
        self.shape: tuple[int, ...] = (len(self._frames), *labels.shape[1:])
        self.dtype = labels.dtype

    def __getitem__(self, t: int) -> NDArray[Any]:
        """Frame t of those that were picked, shape (Y, X)."""
        return np.asarray(self._labels[self._frames[t]])


def open_labels(path: str | Path) -> LabelStack:
    """Open a label stack without reading its frames.

    Parameters
    ----------
    path : str or Path
        A result of ``mosam track``; a TIFF file, zarr array, or folder of images; a folder of the Cell Tracking
        Challenge: a result (``maskNNN.tif`` and ``res_track.txt``), tracking truth (``man_trackNNN.tif`` and
        ``man_track.txt``), or segmentation truth (``man_segNNN.tif``, some frames only).

    Raises
    ------
    ValueError
        For what cannot be opened or holds no labels.
    """
    refuse_address(path, "a label stack")
    path = Path(path).expanduser()
    return _open_result(path) or _open_ctc(path) or LabelStack(_MovieLabels(Movie.open(path)))


class _MovieLabels:
    """A movie whose pixels are ids."""

    def __init__(self, movie: Movie) -> None:
        colours = dict(zip(movie.source_axes, movie.source_shape, strict=True)).get("S", 1)
        if movie.dtype.kind not in "iub" or colours > 1:
            held = "colours" if colours > 1 else f"pixels of {movie.dtype}"
            raise ValueError(f"{movie.name} holds {held}; allowed: labels, whole numbers that are the ids of objects")
        self._movie = movie
        self.shape, self.dtype = movie.shape, movie.dtype

    def __getitem__(self, t: int) -> NDArray[Any]:
        return self._movie.raw(t)


# --- results ---------------------------------------------------------------------------------------------------------


class _StoredLabels:
    """The label frames of a result."""

    def __init__(self, path: Path, labels: Any) -> None:
        self._path, self._labels = path, labels
        self.shape, self.dtype = labels.shape, labels.dtype

    def __getitem__(self, t: Any) -> NDArray[Any]:
        with reading(self._path):
            return np.asarray(self._labels[t])


def _open_result(path: Path) -> LabelStack | None:
    if not any((settled(path) / name).exists() for name in ("zarr.json", ".zgroup")):
        return None
    import zarr

    with reading(path):
        node = open_zarr(settled(path))
        labels = node.get("labels") if isinstance(node, zarr.Group) else None
        if not isinstance(labels, zarr.Array):
            return None
        require_frame_room(labels, f"one frame of the labels in {path.name}")
        followed = node.attrs.get("frames")
        return LabelStack(
            _StoredLabels(path, labels),
            object_ids=_stored_ids(node),
            prompted=_stored_prompts(node),
            followed=(int(followed[0]), int(followed[1])) if followed else None,
            progress=ResultProgress.read(open_group(path, "r")) if "table" in node else None,
        )


def _stored_ids(group: Any) -> tuple[int, ...] | None:
    ids = group.get("table/object_ids")
    return None if ids is None else tuple(int(i) for i in read_whole(ids, "the table of objects"))


def _stored_prompts(group: Any) -> dict[int, list[int]] | None:
    if "prompts" not in group:
        return None
    frames: dict[int, list[int]] = {}
    for record in group["prompts"].attrs["records"]:
        frames.setdefault(int(record["object"]), []).append(int(record["frame"]))
    return frames


# --- Cell Tracking Challenge -----------------------------------------------------------------------------------------


def _open_ctc(folder: Path) -> LabelStack | None:
    if not folder.is_dir():
        return None
    if (folder / "TRA").is_dir() or (folder / "SEG").is_dir():
        raise ValueError(f"{folder} holds folders of truth; give one of them: {folder / 'TRA'} or {folder / 'SEG'}")
    if not Manifest.read(folder).whole:
        raise ValueError(f"{folder} holds an export that was cut off ({MANIFEST} says so); export once more")
    for stem, table in _CTC_KINDS:
        files = list(folder.glob(f"{stem}*.tif"))
        if files and (table is None or (folder / table).is_file()):
            return _ctc_stack(folder, stem, sorted(_numbers(files, stem)), table)
    return None


def _ctc_stack(folder: Path, stem: str, numbers: Sequence[int], table: str | None) -> LabelStack:
    labels = _MovieLabels(Movie.open(folder / f"{stem}*.tif"))
    if table is None:
        return LabelStack(labels, frames=tuple(numbers))
    missing = set(range(numbers[0], numbers[-1])) - set(numbers)
    if missing:
        raise ValueError(f"{folder} lacks {stem}{min(missing):03d}.tif; a track needs every frame (is it all there?)")
    return LabelStack(labels, parents=_read_parents(folder / table))


def _numbers(files: Sequence[Path], stem: str) -> list[int]:
    found = [re.fullmatch(rf"{stem}(\d+)", f.stem) for f in files]
    for file, match in zip(files, found, strict=True):
        if match is None:
            raise ValueError(f"{file} has no frame number after '{stem}'; 3-D truth and other files are not read")
    return [int(match[1]) for match in found if match]


def _read_parents(path: Path) -> dict[int, int]:
    parents = {}
    for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            label, parent = _read_row(path, n, line)
            parents[label] = parent
    return {label: parent for label, parent in parents.items() if parent}


def _read_row(path: Path, n: int, line: str) -> tuple[int, int]:
    try:
        label, _, _, parent = (int(word) for word in line.split())
    except ValueError as error:
        raise ValueError(f"{path}, line {n}: '{line}' is not 'id first last parent', four whole numbers") from error
    return label, parent
