"""What a result keeps of what it was made from and with, and the settings from it."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.config.run import ComputeConfig, RunConfig
from napari_mosam.core.images.formats.ome_zarr import is_zarr
from napari_mosam.core.store.schema import ome_block

if TYPE_CHECKING:
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.model.protocol import Segmenter
    from napari_mosam.core.runs.request import RunRequest

_PACKAGES = ("napari-mosam", "torch", "sam2", "numpy", "scipy", "opencv-python-headless", "zarr")
"""Whose versions are kept: what the bits of a result may depend on."""

SKIPPED_FRAMES = "skipped_frames"
"""Where a result keeps, with its movie, the frames that were passed over: number -> why."""

NARROWED = "windows_per_call_lowered_to"
"""Where a result says that the device had not memory enough for the windows per call that were asked for."""


def to_attributes(request: "RunRequest", model_name: str) -> dict[str, Any]:
    """Attributes of a result of that request, as plain JSON types; the model is known by its name, not by its path."""
    config = request.config
    compute = {name: value for name, value in asdict(config.compute).items() if value is not None}
    return {
        "model": model_name,
        "config": config.engine.to_dict(),
        "direction": config.direction,
        "diameter": config.diameter,
        "frames": [request.start, request.stop],
        **({"compute": compute} if compute else {}),
    }


def origin(movie: "Movie", model: "Segmenter", path: Path) -> dict[str, Any]:
    """Attributes of a result at `path` on what it is made from and with, as plain JSON types; reads some frames.

    A model is known by the hash of its weights, a movie by its place relative to the result and by what it shows.
    """
    limits = movie.grey_limits
    attributes = {
        "ome": ome_block(movie.name, movie.calibration, _relative(movie, path) if _is_image(movie) else None),
        "movie": movie.name,
        "limits": [limits.low, limits.high],
        "grey_limits": limits.to_dict(),
        "pixel_size_um": movie.calibration.pixel_um,
        "interval_s": movie.calibration.interval_s,
        "provenance": _provenance(movie, model, path),
    }
    return dict(json.loads(json.dumps(attributes)))


def _provenance(movie: "Movie", model: "Segmenter", path: Path) -> dict[str, Any]:
    return {
        "movie": {
            "path": _relative(movie, path),
            "fingerprint": movie.fingerprint,
            "axes": movie.source_axes,
            "asked": movie.asked,
            **({"halvings": list(movie.halvings)} if movie.halvings else {}),
        },
        "weights": getattr(model, "weights_sha256", None),
        "device": str(model.device),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _relative(movie: "Movie", path: Path) -> str | None:
    """Where the movie lies, from the result; its whole path where there is no way from here to there."""
    if movie.path is None:
        return None
    place = os.path.realpath(movie.path)
    try:
        return Path(os.path.relpath(place, path)).as_posix()
    except ValueError:
        return place


def _is_image(movie: "Movie") -> bool:
    return movie.path is not None and is_zarr(movie.path)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def movie_place(result: Path, attributes: Mapping[str, Any]) -> Path | None:
    """Where the movie of a result lay when that was written; None where it does not say."""
    kept = attributes.get("provenance", {}).get("movie", {}).get("path")
    return None if kept is None else Path(os.path.normpath(os.path.realpath(result) / Path(kept)))


def skipped_frames(attributes: Mapping[str, Any]) -> frozenset[int]:
    """Frames that were passed over in the run that a result was made by."""
    movie = attributes.get("provenance", {}).get("movie", {})
    return frozenset(map(int, movie.get(SKIPPED_FRAMES, {})))


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Names of what the bits of a result depend on, among its attributes and in its provenance, and that differs."""
    one, other = (_flat(attributes) for attributes in (stored, asked))
    return [name for name in other if one.get(name) != other[name]]


def _flat(attributes: Mapping[str, Any]) -> dict[str, Any]:
    inside = dict(attributes.get("provenance", {}))
    movie = inside.pop("movie", {})
    told = {name: value for name, value in attributes.items() if name not in ("provenance", "ome", "movie", "complete")}
    return {**told, **inside, "movie": movie.get("fingerprint"), "axes": movie.get("axes")}


def from_attributes(attributes: Mapping[str, Any]) -> RunConfig:
    """The settings that a result was made with, which may be of an earlier version.

    Raises
    ------
    ValueError
        For settings that are not known any more.
    """
    start, stop = attributes["frames"]
    return RunConfig(
        model=attributes["model"],
        frames=(start, stop),
        direction=attributes["direction"],
        diameter=attributes["diameter"],
        engine=EngineConfig.from_dict(attributes["config"]),
        compute=ComputeConfig(**attributes.get("compute", {})),
    )
