"""What ``mosam info`` does: describe a movie as it will be read, or a result."""

import argparse
import json

from napari_mosam.cli.checks import UsageError, check_report
from napari_mosam.cli.places import inputs_of
from napari_mosam.cli.settings import run_config
from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.images.places import is_result, settled


def info_command(arguments: argparse.Namespace) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``movie``, which may be a result, how it is read, ``json`` and ``overwrite``.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    if is_result(settled(arguments.movie)):
        return _result(arguments)
    if arguments.json:
        raise UsageError(f"--json is for results of 'mosam track', and {arguments.movie} is none; leave it out")
    from napari_mosam.core.runs.request import open_movie

    return open_movie(arguments.movie, run_config(arguments).movie).describe()


def _result(arguments: argparse.Namespace) -> str:
    from napari_mosam.core.store.describe import facts, in_words

    if arguments.json:
        check_report(arguments.json, inputs=inputs_of(arguments), overwrite=arguments.overwrite)
    told = facts(arguments.movie)
    if arguments.json:
        write_whole(arguments.json, json.dumps(told, indent=1) + "\n")
    return in_words(told)
