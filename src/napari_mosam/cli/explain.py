"""What ``mosam explain`` and ``mosam info`` do: tell of an object, of a result, and of a movie as it will be read."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from napari_mosam.cli.checks import UsageError, check_report
from napari_mosam.cli.places import inputs_of
from napari_mosam.cli.settings import run_config
from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.files.places import is_result, settled

if TYPE_CHECKING:
    from pathlib import Path

PLOT_SUFFIXES = (".png", ".pdf", ".svg")


def explain_command(arguments: argparse.Namespace) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``result``, ``object``, ``frames``, ``plot`` and ``overwrite``.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    from napari_mosam.core.results.explain import plot_timeline, timeline_text
    from napari_mosam.core.store.result import Result

    if arguments.plot:
        _check_plot(arguments)
    result = Result.open(arguments.result)
    timeline = result.timeline(arguments.object, _frames(arguments.frames, result.labels.shape[0]))
    if not len(timeline):
        raise UsageError(f"object {arguments.object} was not followed on these frames; widen --frames")
    if arguments.plot:
        try:
            plot_timeline(timeline, arguments.plot)
        except ImportError as error:
            raise UsageError(f"--plot: {error}") from error
    progress = result.progress
    note = "" if progress.complete else f"{arguments.result} is half a result: {progress}\n"
    return note + timeline_text(timeline)


def _check_plot(arguments: argparse.Namespace) -> None:
    path: Path = arguments.plot
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"--plot {path}: allowed are {', '.join(PLOT_SUFFIXES)} files")
    check_report(path, inputs=inputs_of(arguments), overwrite=arguments.overwrite)


def _frames(given: tuple[int | None, int | None] | None, n_frames: int) -> slice:
    start, stop = given or (None, None)
    if (start or 0) >= n_frames or (stop or 0) > n_frames:
        raise UsageError(f"--frames {start or 0}:{stop or ''} is not all there; allowed: within 0:{n_frames}")
    return slice(start, stop)


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
    if arguments.json:
        check_report(arguments.json, inputs=inputs_of(arguments), overwrite=arguments.overwrite)
    told, words = _result(arguments) if _is_result(arguments.movie) else _movie(arguments)
    if arguments.json:
        write_whole(arguments.json, json.dumps(told, indent=1) + "\n")
    return words


def _is_result(given: str | list[str]) -> bool:
    """Whether what is described is a result; several files never are one."""
    return isinstance(given, str) and is_result(settled(given))


def _result(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from napari_mosam.core.store.describe import facts, in_words

    told = facts(arguments.movie)
    return told, in_words(told)


def _movie(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from napari_mosam.core.images.describe import in_words
    from napari_mosam.core.runs.request import survey

    told = survey(arguments.movie, run_config(arguments).movie)
    return told, in_words(told)
