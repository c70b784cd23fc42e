"""One sentence for settings that cannot be: what was given, and what is allowed."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from napari_mosam.core.config.fields import ROOT, Setting, settings_of

_SHOWN = 6
"""Unknown names in one message; a file may hold thousands."""

_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number", "value_error"}
"""Errors that say where a number may lie, not that it is none."""

Path = tuple[int | str, ...]


def refusal(error: ValidationError, declared: Any, given: Any, section: str = "") -> ValueError:
    """The first thing that is wrong with settings, in plain words.

    Parameters
    ----------
    error : ValidationError
        Of pydantic.
    declared : type
        The settings class.
    given : object
        What was to become one; a mapping by name, where it was any good.
    section : str
        What the class is called inside the settings of a run.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "unexpected_keyword_argument":
        return _unknown(errors, first["loc"][:-1], declared, section)
    setting = next((s for s in settings_of(declared) if first["loc"][: len(s.path)] == s.path), None)
    if setting is not None:
        kinds = {e["type"] for e in errors if e["loc"][: len(setting.path)] == setting.path}
        allowed = setting.allowed if kinds <= _OF_RANGE else setting.allowed_kind
        return _impossible(_name(section, setting.path), _value(given, setting), allowed)
    if "error" in first.get("ctx", {}):
        return ValueError(str(first["ctx"]["error"]))
    wanted = f"settings by name, some of {sorted(_names(declared, first['loc']))}"
    wanted = f"a {first['ctx']['class_name']}" if first["type"] == "dataclass_exact_type" else wanted
    return _impossible(_name(section, first["loc"]), first["input"], wanted)


def _impossible(name: str, given: object, allowed: str) -> ValueError:
    return ValueError(f"{name} = {given!r:.80} is not possible; allowed: {allowed}")


def _unknown(errors: list[Any], above: Path, declared: Any, section: str) -> ValueError:
    wrong = sorted(
        e["loc"][-1] for e in errors if e["loc"][:-1] == above and e["type"] == "unexpected_keyword_argument"
    )
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    shown = [f"{name:.40}" for name in wrong[:_SHOWN]]
    known = sorted(_names(declared, above))
    return ValueError(f"unknown setting {shown}{more} in {_name(section, above)}; known: {known}")


def _name(section: str, path: Path) -> str:
    """'window ratio'; the settings as a whole are 'config'."""
    words = [word for word in (section, *path) if word and word != ROOT]
    return " ".join(map(str, words)) or ("config" if not path else ROOT)


def _names(declared: Any, path: Path) -> list[str]:
    """What a section may hold; the settings of the engine may stand without theirs."""
    for name in path:
        declared = declared.__pydantic_fields__[name].annotation
    fields = declared.__pydantic_fields__
    return [*fields, *fields[ROOT].annotation.__pydantic_fields__] if ROOT in fields else list(fields)


def _value(given: Any, setting: Setting) -> Any:
    """What was given for a setting; a list is shown as the pair it was to be."""
    for name in setting.path:
        given = given[name] if isinstance(given, Mapping) else getattr(given, name)
    return tuple(given) if isinstance(given, list) else given
