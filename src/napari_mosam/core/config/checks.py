"""How what is given is refused: settings that cannot be, addresses, and arrays that do not fit into memory."""

import re
from os import PathLike

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:[/:]")
"""A scheme and what follows it; one letter is a drive. A Path turns the two slashes of an address into one."""

_SMALL = 2**26
"""Arrays up to this many bytes are not worth asking the system for."""


class Refused(ValueError):
    """Input that is refused for what it is or asks for, not for being damaged; the message says all there is to say."""


def require(ok: bool, name: str, given: object, allowed: str) -> None:
    """Raise a ValueError that says what was given and what is possible, unless `ok`."""
    if not ok:
        raise ValueError(f"{name} = {given!r:.80} is not possible; allowed: {allowed}")


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
