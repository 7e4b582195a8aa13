"""Live sound over a WebSocket: PCM in, tags of windows and events out. docs/serve.md specifies the messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from earmark.audio.pcm import bytes_per_sample, decode_pcm
from earmark.errors import AudioError, ConfigError, TaggerFileError
from earmark.run import to_json
from earmark.server.refusals import Refusal
from earmark.server.schemas import StreamQuery, parameter_message
from earmark.server.served import Served, bearer
from earmark.server.tagging import found_windows, unscorable
from earmark.tagger import Event, EventRule, Heard, TagStream
from earmark.tagger.formats import microseconds, short_score

TOKEN_SECONDS = 10.0
PIECE_SECONDS = 10.0  # that are resampled and scored at a time: a frame at 100 Hz can be an hour
DONE, POLICY, INVALID, BUG, RESTART, BUSY = 1000, 1008, 1007, 1011, 1012, 1013
# Reason → close code (RFC 6455 and its registry); POLICY for the others.
CODES = {
    "bad_frame": INVALID,
    "bad_message": INVALID,
    "bug": BUG,
    "busy": BUSY,
    "stopping": RESTART,
    "unscorable": INVALID,
}


async def stream(websocket: WebSocket) -> None:
    """One stream, from its first message to its last."""
    await websocket.accept()
    try:
        await _converse(websocket)
    except Refusal as refusal:
        websocket.state.reason = refusal.reason
        await _end(websocket, CODES.get(refusal.reason, POLICY), refusal)
    except WebSocketDisconnect:
        websocket.state.reason = "gone"


async def _converse(websocket: WebSocket) -> None:
    """Everything between accepting and closing.

    Raises:
        Refusal: the client is told.
        WebSocketDisconnect: the client has left.
    """
    served, places = websocket.app.state.served, websocket.app.state.places
    await _require_token(websocket, served)
    asked = _asked(websocket)
    async with places.stream():
        conversation = Conversation(websocket, served, asked)
        await conversation.say(**conversation.ready())
        at_once = round(PIECE_SECONDS * asked.sample_rate)
        async for samples in conversation.samples():
            for first in range(0, len(samples), at_once):
                heard = await conversation.run(conversation.stream.push, samples[first : first + at_once])
                await conversation.tell(heard)
        await conversation.tell(await conversation.run(conversation.stream.close))
        if places.stopping.is_set():
            raise Refusal("stopping", "server: is stopping. What was heard is told; begin anew when it is back.")
        await conversation.say(type="done", seconds=microseconds(conversation.stream.seconds))
        await _end(websocket, DONE)


class Conversation:
    """A stream that has begun.

    Raises:
        Refusal: the tagger cannot hear a stream, or not at this rate.
    """

    def __init__(self, websocket: WebSocket, served: Served, asked: StreamQuery):
        self.websocket, self.asked, self.limits = websocket, asked, served.limits
        self.places = websocket.app.state.places
        self.tagger = served.find(asked.tagger)
        try:
            rule = EventRule(asked.keep_share, asked.min_seconds, asked.join_seconds)
            self.stream = TagStream(self.tagger, asked.sample_rate, rule, asked.threshold)
        except (AudioError, ConfigError) as error:
            raise Refusal("bad_parameter", str(error)) from error
        except TaggerFileError as error:
            raise Refusal(
                "bad_parameter",
                f"{self.tagger.metadata.name}: its taggers hear in different windows, and a stream needs one. Ask "
                "another.",
            ) from error

    def ready(self) -> dict[str, Any]:
        """The first message."""
        known = self.tagger.metadata
        return {
            "type": "ready",
            "tagger": self.tagger.identity,
            "sample_rate": self.asked.sample_rate,
            "format": self.asked.format,
            "window_seconds": known.window_seconds,
            "hop_seconds": known.hop_seconds,
            "frame_bytes": self.limits.frame_bytes,
            "idle_seconds": self.limits.idle_seconds,
        }

    async def samples(self) -> AsyncIterator[np.ndarray]:
        """The frames as float32 (samples,), until the client ends or the server stops.

        Raises:
            Refusal: a message that is none of the protocol's, or none for too long.
            WebSocketDisconnect: the client has left.
        """
        stopping = asyncio.ensure_future(self.places.stopping.wait())
        coming = None
        try:
            while True:
                coming = asyncio.ensure_future(self.websocket.receive())
                await asyncio.wait(
                    {coming, stopping}, timeout=self.limits.idle_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if stopping.done():
                    return
                if not coming.done():
                    raise Refusal(
                        "idle", f"stream: nothing came for {self.limits.idle_seconds:g} s. Send silence, or end it."
                    )
                frame = _frame(coming.result())
                if frame is None:
                    return
                yield decode(frame, self.asked.format, self.limits.frame_bytes)
        finally:
            for waiting in (stopping, coming):
                if waiting is not None:
                    waiting.cancel()

    async def run(self, job: Any, *arguments: np.ndarray) -> Heard:
        """What the stream makes of samples, in a thread; the next frame is read after it.

        Raises:
            Refusal: the graph gives no numbers.
        """
        try:
            heard = await self.places.run_stream(job, *arguments)
        except TaggerFileError as error:
            raise unscorable(self.tagger) from error
        self.websocket.state.audio_seconds = self.stream.seconds
        return heard

    async def tell(self, heard: Heard) -> None:
        """Send what became known."""
        for window in found_windows(self.tagger, heard.windows, self.asked):
            await self.say(type="window", **window.model_dump(exclude_none=True))
        for event in heard.events:
            await self.say(**event_message(event))

    async def say(self, **message: Any) -> None:
        """Send one message.

        Raises:
            Refusal: the client does not read.
            WebSocketDisconnect: the client has left.
        """
        try:
            async with asyncio.timeout(self.limits.idle_seconds):
                await self.websocket.send_text(to_json(message))
        except TimeoutError as error:
            raise Refusal("idle", "stream: its messages are not read. Read them as they come.") from error


def event_message(event: Event) -> dict[str, Any]:
    """An event that has ended, as it is sent.

    >>> event_message(Event("owl", 0.75, 1.0, 3.0, 0.5))["label"]
    'owl'
    """
    return {
        "type": "event",
        "label": event.label,
        "start": microseconds(event.start),
        "end": microseconds(event.end),
        "score": short_score(event.score),
        "mean_score": short_score(event.mean_score),
    }


def decode(frame: bytes, format: str, most_bytes: int) -> np.ndarray:
    """PCM as float32 (samples,), full scale ±1.

    Args:
        frame: mono samples. format: one of PCM_FORMATS. most_bytes: that a frame may have.

    Raises:
        Refusal: it is too long, ends within a sample, or holds what is no number.

    >>> decode(b"\\x00\\x40\\x00\\xc0", "s16le", 4).tolist()
    [0.5, -0.5]
    """
    size = bytes_per_sample(format)
    if len(frame) > most_bytes:
        raise Refusal(
            "bad_frame", f"stream: a frame of {len(frame)} bytes (at most {most_bytes} are taken). Send shorter ones."
        )
    if len(frame) % size:
        raise Refusal(
            "bad_frame",
            f"stream: a frame of {len(frame)} bytes ends within a sample of {format}, which has {size}. Send whole "
            "samples.",
        )
    samples = decode_pcm(frame, format)
    if not np.isfinite(samples).all():
        raise Refusal("bad_frame", "stream: a frame holds a sample that is no number (NaN, infinite). Mend its source.")
    return samples


def _frame(message: dict[str, Any]) -> bytes | None:
    """The PCM in a message; None where it ends the stream.

    Raises:
        Refusal: it is none of the protocol's.
        WebSocketDisconnect: the client has left.
    """
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    if message.get("bytes") is not None:
        return message["bytes"]
    if _document(message.get("text")) == {"type": "end"}:
        return None
    raise Refusal("bad_message", 'stream: a text that is not known (expected {"type": "end"}). Send PCM as binary.')


def _document(text: str | None) -> Any:
    """A text as JSON; None where it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text or "")
    return None


