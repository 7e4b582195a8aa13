"""The app on a socket, from the start to a stop that finishes what was taken."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from earmark.errors import ConfigError

HEADER_SECONDS = 20.0  # from a connection to its first request
DOOR_SECONDS = 0.3
PING_SECONDS = 60.0  # a stream's client is given up when it answers no ping for so long
QUIET = ("uvicorn", "uvicorn.access", "python_multipart")  # what they say of requests is in our own log


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address, of either kind. port: 0 = any that is free.

    Raises:
        ConfigError: the port is taken or may not be used, or the host is not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = (error.strerror if isinstance(error, OSError) else str(error)).partition(" (while")[0]
        of_port = isinstance(error, OverflowError) or error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "Choose another port, or 0 for a free one" if of_port else "Give a name or an address of this machine"
        raise ConfigError(f"--host {host} --port {port}: cannot be listened on ({reason}). {remedy}.") from error


def address_of(listening: socket.socket) -> str:
    """The address to call, such as "http://127.0.0.1:8000"."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listening: socket.socket, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish what was taken; a second one ends it at once.

    Args:
        app: from `create_app`.
        listening: from `listen`; closed at the end.
        say: told when it stops.
    """
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    limits = app.state.served.limits
    config = uvicorn.Config(
        app,
        http=_Exchange,
        ws="websockets-sansio",  # which stops reading while a message is worked on
        ws_max_size=2 * limits.frame_bytes,  # what is a little too long gets an answer from us
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    _Server(config, app, say).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Stops in two steps: first nothing new is taken, then, when all is answered, it ends."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, say: Callable[[str], None]):
        super().__init__(config)
        self._app, self._say = app, say
        self._n_signals, self._until = 0, 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; `on_tick`, in the loop, acts on it."""
        self._n_signals += 1

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is over."""
        if self._n_signals:
            places = self._app.state.places
            if not places.stopping.is_set():
                places.stopping.set()
                self._until = time.monotonic() + places.limits.stop_seconds
                self._say(f"stopping: {places.n_taken} requests and streams are finished first; Ctrl-C again ends them")
            if self._n_signals > 1:
                self.should_exit = self.force_exit = True
            elif not places.n_taken or time.monotonic() > self._until:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door first: whoever is inside, but has not asked yet, still hears that it stops."""
        for server in self.servers:
            server.close()
        if not self.force_exit:
            await asyncio.sleep(DOOR_SECONDS)
        await super().shutdown(sockets)


class _Exchange(AutoHTTPProtocol):
    """A connection that must begin its first request in time: one that only holds the line is closed."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Set the clock."""
        super().connection_made(transport)
        self.loop.call_later(HEADER_SECONDS, self._require_request)

    def _require_request(self) -> None:
        # A connection that became a stream is the business of another protocol by now.
        if self.cycle is None and self.transport.get_protocol() is self:
            self.transport.close()
