"""What the command ``mosam`` refuses before any work: settings that cannot be, outputs that cannot be written."""

import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_mosam.core._json_files import parse_json, read_text
from napari_mosam.core.config import EngineConfig

OVERLAY_SUFFIXES = (".gif", ".png")
CONFIG_PARSERS: dict[str, Callable[[str], dict[str, Any]]] = {".json": parse_json, ".toml": tomllib.loads}
MAX_CONFIG_BYTES = 1_000_000


class UsageError(ValueError):
    """Input that the command cannot use; the message is one line for the user."""


def load_config(path: Path) -> EngineConfig:
    """Read engine settings from a .json or .toml file in the form of ``EngineConfig.to_dict``.

    Raises
    ------
    UsageError
        For a file of another kind, a broken one, or one with unknown or impossible settings.
    OSError
        For a file that cannot be read.
    """
    parse = CONFIG_PARSERS.get(path.suffix.lower())
    if parse is None:
        raise UsageError(f"--config {path}: allowed are {' and '.join(CONFIG_PARSERS)} files")
    try:
        return EngineConfig.from_dict(parse(read_text(path, MAX_CONFIG_BYTES)))
    except RecursionError as error:
        raise UsageError(f"--config {path}: nested too deeply; settings have two levels") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError(f"--config {path}: {error}; the file holds what EngineConfig.to_dict() gives") from error


def check_outputs(
    out: Path, ctc: Path | None, overlay: Path | None, *, inputs: Sequence[Path], overwrite: bool
) -> None:
    """Refuse outputs that exist (without `overwrite`), would destroy something else, or cannot be written.

    Raises
    ------
    UsageError
        With the path and what to do.
    """
    targets = [target for target in (out, ctc, overlay) if target]
    _check_apart(targets, inputs)
    _check_result(out, overwrite)
    if ctc:
        _check_ctc(ctc, overwrite)
    if overlay:
        _check_overlay(overlay, overwrite)
    for target in targets:
        _check_writable(target)


def _check_result(out: Path, overwrite: bool) -> None:
    if out.exists() and not any((out / name).exists() for name in ("zarr.json", ".zgroup", ".zarray")):
        raise UsageError(f"{out} exists and is no zarr folder, so it is never replaced; choose another --out")
    _refuse_existing(out, overwrite)


def _check_ctc(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--export-ctc {folder} is a file; give a folder")
    if folder.exists() and any(folder.iterdir()):
        _refuse_existing(folder, overwrite)


def _check_overlay(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() not in OVERLAY_SUFFIXES:
        raise UsageError(f"--overlay {path}: allowed are {' and '.join(OVERLAY_SUFFIXES)} files")
    if path.is_dir():
        raise UsageError(f"--overlay {path} is a folder; give a file")
    _refuse_existing(path, overwrite)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; choose another place or add --overwrite")


def _check_apart(targets: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Outputs replace what is there, so none may be, hold or lie in an input or another output."""
    out, *_ = places = [path.resolve() for path in targets]
    sources = [path.resolve() for path in inputs]
    for target, place in zip(targets, places, strict=True):
        for other in (*sources, *places):
            same = place == other and [*places, *sources].count(place) > 1
            holds = place == out and out in other.parents
            lies_in = other.suffix == ".zarr" and other in place.parents
            if same or holds or lies_in:
                raise UsageError(f"{target} overlaps {other}, which this run reads or writes; choose another place")


def _check_writable(target: Path) -> None:
    folder = next(place for place in target.absolute().parents if place.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror or error} ({folder}); choose another folder"
        ) from error