async def _require_token(websocket: WebSocket, served: Served) -> None:
    """Let pass whoever knows the token: as a header, or as the first message {"type": "token", "token": "…"}.

    Raises:
        Refusal: it is missing, wrong or late.
        WebSocketDisconnect: the client has left.
    """
    header = websocket.headers.get("authorization")
    if served.token is None or header is not None:
        served.require_token(bearer(header))
        return
    try:
        async with asyncio.timeout(TOKEN_SECONDS):
            message = await websocket.receive()
    except TimeoutError:
        message = {"type": "nothing"}
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    document = _document(message.get("text"))
    given = document.get("token") if isinstance(document, dict) and document.get("type") == "token" else None
    served.require_token(given if isinstance(given, str) else None)


def _asked(websocket: WebSocket) -> StreamQuery:
    """The parameters in the address.

    Raises:
        Refusal: one is unknown, missing or wrong.
    """
    try:
        return StreamQuery.model_validate(dict(websocket.query_params))
    except ValidationError as error:
        raise Refusal("bad_parameter", parameter_message(error.errors(), StreamQuery, "docs/serve.md")) from error


async def _end(websocket: WebSocket, code: int, refusal: Refusal | None = None) -> None:
    """Say why, if it is a refusal, and close; to a client that has left or does not read, neither."""
    if websocket.client_state is WebSocketState.DISCONNECTED:
        return
    with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        async with asyncio.timeout(TOKEN_SECONDS):
            if refusal is not None:
                error = {"type": "error", "reason": refusal.reason, "message": str(refusal)}
                await websocket.send_text(to_json(error))
            await websocket.close(code)
