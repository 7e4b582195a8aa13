"""The server of a review: loopback only, a secret in every address, nothing that a client names is opened."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from earmark.errors import ConfigError
from earmark.review.session import RefusedError, Session, StaleError
from earmark.run import to_json

ADDRESS = "127.0.0.1"
LONGEST_BODY = 100_000  # bytes
KINDS = {
    "decide": {"number": int, "version": int, "decision": str, "labels": list, "why": str},
    "undo": {"revision": int},
}
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class ReviewApp:
    """What is served. page: HTML, given the nonce of its script. sound: HTML of a question's sound, by its number."""

    session: Session
    page: Callable[[str], str]
    sound: Callable[[int], str]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class ReviewServer(ThreadingHTTPServer):
    """Answers on this machine's own address alone, until it is shut down."""

    daemon_threads = True

    def __init__(self, app: ReviewApp, port: int = 0):
        """Args:
        port: 0 = any that is free.

        Raises:
            ConfigError: the port is taken, or may not be used.
        """
        self.app = app
        try:
            super().__init__((ADDRESS, port), _Exchange)
        except OSError as error:
            raise ConfigError(
                f"--port {port}: cannot be listened on ({error.strerror}). Leave it away for a free one."
            ) from error

    def handle_error(self, request, client_address) -> None:
        """A tab that was closed amid an answer is no error; all else keeps its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """The page's address, with the secret."""
        return f"http://{ADDRESS}:{self.server_port}/{self.app.token}/"


class _Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    server: ReviewServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        app, route = self.server.app, self._route()
        kind, _, number = (route or "").partition("/")
        if route == "":
            nonce = secrets.token_urlsafe(16)
            policy = {"Content-Security-Policy": POLICY.format(nonce=nonce)}
            self._answer(HTTPStatus.OK, app.page(nonce), "text/html", policy)
        elif route in ("facts", "state"):
            found = app.session.facts() if route == "facts" else app.session.state()
            self._answer(HTTPStatus.OK, to_json(found))
        elif kind == "sound" and number.isdecimal() and int(number) < len(app.session.questions):
            self._answer(HTTPStatus.OK, app.sound(int(number)), "text/html")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "", "text/plain")

    def do_POST(self) -> None:
        route = self._route()
        known = route in ("decide", "undo")
        asked = self._body(route) if known else None
        if asked is None:
            self.close_connection = True  # what was sent may not have been read
            self._answer(HTTPStatus.BAD_REQUEST if known else HTTPStatus.NOT_FOUND, "{}")
            return
        session = self.server.app.session
        try:
            state = session.undo(asked["revision"]) if route == "undo" else session.decide(**asked)
        except StaleError:
            self._answer(HTTPStatus.CONFLICT, to_json(session.state()))
        except RefusedError as refusal:
            self._answer(HTTPStatus.BAD_REQUEST, to_json({"refused": str(refusal)}))
        else:
            self._answer(HTTPStatus.OK, to_json(state))

    def _route(self) -> str | None:
        """What is asked for behind the secret; None without it, or under another host's name."""
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        _, token, route = (*self.path.split("?")[0].split("/", 2), "", "")[:3]
        same = secrets.compare_digest(token.encode(), self.server.app.token.encode())
        return route if same and self.headers.get("Host") in hosts else None

    def _body(self, route: str) -> dict | None:
        """The JSON that was sent, None where it is not what the page sends there."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return None
        try:
            sent = json.loads(self.rfile.read(int(length)))
        except ValueError:
            return None
        return sent if _is_request(sent, KINDS[route]) else None

    def _answer(self, status: HTTPStatus, text: str, kind: str = "application/json", more: dict | None = None) -> None:
        content = text.encode("utf-8")
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments) -> None:
        """Not a line for every request: addresses hold the secret."""


def _is_request(sent: object, kinds: dict[str, type]) -> bool:
    """Whether a body has these names and types, lists being of text."""
    if not isinstance(sent, dict) or set(sent) != set(kinds):
        return False
    lists = [each for each in sent.values() if isinstance(each, list)]
    return all(isinstance(sent[name], kind) for name, kind in kinds.items()) and all(
        isinstance(each, str) for values in lists for each in values
    )
