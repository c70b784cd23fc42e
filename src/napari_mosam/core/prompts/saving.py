"""Prompts written to a file that `load_prompts` takes: JSON or a table, and an image of each mask beside it."""

import csv
import json
import re
from collections.abc import Collection, Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.files import disk
from napari_mosam.core.files.stores import check_outside
from napari_mosam.core.prompts.kinds import MaskPrompt, Prompt, PromptError
from napari_mosam.core.prompts.records import to_record
from napari_mosam.core.prompts.tables import CSV_COLUMNS

Record = dict[str, Any]

_MASK_NAME = re.compile(r"[0-9]+_[0-9]+\.png")
"""Object and frame."""


def masks_folder(path: Path) -> Path:
    """Where the masks of a file of prompts lie."""
    return path.with_name(f"{path.stem}_masks")


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse to write prompts where there are some, or where their masks would lie among other files.

    Raises
    ------
    FileExistsError
        Unless they may be overwritten.
    Refused
        Inside a zarr store.
    """
    check_outside(path)
    folder = masks_folder(path)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"'{folder}' is a file, but masks go into a folder of that name; choose another name")
    held = path if path.exists() else next(folder.iterdir(), None) if folder.is_dir() else None
    if held is not None and not overwrite:
        raise FileExistsError(
            f"'{held}' is there already; choose another name, or allow prompts and masks to be overwritten "
            "(--overwrite)"
        )


def save_prompts(
    prompts: Iterable[Prompt], path: Path, shape_yx: tuple[int, int], *, overwrite: bool = False
) -> list[Path]:
    """Write prompts with their ids; `load_prompts` gives the same ones.

    Parameters
    ----------
    prompts : iterable of Prompt
    path : Path
        Ending in '.json' or '.csv'. Masks go into a folder beside it, such as ``marks_masks/3_12.png`` for object 3 on
        frame 12.
    shape_yx : tuple of int
        Shape of a frame, px.
    overwrite : bool
        Replace earlier prompts and their masks. Other files in the folder of the masks stay.

    Returns
    -------
    list of Path
        The files written, that of the prompts first.

    Raises
    ------
    PromptError
        For another suffix.
    FileExistsError, Refused
        As :func:`check_free`.
    """
    texts = {".json": _json, ".csv": _csv}
    if path.suffix.lower() not in texts:
        raise PromptError(f"'{path.name}' is no name for prompts; end it with {' or '.join(texts)}")
    check_free(path, overwrite=overwrite)
    listed, folder = list(prompts), masks_folder(path)
    masks = {folder / f"{p.object_id}_{p.frame}.png": p for p in listed if _is_mask(p)}
    for place, mask in masks.items():
        _write_mask(place, mask, shape_yx)
    records = [to_record(prompt, lambda mask: f"{folder.name}/{mask.object_id}_{mask.frame}.png") for prompt in listed]
    write_whole(path, texts[path.suffix.lower()](records))
    if overwrite:
        _remove_masks(folder, masks)
    return [path, *masks]


def _remove_masks(folder: Path, kept: Collection[Path]) -> None:
    """Remove the masks of earlier prompts, and the folder if nothing else is in it."""
    if not folder.is_dir():
        return
    for place in folder.iterdir():
        if _MASK_NAME.fullmatch(place.name) and place not in kept:
            disk.remove(place)
    if not any(folder.iterdir()):
        disk.remove_empty(folder)


def _is_mask(prompt: Prompt) -> bool:
    return isinstance(prompt, MaskPrompt)


def _write_mask(path: Path, prompt: Any, shape_yx: tuple[int, int]) -> None:
    import imageio.v3 as iio
    import numpy as np

    disk.make_folder(path.parent)
    iio.imwrite(path, np.where(prompt.to_frame(shape_yx), 255, 0).astype(np.uint8))


def _json(records: list[Record]) -> str:
    return "[\n" + ",\n".join(f" {json.dumps(record)}" for record in records) + "\n]\n"


def _csv(records: list[Record]) -> str:
    text = StringIO(newline="")
    table = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(map(_row, records))
    return text.getvalue()


def _row(record: Record) -> Record:
    """The cells of a record."""
    row = {key: value for key, value in record.items() if key not in ("point", "box")}
    row |= dict(zip(("y", "x"), record.get("point", ()), strict=False))
    return row | dict(zip(("y0", "x0", "y1", "x1"), record.get("box", ()), strict=False))
