"""Labels on disk and what is known of their objects: which were prompted where, and how far they were followed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_mosam.core.files.places import RESULT_MARK, ResultError, settled
from napari_mosam.core.files.zarr_files import open_zarr, read_whole
from napari_mosam.core.images.formats.ome_zarr import is_zarr
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.label_images.labels import LabelStack
from napari_mosam.core.results.progress import ResultProgress
from napari_mosam.core.store.layout import parents_of, reading


@dataclass(frozen=True, slots=True, eq=False)
class TrackedLabels:
    """Labels and what is known about their objects.

    Attributes
    ----------
    labels : LabelStack
    object_ids : tuple of int or None
        The objects that were followed, where that is known.
    prompted : mapping of int to sequence of int, or None
        Object id -> frames on which it was prompted, where that is known.
    followed : (start, stop) or None
        Half-open range of the frames that were run, where that is known.
    progress : ResultProgress or None
        How far they came, where that is known.
    """

    labels: LabelStack
    object_ids: tuple[int, ...] | None = None
    prompted: Mapping[int, Sequence[int]] | None = None
    followed: tuple[int, int] | None = None
    progress: ResultProgress | None = None

    @property
    def half(self) -> bool:
        """Whether they are of a run that was stopped before its end."""
        return self.progress is not None and not self.progress.complete

    def frames_of(self, ids: Collection[int] | None) -> Sequence[int]:
        """Frames on which all that was to be was followed of these objects; of all where it is None, or knows none."""
        if self.progress is None:
            return self.labels.frames
        columns = [n for n, i in enumerate(self.object_ids or ()) if ids is not None and i in ids]
        return self.progress.of(columns).frames if columns else self.progress.frames


def open_tracks(path: str | Path) -> TrackedLabels:
    """Open labels, as :func:`open_labels` does, with what a result says of its objects.

    Raises
    ------
    LabelError
        For what cannot be opened or holds no labels.
    ResultError
        For a result that is damaged.
    """
    labels = open_labels(path)
    folder = settled(path)
    if not is_zarr(folder):
        return TrackedLabels(labels)
    with reading(path):
        return _with_records(labels, open_zarr(folder))


def _with_records(labels: LabelStack, node: Any) -> TrackedLabels:
    import zarr

    if not isinstance(node, zarr.Group) or not ("table" in node or RESULT_MARK in node.attrs):
        return TrackedLabels(labels)
    if RESULT_MARK in node.attrs and "table/object_ids" not in node:
        raise ResultError(f"{labels.name} has lost its table of objects; run 'mosam track' again")
    followed = node.attrs.get("frames")
    return TrackedLabels(
        replace(labels, parents=parents_of(node.attrs)),
        object_ids=_stored_ids(node),
        prompted=_stored_prompts(node),
        followed=(int(followed[0]), int(followed[1])) if followed else None,
        progress=ResultProgress.read(node),
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
