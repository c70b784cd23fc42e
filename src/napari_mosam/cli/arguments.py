"""The arguments of the command ``mosam``; imports nothing heavy, so that ``--help`` is quick."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from napari_mosam import __version__
from napari_mosam.cli.models import ACTIONS, TellMachine
from napari_mosam.cli.settings import FLAGS, RUN_FLAGS, SOURCE_FLAGS, add_flags, add_general_flags, local, parse_frames

Command = Callable[..., None]

KIN = ("divisions", "divide", "link")
"""Commands about cells that divide."""

BY_HAND = ("lock", "unlock", "correct", "swap", "split", "merge", "rename")
"""Commands that change a result without following anything."""


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, without the whole usage text."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave."""
        self.exit(2, f"mosam: error: {message}; see '{self.prog} --help'\n")


class _OneOrMore(argparse.Action):
    """A path, or the list of those that a shell makes of a pattern."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, values[0] if len(values) == 1 else values)


def build_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Build the parser; `commands` says what runs for each command, and is left in ``.command``."""
    parser = _Parser(
        prog="mosam",
        description="Follow prompted cells through a microscopy movie.",
        epilog=(
            "Exit codes: 0 done, 1 unexpected error, 2 wrong usage or input, 3 half a result where a whole one is "
            "needed, 130 stopped (the last line says what is kept)."
        ),
    )
    parser.add_argument("--version", action="version", version=f"mosam {__version__}")
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the log, and the traceback of an error")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    helps = {
        "track": "follow prompted objects through a movie",
        "find": "propose a mask for every cell of a frame, as prompts",
        "evaluate": "compare a result with the truth",
        "explain": "show why an object is where it is",
        "review": "list what to look at in a result, the worst first",
        "info": "describe a movie as it will be read, labels, prompts or a result",
        "import": "make a result of labels of another program, to correct them or to follow objects again",
        "rerun": "follow objects of a result again, with other prompts or corrections",
        "lock": "fix an object on some frames, so that no run changes it there",
        "unlock": "let an object go again",
        "correct": "give an object the pixels of a mask on one frame, or none",
        "swap": "exchange the ids of two objects from a frame on",
        "split": "let an object be a new one from a frame on",
        "merge": "let an object be part of another",
        "rename": "give an object a name",
        "divisions": "propose objects that divide",
        "divide": "let an object end and its two daughters begin on a frame, and follow them",
        "link": "say whose daughter an object is",
        "export": "write a result, with its corrections, for other programs",
        "replay": "make a result again from what it keeps, and compare",
        "undo": "take back what was done last to a result: a run, a re-run, an edit by hand",
        "redo": "do again what was undone last",
        "models": "list, download and verify the models",
    }
    added = {name: subparsers.add_parser(name, parents=[common], help=text) for name, text in helps.items()}
    for name, subparser in added.items():
        subparser.set_defaults(command=commands[name])
    _add_track(added["track"])
    _add_find(added["find"])
    _add_evaluate(added["evaluate"])
    _add_explain(added["explain"])
    _add_review(added["review"])
    _add_info(added["info"])
    _add_import(added["import"])
    for name in ("rerun", *BY_HAND, *KIN, "export", "replay", "undo", "redo"):
        added[name].add_argument("result", type=_path, metavar="RESULT", help="OUT.zarr of 'mosam track'")
    _add_rerun(added["rerun"])
    for name in ("lock", "unlock"):
        _add_object(added[name])
        added[name].add_argument(
            "--frames", required=True, type=parse_frames, metavar="A:B", help="frames A up to, not including, B; or A"
        )
    _add_correct(added["correct"])
    _add_identities(added)
    _add_kin(added)
    _add_export(added["export"])
    _add_replay(added["replay"])
    _add_models(added["models"])
    return parser


