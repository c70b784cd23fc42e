"""Recipes: settings of a training run in TOML files."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from training.config import TrainingConfig

CONFIGS = Path(__file__).parent / "configs"


def read_config(path: Path) -> TrainingConfig:
    """The recipe in a TOML file; what it leaves out keeps its default.

    Raises
    ------
    ValueError
        For an unknown setting or a value outside its range.
    """
    config: TrainingConfig = from_dict(TrainingConfig, tomllib.loads(path.read_text()), path.name)
    return config


def from_dict(kind: Any, given: Mapping[str, Any], where: str) -> Any:
    """A dataclass from nested dictionaries."""
    hints = get_type_hints(kind)
    unknown = sorted(set(given) - {f.name for f in fields(kind)})
    if unknown:
        raise ValueError(f"unknown setting {unknown} in {where}; known: {sorted(hints)}")
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in given.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return from_dict(hint, value, where)
    if isinstance(value, list):
        inner = get_args(hint)[0] if not isinstance(hint, UnionType) else None
        return tuple(from_dict(inner, v, where) if is_dataclass(inner) else v for v in value)
    return value
