"""What a result is, how far it came, what was done to it and what it has lost: as plain facts, and in words."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_mosam.core.files.entries import JOURNAL
from napari_mosam.core.files.manifest import damage_of, damage_words, shortened
from napari_mosam.core.files.places import RESULT_MARK, Place, settled
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.results.columns import labels_of
from napari_mosam.core.results.progress import ResultProgress
from napari_mosam.core.store.history import steps
from napari_mosam.core.store.layout import NAMES, PARENTS, open_group, reading, schema_of


def facts(path: str | Path) -> dict[str, Any]:
    """All that is told of a result, as JSON types; no frame is read.

    Raises
    ------
    FileNotFoundError
        If there is none at `path`.
    ResultError
        If it is damaged so much that nothing can be told, or something else.
    """
    with reading(path):
        group, folder = open_group(path, "r"), settled(path)
        attrs, labels, progress = dict(group.attrs), labels_of(group), ResultProgress.read(group)
        damage = damage_of(folder)
        movie = attrs.get("provenance", {}).get("movie", {})
        return {
            "name": Path(path).name,
            "state": "damaged" if damage else "complete" if progress.complete else "half",
            "progress": str(progress),
            "can_go_on": Place.of(folder).can_go_on(),
            "frames_followed": list(progress.frames),
            "being_followed_again": list(progress.unfinished),
            "damage": damage,
            "movie": {**movie, "name": attrs.get("movie")},
            "shape": list(labels.shape),
            "dtype": str(labels.dtype),
            "objects": [int(i) for i in group["table/object_ids"][:]],
            "names": dict(attrs.get(NAMES) or {}),
            "parents": dict(attrs.get(PARENTS) or {}),
            "frames": attrs.get("frames", [0, labels.shape[0]]),
            "direction": attrs.get("direction"),
            "pixel_size_um": attrs.get("pixel_size_um"),
            "interval_s": attrs.get("interval_s"),
            "imported": attrs.get("imported"),
            "model": attrs.get("model"),
            "weights": attrs.get("provenance", {}).get("weights"),
            "limits": attrs.get("limits"),
            "version": attrs.get(RESULT_MARK),
            "schema": schema_of(attrs),
            "history": [{"number": s.number, "state": s.state, "what": s.words} for s in steps(folder)],
            "bytes": {"all": _size(folder), "history": _size(folder / JOURNAL)},
        }


def in_words(told: Mapping[str, Any]) -> str:
    """Several aligned lines of what :func:`facts` tells; ResultError where that is of a kind that no result has."""
    with reading(told["name"]):
        return _lines(told)


def _lines(told: Mapping[str, Any]) -> str:
    n_frames, height, width = told["shape"]
    low, high = told["limits"] or (0, 0)
    pixel, of = told["pixel_size_um"], told["bytes"]
    skipped = told["movie"].get("skipped_frames", {})
    rows = {
        "name": f"{told['name']} (result of mosam track)",
        "state": told["progress"] + "; 'mosam track' with --resume goes on with it" * told["can_go_on"],
        "damage": damage_words(told["damage"]),
        "movie": f"{told['movie']['name'] or 'unknown'}, {n_frames} frames of {height} x {width} px (Y, X)",
        "objects": f"{len(told['objects'])}: {shortened(told['objects'])}",
        "names": ", ".join(f"{i} {name}" for i, name in told["names"].items()),
        "mothers": ", ".join(f"{mother} of {child}" for child, mother in told["parents"].items()),
        "frames": f"{told['frames'][0]}:{told['frames'][1]}, {told['direction'] or 'unknown direction'}",
        "skipped": f"frames {', '.join(skipped)}: could not be read, all objects count as absent" if skipped else "",
        "scale": Calibration(tuple(pixel) if pixel else None, told["interval_s"]).words(),
        "labels": f"imported from {told['imported']}" if told["imported"] else "",
        "model": told["model"] or "unknown",
        "limits": f"{low:g} to {high:g} became 0 to 1" if low < high else "unknown",
        "version": f"napari-mosam {told['version'] or 'unknown'}, schema {told['schema']}",
        "size": f"{_megabytes(of['all'])}, {_megabytes(of['history'])} of them to undo" if told["history"] else "",
        "history": f"\n{'':9}".join(f"{s['number']} {s['state']:<10} {s['what']}" for s in told["history"]),
    }
    rows["size"] = rows["size"] or _megabytes(of["all"])
    return "\n".join(f"{key:<9}{value}" for key, value in rows.items() if value)


def _size(folder: Path) -> int:
    return sum(_files(folder))


def _files(folder: Path) -> Iterable[int]:
    """Sizes of all files; one that goes meanwhile has none."""
    for path in folder.rglob("*"):
        try:
            yield path.stat().st_size if path.is_file() else 0
        except OSError:
            continue


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
