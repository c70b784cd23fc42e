"""What ``mosam export`` does: write a result, corrections included, in forms that other programs read."""

import argparse

import numpy as np

from napari_mosam.cli.checks import check_outputs
from napari_mosam.cli.places import UsageError, inputs_of


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
    from napari_mosam.core.export.ctc import export_result
    from napari_mosam.core.runs.recreate import movie_of
    from napari_mosam.core.store.result import Result

    ctc, overlay, again = arguments.ctc, arguments.overlay, arguments.overwrite
    if ctc is None and overlay is None:
        raise UsageError("nothing is to be written; give --ctc FOLDER, --overlay FILE, or both")
    check_outputs(None, ctc, overlay, inputs=inputs_of(arguments), overwrite=again)
    result = Result.open(arguments.result)
    if overlay is not None:
        from napari_mosam.cli.overlay import write_overlay

        movie, followed = movie_of(result, arguments.movie), result.progress.followed.any(axis=1)
        write_overlay(overlay, movie, result.labels, np.flatnonzero(followed | (result.area > 0).any(axis=1)).tolist())
    if ctc is not None:
        export_result(result, ctc, overwrite=again)
    return "written: " + " and ".join(str(path) for path in (ctc, overlay) if path is not None)
