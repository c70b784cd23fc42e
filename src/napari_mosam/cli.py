"""The command ``mosam``: follow prompted cells through a movie, compare results with the truth, describe a movie.

Exit codes: 0 done, 1 something unexpected went wrong, 2 wrong usage or input that cannot be used, 130 stopped with
Ctrl-C (finished frames are kept, and so is what came of a download).
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam._cli_arguments import build_parser
from napari_mosam._cli_checks import check_outputs, load_config

if TYPE_CHECKING:
    from napari_mosam.core.movie import Movie
    from napari_mosam.core.results import FrameResult

OK, UNEXPECTED, BAD_INPUT, STOPPED = 0, 1, 2, 130

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        The exit code: 0, 1, 2 or 130 (see the module's docstring).
    """
    arguments = build_parser(_COMMANDS).parse_args(argv)
    if arguments.debug:
        logging.basicConfig(level=logging.DEBUG)
    run = _Run()
    try:
        arguments.command(arguments, run)
    except KeyboardInterrupt:
        return _report(STOPPED, f"stopped: {run.kept()}")
    except Exception as error:
        if arguments.debug:
            logger.exception("the command failed")
        return _report(*_explain(error, run))
    return OK


def _explain(error: Exception, run: "_Run") -> tuple[int, str]:
    """Bad input is refused before the first frame; whatever comes later is no fault of the arguments."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ValueError | OSError) and not run.done:
        return BAD_INPUT, f"error: {text}"
    kept = f"; {run.kept()}" if run.done else ""
    return UNEXPECTED, f"error: unexpected {type(error).__name__}: {text}{kept}; --debug shows where"


def _report(code: int, message: str) -> int:
    sys.stderr.write(f"mosam: {message}\n")
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


# --- commands --------------------------------------------------------------------------------------------------------


class _Run:
    """What is known about the run in progress, for the messages about its end."""

    def __init__(self) -> None:
        self.done = self.total = 0
        self.frames: set[int] = set()
        self.out: Path | None = None
        self._kept = "no frame was finished"
        self._bar: Any = None

    def note(self, kept: str) -> None:
        """Remember what is kept if the command is stopped before any frame."""
        self._kept = kept

    def start_bar(self) -> Any:
        from tqdm import tqdm

        self._bar = tqdm(unit="frame", desc="tracking", dynamic_ncols=True, file=sys.stderr)
        return self._bar

    def progress(self, result: "FrameResult", done: int, total: int) -> None:
        self.done, self.total = done, total
        self.frames.add(result.t)
        self._bar.total = total
        self._bar.set_postfix(objects=len(result.objects), refresh=False)
        self._bar.update(done - self._bar.n)

    def kept(self) -> str:
        if not self.done:
            return self._kept
        return f"{self.done} of {self.total} frames were finished and are kept in {self.out}"


def _track(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.core.api import track
    from napari_mosam.core.movie import Movie
    from napari_mosam.core.prompts import load_prompts

    check_outputs(
        arguments.out,
        arguments.export_ctc,
        arguments.overlay,
        inputs=[Path(arguments.movie), arguments.prompts],
        overwrite=arguments.overwrite,
    )
    config = load_config(arguments.config) if arguments.config else None
    movie = Movie.open(arguments.movie, **_reading(arguments))
    prompts = load_prompts(arguments.prompts, movie.shape)
    run.out = arguments.out
    started = time.perf_counter()
    if movie.grey_limits.note():
        sys.stderr.write(f"mosam: {movie.grey_limits.note()}\n")
    with run.start_bar():
        result = track(
            movie,
            prompts,
            out=arguments.out,
            overwrite=arguments.overwrite,
            progress=run.progress,
            config=config,
            **_engine_options(arguments),
        )
    seconds = time.perf_counter() - started
    _write_extras(arguments, movie, result.labels, sorted(run.frames))
    rate = result.n_object_frames / max(seconds, 1e-9)
    _say(
        f"{len(result.object_ids)} objects, {len(run.frames)} frames, {result.n_object_frames} object-frames "
        f"in {seconds:.1f} s ({rate:.1f} object-frames/s): {result.path}"
    )


def _reading(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("axes", "channel", "z", "limits")}


def _engine_options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("device", "direction", "diameter", "memory")
    frames = slice(*arguments.frames) if arguments.frames else None
    switches = {name: _switch(getattr(arguments, name)) for name in ("motion", "compete")}
    model = {"model": _model(arguments)}
    return {name: getattr(arguments, name) for name in names} | {"frames": frames} | switches | model


def _model(arguments: argparse.Namespace) -> Any:
    """The model's name or path where that says it all, else the loaded model."""
    if arguments.model_config is None and arguments.model_folder is None:
        return arguments.model
    from napari_mosam.core.model.registry import load_model

    return load_model(
        arguments.model, config=arguments.model_config, folder=arguments.model_folder, device=arguments.device
    )


def _switch(word: str | None) -> bool | str | None:
    """None, a word of its own, or whether the word is 'on'."""
    return {"on": True, "off": False}.get(word, word) if word is not None else None


def _write_extras(arguments: argparse.Namespace, movie: "Movie", labels: Any, frames: Sequence[int]) -> None:
    if arguments.export_ctc:
        from napari_mosam.core.export.ctc import export_ctc

        export_ctc(labels, arguments.export_ctc, overwrite=arguments.overwrite)
    if arguments.overlay:
        from napari_mosam._overlay import write_overlay

        write_overlay(arguments.overlay, movie, labels, frames)


def _evaluate(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam._evaluate_command import evaluate_command

    _say(evaluate_command(arguments))


def _explain_object(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam._explain_command import explain_command

    _say(explain_command(arguments))


def _models(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam._models_command import models_command

    models_command(arguments, _say, run.note)


def _info(arguments: argparse.Namespace, run: _Run) -> None:
    from napari_mosam.core.movie import Movie

    _say(Movie.open(arguments.movie, **_reading(arguments)).describe())


_COMMANDS = {"track": _track, "evaluate": _evaluate, "explain": _explain_object, "models": _models, "info": _info}
