"""How settings are declared: frozen dataclasses that pydantic checks strictly, documented by their own fields."""

import json
from collections.abc import Callable
from dataclasses import field
from functools import wraps
from inspect import getdoc, signature
from textwrap import fill
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from napari_mosam.core.config.fields import settings_of, type_words
from napari_mosam.core.config.refusals import refusal

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def settings(section: str = "") -> Callable[[type[T]], type[T]]:
    """Make a class of annotated fields a frozen, slotted and strict dataclass that refuses in plain words.

    Its docstring gets a section 'Parameters' from the descriptions of its fields.

    Parameters
    ----------
    section : str
        What it is called inside the settings of a run, for messages.
    """

    def declare(fields: type[T]) -> type[T]:
        declared: Any = dataclass(frozen=True, slots=True, config=STRICT)(fields)
        declared.__init__ = _plainly(declared, section)
        declared.__doc__ = f"{getdoc(fields)}\n\n{_parameters(declared)}"
        return cast("type[T]", declared)

    return declare


def _plainly(declared: Any, section: str) -> Callable[..., None]:
    """The constructor of a settings class, with its refusals in plain words."""
    checked, parameters = declared.__init__, signature(declared)

    @wraps(checked)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = parameters.bind(*args, **kwargs).arguments
        try:
            checked(self, **given)
        except ValidationError as error:
            raise refusal(error, declared, given, section) from None

    return __init__


def _parameters(declared: Any) -> str:
    """The section 'Parameters' of a docstring."""
    own = {setting.path[0]: setting for setting in settings_of(declared) if len(setting.path) == 1}
    lines = ["Parameters", "----------"]
    for name, info in declared.__pydantic_fields__.items():
        kind, text = (own[name].kind, own[name].description) if name in own else (info.annotation, "See its class.")
        lines += [f"{name} : {type_words(kind)}", fill(text, 110, initial_indent="    ", subsequent_indent="    ")]
    return "\n".join(lines)


def from_json(declared: type[T], given: Any) -> T:
    """Settings from nested dictionaries of JSON types; whatever is left out keeps its default.

    Raises
    ------
    ValueError
        For an unknown name, or a value of another kind or outside its range.
    """
    try:
        return TypeAdapter(declared).validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise refusal(error, declared, given) from None


def to_json(declared: Any) -> dict[str, Any]:
    """Settings as nested dictionaries of JSON types."""
    plain: dict[str, Any] = TypeAdapter(type(declared)).dump_python(declared, mode="json")
    return plain
