"""The arguments of the command ``mosam``; imports nothing heavy, so that ``--help`` is quick."""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NoReturn

from napari_mosam import __version__
from napari_mosam.cli.models import ACTIONS
from napari_mosam.core.config.checks import refuse_address
from napari_mosam.core.config.engine import DIRECTIONS, SELECTIONS

Command = Callable[..., None]
Frames = tuple[int | None, int | None]


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, without the whole usage text."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave."""
        self.exit(2, f"mosam: error: {message}; see '{self.prog} --help'\n")


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
        "evaluate": "compare a result with the truth",
        "explain": "show why an object is where it is",
        "info": "describe a movie as it will be read, or a result",
        "models": "list, download and verify the models",
    }
    added = {name: subparsers.add_parser(name, parents=[common], help=text) for name, text in helps.items()}
    for name, subparser in added.items():
        subparser.set_defaults(command=commands[name])
    _add_track(added["track"])
    _add_evaluate(added["evaluate"])
    _add_explain(added["explain"])
    _add_source(added["info"], "TIFF, zarr, OME-Zarr, or a folder of images; or OUT.zarr of 'mosam track'")
    _add_models(added["models"])
    return parser


def _add_track(track: argparse.ArgumentParser) -> None:
    _add_source(track)
    track.add_argument(
        "--prompts", "-p", required=True, type=_path, help="points, boxes, masks: JSON, CSV or label image"
    )
    track.add_argument(
        "--out", "-o", required=True, type=_path, metavar="OUT.zarr", help="result; holds 'labels' (T, Y, X)"
    )
    track.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    track.add_argument("--export-ctc", type=_path, metavar="FOLDER", help="also write Cell Tracking Challenge files")
    track.add_argument(
        "--overlay", type=_path, metavar="FILE", help="also draw the outlines: .gif (movie) or .png (montage)"
    )
    _add_engine(track)


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "result", type=_local, metavar="RESULT", help="OUT.zarr of 'mosam track', or labels (TIFF, zarr, folder)"
    )
    evaluate.add_argument(
        "truth", type=_local, metavar="TRUTH", help="labels (TIFF, zarr, folder), or a CTC folder TRA or SEG"
    )
    evaluate.add_argument("--prompts", "-p", type=_path, help="the prompts of the run: prompted frames are not scored")
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
    explain.add_argument("result", type=_local, metavar="RESULT", help="OUT.zarr of 'mosam track'")
    explain.add_argument("--object", required=True, type=_parse_object, metavar="ID", help="which object")
    explain.add_argument(
        "--frames", type=parse_frames, metavar="A:B", help="frames A up to, not including, B (default: all)"
    )
    explain.add_argument(
        "--plot", type=_path, metavar="FILE", help="also draw it: .png, .pdf or .svg; needs napari-mosam[plot]"
    )
    explain.add_argument("--overwrite", action="store_true", help="replace a plot that exists")


def _add_source(command: argparse.ArgumentParser, kinds: str = "TIFF, zarr, OME-Zarr, or a folder of images") -> None:
    command.add_argument("movie", type=_local, metavar="MOVIE", help=kinds)
    command.add_argument("--axes", help="what the axes are, e.g. TCYX (default: from the file)")
    command.add_argument("--channel", type=int, metavar="INDEX", help="channel to follow, from 0")
    command.add_argument("--z", type=_parse_z, metavar="INDEX|max", help="plane from 0, or 'max' for the projection")
    command.add_argument(
        "--limits",
        type=parse_limits,
        metavar="LOW:HIGH|exact",
        help="pixel values seen as black and white; exact: from all pixels (default: from a sample, without outliers)",
    )


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


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", type=_local, default="nano", help="name from 'mosam models' or path of weights (default: nano)"
    )
    command.add_argument(
        "--model-config",
        type=_local,
        metavar="CONFIG",
        help="of a checkpoint given by its path: .yaml, or sam2.1_hiera_t",
    )
    command.add_argument(
        "--model-folder", type=_path, metavar="FOLDER", help="of downloaded weights (default: see 'mosam models')"
    )
    command.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    command.add_argument(
        "--frames", type=parse_frames, metavar="A:B", help="frames A up to, not including, B (default: all)"
    )
    command.add_argument("--direction", choices=DIRECTIONS, default="both", help="which way in time (default: both)")
    command.add_argument("--diameter", type=float, metavar="PX", help="cell diameter; sizes the view around a click")
    command.add_argument("--config", type=_path, metavar="FILE", help="settings, .json or .toml; the options below win")
    command.add_argument(
        "--motion",
        choices=("on", "off", "learned"),
        help="follow the motion of the image; learned: by trained networks",
    )
    command.add_argument("--memory", choices=SELECTIONS, help="which frames are remembered and read")
    command.add_argument("--compete", choices=("on", "off"), help="objects compete for pixels")


def _local(text: str) -> str:
    """A path on this machine: nothing but a download of weights opens an address."""
    try:
        refuse_address(text, "what a command is given")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _path(text: str) -> Path:
    return Path(_local(text))


def parse_frames(text: str) -> Frames:
    """Parse 'A:B' (half-open), 'A:', ':B' or 'A' into (start, stop); None is an open end.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.
    """
    first, colon, last = text.partition(":")
    numeric = all(end == "" or (end.isascii() and end.isdecimal()) for end in (first, last))
    if numeric and (colon or first):
        start = int(first) if first else None
        stop = int(last) if last else None if colon else int(first) + 1
        if stop is None or stop > (start or 0):
            return start, stop
    raise argparse.ArgumentTypeError(
        f"'{text}' is no range of frames; give A:B for the frames from A up to, not including, B, counted from 0"
    )


def parse_limits(text: str) -> tuple[float, float] | Literal["exact"]:
    """Parse 'LOW:HIGH' or 'exact'.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.
    """
    if text == "exact":
        return "exact"
    try:
        low, high = (float(word) for word in text.split(":"))
    except ValueError:
        low = high = 0.0
    if -math.inf < low < high < math.inf:
        return low, high
    raise argparse.ArgumentTypeError(
        f"'{text}' are no limits; give LOW:HIGH, two pixel values of which the first is smaller, or exact"
    )


def _parse_ids(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"'{text}' are no object ids; give whole numbers from 1, such as 1,2,3")
    return tuple(dict.fromkeys(int(word) for word in words))


def _parse_object(text: str) -> int:
    ids = _parse_ids(text)
    if len(ids) > 1:
        raise argparse.ArgumentTypeError(f"'{text}' are {len(ids)} objects; give one id")
    return ids[0]


def _parse_frame(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is no frame; give a whole number, counted from 0")
    return int(text)


def _parse_tolerance(text: str) -> float:
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1
    if not 0 <= tolerance < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no distance; give 0 or more px")
    return tolerance


def _parse_z(text: str) -> int | Literal["max"]:
    if text == "max":
        return "max"
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no plane; give an index from 0, or max")
    return int(text)
