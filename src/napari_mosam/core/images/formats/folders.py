"""Which files are the frames of one movie, told from the numbers in their names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from pathlib import Path

from napari_mosam.core.images.axes import MovieError

_TIME_WORDS = frozenset({"t", "time", "timepoint", "frame", "frames"})
"""Letters right before a number that counts frames, in small."""

_OTHER_WORDS = frozenset({"c", "ch", "channel", "w", "wv", "z", "slice", "s", "p", "pos", "position", "xy", "field"})
"""Letters right before a number that counts channels, planes or places."""

_SHOWN = 6
"""Patterns and numbers named in a message, so that it stays a line."""


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """The files of a movie in the order of time.

    Attributes
    ----------
    files : tuple of Path or None
        One for each frame; None where a number is left out.
    note : str
        What is to be said about their names; empty where there is nothing.
    pattern : str
        Of their names.
    """

    files: tuple[Path | None, ...]
    note: str = ""
    pattern: str = "*"

    @classmethod
    def of(cls, paths: Iterable[Path], name: str) -> "FrameFiles":
        """Order files by the number that counts the frames.

        A number that is left out is a frame without a file, so that the frames after it stay where they are.

        Parameters
        ----------
        paths : iterable of Path
            One at least.
        name : str
            Of the folder or pattern, for messages.

        Raises
        ------
        MovieError
            For files of several channels, positions or kinds, with the patterns to choose from.
        """
        ordered = sorted(paths, key=natural_key)
        kinds = _kinds(ordered)
        if len(kinds) == len(ordered):
            return cls(tuple(ordered), "" if len(ordered) == 1 else _unnumbered(name))
        groups = [group for numbered in kinds.values() for group in _groups(numbered)]
        if len(groups) > 1:
            raise _several(groups, name)
        return groups[0].counted(name)


@dataclass(frozen=True, slots=True)
class _Group:
    """Files whose names differ by the number that counts the frames; `slot` is its place among the numbers."""

    paths: tuple[Path, ...]
    slot: int

    @property
    def pattern(self) -> str:
        """A star in place of that number, and of those that differ with it."""
        first, others = _parts(self.paths[0]), [_parts(path) for path in self.paths]
        same = [all(parts[i] == part for parts in others) for i, part in enumerate(first)]
        return re.sub(r"\*+", "*", "".join(p if s else "*" for p, s in zip(first, same, strict=True)))

    def counted(self, name: str) -> FrameFiles:
        """The frames, those without a file among them, where the numbers count them; else the files in their order."""
        numbers = [numbers_in(path)[self.slot] for path in self.paths]
        _check_distinct(numbers, self.paths)
        first, last = numbers[0], numbers[-1]
        step = gcd(*(b - a for a, b in pairwise(numbers))) or 1
        if numbers != sorted(numbers) or (last - first) // step + 1 > 2 * len(numbers):
            return FrameFiles(self.paths, _not_counting(name), self.pattern)
        by_number = dict(zip(numbers, self.paths, strict=True))
        wanted = range(first, last + 1, step)
        lost = [n for n in wanted if n not in by_number]
        notes = [f"{name} has no file with number {shortened(lost, step)}"] if lost else []
        notes += [f"the numbers in the names of {name} go up by {step}: each is taken for the next frame"] * (step > 1)
        return FrameFiles(tuple(by_number.get(n) for n in wanted), "; ".join(notes), self.pattern)


def natural_key(path: Path) -> list[str | int]:
    """Sort key that puts ``t2`` before ``t10``."""
    return [int(part) if part.isdecimal() else part.lower() for part in _parts(path)]


def numbers_in(path: Path) -> list[int]:
    """The numbers in a file's name, its suffix left out."""
    return [int(part) for part in _parts(path)[1::2]]


def shortened(numbers: Sequence[int], step: int = 1) -> str:
    """Ascending numbers for a message: runs as 'a to b', the first few of many."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + step:
            runs[-1].append(n)
        else:
            runs.append([n])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")


def _parts(path: Path) -> list[str]:
    """The name, cut before and after every number; texts at even places. The suffix belongs to the last text."""
    parts = re.split(r"(\d+)", path.stem)
    return [*parts[:-1], parts[-1] + path.suffix]


def _kinds(paths: Sequence[Path]) -> Mapping[tuple[str, ...], list[Path]]:
    """Files by the texts of their names."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        found.setdefault(tuple(text.lower() for text in _parts(path)[::2]), []).append(path)
    return found


def _groups(paths: Sequence[Path]) -> list[_Group]:
    """Files of the same texts, in groups that have all numbers in common but the one that counts."""
    columns = list(zip(*(numbers_in(path) for path in paths), strict=True))
    slot = _counting(columns, _parts(paths[0])[::2])
    if slot is None:
        return [_Group((path,), 0) for path in paths]
    if len(set(columns[slot])) == len(paths):
        return [_Group(tuple(paths), slot)]
    found: dict[tuple[int, ...], list[Path]] = {}
    for path, numbers in zip(paths, zip(*columns, strict=True), strict=True):
        found.setdefault((*numbers[:slot], *numbers[slot + 1 :]), []).append(path)
    return [_Group(tuple(group), slot) for group in found.values()]


def _counting(columns: Sequence[Sequence[int]], texts: Sequence[str]) -> int | None:
    """Which number counts the frames: as the words before say, or else that with the most values, closest together."""
    varying = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    words = {i: (re.findall(r"[a-z]+", texts[i].lower()) or [""])[-1] for i in varying}
    timed = [i for i in varying if words[i] in _TIME_WORDS]
    free = [i for i in varying if words[i] not in _OTHER_WORDS]
    return max(timed or free or varying, key=lambda i: (len(set(columns[i])), -_span(columns[i])), default=None)


def _span(column: Sequence[int]) -> int:
    return max(column) - min(column)


def _check_distinct(numbers: Sequence[int], paths: Sequence[Path]) -> None:
    for (a, one), (b, other) in pairwise(sorted(zip(numbers, paths, strict=True))):
        if a == b:
            raise MovieError(f"{one.name} and {other.name} have the same number, {a}; rename one of them")


def _several(groups: Sequence[_Group], name: str) -> MovieError:
    shown = [f"'{group.pattern}' ({len(group.paths)})" for group in groups[:_SHOWN]]
    more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return MovieError(
        f"{name} holds {len(groups)} kinds of files, by their names and how many there are: {', '.join(shown)}{more}; "
        f"give one of these patterns in quotes, such as '{_place(groups[0])}', or rename the files so that one number "
        "counts the frames"
    )


def _place(group: _Group) -> Path:
    return group.paths[0].parent / group.pattern


def _unnumbered(name: str) -> str:
    return f"no number in the names of {name} counts the frames: they are taken in the order of their names"


def _not_counting(name: str) -> str:
    return f"the numbers in the names of {name} do not count the frames: they are taken in their order"
