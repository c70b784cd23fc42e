"""How what is given is refused: settings that cannot be, addresses, and arrays that do not fit into memory."""

import operator
import os
import re
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:[/:]")
"""A scheme and what follows it; one letter is a drive. A Path turns the two slashes of an address into one."""

_UNITS = ("", "K", "M", "G", "T")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?")
"""A thousand and 1024 are not told apart."""

_SMALL = 2**26
"""Arrays up to this many bytes are not worth asking the system for."""


class Refused(ValueError):
    """Input that is refused for what it is or asks for, not for being damaged; the message says all there is to say."""


def bytes_of(size: str | int) -> int:
    """Parse '2GB', '500 MB' or a number of bytes.

    Raises
    ------
    Refused
        For anything else.
    """
    found = _SIZE.fullmatch(str(size).strip().upper())
    if found is None:
        raise Refused(f"'{size}' is no size; give bytes, or a number and a unit such as 500MB or 2GB")
    return int(float(found[1]) * 1000 ** _UNITS.index(found[2]))


def require(ok: bool, name: str, given: object, allowed: str) -> None:
    """Raise a ValueError that says what was given and what is possible, unless `ok`."""
    if not ok:
        raise ValueError(f"{name} = {given!r:.80} is not possible; allowed: {allowed}")


def whole_number(given: Any, name: str) -> int:
    """A whole number, of Python or numpy, as one of Python.

    Parameters
    ----------
    given : object
    name : str
        What it is called in the message.

    Raises
    ------
    Refused
        For anything else, True and False among it.
    """
    if type(given) is int:
        return given
    if not isinstance(given, bool):
        with suppress(TypeError):
            return operator.index(given)
    raise Refused(f"{name} = {given!r:.80} is not possible; allowed: a whole number")


def refuse_address(given: str | PathLike[str], what: str) -> None:
    """Refuse an address such as 'https://...', 's3://...' or 'simplecache::...' where a path is expected.

    Nothing but a download of weights ever opens an address, so none may reach the libraries that would.

    Raises
    ------
    Refused
        With `what` it was to be.
    """
    if _ADDRESS.match(str(given)):
        raise Refused(
            f"'{given}' is an address, but {what} is read and written on this machine only; download it, or mount the "
            "place, and give a path"
        )


def local_path(given: str | PathLike[str], what: str) -> Path:
    """A path on this machine, in which '~' is the user's folder; else as :func:`refuse_address`."""
    refuse_address(given, what)
    return Path(os.path.expanduser(given))


def require_room(n_bytes: int, what: str, advice: str) -> None:
    """Refuse what would need more memory than is free, before any of it is taken.

    Parameters
    ----------
    n_bytes : int
        Needed at once.
    what : str
        For the message, in the singular: 'one frame of movie.tif'.
    advice : str
        What to do instead.

    Raises
    ------
    Refused
        With what is needed and what is free.
    """
    if n_bytes <= _SMALL:
        return
    import psutil

    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise Refused(f"{what} needs {n_bytes / 1e9:,.1f} GB of memory and {free / 1e9:,.1f} GB are free; {advice}")
