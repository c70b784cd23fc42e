"""The command ``mosam models``: what there is, what is here, and how the rest gets here."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.cli.checks import UsageError

if TYPE_CHECKING:
    from napari_mosam.core.model.catalogue import ModelInfo, Progress

Say = Callable[[str], None]
Note = Callable[[str], None]


class TellMachine(argparse.Action):
    """Shows what a run uses on this machine, and leaves."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Load the default model and ask."""
        from napari_mosam.core.model.compute import described_here
        from napari_mosam.core.model.registry import load_model

        told = described_here(load_model("nano"))
        sys.stdout.write("".join(f"{name:<12}{what}\n" for name, what in told.items()))
        parser.exit()


def models_command(arguments: argparse.Namespace, say: Say, note: Note) -> None:
    """Run ``mosam models``.

    Parameters
    ----------
    arguments : argparse.Namespace
        'action', 'names', 'folder' and 'url'.
    say : callable
        Prints a line of the result.
    note : callable
        Is told what is kept if the command is stopped now.

    Raises
    ------
    UsageError, ModelError
        Wrong names, no connection, damaged weights.
    """
    _ACTIONS[arguments.action](arguments, say, note)


def _list(arguments: argparse.Namespace, say: Say, note: Note) -> None:
    from napari_mosam.core.model.catalogue import available_models, model_folder

    _expect(arguments, not arguments.names, "takes no names")
    say(f"{'name':<18}{'parameters':>10}{'input':>9}{'size':>9}  {'licence':<14}weights")
    for info in available_models():
        say(
            f"{info.name:<18}{info.parameters:>8.1f} M{info.image_size:>6} px{_size(info, arguments.folder):>9}  "
            f"{info.licence:<14}{_state(info, arguments.folder)}"
        )
    say(f"\ndownloaded weights lie in {model_folder(arguments.folder)}")


def _download(arguments: argparse.Namespace, say: Say, note: Note) -> None:
    from napari_mosam.core.model.catalogue import download_url, model_info
    from napari_mosam.core.model.download.model import download_model
    from napari_mosam.core.model.download.network import shown

    _expect(arguments, bool(arguments.names), "needs the name of a model, such as sam2.1-tiny")
    for info in [model_info(name) for name in arguments.names]:
        if not info.shipped:
            note(f"what came of {info.file} is kept, and the same command continues there")
            sys.stderr.write(f"{info.name}: {info.licence}, from {shown(download_url(info, arguments.url))}\n")
        with _bar(info) as progress:
            path = download_model(info.name, folder=arguments.folder, url=arguments.url, progress=progress)
        say(str(path))


def _path(arguments: argparse.Namespace, say: Say, note: Note) -> None:
    from napari_mosam.core.model.catalogue import model_info

    _expect(arguments, len(arguments.names) == 1, "needs one name")
    info = model_info(arguments.names[0])
    found = info.find(arguments.folder)
    if found is None:
        raise UsageError(
            f"the weights of '{info.name}' are not here; 'mosam models download {info.name}' puts them at "
            f"{info.home(arguments.folder)}"
        )
    say(str(found))


def _verify(arguments: argparse.Namespace, say: Say, note: Note) -> None:
    from napari_mosam.core.model.download.hashes import verify_models

    found = verify_models(arguments.names, arguments.folder)
    for one in found:
        say(f"{one.name:<18} {one.verdict:<12} {one.sha256 or '':<64}  {one.path}")
    damaged = [one.name for one in found if one.verdict == "damaged"]
    absent = [one.name for one in found if arguments.names and one.verdict in ("missing", "incomplete")]
    if damaged or absent:
        what = [f"damaged: {', '.join(damaged)}"] * bool(damaged) + [f"not here: {', '.join(absent)}"] * bool(absent)
        raise UsageError(f"{'; '.join(what)}; 'mosam models download {(damaged + absent)[0]}' gets the weights again")


_ACTIONS = {"list": _list, "download": _download, "path": _path, "verify": _verify}
ACTIONS: Sequence[str] = tuple(_ACTIONS)


def _expect(arguments: argparse.Namespace, fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise UsageError(f"'mosam models {arguments.action}' {what}; see 'mosam models --help'")


def _size(info: "ModelInfo", folder: Path | None) -> str:
    from napari_mosam.core.model.catalogue import in_megabytes

    found = info.find(folder)
    size = found.stat().st_size if found is not None else info.size
    return "?" if size is None else in_megabytes(size)


def _state(info: "ModelInfo", folder: Path | None) -> str:
    from napari_mosam.core.model.catalogue import in_megabytes

    place = info.place(folder)
    if place != "part":
        return place
    return f"incomplete, {in_megabytes(info.part(folder).stat().st_size)} are here"


@contextmanager
def _bar(info: "ModelInfo") -> "Iterator[Progress]":
    """A progress bar that appears with the first byte, and ends with the last so that a warning gets its own line."""
    from tqdm import tqdm

    bar: Any = None

    def show(done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=info.name, unit="B", unit_scale=True, initial=done, dynamic_ncols=True, file=sys.stderr)
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
