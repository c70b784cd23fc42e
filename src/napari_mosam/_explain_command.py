"""What ``mosam explain`` does: print the timeline of one object, and draw it."""

import argparse
from pathlib import Path

from napari_mosam._cli_checks import UsageError

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
    from napari_mosam.core.explain import plot_timeline, timeline_text
    from napari_mosam.core.store import Result

    if arguments.plot:
        _check_plot(arguments.plot, Path(arguments.result), overwrite=arguments.overwrite)
    result = Result.open(arguments.result)
    timeline = result.timeline(arguments.object, _frames(arguments.frames, result.labels.shape[0]))
    if not len(timeline):
        raise UsageError(f"object {arguments.object} was not followed on these frames; widen --frames")
    if arguments.plot:
        try:
            plot_timeline(timeline, arguments.plot)
        except ImportError as error:
            raise UsageError(f"--plot: {error}") from error
    return timeline_text(timeline)


def _check_plot(path: Path, result: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"--plot {path}: allowed are {', '.join(PLOT_SUFFIXES)} files")
    if result.resolve() in path.resolve().parents:
        raise UsageError(f"{path} lies in what is read; choose another place")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(f"cannot write {path}; give a file in a folder that exists")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} already exists; choose another place or add --overwrite")


def _frames(given: tuple[int | None, int | None] | None, n_frames: int) -> slice:
    start, stop = given or (None, None)
    if (start or 0) >= n_frames or (stop or 0) > n_frames:
        raise UsageError(f"--frames {start or 0}:{stop or ''} is not all there; allowed: within 0:{n_frames}")
    return slice(start, stop)
