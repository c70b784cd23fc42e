"""The table of a result as a table of pandas."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_mosam.core.files.zarr_files import read_whole
from napari_mosam.core.results.columns import CODES, STATE, TABLE, in_order
from napari_mosam.core.results.expected_iou import ExpectedIou


def to_dataframe(group: Any, object_ids: Sequence[int]) -> Any:
    """One row per object and frame on which it was followed, by frame and id; see :meth:`Result.to_dataframe`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("tables need pandas, which is not installed: pip install pandas") from error
    stored = group["table/values"]
    table = in_order(read_whole(stored, "the table of the result"), stored.attrs["columns"])
    t, row = np.nonzero(np.nan_to_num(table[..., STATE]) > 0)
    found = pd.DataFrame(table[t, row], columns=list(TABLE))
    found["frame"], found["object"] = t, np.asarray(object_ids, np.int64)[row]
    if "table/locked" in group:  # an array of its own in results of version 0.1
        found["locked"] = np.where(read_whole(group["table/locked"], "the locks of the result")[t, row], 1, np.nan)
    found["expected_iou"] = ExpectedIou.read(group).values[t, row]
    names = dict(group.attrs.get("names") or {})
    found["name"] = [names.get(str(i)) for i in found["object"]]
    parents = {int(i): int(mother) for i, mother in dict(group.attrs.get("parents") or {}).items()}
    found["parent"] = [parents.get(int(i), np.nan) for i in found["object"]]
    for name, words in CODES.items():
        codes = found[name].to_numpy()
        found[name] = [None if np.isnan(code) else words[int(code)] for code in codes]
    return found
