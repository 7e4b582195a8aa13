"""A file server that misbehaves as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Server:
    """Serves `body` at any path, and notes what it was asked.

    ranges: whether it honours Range. tag, modified: what it says of the file's state. statuses: answered first, one a
    request. drops: after how many bytes of the body the connection of each request breaks, one a request. promised:
    bytes that it says there are beyond those it has. shift: by which its pieces begin elsewhere than asked. sized:
    whether it says a length. stalls: after how many bytes it falls silent, one a request.
    """

    def __init__(self) -> None:
        self.body = b""
        self.ranges = True
        self.tag: str | None = '"1"'
        self.modified: str | None = None
        self.kind = "application/zip"
        self.statuses: list[tuple[int, dict[str, str]]] = []
        self.drops: list[int] = []
        self.promised = 0
        self.shift = 0
        self.sized = True
        self.stalls: list[int] = []
        self.over = threading.Event()
        self.asked: list[dict[str, str]] = []
        self.n_sent = 0
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        self.asked.append(dict(request.headers))
        if self.statuses:
            status, headers = self.statuses.pop(0)
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()
            return
        start, length = 0, len(self.body) + self.promised
        wanted = request.headers.get("Range")
        same = request.headers.get("If-Range") in (None, self.tag, self.modified)
        if wanted and self.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= length:
                request.send_response(416)
                request.end_headers()
                return
            start += self.shift
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{length - 1}/{length}")
        else:
            request.send_response(200)
        for name, value in (("ETag", self.tag), ("Last-Modified", self.modified)):
            if value:
                request.send_header(name, value)
        request.send_header("Content-Type", self.kind)
        if self.sized:
            request.send_header("Content-Length", str(length - start))
        request.end_headers()
        data = self.body[start:]
        if self.drops:
            data = data[: self.drops.pop(0)]
        if self.stalls:
            request.wfile.write(data[: self.stalls.pop(0)])
            self.over.wait(60)
            return
        self.n_sent += len(data)  # first: the client may have all of it before this thread goes on
        request.wfile.write(data)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A running server; requests to it pause for no time between attempts."""
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no news."""

    httpd = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{httpd.server_port}/sounds.zip"
    monkeypatch.setenv("no_proxy", "*")
    yield served
    served.over.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    """The seconds that fetching would have waited between attempts."""
    waited: list[float] = []
    monkeypatch.setattr("earmark.fetch.download.sleep", waited.append)
    return waited
