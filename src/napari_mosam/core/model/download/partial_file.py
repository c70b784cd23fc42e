"""What has come of a download, and of which version of which file it is."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """One version of a file on a server.

    Attributes
    ----------
    url : str
        Where it is, without a password.
    validator : str or None
        Strong ETag or date by which the server knows this version; None where it gives neither.
    total : int or None
        Bytes of the whole file.
    start : int
        Byte at which an answer begins.
    """

    url: str
    validator: str | None
    total: int | None
    start: int = 0

    @classmethod
    def of(cls, url: str, response: "Response", size: int | None) -> "RemoteVersion":
        """What an answer says of itself; `size` stands in where it does not tell its length."""
        etag = response.headers.get("ETag")
        validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
        total, start = _extent(response)
        return cls(url, validator, size if total is None else total, start)

    def continues(self, earlier: "RemoteVersion", there: int) -> bool:
        """Whether an answer goes on at byte `there` with the version of which `earlier` was the beginning."""
        same = self.total == earlier.total and self.validator in (None, earlier.validator)
        return same and self.start == there


class PartialFile:
    """The part file and the note beside it.

    Parameters
    ----------
    path : Path
        Of the bytes; the note has '.json' appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def origin_at(self, url: str) -> RemoteVersion | None:
        """What the part is of, if it can be continued from `url`."""
        if not self.size:
            return None
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
            origin = RemoteVersion(noted["url"], noted["validator"], noted["total"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        fits = origin.url == url and origin.validator and (origin.total is None or self.size <= origin.total)
        return origin if fits else None

    def begin(self, origin: RemoteVersion) -> None:
        """Write down what the part will be of; bytes of another version must not stand under this note."""
        self.discard()
        content = {"url": origin.url, "validator": origin.validator, "total": origin.total}
        self._note.write_text(json.dumps(content) + "\n", encoding="utf-8")

    def discard(self) -> None:
        """Remove both files."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def hand_over(self, target: Path) -> None:
        """Rename the part to `target`, in the same folder."""
        os.replace(self.path, target)
        self._note.unlink(missing_ok=True)


def _extent(response: "Response") -> tuple[int | None, int]:
    """Bytes of the whole file, and the byte at which the answer begins."""
    if response.status_code == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        return int(total) if total.isdecimal() else None, int(first) if first.isdecimal() else -1
    length = response.headers.get("Content-Length", "") if response.status_code == 200 else ""
    return int(length) if length.isdecimal() else None, 0
