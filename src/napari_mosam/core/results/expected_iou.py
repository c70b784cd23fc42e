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

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    def read(cls, group: Any) -> Self:
        """That of an opened result."""
        ids = tuple(int(i) for i in group["table/object_ids"][:])
        shape = (int(labels_of(group).shape[0]), len(ids))
        found = read_table(group["table"], shape, ("state", "predicted_iou", "locked"))
        state, by_person = np.nan_to_num(found["state"]), np.nan_to_num(found["locked"]) > 0
        records = group["prompts"].attrs["records"] if "prompts" in group else ()
        by_person |= _painted(records, ids, shape)
        values = np.where(state == _PRESENT, found["predicted_iou"], np.where(state == _LOST, 0.0, np.nan))
        return cls(ids, np.where(by_person & (state > 0), 1.0, values).astype(np.float32), calibrated=False)


def expected_iou(result: OpenedResult) -> "NDArray[np.float32]":
    """Expected IoU of every mask of a result as it is now, shape (T, N); see :class:`ExpectedIou`.

    Parameters
    ----------
    result : Result
        Its columns are those of the array; NaN for an object that the stored result has no more.
    """
    known = ExpectedIou.read(open_zarr_group(settled(result.path), "r"))
    values = np.full((len(known.values), len(result.object_ids)), np.nan, np.float32)
    for column, object_id in enumerate(result.object_ids):
        if object_id in known.object_ids:
            values[:, column] = known.values[:, known.object_ids.index(object_id)]
    return values


def _painted(
    records: Iterable[Mapping[str, Any]], object_ids: Sequence[int], shape: tuple[int, int]
) -> "NDArray[np.bool_]":
    """Where a mask is a prompt, shape (T, N)."""
    painted = np.zeros(shape, bool)
    for record in records:
        if "mask" in record and record["object"] in object_ids:
            painted[record["frame"], object_ids.index(record["object"])] = True
    return painted
