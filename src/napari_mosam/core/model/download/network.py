"""What goes wrong on the line, in words, and whether it is worth another try."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from napari_mosam.core.model.build import ModelError

if TYPE_CHECKING:
    from requests import Response

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
"""Statuses of HTTP after which the same request may succeed."""

_OWN = {"localhost", "127.0.0.1", "::1"}


class DownloadError(ModelError):
    """Weights cannot be downloaded; the message says what to do."""


class DownloadCancelled(Exception):
    """A download was cancelled; what came so far is kept and will be continued."""


class Interrupted(Exception):
    """An attempt failed, and the next one may not.

    Parameters
    ----------
    reason : str
        For the user.
    wait_s : float
        How long the server asks to be left alone.
    """

    def __init__(self, reason: str, wait_s: float = 0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def check_url(url: str, *, chosen: bool) -> None:
    """Refuse an address from which no weights should come.

    Parameters
    ----------
    url : str
        The address of a file.
    chosen : bool
        Whether the user gave it: such a mirror may be http, since the hash is checked anyway.

    Raises
    ------
    DownloadError
        For anything but https, or http from this machine or a mirror.
    """
    parts = urlsplit(url)
    allowed = parts.scheme == "https" or (parts.scheme == "http" and (chosen or parts.hostname in _OWN))
    if not allowed or not parts.hostname:
        raise DownloadError(f"'{shown(url)}' is no address to download from; give one that starts with https://")


def shown(url: str) -> str:
    """`url` without the password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class translate_errors:
    """Turns what goes wrong on the line into an interrupted attempt."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import requests
        import urllib3

        if isinstance(error, requests.exceptions.SSLError):
            raise DownloadError(f"the server's certificate is not trusted ({plain(error)}); ask your network's admin")
        if isinstance(error, requests.RequestException) and isinstance(error, ValueError):
            raise DownloadError(f"this address cannot be used: {plain(error)}") from error
        if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
            raise Interrupted(plain(error)) from error


def plain(error: BaseException) -> str:
    """The innermost reason, which the layers of the network wrap several times."""
    inner: Any = error
    while True:
        deeper = getattr(inner, "reason", None) or next((a for a in inner.args if isinstance(a, Exception)), None)
        if not isinstance(deeper, Exception):
            return " ".join(str(inner).rpartition(": ")[2].split()) or type(inner).__name__
        inner = deeper


def check_status(response: "Response", url: str) -> None:
    """Let an answer pass that brings a file or a part of it.

    Raises
    ------
    Interrupted
        If the server may answer better later.
    DownloadError
        If it will not.
    """
    status = response.status_code
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise DownloadError(f"{shown(url)} leads to the unsafe address {shown(response.url)}; choose another mirror")
    if status in (200, 206, 416):
        return
    if status in _TRANSIENT:
        raise Interrupted(f"the server answers {status} {response.reason}", _retry_after(response))
    if status in (404, 410):
        raise DownloadError(
            f"there is no file at {shown(url)} ({status}); check the address of the mirror, or update napari-mosam"
        )
    raise DownloadError(f"the server does not give {shown(url)} ({status} {response.reason}); try another mirror")


def _retry_after(response: "Response", longest_s: float = 30) -> float:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), longest_s) if asked.isdecimal() else 0.0
