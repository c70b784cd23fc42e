"""JSON from strangers: of a bounded size and depth, no key twice, no number that nothing can hold."""

import codecs
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_mosam.core.config.checks import Refused

MAX_DEPTH = 32
"""Of lists and objects in each other; nothing that is read here is nested as deeply."""

MAX_DIGITS = 20
"""Of a whole number; the largest of 64 bits has 20."""


def read_json(path: Path, max_bytes: int) -> Any:
    """Parse a JSON file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises
    ------
    Refused
        If it is too large, or for the reasons of :func:`parse_json`.
    OSError
        If it cannot be read.
    """
    return parse_json(read_text(path, max_bytes))


def read_text(path: Path, max_bytes: int, other: str = "utf-8-sig") -> str:
    """Read a file in UTF-8, or in UTF-16 with its mark, that has at most so many bytes; else as `read_json`.

    `other` is the encoding of what is neither.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise Refused(f"the file has more than {max_bytes / 1000:,.0f} kB, the most that is read")
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    with suppress(UnicodeDecodeError):
        return content.decode("utf-16" if marked else "utf-8-sig")
    try:
        return content.decode("utf-16" if marked else other)
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start}"
        raise Refused(f"the file is not text in UTF-8 ({why}); save it as UTF-8") from error


def parse_json(text: str | bytes, *, unique: bool = True) -> Any:
    """Parse JSON.

    Parameters
    ----------
    text : str or bytes
    unique : bool
        Refuse a key that stands twice in one object; the last one counts otherwise.

    Raises
    ------
    Refused
        If it is no JSON, is nested deeper than 32 levels, has a key twice or a whole number of more than 20 digits.
    """
    try:
        parsed = json.loads(text, parse_int=_whole, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise Refused(f"not text in UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise Refused(f"not valid JSON: {error}") from error
    _check_depth(parsed)
    return parsed


def _whole(digits: str) -> int:
    n_digits = len(digits.lstrip("-"))
    if n_digits > MAX_DIGITS:
        raise Refused(f"a whole number of {n_digits} digits ({digits[:12]}…) is not possible; allowed: {MAX_DIGITS}")
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Refused(f"the key '{twice:.40}' stands twice in one object; give it once")
    return found


def _check_depth(parsed: Any) -> None:
    level = [parsed]
    for _ in range(MAX_DEPTH + 1):
        level = [item for node in level if isinstance(node, list | dict) for item in _items(node)]
        if not level:
            return
    raise _too_deep()


def _items(node: list[Any] | dict[str, Any]) -> Any:
    return node.values() if isinstance(node, dict) else node


def _too_deep() -> Refused:
    return Refused(f"lists and objects are nested deeper than {MAX_DEPTH} levels; nothing that is read here is")
