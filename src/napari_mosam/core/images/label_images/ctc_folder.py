"""Folders in the form of the Cell Tracking Challenge: the frames and tracks in one, and what an export of ours wrote.

The manifest of an export says which files it wrote, so that nothing else there is ever replaced or removed.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.images.label_images.labels import LabelError

MANIFEST = "napari_mosam_export.json"

WORKSHOP = ".napari_mosam_export.new"
"""Folder inside the export's in which a new one is written."""

IDS = "napari_mosam_ids.csv"
"""Table of an export in which ids had to change: what an object is called there, and on which frames."""

_KINDS = (("man_track", "man_track.txt"), ("mask", "res_track.txt"), ("man_seg", None))
"""How the files of frames begin, and the table of tracks that belongs to them; segmentation truth has none."""

_OURS = re.compile(rf"mask[^/\\]*\.tif|res_track\.txt|{re.escape(IDS)}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files of an export.

    Attributes
    ----------
    files : tuple of str
        Names inside the folder.
    whole : bool
        False while they are exchanged for new ones.
    """

    files: tuple[str, ...] = ()
    whole: bool = True

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """That of a folder; it names no file where there is none that can be read.

        A name that is not one of an export's, such as a path that leads elsewhere, is no name.
        """
        try:
            found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            return cls(tuple(name for name in found["files"] if _is_ours(name)), found.get("whole", True) is True)
        except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
            return cls()

    def write(self, folder: Path) -> None:
        """Replace that of a folder."""
        from importlib.metadata import version

        content = {"version": version("napari-mosam"), "whole": self.whole, "files": list(self.files)}
        write_whole(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def foreign_files(folder: Path) -> list[str]:
    """Masks and tables of tracks in a folder that no export wrote, or that are no plain files any more."""
    if not folder.is_dir():
        return []
    ours = Manifest.read(folder).files
    kind = (path for path in folder.iterdir() if _is_ours(path.name))
    return sorted(path.name for path in kind if path.name not in ours or path.is_symlink() or not path.is_file())


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and _OURS.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class CtcFrames:
    """The label images in a folder of the challenge.

    Attributes
    ----------
    files : tuple of Path
        In the order of their frames.
    numbers : tuple of int
        Frame of each file, from 0.
    parents : dict of int to int
        Daughter id -> mother id.
    linked : bool
        Whether ids last from frame to frame; those of segmentation truth do not, which may also lack frames.
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...]
    parents: dict[int, int] = field(default_factory=dict)
    linked: bool = True

    @classmethod
    def find(cls, folder: Path) -> "CtcFrames | None":
        """The result, tracking truth or segmentation truth in a folder; None where there is none of them.

        Raises
        ------
        LabelError
            For a folder that holds several of them, or an export of ours that was cut off; for files without a frame
            number, a track that lacks a frame, and a table of tracks that is none.
        """
        if (folder / "TRA").is_dir() or (folder / "SEG").is_dir():
            raise LabelError(f"{folder} holds folders of truth; give one of them: {folder / 'TRA'} or {folder / 'SEG'}")
        if not Manifest.read(folder).whole:
            raise LabelError(f"{folder} holds an export that was cut off ({MANIFEST} says so); export once more")
        for stem, table in _KINDS:
            files = list(folder.glob(f"{stem}*.tif"))
            if files and (table is None or (folder / table).is_file()):
                numbers = {_number(file, stem): file for file in files}
                return _segmentation(numbers) if table is None else _tracks(folder, stem, numbers, table)
        return None


def _segmentation(numbers: dict[int, Path]) -> CtcFrames:
    frames = tuple(sorted(numbers))
    return CtcFrames(tuple(numbers[t] for t in frames), frames, linked=False)


def _tracks(folder: Path, stem: str, numbers: dict[int, Path], table: str) -> CtcFrames:
    ordered = sorted(numbers)
    missing = next((t for t, number in enumerate(ordered, ordered[0]) if t != number), None)
    if missing is not None:
        raise LabelError(f"{folder} lacks {stem}{missing:03d}.tif; a track needs every frame (is it all there?)")
    files = tuple(numbers[t] for t in ordered)
    return CtcFrames(files, tuple(range(len(files))), _read_parents(folder / table))


def _number(file: Path, stem: str) -> int:
    match = re.fullmatch(rf"{stem}(\d+)", file.stem)
    if match is None:
        raise LabelError(f"{file} has no frame number after '{stem}'; 3-D truth and other files are not read")
    return int(match[1])


def _read_parents(path: Path) -> dict[int, int]:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    rows = [_read_row(path, n, line) for n, line in lines if line.strip()]
    return {label: parent for label, parent in rows if parent}


def _read_row(path: Path, n: int, line: str) -> tuple[int, int]:
    try:
        label, _, _, parent = (int(word) for word in line.split())
    except ValueError as error:
        raise LabelError(f"{path}, line {n}: '{line}' is not 'id first last parent', four whole numbers") from error
    return label, parent
