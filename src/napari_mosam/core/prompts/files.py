"""Prompts from files: a list of records in JSON, a table, or labels."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, local_path, refuse_address
from napari_mosam.core.config.json_files import read_json
from napari_mosam.core.files.places import is_result, settled
from napari_mosam.core.files.zarr_files import open_zarr
from napari_mosam.core.images.label_images.label_files import FILE_SUFFIXES, is_pattern, open_labels
from napari_mosam.core.images.label_images.labels import refusing
from napari_mosam.core.prompts.chosen_frames import PromptFrames, chosen_masks, chosen_records
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.prompts.kinds import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptError,
    as_prompt_error,
    polygon_mask,
)
from napari_mosam.core.prompts.tables import MAX_BYTES, Numbered, Record, table_masks, table_records
from napari_mosam.core.prompts.trackmate import Sizes, xml_records
from napari_mosam.core.results.progress import ResultProgress

KINDS = ("point", "box", "polygon", "mask")
JSON_KEYS = ("object", "frame", "positive", *KINDS)
TABLE_SUFFIXES = (".csv", ".tsv")
XML_SUFFIX = ".xml"
RECORD_SUFFIXES = (".json", *TABLE_SUFFIXES, XML_SUFFIX)

_LARGEST = 2**53
"""Whole numbers beyond it are no longer told apart in a float."""

Shape = tuple[int, int, int]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What prompts are read for: the shape of the movie, the frames that count, and the size of a pixel."""

    shape_tyx: Shape
    frames: PromptFrames
    pixel_um: Sizes | None


def load_prompts(
    path: str | Path,
    shape_tyx: Shape,
    *,
    frames: PromptFrames = "all",
    pixel_um: tuple[float, float] | None = None,
) -> Prompts:
    """Read prompts from a file and check them against the movie.

    Parameters
    ----------
    path : str or Path
        ``.json`` (a list of records), ``.csv`` or ``.tsv`` (ours, napari's points and shapes, TrackMate's spots),
        ``.xml`` of TrackMate, or labels of any kind that :func:`open_labels` takes: a TIFF, PNG, ``.npy`` or ``.npz``
        file, a zarr, OME-Zarr or Cell Tracking Challenge folder, a result.
    shape_tyx : tuple of int
        Shape (T, Y, X) of the movie.
    frames : {'all', 'first'}, int or sequence of int
        Frames that count: all that are prompted, for each object its first, or those named, from 0. A single label
        image is of the frame that is named.
    pixel_um : tuple of float, optional
        Size (y, x) of a pixel, µm, for positions that are given in a unit of length.

    Raises
    ------
    PromptError
        For a file that cannot be read, and for everything that ``Prompts.check`` refuses.
    """
    return read_prompts(Path(path), shape_tyx, frames, pixel_um)


def read_prompts(path: Path, shape_tyx: Shape, frames: PromptFrames = "all", pixel_um: Sizes | None = None) -> Prompts:
    """Read a prompts file of any supported kind and check it against a movie of that shape.

    Raises
    ------
    PromptError
        With one line that names the file, the record and what is allowed.
    """
    with as_prompt_error():
        path = local_path(path, "a prompts file")
    with naming_file(path):
        prompts = Prompts(_reader(path)(path, _Wanted(shape_tyx, frames, pixel_um)))
        prompts.check(shape_tyx)
    return prompts


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Errors inside are about this file."""
    try:
        yield
    except PromptError as error:
        said = str(error)
        raise PromptError(said if path.name in said else f"{path.name}: {said}") from None


def named_masks(path: Path) -> list[Path]:
    """The mask files that a prompts file names, as far as it can be read."""
    readers: dict[str, Callable[[Path], list[str]]] = {".json": _json_masks}
    readers |= dict.fromkeys(TABLE_SUFFIXES, table_masks)
    with suppress(PromptError, OSError, KeyError):
        return [_beside(mask, path.parent) for mask in readers[path.suffix.lower()](path)]
    return []


def _reader(path: Path) -> Callable[[Path, _Wanted], Iterator[Prompt]]:
    if not settled(path).exists() and not is_pattern(path):
        raise PromptError(f"there is no such file ({path}); check the path")
    if path.is_dir() or is_pattern(path):
        return _read_labels
    readers = dict.fromkeys(RECORD_SUFFIXES, _read_records) | dict.fromkeys(FILE_SUFFIXES, _read_labels)
    if path.suffix.lower() not in readers:
        raise PromptError(f"'{path.suffix}' is no kind of prompts file; allowed: {', '.join(readers)}, and .zarr")
    return readers[path.suffix.lower()]


# --- records ---------------------------------------------------------------------------------------------------------


def prompt_records(path: Path, pixel_um: Sizes | None = None) -> list[Numbered]:
    """The records of a file that is no label image, in the form of those of a JSON file, with their numbers.

    Raises
    ------
    PromptError
        For a file that holds no records; what they say is not checked.
    """
    if path.suffix.lower() == ".json":
        return _json_records(path)
    if path.suffix.lower() == XML_SUFFIX:
        return list(xml_records(path, pixel_um, MAX_BYTES))
    return table_records(path, pixel_um)


def _json_records(path: Path) -> list[Numbered]:
    try:
        records = read_json(path, MAX_BYTES)
    except Refused as error:
        raise PromptError(f"{error}; give a list of records in JSON") from None
    if isinstance(records, dict):
        records = [records]
    if not isinstance(records, list):
        raise PromptError(f"holds a {type(records).__name__}; give a list of records: [{{...}}, {{...}}]")
    return list(enumerate(records, 1))


def _json_masks(path: Path) -> list[str]:
    masks = [record.get("mask") for _, record in _json_records(path) if isinstance(record, dict)]
    return [mask for mask in masks if isinstance(mask, str)]


def _read_records(path: Path, wanted: _Wanted) -> Iterator[Prompt]:
    for n, record in chosen_records(prompt_records(path, wanted.pixel_um), wanted.frames):
        with naming_record(n):
            yield _parse(record, path.parent, wanted.shape_tyx)


@contextmanager
def naming_record(n: int) -> Iterator[None]:
    """Errors inside are about this record."""
    try:
        yield
    except PromptError as error:
        raise PromptError(f"record {n}: {error}") from None


def head_of(record: Any) -> tuple[str, int, int]:
    """Kind, object and frame of a record; PromptError where it has none."""
    return _kind(record), _whole(record, "object"), _whole(record, "frame")


def _parse(record: Any, folder: Path, shape_tyx: Shape) -> Prompt:
    kind, object_id, frame = head_of(record)
    positive = _sign(record)
    if kind == "point":
        return PointPrompt(object_id, frame, _coordinates(record, "point", "[y, x]", 2), positive)
    if not positive:
        raise PromptError(f"'positive': false belongs to a point; a {kind} always shows the object")
    if kind == "box":
        return BoxPrompt(object_id, frame, _coordinates(record, "box", "[y0, x0, y1, x1]", 4))
    mask = _filled(record, shape_tyx) if kind == "polygon" else _read_mask(record["mask"], folder, shape_tyx)
    return MaskPrompt.from_frame(object_id, frame, mask)


def _kind(record: Any) -> str:
    if not isinstance(record, dict):
        raise PromptError(f"{record!r:.60} is no record; give an object with the keys {', '.join(JSON_KEYS)}")
    unknown = [key for key in record if key not in JSON_KEYS]
    if unknown:
        raise PromptError(f"unknown key '{unknown[0]:.40}'; allowed: {', '.join(JSON_KEYS)}")
    kinds = [kind for kind in KINDS if kind in record]
    if len(kinds) != 1:
        raise PromptError(
            f"has {' and '.join(kinds) or 'no point, box or mask'}; give exactly one of {', '.join(KINDS)}"
        )
    return kinds[0]


def _whole(record: Record, key: str) -> int:
    if key not in record:
        raise PromptError(f"'{key}' is missing; give a whole number")
    value = record[key]
    if not _is_number(value) or value % 1:
        raise PromptError(f"'{key}' is {value!r:.80}; give a whole number")
    return int(value)


def _is_number(value: Any) -> bool:
    """Whether it is a finite number; whole ones without end are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _sign(record: Record) -> bool:
    positive = record.get("positive", True)
    if not isinstance(positive, bool):
        raise PromptError(f"'positive' is {positive!r:.80}; allowed: true or false")
    return positive


