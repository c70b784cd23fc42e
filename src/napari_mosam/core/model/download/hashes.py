"""SHA-256 of weights: known beforehand, or recorded beside the file on its first download."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_mosam.core.model.catalogue import ModelInfo, available_models, model_folder, model_info

Verdict = Literal["ok", "as recorded", "unknown", "damaged", "incomplete", "missing"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found of one model's weights.

    Attributes
    ----------
    name : str
        Of the model; the file's name for a file that belongs to none.
    path : Path
        Where the weights are or should be.
    verdict : str
        'ok': the known SHA-256. 'as recorded': the one of the first download. 'unknown': nothing to compare with.
        'damaged': another one. 'incomplete': a download to be continued. 'missing': no file.
    sha256 : str or None
        What was found, where a file was read.
    expected : str or None
        What should have been.
    """

    name: str
    path: Path
    verdict: Verdict
    sha256: str | None = None
    expected: str | None = None


def verify_models(names: Iterable[str] = (), folder: str | Path | None = None) -> list[Verification]:
    """Hash weights again and compare with what is known.

    Parameters
    ----------
    names : iterable of str
        Models; by default all, and any other weights file that lies in the folder.
    folder : str or Path, optional
        Where downloaded weights lie; by default the cache.

    Raises
    ------
    ModelError
        If a name is unknown.
    """
    chosen = [model_info(name) for name in names]
    found = [_verify(info, folder) for info in chosen or available_models()]
    return found if chosen else [*found, *_strangers(model_folder(folder))]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(info: ModelInfo, folder: Path) -> str | None:
    """What a model's weights should have: as known to the catalogue, else as recorded in `folder`, else None."""
    return info.sha256 or _recorded(folder / info.file)


def record_path(path: Path) -> Path:
    """Where the hash of a weights file is recorded of which none is known."""
    return path.with_name(f"{path.name}.sha256.json")


def record_sha256(path: Path, url: str) -> str:
    """Hash a file that was just downloaded from `url` and write it down beside it."""
    found = file_sha256(path)
    record = {"sha256": found, "size": path.stat().st_size, "url": url}
    record_path(path).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return found


def _recorded(path: Path) -> str | None:
    try:
        record = json.loads(record_path(path).read_text(encoding="utf-8"))
        return str(record["sha256"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _verify(info: ModelInfo, folder: str | Path | None) -> Verification:
    path = info.find(folder)
    if path is None:
        incomplete = info.place(folder) == "part"
        return Verification(info.name, info.home(folder), "incomplete" if incomplete else "missing")
    expected, found = known_sha256(info, path.parent), file_sha256(path)
    if expected is None:
        return Verification(info.name, path, "unknown", found)
    right: Verdict = "ok" if info.sha256 else "as recorded"
    return Verification(info.name, path, right if found == expected else "damaged", found, expected)


def _strangers(folder: Path) -> list[Verification]:
    """Weights in the folder that belong to no known model."""
    ours = {info.file for info in available_models()}
    others = sorted(p for p in folder.glob("*") if p.suffix in (".pt", ".pth", ".safetensors") and p.name not in ours)
    return [Verification(path.name, path, "unknown", file_sha256(path)) for path in others]
