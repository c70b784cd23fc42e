"""How good the masks of a result are likely to be: the IoU with what a person would draw that can be expected."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from napari_mosam.core.files.places import settled
from napari_mosam.core.files.zarr_files import open_zarr_group
from napari_mosam.core.results.columns import STATES, labels_of, read_table
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.results.iou_calibration import shipped
from napari_mosam.core.results.track_evidence import COLUMNS, evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.results.iou_calibration import IouCalibration

_PRESENT, _LOST = STATES.index(ObjectState.PRESENT), STATES.index(ObjectState.LOST)


class OpenedResult(Protocol):
    """What is asked of a result."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Columns of its tables."""


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedIou:
    """The expected IoU of every mask of a result.

    Attributes
    ----------
    object_ids : tuple of int
        Columns of `values`.
    values : ndarray of float32, shape (T, N)
        In [0, 1]: 1 where a person gave or accepted the mask, 0 where an object was not found, NaN where it was not
        followed or had left for good.
    calibrated : bool
        Whether it was fitted to true masks for the weights that made the result; else it is what the network says.
    """

    object_ids: tuple[int, ...]
    values: "NDArray[np.float32]"
    calibrated: bool

    @classmethod
    def read(cls, group: Any, known: "Mapping[str, IouCalibration] | None" = None) -> Self:
        """That of an opened result; `known` are calibrations by the hash of their weights, by default those shipped."""
        ids, attrs = tuple(int(i) for i in group["table/object_ids"][:]), dict(group.attrs)
        shape = (int(labels_of(group).shape[0]), len(ids))
        stored = {"values": group["table/values"]} if "table/values" in group else group["table"]
        table = read_table(stored, shape, COLUMNS)
        prompted, painted = marks(group, ids, shape)
        painted |= (np.nan_to_num(table["locked"]) > 0) | (np.nan_to_num(table["accepted"]) > 0)
        weights = (attrs.get("provenance") or {}).get("weights")
        fitted = (shipped() if known is None else known).get(str(weights))
        values = table["predicted_iou"].astype(float)
        if fitted is not None:
            values = fitted.expected(evidence(table, prompted, painted, str(attrs.get("direction", "both"))))
        state = np.nan_to_num(table["state"])
        values = np.where(state == _PRESENT, values, np.where(state == _LOST, 0.0, np.nan))
        return cls(ids, np.where(painted & (state > 0), 1.0, values).astype(np.float32), fitted is not None)

    @classmethod
    def of(cls, result: OpenedResult) -> Self:
        """That of a result as it is stored now, in the columns of the opened one; NaN for what it has no more."""
        found = cls.read(open_zarr_group(settled(result.path), "r"))
        values = np.full((len(found.values), len(result.object_ids)), np.nan, np.float32)
        columns = {object_id: column for column, object_id in enumerate(found.object_ids)}
        for column, object_id in enumerate(result.object_ids):
            if object_id in columns:
                values[:, column] = found.values[:, columns[object_id]]
        return cls(result.object_ids, values, found.calibrated)


def expected_iou(result: OpenedResult) -> "NDArray[np.float32]":
    """Expected IoU of every mask of a result, shape (T, N); see :class:`ExpectedIou`."""
    return ExpectedIou.of(result).values


def marks(
    group: Any, object_ids: Sequence[int], shape: tuple[int, int]
) -> "tuple[NDArray[np.bool_], NDArray[np.bool_]]":
    """Where objects of an opened result are prompted in any way, and where with their masks, each of shape (T, N)."""
    records: Iterable[Mapping[str, Any]] = group["prompts"].attrs["records"] if "prompts" in group else ()
    prompted, painted = np.zeros(shape, bool), np.zeros(shape, bool)
    columns = {object_id: column for column, object_id in enumerate(object_ids)}
    for record in records:
        if record["object"] in columns:
            place = record["frame"], columns[record["object"]]
            prompted[place] = True
            painted[place] |= "mask" in record
    return prompted, painted
