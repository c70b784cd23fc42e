"""What ``mosam export`` does, and ``track`` at its end: write a result in forms that other programs read."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosam.cli.checks import check_outputs
from napari_mosam.cli.places import UsageError, inputs_of

if TYPE_CHECKING:
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.store.result import Result


def export_command(arguments: argparse.Namespace) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``result``, ``ctc``, ``overlay``, ``movie`` and ``overwrite``.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used, and for outputs that cannot be written.
    """
    from napari_mosam.core.runs.recreate import movie_of
    from napari_mosam.core.store.result import Result

    ctc, overlay = arguments.ctc, arguments.overlay
    if ctc is None and overlay is None:
        raise UsageError("nothing is to be written; give --ctc FOLDER, --overlay FILE, or both")
    check_outputs(None, ctc, overlay, inputs=inputs_of(arguments), overwrite=arguments.overwrite)
    result = Result.open(arguments.result)
    movie = movie_of(result, arguments.movie) if overlay else None
    write_extras(result, movie, ctc, overlay, overwrite=arguments.overwrite)
    return "written: " + " and ".join(str(path) for path in (ctc, overlay) if path is not None)


def write_extras(
    result: "Result", movie: "Movie | None", ctc: Path | None, overlay: Path | None, *, overwrite: bool
) -> None:
    """Export a result and draw it, each where a place is given.

    Parameters
    ----------
    result : Result
        Whole, or half.
    movie : Movie or None
        What is drawn on; needed for `overlay` alone.
    ctc, overlay : Path or None
        Folder of the export, and picture (.png) or film (.gif) of the frames that were followed.
    overwrite : bool
        Whether an earlier export may be replaced.
    """
    if ctc is not None:
        from napari_mosam.core.export.ctc import export_result

        export_result(result, ctc, overwrite=overwrite)
    if overlay is not None and movie is not None:
        from napari_mosam.cli.overlay import write_overlay
        from napari_mosam.core.runs.provenance import skipped_frames

        drawn = set(result.progress.begun) - skipped_frames(result.attrs)
        write_overlay(overlay, movie, result.labels, sorted(drawn))
