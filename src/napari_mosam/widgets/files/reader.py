"""Reader of napari: results of ours as layers, without reading a frame before it is shown.

What is wrong with a result is said in words, and what is left of it opens.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.files.places import Place, ResultError, is_result
from napari_mosam.widgets.files.opening import place_of
from napari_mosam.widgets.layers.tags import RESULT

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mosam.core.images.calibration import Calibration
    from napari_mosam.widgets.sessions.registry import Dock

LayerData = tuple[Any, dict[str, Any], str]
NOTHING: list[Any] = [(None,)]
"""For napari: there is nothing to add, and nothing is wrong."""

Say = Callable[[str], object]


def get_reader(path: Any) -> Callable[[Any], list[LayerData]] | None:
    """What reads a path; None for all that is neither a result of ours nor, while a dock is open, marks.

    Parameters
    ----------
    path : str or list of str
        What was dropped or chosen. Several paths are never one result.
    """
    if not isinstance(path, str | Path):
        return None
    if Path(path).suffix == ".json":
        return take_marks if _dock() is not None else None
    try:
        return open_result if is_result(path) else None
    except (OSError, ValueError):  # names that no file can have
        return None


def take_marks(path: str | Path) -> list[LayerData]:
    """Let the dock that is open add the marks of a prompts file to those of its movie."""
    dock = _dock()
    if dock is None or not dock.take_marks(Path(path)):
        raise ResultError(f"'{path}' holds marks, and there is no movie for them; open the movie first")
    return NOTHING


def open_result(path: str | Path) -> list[LayerData]:
    """Let the dock that is open go on with a result; without one, its layers, see :func:`read_result`."""
    dock = _dock()
    if dock is None:
        return read_result(path)
    dock.open(Path(path))
    return NOTHING


def _dock() -> "Dock | None":
    from napari import current_viewer

    from napari_mosam.widgets.sessions import dock_of

    return dock_of(current_viewer())


def as_layers(path: Path) -> "list[Layer]":
    """The layers of :func:`read_result`."""
    from napari.layers import Layer

    return [Layer.create(*layer) for layer in read_result(path)]


def result_of(layer: "Layer") -> Path | None:
    """The result that a layer of the reader shows; None for all other layers."""
    path = layer.metadata.get(RESULT)
    return Path(path) if isinstance(path, str) else None


def read_result(path: str | Path) -> list[LayerData]:
    """Layers of a result: labels, and hidden ones of confidence and of the centres, which carry the table.

    Parameters
    ----------
    path : str or Path
        The folder of the result.

    Returns
    -------
    list of layer data
        Labels (T, Y, X), lazy, whose features have a row per object; the image 'confidence' (T, Y, X) in 0 … 255,
        lazy; points (N, 3) in frames and px, whose features are the table: a row per object and frame on which it has
        a pixel. Each only as far as it can be read.

    Raises
    ------
    ResultError
        If not even its labels can be opened, or a newer version wrote it.
    """
    opened = _Opened.of(Path(path), cache(_warn))
    return [opened.labels(), *opened.confidence(), *opened.centres()]


def _warn(words: str) -> None:
    from napari.utils.notifications import show_warning

    show_warning(words)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A result that is being read, as far as that is possible.

    Attributes
    ----------
    path : Path
        Absolute, without links.
    name : str
        Of the layers.
    group : zarr.Group
    table : pandas.DataFrame or None
        A row per object and frame; None where it cannot be read.
    calibration : Calibration
    say : callable
        Tells the user what is wrong; the same only once.
    """

    path: Path
    name: str
    group: Any
    table: Any
    calibration: "Calibration"
    say: Say

    @classmethod
    def of(cls, path: Path, say: Say) -> "_Opened":
        from napari_mosam.core.images.calibration import Calibration

        group = _group(path, say)
        faults = [*_half(group, path, say), *_damaged(path, say)]
        name = path.name.removesuffix(".zarr") + (f" ({', '.join(faults)})" if faults else "")
        pixel, interval = group.attrs.get("pixel_size_um"), group.attrs.get("interval_s")
        calibration = Calibration(tuple(pixel) if pixel else None, interval)
        return cls(Place.of(path).path, name, group, _table(group, path, say), calibration, say)

    def labels(self) -> LayerData:
        from napari_mosam.core.results.columns import labels_of

        features = {} if self.table is None else {"features": _by_object(self.table)}
        return self._frames(labels_of(self.group), "ui"), {"name": self.name, **features, **self._place()}, "labels"

    def confidence(self) -> Iterable[LayerData]:
        stored = self._stored("confidence")
        if stored is None:
            self.say(f"'{self.name}' has lost its confidence, so there is no layer of it")
            return
        look = {"colormap": "magma", "contrast_limits": (0, 255), "blending": "additive", "visible": False}
        values = self._frames(stored, "u")
        yield values, {"name": f"{self.name} confidence", **look, **self._place()}, "image"

    def centres(self) -> Iterable[LayerData]:
        seen = self.table if self.table is None else self.table[self.table["y"].notna()]
        if seen is None or seen.empty:
            return
        look = {"symbol": "cross", "size": 5, "face_color": "yellow", "visible": False}
        features = {"features": seen.reset_index(drop=True)}
        where = seen[["frame", "y", "x"]].to_numpy(float)
        yield where, {"name": f"{self.name} centres", **features, **look, **self._place()}, "points"

    def _stored(self, name: str) -> Any:
        """An array; None where it is lost."""
        try:
            return self.group.get(name)
        except Refused:
            return None

    def _frames(self, array: Any, kinds: str) -> Any:
        import dask.array

        from napari_mosam.core.files.zarr_files import require_frame_room

        if getattr(array, "ndim", 0) != 3 or array.dtype.kind not in kinds:
            raise ResultError(
                f"'{self.name}' cannot be read: its frames are not of shape (T, Y, X) or no whole numbers"
            )
        require_frame_room(array, "a frame of the result")
        chunks = (1, *array.shape[1:])
        nothing = np.empty((0, 0, 0), array.dtype)
        return dask.array.from_array(_Lenient(array, self.say), chunks, name=False, asarray=False, meta=nothing)

    def _place(self) -> dict[str, Any]:
        return {"metadata": {RESULT: str(self.path)}, **place_of(self.calibration)}


