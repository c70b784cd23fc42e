"""Inputs are never outputs: what a command writes must not touch what it reads, whichever way leads there."""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_IMAGES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".png", ".jpg", ".jpeg")
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_PATTERN = "*?["


class UsageError(ValueError):
    """Input that the command cannot use; the message is one line for the user."""


class HalfResultError(UsageError):
    """A result that was stopped before its end, where a whole one is needed."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file, folder or pattern that is read.

    Attributes
    ----------
    path : Path
    whole : bool
        Whether nothing may be written anywhere in the folder, not only under the names that a movie is read from.
    """

    path: Path
    whole: bool = False

    @property
    def place(self) -> Path:
        """Absolute, without links."""
        return _real(self.path)

    @property
    def owns_folder(self) -> bool:
        """Whether everything in the folder belongs to it, as in a zarr store."""
        return self.whole or self.path.suffix == ".zarr" or any((self.path / name).exists() for name in _ZARR_FILES)

    def reads(self, written: Path) -> bool:
        """Whether a file of that path is, or would be, one that is read."""
        spots = {_real(written.parent) / written.name, _real(written)}
        if self.place in spots or _same(written, self.path):
            return True
        if any(self._reads_name(spot) for spot in spots):
            return True
        return _is_linked(written) and any(_same(written, file) for file in self._files())

    def _reads_name(self, spot: Path) -> bool:
        if self.owns_folder:
            return self.place in spot.parents
        if self._is_pattern:
            return spot.parent == _real(self.path.parent) and fnmatch(spot.name.lower(), self.path.name.lower())
        return spot.parent == self.place and spot.suffix.lower() in _IMAGES

    @property
    def _is_pattern(self) -> bool:
        return any(sign in self.path.name for sign in _PATTERN) and not self.path.exists()

    def _files(self) -> Iterator[Path]:
        if self._is_pattern:
            yield from self.path.parent.glob(self.path.name)
        elif self.path.is_dir():
            yield from (path for path in self.path.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class Output:
    """A file or folder that is written.

    Attributes
    ----------
    path : Path
    replaced : bool
        Whether it is a folder that is replaced with everything in it.
    names : tuple of str
        Files that are written into it, where it is a folder that is not.
    """

    path: Path
    replaced: bool = False
    names: tuple[str, ...] = ()

    def touches(self, source: Input) -> bool:
        """Whether it is, holds, lies in, or would be read as an input."""
        written = [self.path, *(self.path / name for name in self.names)]
        if any(source.reads(path) for path in written):
            return True
        return self.replaced and _real(self.path) in source.place.parents


def check_apart(outputs: Sequence[Output], inputs: Sequence[Input]) -> None:
    """Refuse outputs that touch an input or each other.

    Raises
    ------
    UsageError
        With both paths.
    """
    for n, output in enumerate(outputs):
        for source in inputs:
            if output.touches(source):
                raise UsageError(
                    f"{output.path} overlaps {source.path}, which is read; inputs are never outputs: choose another "
                    "place"
                )
        for m, other in enumerate(outputs):
            if n != m and output.touches(Input(other.path, whole=other.replaced)):
                raise UsageError(f"{output.path} overlaps {other.path}, which is written too; choose another place")


def inputs_of(arguments: argparse.Namespace) -> list[Input]:
    """Everything that the arguments of a command name to be read, the movies of results, and what prompts name."""
    given = vars(arguments)
    wholes = [given[name] for name in ("result", "truth", "labels") if given.get(name)]
    movies = [given.get("movie")] if isinstance(given.get("movie"), str) else given.get("movie") or []
    read = [*movies, given.get("prompts"), given.get("config")]
    found = [Input(Path(name), whole=True) for name in wholes]
    found += [Input(Path(name)) for name in read if name]
    found += weights_of(given.get("model"), given.get("model_config"))
    found += [movie for source in found for movie in _made_from(source)]
    if given.get("prompts"):
        from napari_mosam.core.prompts.files import named_masks

        found += [Input(mask) for mask in named_masks(given["prompts"])]
    return found


def _made_from(source: Input) -> list[Input]:
    """The movie of a result."""
    from napari_mosam.core.files.places import attributes_of
    from napari_mosam.core.runs.provenance import movie_place

    try:
        place = movie_place(source.path, attributes_of(source.path))
    except (AttributeError, TypeError):  # damaged: whoever reads the result says so
        return []
    return [Input(place)] if place else []


def weights_of(model: str | None, config: str | None) -> list[Input]:
    """The files of a model that is given by its path, and of its configuration."""
    found = [Input(Path(config).expanduser())] if config else []
    return found + ([Input(Path(model))] if model and Path(model).is_file() else [])


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def _is_linked(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_nlink > 1
    except OSError:
        return False
