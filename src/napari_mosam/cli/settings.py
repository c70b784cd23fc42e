"""The settings of a run on the command line: a flag for those one reaches for, --set and --config for all."""

import argparse
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_mosam.cli.places import UsageError
from napari_mosam.core.config.checks import Refused, refuse_address
from napari_mosam.core.config.declare import to_json
from napari_mosam.core.config.engine import MotionConfig
from napari_mosam.core.config.fields import Setting, settings_of
from napari_mosam.core.config.json_files import parse_json, read_text
from napari_mosam.core.config.run import RunConfig, full_path

Frames = tuple[int | None, int | None]

MAX_CONFIG_BYTES = 1_000_000
"""Of a file of settings; all of them together take 2 kB."""


@dataclass(frozen=True, slots=True)
class Flag:
    """How a setting with a flag of its own is spelled; everything else is said by the setting.

    Attributes
    ----------
    name : str
        Such as '--model'.
    metavar : str
    parse : callable, optional
        From text; by the kind of the setting by default.
    bare : bool
        Whether it stands alone and switches the setting on.
    """

    name: str
    metavar: str = ""
    parse: Callable[[str], Any] | None = None
    bare: bool = False

    @property
    def attribute(self) -> str:
        """Where argparse leaves the value."""
        return self.name.removeprefix("--").replace("-", "_")


def local(text: str) -> str:
    """A path on this machine, '~' the user's folder: nothing but a download of weights opens an address."""
    try:
        refuse_address(text, "what a command is given")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return os.path.expanduser(text)


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


def _parse_z(text: str) -> int | Literal["max"]:
    if text == "max":
        return "max"
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no plane; give an index from 0, or max")
    return int(text)


def _parse_assignment(text: str) -> tuple[str, Any]:
    """'window.ratio=4' into its name and value: JSON, or a bare word."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"'{text}' sets nothing; give NAME=VALUE, such as window.ratio=4")
    try:
        return name, parse_json(value)
    except Refused:
        return name, value


SOURCE_FLAGS = {
    "movie.axes": Flag("--axes"),
    "movie.channel": Flag("--channel", "INDEX"),
    "movie.z": Flag("--z", "INDEX|max", _parse_z),
    "movie.series": Flag("--series", "N"),
    "movie.limits": Flag("--limits", "LOW:HIGH|exact", parse_limits),
    "movie.pixel_size": Flag("--pixel-size", "UM"),
    "movie.interval": Flag("--interval", "SECONDS"),
    "movie.ram": Flag("--ram", "SIZE"),
}
RUN_FLAGS = {
    "model": Flag("--model"),
    "checkpoint_config": Flag("--model-config", "CONFIG"),
    "model_folder": Flag("--model-folder", "FOLDER"),
    "device": Flag("--device"),
    "frames": Flag("--frames", "A:B", parse_frames),
    "direction": Flag("--direction"),
    "diameter": Flag("--diameter", "PX"),
    "stop_after_unsure": Flag("--stop-after-unsure", "K"),
    "movie.skip_bad_frames": Flag("--skip-bad-frames", bare=True),
    "memory.selection": Flag("--memory"),
    "compete": Flag("--compete"),
}
FLAGS = SOURCE_FLAGS | RUN_FLAGS
_ON = {"on": True, "off": False}
_MOTION: dict[str, Mapping[str, Any]] = {
    "on": {"motion": {}},
    "off": {"motion": to_json(MotionConfig.off())},
    "learned": {"motion.encoder": "learned"},
}


def add_flags(command: argparse.ArgumentParser, flags: Mapping[str, Flag]) -> None:
    """Add a flag for each of these settings; what is not given is None."""
    settings = {setting.name: setting for setting in settings_of(RunConfig)}
    for name, flag in flags.items():
        command.add_argument(flag.name, help=_help(settings[name]), **_kind(settings[name], flag))


def add_general_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags that set several settings, or any."""
    command.add_argument(
        "--motion", choices=_MOTION, help="follow the motion of the image; learned: by trained networks"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        type=_parse_assignment,
        metavar="NAME=VALUE",
        help="any setting (see docs/settings.md), such as window.ratio=4; may be repeated, and wins over all others",
    )
    command.add_argument("--config", type=local, metavar="FILE", help="settings, .json or .toml; the flags win")


def _kind(setting: Setting, flag: Flag) -> dict[str, Any]:
    if flag.bare:
        return {"action": "store_const", "const": "on"}
    choices = tuple(_ON) if setting.kind is bool else setting.choices
    if choices:
        return {"choices": choices}
    kinds = {str: local, int: int, float: float}
    return {"type": flag.parse or kinds[setting.value_kind], "metavar": flag.metavar or None}


def _help(setting: Setting) -> str:
    """The description as argparse has it: it begins small, and ends with the default."""
    text = setting.description[:1].lower() + setting.description[1:].removesuffix(".")
    shown = {True: "on", False: "off"}.get(setting.default, setting.default)
    return text.replace("%", "%%") + ("" if setting.default is None else f" (default: {shown})")


def run_config(arguments: argparse.Namespace) -> RunConfig:
    """The settings that a command line asks for: --set wins over flags, flags over the file.

    Raises
    ------
    UsageError, ValueError
        For settings that cannot be.
    OSError
        For a file that cannot be read.
    """
    given = vars(arguments)
    tree = (load_config(Path(given["config"])) if given.get("config") else RunConfig()).to_dict()
    _put_all(tree, _MOTION.get(given.get("motion") or "", {}).items())
    _put_all(tree, _flagged(given).items())
    _put_all(tree, given.get("set", ()))
    return RunConfig.from_dict(tree)


def _flagged(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the flags that were given, by setting."""
    found = {name: given.get(flag.attribute) for name, flag in FLAGS.items()}
    switches = {setting.name for setting in settings_of(RunConfig) if setting.kind is bool}
    return {name: _ON[v] if name in switches else v for name, v in found.items() if v is not None}


def _put_all(tree: dict[str, Any], values: Iterable[tuple[str, Any]]) -> None:
    """Put values into nested dictionaries by their dotted names."""
    for name, value in values:
        *sections, last = full_path(name.split("."))
        node = tree
        for section in sections:
            if not isinstance(node.get(section), dict):
                node[section] = {}
            node = node[section]
        node[last] = deepcopy(value)


def load_config(path: Path) -> RunConfig:
    """Read settings from a .json or .toml file in the form of ``RunConfig.to_dict`` or ``EngineConfig.to_dict``.

    Raises
    ------
    UsageError
        For a file of another kind, a broken one, or one with unknown or impossible settings.
    OSError
        For a file that cannot be read.
    """
    parse = CONFIG_PARSERS.get(path.suffix.lower())
    if parse is None:
        raise UsageError(f"--config {path}: allowed are {' and '.join(CONFIG_PARSERS)} files")
    try:
        return RunConfig.from_dict(parse(read_text(path, MAX_CONFIG_BYTES)))
    except RecursionError as error:
        raise UsageError(f"--config {path}: nested too deeply; settings have three levels") from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--config {path}: {error}; the file holds what EngineConfig.to_dict() gives") from error


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise ValueError("one of its whole numbers has thousands of digits") from error


CONFIG_PARSERS: dict[str, Callable[[str], Any]] = {".json": parse_json, ".toml": _parse_toml}
