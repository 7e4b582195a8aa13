"""The gate of every request and stream: who may come in, what is counted and logged, which headers go out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earmark.errors import ConfigError
from earmark.server.logs import log_exchange
from earmark.server.places import Places
from earmark.server.refusals import Refusal

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self'; media-src blob: data:; img-src data: blob:; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HEALTH = "/healthz"  # which is asked while it stops, too
REFUSED, BUG = 400, 500
DRAIN_BYTES, DRAIN_SECONDS = 1 << 24, 2.0  # of a body that is refused


class Gate:
    """ASGI around the whole app.

    Args:
        app: what is inside.
        hosts: names that the Host header may have, against DNS rebinding; None = any.
        origins: sites whose pages may call, besides the server's own.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str]):
        self.app, self.hosts, self.origins = app, hosts, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        places, began, status = scope["app"].state.places, time.perf_counter(), BUG
        is_stream, is_read = scope["type"] == "websocket", True  # a stream has words for it
        is_whole = is_stream  # the body

        async def receive_on() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = is_whole or not message.get("more_body")
            return message

        async def send_on(message: Message) -> None:
            nonlocal status, is_read
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                if status >= REFUSED and not is_whole:
                    await _drain(receive_on)
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            if is_read:
                is_read = await _is_read(send(message), None if is_stream else places.limits.idle_seconds)
            if not is_read:
                scope["state"]["reason"] = "idle"

        places.n_open += 1
        n_taken = 0
        try:
            self._require(scope, places)
            n_taken = 1
            places.n_taken += n_taken
            await self.app(scope, receive_on, send_on)
        except Refusal as refusal:
            scope["state"]["reason"] = refusal.reason
            await answer(refusal)(scope, receive_on, send_on)
        finally:
            places.n_open -= 1
            places.n_taken -= n_taken
            log_exchange(scope, status, time.perf_counter() - began)

    def _require(self, scope: Scope, places: Places) -> None:
        """Let in who may come in.

        Raises:
            Refusal: another host's name, another site's page, too many at once, or a server that stops.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _host_name(host) not in self.hosts:
            raise Refusal(
                "foreign",
                f"server: is asked under a name it does not know (expected {', '.join(sorted(self.hosts))}). Use the "
                "address that it printed.",
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and _host_of(origin) != host:
            raise Refusal(
                "foreign", "server: another site's page asks. Start it with --origin and that site if that is meant."
            )
        if scope["path"] == HEALTH:
            return
        if places.n_open > places.limits.open:
            raise Refusal("busy", f"server: {places.limits.open} requests are open, which is the most. Try again.")
        if places.stopping.is_set():
            raise Refusal("stopping", "server: is stopping. Try again when it is back.")


def answer(refusal: Refusal) -> JSONResponse:
    """A refusal as it is sent (ErrorAnswer)."""
    return JSONResponse(
        {"error": {"reason": refusal.reason, "message": str(refusal)}}, refusal.status, headers=refusal.headers
    )


async def _drain(receive: Receive) -> None:
    """Read on for a moment: a client that still sends would see a broken line in place of the answer."""
    n_bytes, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and n_bytes < DRAIN_BYTES:
                message = await receive()
                n_bytes += len(message.get("body", b""))
                more = message.get("more_body", False)


async def _is_read(sending: Awaitable[None], seconds: float | None) -> bool:
    """Send; False where the client does not read. The web server closes what is left unfinished."""
    try:
        async with asyncio.timeout(seconds):
            await sending
    except TimeoutError:
        return False
    return True


def _host_of(origin: str) -> str | None:
    """The host, with its port, in an Origin header; None if there is none that can be read.

    >>> _host_of("http://localhost:8000"), _host_of("null"), _host_of("http://[")
    ('localhost:8000', None, None)
    """
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; "" if there is none that can be read.

    >>> _host_name("localhost:8000"), _host_name("[::1]:8000"), _host_name("[")
    ('localhost', '::1', '')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def require_origin(origin: str) -> None:
    """Refuse what no browser calls a site, which would let nobody in.

    Raises:
        ConfigError: it is no scheme, host and perhaps port, such as "https://example.org:8443".
    """
    site = urlsplit(origin)
    if not site.netloc or origin != f"{site.scheme}://{site.netloc}".lower():
        raise ConfigError(
            f"--origin {origin}: is not a site as browsers name it. Give scheme and host in small letters, and a port "
            "that is not the usual one, such as https://example.org or http://localhost:8080."
        )
