"""How settings refuse what is not possible."""


def require(ok: bool, name: str, given: object, allowed: str) -> None:
    """Raise a ValueError that says what was given and what is possible, unless `ok`."""
    if not ok:
        raise ValueError(f"{name} = {given!r} is not possible; allowed: {allowed}")
