"""What an export wrote into a folder, so that nothing else there is ever replaced or removed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mosam.core.config.whole_files import write_whole

MANIFEST = "napari_mosam_export.json"

WORKSHOP = ".napari_mosam_export.new"
"""Folder inside the export's in which a new one is written."""

_OURS = re.compile(r"mask[^/\\]*\.tif|res_track\.txt", re.IGNORECASE)


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
