"""A real HTTP server on this machine that serves files well or badly."""

import hashlib
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

PIECE = 4096


@dataclass(frozen=True)
class Answer:
    """How one request is answered.

    Attributes
    ----------
    status : int
        Other than 200 for an error page; 302 leads to `location`.
    cut : int or None
        The connection is closed after so many bytes of the body.
    seconds_per_mb : float
        How slowly the body comes.
    endless : bool
        Whether the body starts again when it is over, until whoever asked hangs up.
    """

    status: int = 200
    cut: int | None = None
    seconds_per_mb: float = 0
    endless: bool = False
    location: str = ""
    retry_after: str = ""


@dataclass
class WeightsServer:
    """Files by name, and the answers still to be given; when they run out, every answer is `usual`.

    Attributes
    ----------
    ranges, conditions : bool
        Whether Range and If-Range are understood.
    validators : bool
        Whether an ETag is sent.
    weak, dated : bool
        Whether the ETag is a weak one, and whether a date is sent instead.
    lengths : bool
        Whether Content-Length is sent; without it the end of the connection is the end of the file.
    chunked : bool
        Whether the body comes in chunks, without Content-Length.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    usual: Answer = field(default_factory=Answer)
    ranges: bool = True
    conditions: bool = True
    validators: bool = True
    weak: bool = False
    dated: bool = False
    lengths: bool = True
    chunked: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    def etag(self, content: bytes) -> str:
        if self.dated:
            return f"Wed, 25 Nov 2026 13:{zlib.crc32(content) % 60:02}:00 GMT"
        return ("W/" if self.weak else "") + f'"{hashlib.md5(content).hexdigest()}"'


def handler_of(server: WeightsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if server.chunked else "HTTP/1.0"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            answer = server.answers.pop(0) if server.answers else server.usual
            content = server.files.get(self.path.lstrip("/"))
            if answer.status == 200 and content is None:
                answer = Answer(404)
            if answer.status != 200 or content is None:
                self._refuse(answer)
                return
            self._serve(content, answer)

        def _refuse(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in (("Location", answer.location), ("Retry-After", answer.retry_after)):
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _serve(self, content: bytes, answer: Answer) -> None:
            start = self._start(content)
            if start >= len(content) > 0:
                self._refuse(Answer(416))
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif server.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            if server.validators:
                self.send_header("Last-Modified" if server.dated else "ETag", server.etag(content))
            self.end_headers()
            self._send(content[start:], answer)
            self.close_connection = True

        def _start(self, content: bytes) -> int:
            asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
            if not server.ranges or not asked:
                return 0
            if server.conditions and condition not in (None, server.etag(content)):
                return 0
            return int(asked.removeprefix("bytes=").rstrip("-"))

        def _send(self, body: bytes, answer: Answer) -> None:
            body = body if answer.cut is None else body[: answer.cut]
            try:
                for at in count(0, PIECE) if answer.endless else range(0, len(body), PIECE):
                    start = at % len(body)
                    self._send_piece(body[start : start + PIECE])
                    if answer.seconds_per_mb:
                        time.sleep(answer.seconds_per_mb * PIECE / 1e6)
                if server.chunked:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:  # whoever asked has gone
                pass

        def _send_piece(self, piece: bytes) -> None:
            server.sent += len(piece)  # before the client can have it, who may look at once
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if server.chunked else piece)

    return Handler


@contextmanager
def serving(**options: object) -> Iterator[WeightsServer]:
    """A server with these properties, on a free port of this machine."""
    server = WeightsServer(**options)
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)
