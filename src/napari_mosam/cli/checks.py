"""What the command ``mosam`` refuses before any work: outputs that cannot be written."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from napari_mosam.cli.places import Input, Output, UsageError, check_apart
from napari_mosam.core.files.stores import check_outside

__all__ = ["UsageError", "check_outputs", "check_report"]

OVERLAY_SUFFIXES = (".gif", ".png")
_ZARR = ("zarr.json", ".zgroup", ".zarray")
_CTC_NAMES = ("res_track.txt", "napari_mosam_export.json", *(f"mask{t:03d}.tif" for t in range(1000)))


def check_outputs(
    out: Path | None,
    ctc: Path | None,
    overlay: Path | None,
    *,
    inputs: Sequence[Input],
    overwrite: bool,
    resume: bool = False,
) -> None:
    """Refuse outputs that exist, would destroy something else, or cannot be written.

    Parameters
    ----------
    out, ctc, overlay : Path or None
        Result, folder of the export, picture.
    inputs : sequence of Input
        Never written.
    overwrite : bool
        Whether outputs may exist.
    resume : bool
        Whether the result may exist.

    Raises
    ------
    UsageError, Refused
        With the path and what to do.
    """
    targets = [Output(out, replaced=True)] if out else []
    targets += [Output(ctc, names=_CTC_NAMES)] if ctc else []
    targets += [Output(overlay)] if overlay else []
    check_apart(targets, inputs)
    for target in targets:
        check_outside(target.path)
    if out:
        _check_result(out, overwrite or resume)
    if ctc:
        _check_ctc(ctc, overwrite)
    if overlay:
        _check_overlay(overlay, overwrite)
    for target in targets:
        _check_writable(target.path)


def check_report(path: Path, suffixes: Sequence[str], *, inputs: Sequence[Input], overwrite: bool) -> None:
    """Refuse a report that exists (without `overwrite`), is an input, is named as another kind of file, or cannot be.

    A pipe or a terminal may have any name.

    Raises
    ------
    UsageError, Refused
        With the path and what to do.
    """
    check_apart([Output(path)], inputs)
    check_outside(path)
    is_file = path.is_file() or not path.exists()
    if is_file and path.suffix.lower() not in suffixes:
        raise UsageError(f"cannot write {path}: allowed are {', '.join(suffixes)} files")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(f"cannot write {path}; give a file in a folder that exists")
    _refuse_existing(path, overwrite)
    if is_file:
        _check_writable(path.resolve())


def _check_result(out: Path, may_exist: bool) -> None:
    from napari_mosam.core.files.places import Place, is_result

    if out.exists() and not (is_result(out) or any((out / name).exists() for name in _ZARR)):
        raise UsageError(f"{out} exists and is no zarr folder, so it is never replaced; choose another --out")
    place = Place.of(out)
    if not may_exist and place.can_go_on():
        raise UsageError(f"{out} {place.state()}; go on with it (--resume), or begin anew (--overwrite)")
    _refuse_existing(out, may_exist)


def _check_ctc(folder: Path, overwrite: bool) -> None:
    from napari_mosam.core.export.ctc import check_folder

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--export-ctc {folder} is a file; give a folder")
    try:
        check_folder(folder, overwrite=overwrite)
    except FileExistsError as error:
        raise UsageError(f"--export-ctc: {error}") from error


def _check_overlay(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() not in OVERLAY_SUFFIXES:
        raise UsageError(f"--overlay {path}: allowed are {' and '.join(OVERLAY_SUFFIXES)} files")
    if path.is_dir():
        raise UsageError(f"--overlay {path} is a folder; give a file")
    _refuse_existing(path, overwrite)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; choose another place or add --overwrite")


def _check_writable(target: Path) -> None:
    folder = next(place for place in target.absolute().parents if place.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror or error} ({folder}); choose another folder"
        ) from error
