"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write beside `path` and take its place at the end, so that a failure leaves what was there.

    Parameters
    ----------
    path : Path
        The file; its folder exists. Where it is a link, what it points to is replaced; what is no plain file (a pipe,
        a terminal) is written directly.

    Yields
    ------
    Path
        Where to write; it has the suffix of `path`.

    Raises
    ------
    OSError
        That names `path`, not where it was written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield path
        return
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        if error.filename != str(part):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text in UTF-8, line ends as they are."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
