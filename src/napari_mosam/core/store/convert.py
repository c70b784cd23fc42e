"""Results of earlier versions, written anew in the present schema before they are changed."""

from pathlib import Path
from typing import Any

import numpy as np

from napari_mosam.core.files import disk
from napari_mosam.core.files.manifest import MANIFEST, manifest_of
from napari_mosam.core.files.places import Place
from napari_mosam.core.images.calibration import UNKNOWN
from napari_mosam.core.results.columns import labels_of
from napari_mosam.core.store.compose import shapes_of
from napari_mosam.core.store.layout import SCHEMA, locked_ids, open_group, read_prompts, schema_of
from napari_mosam.core.store.records import FrameTable, RecordStore
from napari_mosam.core.store.schema import Shape, create_group, ome_block


def to_present_schema(path: Path) -> None:
    """Write an earlier result anew beside, and put it in its place; nothing is done to one of the present schema.

    For who is alone with the result.

    Raises
    ------
    ResultError
        If it has no records, so that it cannot be changed.
    """
    old = open_group(path, "r")
    if schema_of(old.attrs) == SCHEMA:
        return
    place = Place.of(path)
    _write_anew(old, place.new)
    place.publish(place.new)
    place.tidy()


def _write_anew(old: Any, folder: Path) -> None:
    ids = tuple(int(i) for i in old["table/object_ids"][:])
    records, labels = RecordStore.open(old, ids), labels_of(old)
    shape = Shape(tuple(labels.shape), ids, records.side)
    attributes = {**old.attrs, "schema": SCHEMA, "ome": ome_block(folder.name, UNKNOWN)}
    group, new = create_group(folder, shape, labels.dtype, read_prompts(old), attributes)
    for t in range(labels.shape[0]):
        group["0"][t], group["confidence"][t] = labels[t], old["confidence"][t]
        new.write(_frame(old, records.read(t), np.asarray(labels[t])))
    disk.write(folder / MANIFEST, manifest_of(folder))


def _frame(old: Any, frame: FrameTable, labels: Any) -> FrameTable:
    """A frame with what earlier versions kept elsewhere or not at all."""
    frame.measure(shapes_of(labels), np.nan)
    for object_id in locked_ids(old, frame.object_ids, frame.t):
        frame.set_by_user(object_id, locked=True)
    return frame
