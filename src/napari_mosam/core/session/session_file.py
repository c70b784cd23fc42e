"""What a session keeps in the folder of its result beside the result itself: marks not yet followed, settings, view.

Before there is a result, it lies in a folder of its own, see :class:`Recent`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.json_files import read_json
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.files.manifest import shortened
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.prompts.records import changed_frames, from_records, to_records

NAME = "mosam_session.json"
"""Of the file in the folder of the result."""

FORMAT = 1
"""Of the file; a newer one is not read."""

_MAX_BYTES = 2**28
"""Of the file; it holds as much as the prompts of a result."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file says.

    Attributes
    ----------
    prompts : Prompts
        All marks of the session.
    followed : Prompts
        Those that the result was made from when this was written.
    settings : RunConfig
        Of the next run.
    movie : str or None
        Where the movie lay, as a whole path.
    view : mapping
        What a program that shows the session wants to remember, as JSON types.
    """

    prompts: Prompts
    followed: Prompts
    settings: RunConfig
    movie: str | None = None
    view: Mapping[str, Any] = field(default_factory=dict)

    @property
    def movie_place(self) -> Path | None:
        """Where the movie lay, if it is there still; a result that was moved finds it so."""
        place = None if self.movie is None else Path(self.movie)
        return place if place is not None and place.exists() else None

    def write(self, result: Path) -> None:
        """Put it into the folder of a result, whole or not at all."""
        content = {
            "format": FORMAT,
            "prompts": to_records(self.prompts),
            "followed": to_records(self.followed),
            "settings": self.settings.to_dict(),
            "movie": self.movie,
            "view": dict(self.view),
        }
        write_whole(result / NAME, json.dumps(content))

    @classmethod
    def read(cls, result: Path, shape_yx: tuple[int, int]) -> "Kept | None":
        """From the folder of a result; None where there is none that can be read."""
        try:
            said = read_json(result / NAME, _MAX_BYTES)
            if said["format"] > FORMAT:
                return None
            prompts, followed = (from_records(said[name], shape_yx) for name in ("prompts", "followed"))
            return cls(prompts, followed, RunConfig.from_dict(said["settings"]), said["movie"], dict(said["view"]))
        except (OSError, Refused, KeyError, TypeError, ValueError, AttributeError):
            return None

    @property
    def not_followed(self) -> tuple[int, ...]:
        """Objects whose marks are others than when the result was made."""
        return tuple(sorted(changed_frames(self.followed, self.prompts)))

    def words(self) -> str:
        """One line on the marks."""
        objects = self.prompts.object_ids
        waiting = f"; not followed yet as they are marked: {shortened(self.not_followed)}" if self.not_followed else ""
        return f"marks of {len(objects)} objects{f': {shortened(objects)}' if objects else ''}{waiting}"

    def facts(self) -> dict[str, Any]:
        """What is told of it, as JSON types."""
        return {
            "objects": list(self.prompts.object_ids),
            "not_followed": list(self.not_followed),
            "movie": self.movie,
        }

    def marks_for(self, followed: Prompts) -> Prompts:
        """The marks, unless the result was followed with others since, by another program: then those."""
        return followed if changed_frames(self.followed, followed) else self.prompts


@dataclass(frozen=True, slots=True)
class KeptMarks:
    """What is told of a file without a result before its movie is opened.

    Attributes
    ----------
    movie : str
        Where the movie lay, as a whole path.
    n_marks : int
    settings : RunConfig
        Of the next run, and how the movie is to be read.
    written : datetime
    """

    movie: str
    n_marks: int
    settings: RunConfig
    written: datetime


def kept_in(folder: Path) -> KeptMarks | None:
    """Look at what is kept in a folder; None where there is nothing that can be read."""
    try:
        said, written = read_json(folder / NAME, _MAX_BYTES), datetime.fromtimestamp((folder / NAME).stat().st_mtime)
        if said["format"] > FORMAT or not isinstance(said["movie"], str):
            return None
        return KeptMarks(said["movie"], len(said["prompts"]), RunConfig.from_dict(said["settings"]), written)
    except (OSError, Refused, KeyError, TypeError, ValueError, AttributeError):
        return None
