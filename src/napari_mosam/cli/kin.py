"""What ``mosam divisions``, ``divide`` and ``link`` do: cells that divide, and who is whose daughter."""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_mosam.cli.checks import UsageError, check_report
from napari_mosam.cli.edits import Reporter, half_words
from napari_mosam.cli.places import inputs_of
from napari_mosam.core.config.whole_files import write_whole

if TYPE_CHECKING:
    from napari_mosam.core.lineage.proposals import DivisionProposal
    from napari_mosam.core.session.session import Session


def divisions_command(arguments: argparse.Namespace, run: Reporter) -> str:
    """Propose divisions of a result's objects; returns the text to print.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    if arguments.json:
        check_report(arguments.json, (".json",), inputs=inputs_of(arguments), overwrite=arguments.overwrite)
    with _session(arguments) as session:
        found = session.propose_divisions(arguments.objects)
    if arguments.json:
        write_whole(arguments.json, json.dumps([_as_json(one) for one in found], indent=2))
    return "\n".join(map(_line, found)) or "no division was found"


def divide_command(arguments: argparse.Namespace, run: Reporter) -> str:
    """Let an object divide, and follow its daughters; else as :func:`divisions_command`."""
    daughters: list[int | tuple[float, float]] = [*(arguments.daughters or ()), *_places(arguments.at or ())]
    with _session(arguments) as session, run.start_bar():
        session.events.frame.connect(run.progress)
        run.note(f"'mosam undo {arguments.result}' takes back what was begun")
        if daughters:
            both = session.divide(arguments.object, arguments.frame, daughters, follow=True)
        else:
            proposal = session.propose_division(arguments.object, arguments.frame)
            if proposal is None:
                raise UsageError(
                    f"no two cells are seen in the place of object {arguments.object} on frame {arguments.frame}; give "
                    "the frame on which they are apart, or say where they are (--at Y,X --at Y,X)"
                )
            both = session.accept_division(proposal, follow=True)
        assert session.result is not None
        said = half_words(session.result)
    return f"object {arguments.object} divides on frame {arguments.frame} into objects {both[0]} and {both[1]}{said}"


def link_command(arguments: argparse.Namespace, run: Reporter) -> str:
    """Note whose daughter an object is; else as :func:`divisions_command`."""
    from napari_mosam.core.lineage.edits import link

    after = link(arguments.result, arguments.object, None if arguments.none else arguments.mother)
    mother = "no mother" if arguments.none else f"the mother {arguments.mother}"
    return f"object {arguments.object} has {mother}{half_words(after)}"


@contextmanager
def _session(arguments: argparse.Namespace) -> "Iterator[Session]":
    """A session on the result, of which nothing is listed among the recent ones."""
    from dataclasses import replace

    from napari_mosam.core.runs.recreate import movie_of
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result

    movie = movie_of(Result.open(arguments.result), arguments.movie, other=arguments.other_movie)
    with tempfile.TemporaryDirectory() as folder:
        session = Session.open(arguments.result, movie, other_movie=True, model=arguments.model, recent=folder)
        if arguments.device:
            session.settings = replace(session.settings, device=arguments.device)
        try:
            yield session
        finally:
            session.close()


def _places(texts: Sequence[str]) -> list[tuple[float, float]]:
    found = []
    for text in texts:
        words = text.split(",")
        try:
            y, x = map(float, words)
        except ValueError as error:
            raise UsageError(f"--at {text}: give a place as Y,X in px, such as 120,85.5") from error
        found.append((y, x))
    return found


def _line(one: "DivisionProposal") -> str:
    known = [f"object {i} begins there" for i in one.known if i is not None]
    return f"object {one.mother} divides on frame {one.frame} ({one.score:.2f}): {'; '.join([one.why, *known])}"


def _as_json(one: "DivisionProposal") -> dict[str, object]:
    centres = [[round(value, 1) for value in region.center_yx] for region in one.daughters]
    return {
        "object": one.mother,
        "frame": one.frame,
        "daughters": centres,
        "known": list(one.known),
        "score": round(one.score, 4),
        "why": one.why,
    }
