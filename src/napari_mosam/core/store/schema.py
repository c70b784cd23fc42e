"""The folder of a result: an OME-Zarr 0.5 label image with all the rest beside it, and what its attributes say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.files.places import RESULT_MARK, new_group
from napari_mosam.core.store.layout import SCHEMA, mark_version, write_ids, write_prompts
from napari_mosam.core.store.records import RecordStore

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mosam.core.images.calibration import Calibration
    from napari_mosam.core.prompts.collection import Prompts

AXES = ("t", "y", "x")
"""Of the label frames."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the arrays of a result are made for.

    Attributes
    ----------
    movie : tuple of int
        (T, Y, X).
    object_ids : tuple of int
    side : int
        Of the model's mask logits, px.
    """

    movie: tuple[int, int, int]
    object_ids: tuple[int, ...]
    side: int


def ome_block(name: str, calibration: "Calibration", image: str | None = None) -> dict[str, Any]:
    """What OME-Zarr 0.5 wants to know of a label image.

    Parameters
    ----------
    name : str
    calibration : Calibration
        Axes without a known size have a scale of 1 and no unit.
    image : str, optional
        Where the labelled image lies, relative to the result, if it is an OME-Zarr image.
    """
    axes: list[dict[str, str]] = [{"name": name, "type": "time" if name == "t" else "space"} for name in AXES]
    scale = [calibration.interval_s or 1.0, *(calibration.pixel_um or (1.0, 1.0))]
    if calibration.interval_s is not None:
        axes[0]["unit"] = "second"
    if calibration.pixel_um is not None:
        axes[1]["unit"] = axes[2]["unit"] = "micrometer"
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    label: dict[str, Any] = {} if image is None else {"source": {"image": image}}
    return {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": axes, "datasets": datasets}],
        "image-label": label,
    }


def create_group(
    path: "Path", shape: Shape, dtype: Any, prompts: "Prompts", attributes: Mapping[str, Any]
) -> tuple[Any, RecordStore]:
    """An empty result without a manifest; PermissionError where the folder cannot be written.

    Parameters
    ----------
    path : Path
        Where nothing is yet.
    shape : Shape
    dtype : numpy dtype
        Of the labels.
    prompts : Prompts
    attributes : mapping
        Kept as they are, in JSON types.
    """
    group = new_group(path)
    group.attrs.update({RESULT_MARK: mark_version(), "schema": SCHEMA, **attributes})
    frame = (1, *shape.movie[1:])
    for name, kind in (("0", dtype), ("confidence", np.uint8)):
        group.create_array(name, shape=shape.movie, chunks=frame, dtype=kind, fill_value=0, dimension_names=AXES)
    write_ids(group.create_group("table"), shape.object_ids)
    records = RecordStore.create(group, shape.object_ids, shape.movie[0], shape.side)
    write_prompts(group, prompts)
    return group, records