@dataclass(frozen=True, slots=True, eq=False)
class _Lenient:
    """An array in which what cannot be read is 0, which is told."""

    array: Any
    say: Say

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        return int(self.array.ndim)

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def __getitem__(self, key: Any) -> Any:
        try:
            return np.asarray(self.array[key])
        except Exception as error:  # zarr and the codecs have their own each
            self.say(f"shown as background: {error}")
            return np.zeros_like(np.broadcast_to(np.zeros((), self.dtype), self.shape)[key])


def _group(path: Path, say: Say) -> Any:
    """The zarr group of a result, one that has lost its manifest too."""
    from napari_mosam.core.files.zarr_files import open_zarr_group
    from napari_mosam.core.store.layout import open_group, reading, schema_of

    try:
        return open_group(path, "r")
    except ResultError as error:
        with reading(path):
            group = open_zarr_group(path, "r")
            schema_of(group.attrs)
            if "0" not in group and "labels" not in group:
                raise
        say(str(error))
        return group


def _half(group: Any, path: Path, say: Say) -> list[str]:
    from napari_mosam.core.results.progress import ResultProgress
    from napari_mosam.core.store.layout import reading

    try:
        with reading(path):
            progress = ResultProgress.read(group)
    except ResultError as error:
        say(str(error))
        return []
    if progress.complete:
        return []
    say(f"'{path.name}' is half a result: {progress}")
    return ["half"]


def _damaged(path: Path, say: Say) -> list[str]:
    from napari_mosam.core.files.manifest import damage_of, damage_words

    lost = damage_of(path)
    if lost:
        say(f"'{path.name}' is damaged, {damage_words(lost)}; what cannot be read is shown as background")
    return ["damaged"] if lost else []


def _table(group: Any, path: Path, say: Say) -> Any:
    from napari_mosam.core.results.dataframe import to_dataframe
    from napari_mosam.core.store.layout import reading

    try:
        with reading(path):
            return to_dataframe(group, [int(i) for i in group["table/object_ids"][:]])
    except ResultError as error:
        say(f"the layers have no table: {error}")
        return None


def _by_object(table: Any) -> Any:
    """A row per object, of the frames on which it was seen; napari finds that of a label by the column 'index'."""
    present = table["state"] == "present"
    seen = table[["frame", "area", "predicted_iou"]].where(present).assign(object=table["object"], present=present)
    summary = seen.groupby("object").agg(
        first_frame=("frame", "min"),
        last_frame=("frame", "max"),
        frames_followed=("present", "size"),
        frames_present=("present", "sum"),
        mean_area=("area", "mean"),
        mean_predicted_iou=("predicted_iou", "mean"),
        lowest_predicted_iou=("predicted_iou", "min"),
    )
    return summary.rename_axis("index").reset_index()
