"""What ``mosam explain``, ``review`` and ``info`` do: tell of an object, of a result, of a movie as it will be read."""

import argparse
import json
from pathlib import Path
from typing import Any

from napari_mosam.cli.checks import UsageError, check_report
from napari_mosam.cli.places import inputs_of
from napari_mosam.cli.settings import run_config
from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.files.manifest import shortened
from napari_mosam.core.files.places import is_result, settled

PLOT_SUFFIXES = (".png", ".pdf", ".svg")

_WEIGHTS = "it may be the weights of a model, which 'mosam track --model' takes; 'mosam models' lists those there are"
_NO_MOVIES = dict.fromkeys((".safetensors", ".pt", ".pth"), _WEIGHTS)
_NO_MOVIES[".toml"] = "it may be settings, which 'mosam track --config' takes"

_Told = tuple[dict[str, Any], str]
"""What is told of something, as JSON types and in words."""


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
        check_report(arguments.plot, PLOT_SUFFIXES, inputs=inputs_of(arguments), overwrite=arguments.overwrite)
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


def _frames(given: tuple[int | None, int | None] | None, n_frames: int) -> slice:
    start, stop = given or (None, None)
    if (start or 0) >= n_frames or (stop or 0) > n_frames:
        raise UsageError(f"--frames {start or 0}:{stop or ''} is not all there; allowed: within 0:{n_frames}")
    return slice(start, stop)


def review_command(arguments: argparse.Namespace) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``result`` and ``first``.

    Raises
    ------
    ValueError, OSError
        For input that cannot be used.
    """
    from napari_mosam.core.review.audit import Audit, changed_since
    from napari_mosam.core.review.queue import review_queue
    from napari_mosam.core.store.result import Result

    result = Result.open(arguments.result)
    queue, audit = review_queue(result), Audit.among(result.attrs)
    rows = [f"{'expected IoU':>12}  {'look at':>7}  what"]
    rows += [f"{item.expected_iou:12.2f}  {item.frame:7d}  {item}" for item in queue[: arguments.first]]
    more = len(queue) - arguments.first
    said = [f"and {more} more (--first)"] if more > 0 else []
    if audit is not None:
        past = " Masks changed since." if changed_since(result.path, audit.step) else ""
        said.append(audit.sentence() + past)
    return "\n".join([*(rows if queue else ["nothing is left to look at"]), *said])


def info_command(arguments: argparse.Namespace) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``movie``, which may be a result, its session or a file of prompts, how it is read, ``json``, ``overwrite``.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    if arguments.json:
        check_report(arguments.json, (".json",), inputs=inputs_of(arguments), overwrite=arguments.overwrite)
    told, words = _described(arguments)
    if arguments.json:
        write_whole(arguments.json, json.dumps(told, indent=1) + "\n")
    return words


def _described(arguments: argparse.Namespace) -> _Told:
    """By what is given; several files are always a movie."""
    from napari_mosam.core.prompts.files import RECORD_SUFFIXES
    from napari_mosam.core.session.session_file import NAME

    if not isinstance(arguments.movie, str):
        return _movie(arguments)
    path = Path(arguments.movie)
    place = path.parent if path.name == NAME else path
    if is_result(settled(place)):
        return _result(place)
    if path.suffix.lower() in RECORD_SUFFIXES and path.is_file():
        return _prompts(path)
    if path.suffix.lower() in _NO_MOVIES and path.is_file():
        raise UsageError(f"{path.name} is no movie: {_NO_MOVIES[path.suffix.lower()]}")
    return _movie(arguments)


def _result(path: Path) -> _Told:
    from napari_mosam.core.session.session_file import Kept
    from napari_mosam.core.store.describe import facts, in_words

    told = facts(path)
    words, kept = in_words(told), Kept.read(settled(path), (told["shape"][1], told["shape"][2]))
    if kept is None:
        return told, words
    told["session"] = kept.facts()
    return told, f"{words}\n{'session':<9}{kept.words()}"


def _prompts(path: Path) -> _Told:
    from napari_mosam.core.prompts.describe import facts, in_words

    told = facts(path)
    return told, in_words(told)


def _movie(arguments: argparse.Namespace) -> _Told:
    from napari_mosam.core.images.describe import in_words
    from napari_mosam.core.images.label_images.guess import ids_of_labels
    from napari_mosam.core.runs.request import survey

    told = survey(arguments.movie, run_config(arguments).movie)
    words, ids = in_words(told), ids_of_labels(arguments.movie)
    if not ids:
        return told, words
    told["labels"] = ids
    objects = f"{len(ids)} object{'s' * (len(ids) != 1)} ({shortened(ids)})"
    return told, f"{words}\n{'labels':<8}{objects} on the first frame, by the look of it; --prompts takes them"
