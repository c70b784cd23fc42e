"""Results on disk: a zarr group that grows frame by frame.

Layout: ``labels`` (T, Y, X) uint16 or uint32 and ``confidence`` (T, Y, X) uint8, one chunk per frame; under
``table``, one (T, N) array per quantity, its columns the objects of ``table/object_ids``.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.labels import label_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mosam.core.movie import Movie
    from napari_mosam.core.prompts import Prompts
    from napari_mosam.core.results import FrameResult

TABLE_ROWS_PER_CHUNK = 64
CONFIDENCE_MAX = 255
RESULT_MARK = "napari_mosam"
"""Attribute of a group that holds a result: the version that wrote it."""

_COLUMNS = ("predicted_iou", "object_score", "area")


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A finished run.

    Attributes
    ----------
    path : Path
        The zarr group.
    labels : zarr.Array of uint16 or uint32, shape (T, Y, X)
        Object ids, 0 = background.
    confidence : zarr.Array of uint8, shape (T, Y, X)
        255 x the confidence of the object that holds the pixel; 0 on background.
    object_ids : tuple of int
        Columns of the tables.
    predicted_iou, object_score, area : ndarray of float32, shape (T, N)
        Per frame and object; NaN where the object was not followed.
    attrs : dict
        Settings, model, normalisation and versions.
    """

    path: Path
    labels: Any
    confidence: Any
    object_ids: tuple[int, ...]
    predicted_iou: "NDArray[np.float32]"
    object_score: "NDArray[np.float32]"
    area: "NDArray[np.float32]"
    attrs: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> "Result":
        """Open a written group for reading.

        Raises
        ------
        FileNotFoundError
            If there is none at `path`.
        """
        import zarr

        group: Any = zarr.open_group(str(path), mode="r")
        table = {name: np.asarray(group[f"table/{name}"][:]) for name in _COLUMNS}
        ids = tuple(int(i) for i in group["table/object_ids"][:])
        return cls(Path(path), group["labels"], group["confidence"], ids, **table, attrs=dict(group.attrs))

    @property
    def n_object_frames(self) -> int:
        """Number of (object, frame) pairs that were followed."""
        return int(np.isfinite(self.predicted_iou).sum())


class ResultWriter:
    """Writes one frame after another into a group; every frame is on disk when :meth:`write` returns."""

    def __init__(self, path: Path, group: Any, object_ids: tuple[int, ...]) -> None:
        self._path = path
        self._group = group
        self._column = {object_id: column for column, object_id in enumerate(object_ids)}

    @classmethod
    def create(
        cls, path: Path, movie: "Movie", prompts: "Prompts", settings: "Mapping[str, Any]", *, overwrite: bool
    ) -> "ResultWriter":
        """Make an empty group for the results of a movie.

        Raises
        ------
        FileExistsError
            If `path` exists and may not be overwritten, or is no earlier result.
        PermissionError
            If the folder cannot be written.
        """
        limits = [float(v) for v in movie.limits]  # the first real read: a broken movie must not cost an old result
        clear_place(path, overwrite=overwrite)
        group = _new_group(path)
        group.attrs[RESULT_MARK] = _version()
        ids = prompts.object_ids
        frame = (1, *movie.frame_shape)
        for name, dtype in (("labels", label_dtype(max(ids))), ("confidence", np.uint8)):
            group.create_array(name, shape=movie.shape, chunks=frame, dtype=dtype, fill_value=0)
        table = group.create_group("table")
        stored_ids = table.create_array("object_ids", shape=(len(ids),), chunks=(len(ids),), dtype="uint32")
        stored_ids[:] = np.array(ids, np.uint32)
        for name in _COLUMNS:
            shape, chunks = (movie.n_frames, len(ids)), (TABLE_ROWS_PER_CHUNK, len(ids))
            table.create_array(name, shape=shape, chunks=chunks, dtype="float32", fill_value=np.nan)
        group.attrs.update({**settings, "movie": movie.name, "limits": limits})
        return cls(path, group, ids)

    def write(self, result: "FrameResult") -> None:
        """Write a frame; where the other direction already wrote it, the more confident object keeps a pixel."""
        labels, confidence = merged_frame(self._group["labels"][result.t], self._group["confidence"][result.t], result)
        self._group["labels"][result.t] = labels
        self._group["confidence"][result.t] = confidence
        columns = [self._column[o.object_id] for o in result.objects]
        for name in _COLUMNS:
            row = self._group[f"table/{name}"][result.t]
            row[columns] = [getattr(o, name) for o in result.objects]
            self._group[f"table/{name}"][result.t] = row

    def finish(self) -> Result:
        """The group, opened for reading."""
        return Result.open(self._path)


def merged_frame(
    labels: "NDArray[Any]", confidence: "NDArray[np.uint8]", result: "FrameResult"
) -> "tuple[NDArray[Any], NDArray[np.uint8]]":
    """A stored frame with a result laid over it.

    Parameters
    ----------
    labels, confidence : ndarray, shape (Y, X)
        What is stored; 0 where nothing is.
    result : FrameResult
        Its objects' own earlier pixels are replaced; a pixel of another object changes hands only to a more
        confident one.
    """
    ids = np.array([o.object_id for o in result.objects], labels.dtype)
    stale = np.isin(labels, ids)
    kept, sure = np.where(stale, 0, labels), np.where(stale, 0, confidence)
    new_sure = np.ceil(result.confidence * CONFIDENCE_MAX).astype(np.uint8)
    wins = (result.labels > 0) & (new_sure > sure)
    return np.where(wins, result.labels, kept).astype(labels.dtype), np.where(wins, new_sure, sure)


def clear_place(path: Path, *, overwrite: bool) -> None:
    """Make sure a result can be written at `path`; only an earlier result is ever removed."""
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"'{path}' exists; choose another name or allow it to be overwritten (--overwrite)")
    if not _is_result(path):
        raise FileExistsError(
            f"'{path}' is not a result of napari-mosam, so it is not overwritten; choose another name"
        )
    shutil.rmtree(path)


def _is_result(path: Path) -> bool:
    import zarr
    from zarr.errors import ContainsArrayError, GroupNotFoundError

    try:
        return RESULT_MARK in zarr.open_group(str(path), mode="r").attrs
    except (ContainsArrayError, GroupNotFoundError, FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return False


def _new_group(path: Path) -> Any:
    import zarr

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return zarr.open_group(str(path), mode="w-")
    except OSError as error:
        reason = error.strerror or error
        raise PermissionError(f"cannot write '{path}' ({reason}); choose a folder you may write to") from error


def _version() -> str:
    from importlib.metadata import version

    return version("napari-mosam")
