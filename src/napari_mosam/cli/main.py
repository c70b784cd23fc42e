"""The command ``mosam``: follow prompted cells through a movie, compare results with the truth, describe a movie.

Exit codes: 0 done, 1 something unexpected went wrong, 2 wrong usage or input that cannot be used, 3 half a result where
a whole one is needed (``evaluate`` without ``--partial``), 130 stopped with Ctrl-C or SIGTERM (the last line says what
is kept: the finished frames of a new result, the earlier result under ``--overwrite``, what came of a download).
"""

import argparse
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.cli.arguments import BY_HAND, KIN, Command, build_parser
from napari_mosam.cli.checks import check_outputs
from napari_mosam.cli.export import write_extras
from napari_mosam.cli.places import HalfResultError, inputs_of, weights_of
from napari_mosam.cli.settings import run_config
from napari_mosam.cli.stop_signals import STOPPED, StopSignals

if TYPE_CHECKING:
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.runs.request import RunRequest
    from napari_mosam.core.store.result import Result

OK, UNEXPECTED, BAD_INPUT, HALF = 0, 1, 2, 3
"""Exit codes, see the docstring of the module."""

_LONGEST = 900
"""Characters of a message; ours have half of that, those of libraries repeat what they were given."""

_SHOWN_FRAMES = 10
"""Skipped frames that get a line of their own."""

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None, *, stop: StopSignals | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.
    stop : StopSignals, optional
        In charge of the signals, where this is the whole process.

    Returns
    -------
    int
        The exit code: 0, 1, 2, 3 or 130 (see the module's docstring).
    """
    arguments = build_parser(_COMMANDS).parse_args(argv)
    if arguments.debug:
        logging.basicConfig(level=logging.DEBUG)
    run = _Run(stop or StopSignals())
    try:
        arguments.command(arguments, run)
    except (KeyboardInterrupt, Exception) as error:
        run.stop.end()
        if run.stop.asked or isinstance(error, KeyboardInterrupt):  # an import or a library may have made another of it
            return _report(STOPPED, f"stopped: {run.kept()}")
        if arguments.debug:
            logger.exception("the command failed")
        return _report(*_explain(error, run))
    return OK


def _explain(error: Exception, run: "_Run") -> tuple[int, str]:
    """Bad input is refused before the first frame; later only a frame or a chunk that cannot be read is its fault."""
    from napari_mosam.core.config.checks import Refused
    from napari_mosam.core.files.disk import why_not
    from napari_mosam.core.images.axes import MovieError

    text = _shortened(" ".join(str(error).split())) or type(error).__name__
    on_disk = why_not(error) if isinstance(error, OSError) else None
    kept = f"; {run.kept()}" if run.done else ""
    if isinstance(error, HalfResultError):
        return HALF, f"error: {text}"
    if isinstance(error, Refused | MovieError) or (isinstance(error, ValueError | OSError) and not run.done):
        return BAD_INPUT, f"error: {on_disk or text}{kept}"
    if on_disk:
        return UNEXPECTED, f"error: {on_disk}{kept}"
    return UNEXPECTED, f"error: unexpected {type(error).__name__}: {text}{kept}; --debug shows where"


def _shortened(text: str) -> str:
    """Without the middle of what a damaged file made endless."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 2 // 3]} … {text[-_LONGEST // 4 :]}"


def _report(code: int, message: str) -> int:
    sys.stderr.write(f"mosam: {message}\n")
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


# --- commands --------------------------------------------------------------------------------------------------------


class _Run:
    """What is known about the run in progress, for the messages about its end."""

    def __init__(self, stop: StopSignals) -> None:
        self.stop = stop
        self.done = self.total = 0
        self.skipped: dict[int, str] = {}
        self._out: Path | None = None
        self._before: tuple[int, int] | None = None
        self._kept = "no frame was finished"
        self._bar: Any = None

    def note(self, kept: str) -> None:
        """Remember what is kept if the command is stopped before any frame."""
        self._kept = kept

    def writes(self, out: Path) -> None:
        """Remember where the result goes, and what is there now."""
        self._out, self._before = out, _identity(out)

    def start_bar(self) -> Any:
        from tqdm import tqdm

        self._bar = tqdm(unit="frame", desc="tracking", dynamic_ncols=True, file=sys.stderr)
        return self._bar

    def progress(self, result: "FrameResult", done: int, total: int) -> None:
        self.done, self.total = done, total
        if result.skipped:
            self.skipped[result.t] = result.skipped
        self._bar.total = total
        self._bar.set_postfix(objects=len(result.objects), refresh=False)
        self._bar.update(done - self._bar.n)
        self.stop.check()

    @property
    def half_result(self) -> Path | None:
        """Where its result is, if that is new and was broken off after some frames."""
        out = self._out
        new = out is not None and self.done and _identity(out) != self._before
        return out if new and out is not None and _completeness(out) is False else None

    def kept(self) -> str:
        """What the disk holds now."""
        if self._out is None:
            return self._kept
        now, finished = _identity(self._out), f"{self.done} of {self.total} frames were finished"
        if self._before is not None and now == self._before:
            goes_on = _how_to_go_on(self._out) or ", which is dropped"
            new = f"; {finished} of the new one{goes_on}" if self.done else ""
            return f"the earlier result in {self._out} is unchanged{new}"
        if not self.done:
            return self._kept
        complete = _completeness(self._out)
        if complete is None:
            return f"{finished}, but {self._out} holds no result any more: it was moved, deleted or damaged"
        if complete:
            return f"the result in {self._out} is whole; exports and pictures may be missing"
        return f"{finished} and are kept in {self._out}{_how_to_go_on(self._out)}"


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from another of the same name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _completeness(out: Path) -> bool | None:
    """Whether a result is complete; None where there is none that can be read."""
    from napari_mosam.core.store.result import Result

    try:
        return Result.open(out).complete
    except (ValueError, OSError):
        return None


def _how_to_go_on(out: Path) -> str:
    from napari_mosam.core.files.places import Place

    return "; --resume goes on with it" if Place.of(out).can_go_on() else ""


def _track(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.core.files.places import shown
    from napari_mosam.core.images.axes import MovieError
    from napari_mosam.core.runs.request import RunRequest

    run.stop.begin()
    outputs = (arguments.out, arguments.export_ctc, arguments.overlay)
    again = {"overwrite": arguments.overwrite, "resume": arguments.resume}
    check_outputs(*outputs, inputs=inputs_of(arguments), **again)
    config = run_config(arguments)
    check_outputs(*outputs, inputs=weights_of(config.model, config.checkpoint_config), **again)
    request = RunRequest.build(arguments.movie, arguments.prompts, config, prompt_frames=arguments.prompt_frames)
    run.writes(arguments.out)
    started = time.perf_counter()
    movie = request.movie
    choice = movie.choice() if config.movie.series is None else ""
    limits = "" if movie.grey_limits.flat else movie.grey_limits.note()  # of a flat movie the log says it
    _tell(f"{movie.name}: {movie.summary()}", choice, movie.absence(), limits)
    try:
        result = _carry_out(request, arguments, run)
    except MovieError:
        _export_finished(arguments, request.movie, run)
        raise
    seconds = time.perf_counter() - started
    _tell(*_skipped_lines(run.skipped))
    if result.progress.paused is not None:
        raise HalfResultError(f"stopped, since {result.progress.paused}")
    extras = arguments.export_ctc, arguments.overlay
    write_extras(result, movie, *extras, overwrite=arguments.overwrite)
    rate = result.n_object_frames / max(seconds, 1e-9)
    _say(
        f"{len(result.object_ids)} objects, {_counted(result)}, {result.n_object_frames} object-frames "
        f"in {seconds:.1f} s ({rate:.1f} object-frames/s): {shown(result.path)}"
    )


def _tell(*notes: str) -> None:
    """What a person should know, beside the output."""
    for note in filter(None, notes):
        sys.stderr.write(f"mosam: {note}\n")


def _skipped_lines(skipped: "Mapping[int, str]") -> list[str]:
    lines = [f"all objects count as absent on frame {t}, which was skipped: {why}" for t, why in skipped.items()]
    return lines[:_SHOWN_FRAMES] + ([f"{len(lines) - _SHOWN_FRAMES} more were skipped"] * (len(lines) > _SHOWN_FRAMES))


def _export_finished(arguments: argparse.Namespace, movie: "Movie", run: _Run) -> None:
    """Export the frames that were finished before one that cannot be read."""
    from napari_mosam.core.store.result import Result

    if run.half_result is not None:
        extras = arguments.export_ctc, arguments.overlay
        write_extras(Result.open(run.half_result), movie, *extras, overwrite=arguments.overwrite)


def _carry_out(request: "RunRequest", arguments: argparse.Namespace, run: _Run) -> "Result":
    from napari_mosam.core.runs.write import write_run

    anew = arguments.overwrite and not arguments.resume  # beside --resume it is about all but the result
    with run.start_bar():
        return write_run(request, arguments.out, overwrite=anew, resume=arguments.resume, progress=run.progress)


def _counted(result: "Result") -> str:
    """Frames on which anything was found, and others, whichever run followed them."""
    frames = result.progress.begun
    found = sum(bool((result.area[t] > 0).any()) for t in frames)
    return f"{len(frames)} frames ({found} with a mask, {len(frames) - found} without)"


def _find(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.cli.find import find_command

    run.note("nothing was written")
    run.stop.begin()
    _say(find_command(arguments, run.stop.check))


def _import(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.core.files.places import shown
    from napari_mosam.core.runs.imported import import_result

    run.stop.begin()
    check_outputs(arguments.out, None, None, inputs=inputs_of(arguments), overwrite=arguments.overwrite, resume=False)
    config = run_config(arguments)
    run.writes(arguments.out)
    with run.start_bar():
        result = import_result(
            *(arguments.movie, arguments.labels, arguments.out, config),
            overwrite=arguments.overwrite,
            progress=run.progress,
        )
    _say(
        f"{len(result.object_ids)} objects on {result.labels.shape[0]} frames, all of them locked: {shown(result.path)}"
    )


def _told(where: str, kept: str, arguments: argparse.Namespace, run: _Run) -> None:
    """Print what a function, 'module:name' of this package, makes of the arguments."""
    module, name = where.split(":")
    run.note(kept)
    run.stop.begin()
    _say(getattr(import_module(f"napari_mosam.cli.{module}"), name)(arguments))


def _models(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.cli.models import models_command

    run.stop.begin()
    models_command(arguments, _say, run.note)


def _rerun(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.cli.edits import rerun_command

    run.note("the result is as it was")
    run.stop.begin()
    _say(rerun_command(arguments, run))


def _by_hand(verb: str, arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.cli.edits import by_hand_command

    run.note("the result is as it was")
    run.stop.begin()
    _say(by_hand_command(verb, arguments))


def _kin(verb: str, arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.cli import kin

    run.note("the result is as it was")
    run.stop.begin()
    _say(getattr(kin, f"{verb}_command")(arguments, run))


def _replay(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.cli.edits import replay_command

    run.note("nothing was made")
    run.stop.begin()
    _say(replay_command(arguments, run))


def _undo(arguments: argparse.Namespace, run: _Run) -> None:
    _say(f"undone: {_step(arguments, run, back=True)}")


def _redo(arguments: argparse.Namespace, run: _Run) -> None:
    _say(f"done again: {_step(arguments, run, back=False)}")


def _step(arguments: argparse.Namespace, run: _Run, *, back: bool) -> str:
    from napari_mosam.cli.edits import step_words

    run.note("the result is as it was, or the next command that opens it comes to the end of it")
    run.stop.begin()
    return step_words(arguments.result, back=back)


_COMMANDS: dict[str, Command] = {
    "track": _track,
    "find": _find,
    "import": _import,
    "evaluate": partial(_told, "evaluate:evaluate_command", "no report was written"),
    "explain": partial(_told, "explain:explain_command", "no picture was written"),
    "review": partial(_told, "explain:review_command", "the result is as it was"),
    "models": _models,
    "info": partial(_told, "explain:info_command", "no report was written"),
    "export": partial(_told, "export:export_command", "what was being written may be missing or half"),
    "rerun": _rerun,
    **{verb: partial(_by_hand, verb) for verb in BY_HAND},
    **{verb: partial(_kin, verb) for verb in KIN},
    "replay": _replay,
    "undo": _undo,
    "redo": _redo,
}