def _coordinates(record: Record, key: str, form: str, n: int) -> Any:
    values = record[key]
    if not isinstance(values, list) or len(values) != n or not all(map(_is_number, values)):
        raise PromptError(f"'{key}' is {values!r:.80}; give {n} finite numbers {form}")
    return tuple(float(v) for v in values)


def _filled(record: Record, shape_tyx: Shape) -> NDArray[np.bool_]:
    corners = record["polygon"]
    if not isinstance(corners, list) or not all(map(_is_corner, corners)):
        raise PromptError(f"'polygon' is {corners!r:.80}; give a list of corners [[y, x], [y, x], [y, x], ...]")
    return polygon_mask(corners, shape_tyx[1:])


def _is_corner(given: Any) -> bool:
    return isinstance(given, list) and len(given) == 2 and all(map(_is_number, given))


def _read_mask(name: object, folder: Path, shape_tyx: Shape) -> NDArray[Any]:
    if not isinstance(name, str):
        raise PromptError(f"'mask' is {name!r:.80}; give the path of a mask image, relative to the prompts file")
    path = _mask_path(name, folder)
    with as_prompt_error():
        stack = open_labels(path)
        if stack.shape != (1, *shape_tyx[1:]):
            raise PromptError(
                f"mask '{name}' has the shape {stack.shape} (T, Y, X); give one of {shape_tyx[1:]} (Y, X)"
            )
        mask = stack[stack.frames[0]]
    values = np.unique(mask[mask != 0])
    if values.size > 1:
        raise PromptError(
            f"mask '{name}' holds {values.size} different values; a mask is 0 outside and one value inside "
            "(to prompt many objects, give the label image itself as the prompts)"
        )
    return mask


def _mask_path(name: str, folder: Path) -> Path:
    with as_prompt_error():
        refuse_address(name, "a mask")
    path = _beside(name, folder)
    if not path.exists():
        raise PromptError(f"mask '{name}' does not lie beside the prompts file; check the path")
    return path


def _beside(name: str, folder: Path) -> Path:
    """A file that is named relative to a folder, also by a name that was written on Windows."""
    path = folder / name
    return path if path.exists() else folder / PureWindowsPath(name).as_posix()


# --- label images ----------------------------------------------------------------------------------------------------


def _read_labels(path: Path, wanted: _Wanted) -> Iterator[Prompt]:
    with as_prompt_error():
        stack = open_labels(path)
        stack.check_fit(wanted.shape_tyx, "the movie", whole=False)
        _warn_of_half(path)
        yield from chosen_masks(stack, wanted.frames)


def _warn_of_half(path: Path) -> None:
    if is_result(settled(path)):
        with refusing(str(path)):
            progress = ResultProgress.read(open_zarr(settled(path)))
        if not progress.complete:
            logger.warning("%s is half a result: %s", path, progress)