def _add_track(track: argparse.ArgumentParser) -> None:
    _add_source(track)
    track.add_argument(
        "--prompts",
        "-p",
        required=True,
        type=_path,
        help="points, boxes, masks: JSON, a table (ours, napari's, TrackMate's), or labels (images, zarr, CTC)",
    )
    _add_prompt_frames(track)
    track.add_argument(
        "--out", "-o", required=True, type=_path, metavar="OUT.zarr", help="result, an OME-Zarr label image"
    )
    track.add_argument(
        "--overwrite", action="store_true", help="replace outputs that exist; beside --resume, all but the result"
    )
    track.add_argument("--resume", action="store_true", help="go on with a run of the same arguments that was stopped")
    track.add_argument("--export-ctc", type=_path, metavar="FOLDER", help="also write Cell Tracking Challenge files")
    track.add_argument(
        "--overlay", type=_path, metavar="FILE", help="also draw the outlines: .gif (movie) or .png (montage)"
    )
    add_flags(track, RUN_FLAGS)
    add_general_flags(track)


def _add_find(find: argparse.ArgumentParser) -> None:
    find.description = "What is written is taken by 'mosam track --prompts', after a look at it."
    _add_source(find)
    find.add_argument("--frame", required=True, type=_parse_frame, metavar="T", help="which frame, from 0")
    find.add_argument(
        "--out", "-o", required=True, type=_path, metavar="FILE", help="prompts (.json or .csv), or labels (.tif)"
    )
    find.add_argument(
        "--score", type=_parse_share, metavar="S", help="propose what the model is so sure of, 0 to 1 (default: 0.4)"
    )
    find.add_argument("--overwrite", action="store_true", help="replace a file that exists, and its masks")
    names = ("model", "checkpoint_config", "model_folder", "device", "diameter")
    add_flags(find, {name: RUN_FLAGS[name] for name in names})


def _add_import(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Ids are kept, and parents of the Cell Tracking Challenge. Every pixel is locked: 'mosam unlock' lets an "
        "object go on the frames on which a run, or a correction of a neighbour, may change it."
    )
    _add_source(command)
    command.add_argument("labels", type=local, metavar="LABELS", help="tracks: a stack, zarr, or a folder such as RES")
    command.add_argument("--out", "-o", required=True, type=_path, metavar="OUT.zarr", help="the result")
    command.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    names = ("model", "checkpoint_config", "model_folder", "device")
    add_flags(command, {name: RUN_FLAGS[name] for name in names})


def _add_prompt_frames(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--prompt-frames",
        type=_parse_prompt_frames,
        default="all",
        metavar="all|first|0,5",
        help="which frames of the prompts count: all, each object's first, or these; of one label image: its frame",
    )


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "result", type=local, metavar="RESULT", help="OUT.zarr of 'mosam track', or labels (TIFF, zarr, folder)"
    )
    evaluate.add_argument(
        "truth", type=local, metavar="TRUTH", help="labels (TIFF, zarr, folder), or a CTC folder TRA or SEG"
    )
    evaluate.add_argument("--prompts", "-p", type=_path, help="the prompts of the run: prompted frames are not scored")
    _add_prompt_frames(evaluate)
    evaluate.add_argument(
        "--frames", type=parse_frames, metavar="A:B", help="frames A up to, not including, B (default: all)"
    )
    evaluate.add_argument("--ids", type=_parse_ids, metavar="1,2,3", help="objects to score (default: all followed)")
    evaluate.add_argument(
        "--match", type=_parse_frame, metavar="FRAME", help="pair ids by overlap on this frame first (else: same ids)"
    )
    evaluate.add_argument(
        "--tolerance",
        type=_parse_tolerance,
        metavar="PX",
        help="of boundaries, for F (default: 0.8 %% of the diagonal)",
    )
    evaluate.add_argument("--ctc", action="store_true", help="also TRA, DET and SEG; needs napari-mosam[evaluate]")
    evaluate.add_argument("--csv", type=_path, metavar="FILE", help="also write a row per object")
    evaluate.add_argument("--json", type=_path, metavar="FILE", help="also write everything")
    evaluate.add_argument(
        "--partial",
        action="store_true",
        help="score half a result too, on the followed frames (else: exit 3)",
    )
    evaluate.add_argument("--overwrite", action="store_true", help="replace reports that exist")


