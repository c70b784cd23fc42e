"""What a result keeps of the settings it was made with, and the settings from it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.config.run import ComputeConfig, RunConfig

if TYPE_CHECKING:
    from napari_mosam.core.runs.request import RunRequest


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
