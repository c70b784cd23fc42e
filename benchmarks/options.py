"""Lists of names on the command line."""

from collections.abc import Mapping, Sequence


def chosen(
    option: str, given: str | None, known: Sequence[str], groups: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """The known names that were asked for, separated by ';', in their own order; all if nothing was.

    Raises
    ------
    SystemExit
        For an unknown name.
    """
    if given is None:
        return list(known)
    words = [word.strip() for word in given.split(";")]
    wanted = [name for word in words for name in (groups or {}).get(word, [word])]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"{option}: {unknown} is unknown; known: {list(known)}")
    return [name for name in known if name in wanted]