def _add_explain(explain: argparse.ArgumentParser) -> None:
    explain.add_argument("result", type=local, metavar="RESULT", help="OUT.zarr of 'mosam track'")
    explain.add_argument("--object", required=True, type=_parse_object, metavar="ID", help="which object")
    explain.add_argument(
        "--frames", type=parse_frames, metavar="A:B", help="frames A up to, not including, B (default: all)"
    )
    explain.add_argument(
        "--plot", type=_path, metavar="FILE", help="also draw it: .png, .pdf or .svg; needs napari-mosam[plot]"
    )
    explain.add_argument("--overwrite", action="store_true", help="replace a plot that exists")


def _add_review(review: argparse.ArgumentParser) -> None:
    review.add_argument("result", type=local, metavar="RESULT", help="OUT.zarr of 'mosam track'")
    review.add_argument("--first", type=_parse_count, default=20, metavar="N", help="list so many (default: 20)")


def _add_object(command: argparse.ArgumentParser) -> None:
    command.add_argument("--object", required=True, type=_parse_object, metavar="ID", help="which object")


def _add_rerun(rerun: argparse.ArgumentParser) -> None:
    rerun.add_argument(
        "--prompts",
        "-p",
        type=_path,
        help="all prompts of the objects as they are now (default: those of the result and its corrections)",
    )
    _add_prompt_frames(rerun)
    rerun.add_argument("--objects", type=_parse_ids, metavar="1,2,3", help="the only ones to follow (default: changed)")
    rerun.add_argument(
        "--frames",
        type=parse_frames,
        metavar="A:B",
        help="frames to do again besides the changed ones; or more than the result has: it is extended to them, and "
        "where it is half, gone on with",
    )
    rerun.add_argument("--neighbours", action="store_true", help="also follow what their masks touch on the way")
    _add_made_with(rerun)
    add_flags(rerun, {name: FLAGS[name] for name in ("stop_after_unsure", "movie.axes", "movie.channel", "movie.z")})


def _add_made_with(command: argparse.ArgumentParser) -> None:
    """What a result was made from and with, where it is not found."""
    command.add_argument("--movie", type=local, metavar="MOVIE", help="where the movie is now (default: where it was)")
    command.add_argument("--other-movie", action="store_true", help="allow a movie that shows something else")
    command.add_argument("--model", type=local, help="the model that made it, by another name or its weights")
    command.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")


def _add_correct(correct: argparse.ArgumentParser) -> None:
    correct.description = (
        "The pixels are the object's, accepted and locked. Others lose what is covered, except where they are locked: "
        "that is refused."
    )
    _add_object(correct)
    correct.add_argument("--frame", required=True, type=_parse_frame, metavar="T", help="which frame, from 0")
    what = correct.add_mutually_exclusive_group(required=True)
    what.add_argument("--mask", type=_path, metavar="FILE", help="an image (Y, X): its only id, or that of the object")
    what.add_argument("--absent", action="store_true", help="the object is not there")


def _add_identities(added: Mapping[str, argparse.ArgumentParser]) -> None:
    """Who is who: what names two objects, one, or a frame."""
    note = "On that frame it counts as a correction: later runs keep who is who. Pixels stay what they are."
    added["swap"].description = added["split"].description = note
    added["merge"].description = "Where both are seen their pixels are joined, which is a correction of that frame."
    for name, what in (("swap", "1,2"), ("merge", "KEPT,OTHER")):
        added[name].add_argument("--objects", required=True, type=_parse_ids, metavar=what, help="which two")
    for name in ("split", "rename"):
        _add_object(added[name])
    for name in ("swap", "split"):
        added[name].add_argument("--frame", required=True, type=_parse_frame, metavar="T", help="the first, from 0")
    added["merge"].add_argument("--frame", default=0, type=_parse_frame, metavar="T", help="the first (default: 0)")
    added["split"].add_argument("--daughter", action="store_true", help="note the old one as the mother of the new one")
    added["rename"].add_argument("--name", required=True, help="the name; '' takes it")


