"""What a file of prompts marks: as plain facts, and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_mosam.core.files.manifest import shortened
from napari_mosam.core.prompts.files import KINDS, head_of, naming_file, naming_record, prompt_records
from napari_mosam.core.prompts.kinds import PromptError

_ANY_SIZE = (1.0, 1.0)
"""Of a pixel; no place is told."""


def facts(path: Path) -> dict[str, Any]:
    """All that is told of a file of records, as JSON types; whether they fit a movie is not known.

    Raises
    ------
    PromptError
        For a file that is none, or that marks nothing.
    """
    with naming_file(path):
        heads = _heads(path)
        if not heads:
            raise PromptError("marks no object; give at least one record")
    kinds, objects, frames = zip(*heads, strict=True)
    return {
        "name": path.name,
        "kind": "prompts",
        "marks": dict(Counter(kinds)),
        "objects": sorted(set(objects)),
        "frames": sorted(set(frames)),
    }


def _heads(path: Path) -> list[tuple[str, int, int]]:
    heads = []
    for n, record in prompt_records(path, _ANY_SIZE):
        with naming_record(n):
            heads.append(head_of(record))
    return heads


def in_words(told: Mapping[str, Any]) -> str:
    """Several aligned lines of what :func:`facts` tells."""
    rows = {
        "name": f"{told['name']} (prompts, for 'mosam track MOVIE --prompts {told['name']}')",
        "objects": counted(told["objects"]),
        "frames": f"{counted(told['frames'])} (from 0)",
        "marks": ", ".join(_marks(kind, told["marks"].get(kind, 0)) for kind in KINDS if kind in told["marks"]),
    }
    return "\n".join(f"{key:<9}{value}" for key, value in rows.items())


def counted(numbers: Sequence[int]) -> str:
    """How many there are, and which."""
    return f"{len(numbers)}: {shortened(numbers)}"


def _marks(kind: str, n: int) -> str:
    plural = {"box": "boxes"}.get(kind, f"{kind}s")
    return f"{n} {kind if n == 1 else plural}"