def _add_kin(added: Mapping[str, argparse.ArgumentParser]) -> None:
    """Divisions, and who is whose daughter."""
    divisions, divide, link = (added[name] for name in KIN)
    divisions.description = "Nothing changes; 'mosam divide' makes one of them."
    divisions.add_argument("--objects", type=_parse_ids, metavar="1,2,...", help="the only ones to look at")
    divisions.add_argument("--json", type=_path, metavar="FILE", help="also write them")
    divisions.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    divide.description = "Without --daughters and --at, the two cells that the model sees there."
    for command in (divide, link):
        _add_object(command)
    divide.add_argument("--frame", required=True, type=_parse_frame, metavar="T", help="the first of the daughters")
    divide.add_argument("--daughters", type=_parse_ids, metavar="7,8", help="objects that begin there or later")
    divide.add_argument("--at", action="append", metavar="Y,X", help="a place in a daughter, px; may be given twice")
    whose = link.add_mutually_exclusive_group(required=True)
    whose.add_argument("--mother", type=_parse_frame, metavar="ID", help="her mother; she may live on")
    whose.add_argument("--none", action="store_true", help="she has none")
    for command in (divisions, divide):
        _add_made_with(command)


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("--ctc", type=_path, metavar="FOLDER", help="write Cell Tracking Challenge files")
    export.add_argument("--overlay", type=_path, metavar="FILE", help="write outlines on the movie, .gif or .png")
    export.add_argument("--movie", type=local, help="for --overlay, where the movie is not in its place any more")
    export.add_argument("--overwrite", action="store_true", help="replace an export or a picture that exists")


def _add_replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument(
        "--out", "-o", type=_path, metavar="OUT.zarr", help="the new result (default: RESULT-replay.zarr beside it)"
    )
    replay.add_argument(
        "--all-at-once", action="store_true", help="one run with all prompts of now, whatever was done in which order"
    )
    replay.add_argument("--overwrite", action="store_true", help="replace a result that is there")
    _add_made_with(replay)


def _add_info(info: argparse.ArgumentParser) -> None:
    _add_source(info, "TIFF, zarr, OME-Zarr, or a folder of images; OUT.zarr of 'mosam track'; a file of prompts")
    info.add_argument("--json", type=_path, metavar="FILE", help="also write everything")
    info.add_argument("--machine", action=TellMachine, nargs=0, help="show what a run uses here, and exit")
    info.add_argument("--overwrite", action="store_true", help="replace a report that exists")


def _add_source(command: argparse.ArgumentParser, kinds: str = "TIFF, zarr, OME-Zarr, or a folder of images") -> None:
    command.add_argument("movie", type=local, nargs="+", action=_OneOrMore, metavar="MOVIE", help=kinds)
    add_flags(command, SOURCE_FLAGS)


def _add_models(models: argparse.ArgumentParser) -> None:
    models.description = (
        "list: names, sizes, licences, and what is here. download NAME...: get weights, or go on with what was cut "
        "off. path NAME: where weights lie. verify [NAME...]: hash weights again and compare."
    )
    models.add_argument("action", nargs="?", default="list", choices=ACTIONS, metavar="list|download|path|verify")
    models.add_argument("names", nargs="*", metavar="NAME", help="of a model")
    models.add_argument(
        "--folder", type=_path, metavar="FOLDER", help="of downloaded weights (default: $MOSAM_CACHE, or your cache)"
    )
    models.add_argument(
        "--url", metavar="URL", help="folder of a mirror (default: $MOSAM_MODELS_URL, or the makers' own address)"
    )


def _path(text: str) -> Path:
    return Path(local(text))


def _parse_ids(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"'{text}' are no object ids; give whole numbers from 1, such as 1,2,3")
    return tuple(dict.fromkeys(int(word) for word in words))


def _parse_prompt_frames(text: str) -> str | tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if text in ("all", "first"):
        return text
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"'{text}' are no frames; give all, first, or frames from 0, such as 0,5,10")
    return tuple(dict.fromkeys(int(word) for word in words))


def _parse_object(text: str) -> int:
    ids = _parse_ids(text)
    if len(ids) > 1:
        raise argparse.ArgumentTypeError(f"'{text}' are {len(ids)} objects; give one id")
    return ids[0]


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of rows; give a whole number from 1")
    return int(text)


def _parse_frame(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is no frame; give a whole number, counted from 0")
    return int(text)


def _parse_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no score; give a number from 0 to 1")
    return share


def _parse_tolerance(text: str) -> float:
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1
    if not 0 <= tolerance < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no distance; give 0 or more px")
    return tolerance
